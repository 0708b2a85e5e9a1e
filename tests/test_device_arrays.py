"""Arrays of a CUDA device, imitated: which are taken, what comes back, and what is refused."""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import imitated_cupy
import ntkfast as nk
from imitated_cupy import State, on_device
from ntkfast import cuda, errors
from ntkfast.errors import DeviceError
from support import Array

NET = nk.mlp(2, b_std=0.1)
X = np.random.default_rng(0).standard_normal((7, 3))


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> State:
    return imitated_cupy.install(monkeypatch)


class Foreign:
    """An array on a device of a library that ntkfast does not know, through DLPack alone."""

    __module__ = "strange.arrays"

    def __init__(self, array: Array, place: tuple[int, int] = (2, 0)) -> None:
        self.array, self.place = array, place
        self.streams: list[Any] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.place

    def __dlpack__(self, *, stream: Any = None, **options: Any) -> Any:
        self.streams.append(stream)
        return self.array.__dlpack__()


class Numba:
    """An array with the CUDA array interface alone."""

    __module__ = "numba.cuda.devicearray"

    def __init__(self, array: Array) -> None:
        self.array = array

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self.array.__array_interface__, "version": 3, "stream": 1}


class Jax:
    __module__ = "jaxlib._jax"

    def __init__(self, array: Array, devices: int = 1) -> None:
        self.array, self.count = array, devices

    def devices(self) -> set[Any]:
        return {imitated_jax_device(i) for i in range(self.count)}

    def __array__(self, *args: Any, **kwargs: Any) -> Array:
        return self.array

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__()


def imitated_jax_device(i: int) -> Any:
    return type("Device", (), {"platform": "gpu", "__str__": lambda self: f"cuda:{i}"})()


class Tensor:
    __module__ = "torch"
    requires_grad, layout, dtype = False, "strided", "float64"

    def __init__(self, array: Array, index: int = 0) -> None:
        self.array = array
        self.device = types.SimpleNamespace(type="cuda", index=index)

    def cpu(self) -> Tensor:
        return self

    def resolve_neg(self) -> Tensor:
        return self

    def numpy(self) -> Array:
        return self.array

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.device.index

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__()


def _taken(make: Callable[[Array], Any]) -> Callable[..., Any]:
    """A library's way to take memory: over the address, never a copy."""

    def take(value: Any, **options: Any) -> Any:
        if isinstance(value, np.ndarray):
            return make(value)
        return make(imitated_cupy.over(value))

    return take


@pytest.fixture
def libraries(device: State, monkeypatch: pytest.MonkeyPatch) -> State:
    no_tangent = types.SimpleNamespace(tangent=None)
    ad = types.SimpleNamespace(unpack_dual=lambda tensor: no_tangent)
    modules: dict[str, dict[str, Any]] = {
        "strange": {"from_dlpack": _taken(Foreign)},
        "numba": {},
        "numba.cuda": {"as_cuda_array": _taken(Numba)},
        "jax": {"device_put": lambda array, place: Jax(array)},
        "jax.dlpack": {"from_dlpack": _taken(Jax)},
        "torch": {
            "Tensor": Tensor,
            "strided": "strided",
            "bfloat16": "bfloat16",
            "as_tensor": _taken(Tensor),
            "autograd": types.SimpleNamespace(forward_ad=ad),
        },
    }
    for name, attributes in modules.items():
        module = types.ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    return device


def _host(value: Any) -> Array:
    return np.array(value.get() if isinstance(value, imitated_cupy.ndarray) else value.array)


KINDS = {"cupy": on_device, "torch": Tensor, "jax": Jax, "DLPack": Foreign, "interface": Numba}
every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_kind_of_array_comes_back_over_the_same_memory(
    libraries: State, kind: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[imitated_cupy.Matrix] = []
    original = imitated_cupy.Matrix.__init__

    def remember(self: imitated_cupy.Matrix, array: Array, device: int) -> None:
        original(self, array, device)
        made.append(self)

    monkeypatch.setattr(imitated_cupy.Matrix, "__init__", remember)
    x = X.astype(dtype)
    given = KINDS[kind](x)
    expected = NET.kernels(x)
    for got, other in zip(NET.kernels(given), expected, strict=True):
        assert type(got) is type(given)
        np.testing.assert_array_equal(_host(got), other)
        inner = got._a if kind == "cupy" else got.array
        assert any(np.shares_memory(inner, each.array) for each in made)
    cross = NET.ntk(given, KINDS[kind](x[:3]))
    assert type(cross) is type(given)
    np.testing.assert_array_equal(_host(cross), NET.ntk(x, x[:3]))
    assert libraries.calls.count("gram on 0") == 2


@every_kind
def test_diagonals_come_back_as_the_same_kind(libraries: State, kind: str) -> None:
    diagonal = NET.diag(KINDS[kind](X))
    assert type(diagonal) is type(KINDS[kind](X))
    np.testing.assert_array_equal(_host(diagonal), NET.diag(X))


@pytest.mark.parametrize("kind", ["cupy", "interface", "DLPack"])
def test_strides_do_not_matter(libraries: State, kind: str) -> None:
    wide = np.random.default_rng(1).standard_normal((8, 14))
    for view in (wide.T[:7, :3], wide[:, ::2], wide[::-1]):
        given = imitated_cupy.ndarray(view) if kind == "cupy" else KINDS[kind](view)
        np.testing.assert_array_equal(_host(NET.ntk(given)), NET.ntk(view.copy()))


@pytest.mark.parametrize("dtype", ["int32", "bool", "float16"])
def test_dtypes_are_promoted_as_on_the_host(device: State, dtype: str) -> None:
    x = (X * 3).astype(dtype)
    got = NET.ntk(on_device(x))
    assert got.dtype == NET.ntk(x).dtype
    np.testing.assert_array_equal(got.get(), NET.ntk(x))
    assert NET.ntk(on_device(x), on_device(X.astype("float32"))).dtype == (
        "float32" if dtype == "float16" else "float64"
    )
    with pytest.raises(TypeError, match="complex128"):
        NET.ntk(on_device(X + 0j))


def test_the_producer_is_told_the_stream_on_which_its_array_is_read(libraries: State) -> None:
    given = Foreign(X)
    NET.ntk(given)
    assert given.streams
    assert set(given.streams) == {1}  # the legacy default stream, CuPy's current one


def test_what_cupy_computes_is_finished_before_another_library_gets_it(libraries: State) -> None:
    before = libraries.synchronised
    K = NET.ntk(Tensor(X))
    solution = nk.solve(K, Tensor(np.ones(7)), 0.1)
    assert isinstance(solution, Tensor)
    np.testing.assert_allclose(solution.array, nk.solve(NET.ntk(X), np.ones(7), 0.1), rtol=1e-9)
    assert libraries.synchronised > before
    before = libraries.synchronised
    assert isinstance(nk.solve(on_device(NET.ntk(X)), np.ones(7), 0.1), imitated_cupy.ndarray)
    assert libraries.synchronised == before  # on CuPy's own stream there is nothing to wait for


@every_kind
def test_a_kernel_of_every_kind_is_solved_as_the_same_kind(libraries: State, kind: str) -> None:
    K = NET.ntk(X)
    for refine in (False, True):
        got = nk.solve(KINDS[kind](K), np.ones(7), 0.1, refine=refine)
        assert type(got) is type(KINDS[kind](K))
        np.testing.assert_allclose(_host(got), nk.solve(K, np.ones(7), 0.1), rtol=1e-9)


def test_an_immutable_kernel_is_not_overwritten(libraries: State) -> None:
    K = NET.ntk(X)
    before = K.copy()
    nk.solve(Jax(K), np.ones(7), 0.1, overwrite=True)
    np.testing.assert_array_equal(K, before)


# --- refused -----------------------------------------------------------------------------------


def test_arrays_on_several_devices_are_a_device_error(libraries: State) -> None:
    with pytest.raises(DeviceError, match="got cuda:0 for X and cuda:1 for Z"):
        NET.ntk(on_device(X, 0), on_device(X, 1))
    with pytest.raises(DeviceError, match=r"device='cuda:1', but X is on cuda:0"):
        NET.ntk(on_device(X, 0), device="cuda:1")
    with pytest.raises(DeviceError, match="X is on cuda:1: copy it to the host first"):
        NET.ntk(on_device(X, 1), device="cpu")
    with pytest.raises(DeviceError, match=r"several devices \(cuda:0, cuda:1\).*device_put"):
        NET.ntk(Jax(X, devices=2))


def test_a_library_that_cannot_take_a_kernel_back_is_refused(libraries: State) -> None:
    class Homemade(Numba):
        __module__ = "homemade"

    with pytest.raises(DeviceError, match=r"\(homemade\) has no from_dlpack.*cupy.asarray\(X\)"):
        NET.ntk(Homemade(X))


def test_devices_of_other_makers_are_refused(libraries: State) -> None:
    with pytest.raises(DeviceError, match="device of DLPack's type 10, where"):
        NET.ntk(Foreign(X, place=(10, 0)))


def test_unknown_arrays_need_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    imitated_cupy.install(monkeypatch, cupy=False)
    for array in (Foreign(X), Numba(X)):
        with pytest.raises(DeviceError, match=r"needs CuPy.*pip install 'ntkfast\[cuda13\]'"):
            NET.ntk(array)


@every_kind
def test_without_the_extension_it_says_what_to_install(
    libraries: State, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "_cuda", None)
    monkeypatch.setattr(cuda, "_import_error", "no such file", raising=False)
    for call in (NET.ntk, NET.diag, NET.conditioning, lambda K: nk.solve(K, np.ones(3))):
        with pytest.raises(DeviceError, match=r"no CUDA extension.*install ntkfast from source"):
            call(KINDS[kind](X))


def test_what_only_the_cpu_computes_says_so_in_one_way(device: State) -> None:
    wording = r"X is on cuda:0, and {} are computed on the CPU: copy it to the host"
    with pytest.raises(DeviceError, match=wording.format("finite networks")):
        nk.finite.init(NET, width=4, seed=0).ntk(on_device(X))
    with pytest.raises(DeviceError, match=wording.format("comparisons")):
        nk.compare.kernel_deviation(NET, on_device(X), widths=[4, 8], seeds=2)


def test_errors_pass_through_unchanged(device: State) -> None:
    with pytest.raises(ValueError, match="X must be 2-D"):
        NET.ntk(on_device(X[0]))
    with pytest.raises(ValueError, match=r"finite, got nan in row 0"):
        NET.ntk(on_device(X * np.nan))
    with pytest.raises(errors.KernelOverflowError):
        NET.ntk(on_device(np.full((2, 2), 1e30, np.float32)))


# --- DLPack memory of the host is no device -----------------------------------------------------


def test_arrays_of_the_host_with_dlpack_are_read_as_before() -> None:
    class Plain(Foreign):
        def __array__(self, *args: Any, **kwargs: Any) -> Array:
            return self.array

    for place in ((1, 0), (3, 0)):  # ordinary and pinned memory
        assert isinstance(NET.ntk(Plain(X, place)), np.ndarray)


def test_the_real_cupy_has_what_is_called() -> None:
    """Names and signatures, without a device; in a process of its own, as CuPy is heavy."""
    pytest.importorskip("cupy", reason="CuPy is not installed")
    code = """
import inspect, cupy, cupyx
for name in "asarray asnumpy array from_dlpack fill_diagonal tril triu eye einsum exp2 rint log2 \\
abs where maximum isfinite empty empty_like zeros zeros_like sqrt ndarray".split():
    getattr(cupy, name)
cupy.linalg.cholesky, cupy.linalg.eigh, cupyx.errstate(linalg="raise")
cupy.cuda.Device.mem_info, cupy.cuda.get_current_stream, cupy.get_default_memory_pool().free_bytes
assert issubclass(cupy.cuda.memory.OutOfMemoryError, MemoryError)
assert issubclass(cupy.cuda.runtime.CUDARuntimeError, RuntimeError)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)
