"""Several devices, precision and operators on devices: what is refused, and what reaches them."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from ntkfast import _core, _device, cuda
from ntkfast.errors import DeviceError, MemoryBudgetError

NET = nk.mlp(1)
X = np.random.default_rng(0).standard_normal((6, 3))
V = np.arange(12.0).reshape(6, 2)


class OutOfMemoryError(MemoryError):
    """As the extension's."""


@pytest.fixture
def imitated(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Two devices that multiply by the CPU's kernel and note what they were asked for."""
    state: dict[str, Any] = {"grams": [], "operators": [], "raise": None}

    def gram(job: object, nngp: bool, ntk: bool, device: Any, *rest: Any) -> Any:
        state["grams"].append((device, rest[0]))
        return [None], [NET.ntk(X, device="cpu")]

    class Operator:
        def __init__(self, job: object, ntk: bool, devices: list[int], block_edge: int) -> None:
            state["operators"].append((ntk, devices, block_edge))

        def multiply(self, v: Any, transposed: bool, progress: Any) -> Any:
            if state["raise"] is not None:
                raise state["raise"]
            return NET.ntk(X, device="cpu") @ v

    fake = SimpleNamespace(
        unavailable_reason=lambda: "",
        device_count=lambda: 2,
        gram=gram,
        Operator=Operator,
        OutOfMemoryError=OutOfMemoryError,
    )
    monkeypatch.setattr(cuda, "_cuda", fake)
    monkeypatch.setattr(_device, "_extension", lambda: fake)
    kinds: list[int] = []
    make = _core.device_job

    def device_job(*arguments: Any) -> object:
        kinds.append(arguments[6])
        return make(*arguments)

    monkeypatch.setattr(_core, "device_job", device_job)
    state["kinds"] = kinds
    return state


@pytest.mark.parametrize("device", ["cuda:all", ("cuda:0", "cuda:1"), ["cuda", "cuda:1"]])
def test_several_devices_share_the_work(imitated: dict[str, Any], device: Any) -> None:
    NET.ntk(X, device=device)
    np.testing.assert_allclose(NET.operator(X, device=device) @ V, NET.ntk(X) @ V)
    assert imitated["grams"] == [([0, 1], True)]
    assert imitated["operators"] == [(True, [0, 1], 0)]
    with nk.config(device=device):
        NET.ntk(X)
        assert nk.config.device == ("cuda:0", "cuda:1")
    assert imitated["grams"][1] == ([0, 1], True)


def test_one_of_several_is_one(imitated: dict[str, Any]) -> None:
    NET.ntk(X, device=("cuda:1",))
    assert imitated["grams"] == [(1, True)]


@pytest.mark.parametrize(
    "device", [(), [], ("cuda:0", "cuda:0"), ("cuda", "cuda:0"), ("cuda:0", "cpu"), ["auto"]]
)
def test_lists_that_name_no_different_devices_are_refused(
    imitated: dict[str, Any], device: Any
) -> None:
    with pytest.raises(ValueError, match="device must name different CUDA devices"):
        NET.ntk(X, device=device)


def test_devices_that_do_not_exist_are_refused(imitated: dict[str, Any]) -> None:
    with pytest.raises(DeviceError, match="there are 2 devices, index 2 is none"):
        NET.operator(X, device=("cuda:0", "cuda:2"))
    with pytest.raises(ValueError, match="device must be"):
        NET.operator(X, device=("cuda:0", "gpu"))
    with pytest.raises(DeviceError, match=r"several devices .* for what one computes"):
        _device.resolve_device(("cuda:0", "cuda:1"), None)  # type: ignore[arg-type]


def test_rows_on_one_device_are_not_shared(imitated: dict[str, Any]) -> None:
    with pytest.raises(DeviceError, match="but X is on cuda:0"):
        _device.resolve_devices(("cuda:0", "cuda:1"), 0)
    assert _device.resolve_devices(("cuda:1",), 1) == (1,)


def test_without_a_driver_all_devices_are_none() -> None:
    if not cuda.is_available():
        with pytest.raises(DeviceError, match='"cuda:all" is not available'):
            NET.ntk(X, device="cuda:all")


def test_operators_on_a_device(imitated: dict[str, Any]) -> None:
    A = NET.operator(X, kind="ntk", device="cuda:1")
    assert imitated["operators"] == [(True, [1], 0)]
    np.testing.assert_allclose(A @ V, NET.ntk(X) @ V)
    np.testing.assert_allclose(A @ V[:, 0], NET.ntk(X) @ V[:, 0])
    imitated["raise"] = OutOfMemoryError("2 GiB needed on CUDA device 1")
    with pytest.raises(MemoryBudgetError, match="2 GiB needed on CUDA device 1: fewer vectors"):
        A @ V
    imitated["raise"] = RuntimeError("cudaMemcpy: cudaErrorIllegalAddress")
    with pytest.raises(DeviceError, match="cuda:1 failed: cudaMemcpy"):
        A @ V
    imitated["raise"] = None
    np.testing.assert_allclose(A @ V, NET.ntk(X) @ V)


@pytest.mark.parametrize("mode", ["full", "trace", "diagonal"])
def test_tangent_kernels_are_contracted_on_a_device(
    imitated: dict[str, Any], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inputs and signals reach it, block by block, and its order of axes is undone."""
    calls: list[tuple[int, bool]] = []

    def contract_uses(
        left: Any, right: Any, scales: Any, mode: str, device: int, edge: int, progress: Any
    ) -> Any:
        calls.append((device, right is None))
        n, outputs, m = len(left[0][0]), left[0][1].shape[1], len((right or left)[0][0])
        shapes = {"full": (n, m, outputs, outputs), "trace": (n, m), "diagonal": (n, m, outputs)}
        out = np.zeros(shapes[mode])
        _core.contract_uses(left, right, scales, mode, out, 1, overwrite=True)
        order = {"full": (0, 2, 1, 3), "trace": (0, 1), "diagonal": (2, 0, 1)}[mode]
        return np.ascontiguousarray(out.transpose(order))

    monkeypatch.setattr(_device._extension(), "contract_uses", contract_uses, raising=False)
    f = nk.finite.init(nk.mlp(1, b_std=0.1), width=8, seed=0, outputs=3)
    for Z in (None, X[:2]):
        want = f.ntk(X, Z, outputs=mode, device="cpu")
        assert not calls
        np.testing.assert_array_equal(f.ntk(X, Z, outputs=mode, device="cuda:1"), want)
        assert calls == [(1, Z is None)]
        calls.clear()
        with nk.config(device="cuda"):
            np.testing.assert_array_equal(f.ntk(X, Z, outputs=mode), want)
        assert calls == [(0, Z is None)]
        calls.clear()
    monkeypatch.setattr("ntkfast.finite._network._PASS_BYTES", 1)
    several = f.ntk(X, outputs=mode, device="cuda")
    assert len(calls) == len(X) * (len(X) + 1) // 2
    np.testing.assert_allclose(several, f.ntk(X, outputs=mode, device="cpu"), rtol=1e-12)

    def fail(*arguments: Any) -> Any:
        raise OutOfMemoryError("2 GiB needed on CUDA device 0")

    monkeypatch.setattr(_device._extension(), "contract_uses", fail)
    with pytest.raises(MemoryBudgetError, match=r"2 GiB needed .*: contract fewer samples"):
        f.ntk(X, outputs=mode, device="cuda")
    with pytest.raises(DeviceError, match="several devices"):
        f.ntk(X, outputs=mode, device="cuda:all")


def test_precision_reaches_the_device(imitated: dict[str, Any]) -> None:
    single = X.astype("float32")
    kinds = imitated["kinds"]
    NET.operator(single, device="cuda")
    NET.operator(single, device="cuda", precision="tf32x3")
    with nk.config(precision="tf32"):
        NET.ntk(single, device="cuda")
        NET.operator(single, device="cuda", precision="ieee")
        NET.operator(X, device="cuda")  # float64 knows one
    assert kinds == [0, 2, 3, 0, 1]
    kinds.clear()
    for method in (NET.ntk, NET.nngp, NET.kernels):
        for precision in ("ieee", "tf32x3", "tf32", None):
            method(single, device="cuda", precision=precision)
    nk.kernels_of([NET], single, device="cuda", precision="tf32")
    with nk.config(precision="tf32x3"):
        NET.ntk(single, device="cuda", precision="ieee")
        NET.ntk(single, device="cuda")
        NET.ntk(X, device="cuda", precision="tf32")
    assert kinds == [0, 2, 3, 0] * 3 + [3, 0, 2, 1]


def test_precision_is_checked() -> None:
    with pytest.raises(ValueError, match=r"config.precision must be one of 'ieee', 'tf32x3'"):
        nk.config.precision = "fp16"
    with pytest.raises(TypeError, match=r"config.precision must be one of"):
        nk.config(precision=32)
    for call in (NET.ntk, NET.nngp, NET.kernels, NET.operator, partial(nk.kernels_of, [NET])):
        with pytest.raises(ValueError, match=r"^precision must be one of 'ieee', .*got 'tf31'"):
            call(X, precision="tf31")
        with pytest.raises(TypeError, match=r"^precision must be one of"):
            call(X, precision=3)
    assert NET.ntk(X, precision="tf32").tolist() == NET.ntk(X).tolist()
    # On the CPU it changes nothing.
    with nk.config(precision="tf32"):
        got = NET.ntk(X.astype("float32"))
    np.testing.assert_array_equal(got, NET.ntk(X.astype("float32")))
