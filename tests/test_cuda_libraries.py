"""On a CUDA device: arrays of every library, streams, solves and estimators."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.linalg import LinAlgWarning
from sklearn.base import clone

import ntkfast as nk
from ntkfast import cuda
from ntkfast._linalg import cholesky
from ntkfast._linalg.factor import BlockedFactor
from ntkfast._linalg.place import CudaPlace
from ntkfast.errors import DeviceError, MemoryBudgetError, SingularKernelError
from ntkfast.solvers import KernelSystem, loo_grid
from support import Array

pytestmark = pytest.mark.skipif(
    not cuda.is_available(), reason=f"no CUDA device to compute on: {cuda.reason()}"
)

NET = nk.mlp(2, b_std=0.3)
LIBRARIES = ["cupy", "torch", "jax", "numba"]
every_library = pytest.mark.parametrize("library", LIBRARIES)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Warnings of the libraries about themselves are not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        yield


def _cupy() -> Any:
    return pytest.importorskip("cupy", reason="CuPy is not installed")


def _on(library: str, x: Array) -> Any:
    """Return a copy of an array on device 0."""
    _cupy()  # arrays other than PyTorch's and JAX's go through it
    if library == "numba":
        return pytest.importorskip("numba.cuda", reason="Numba is not installed").to_device(x)
    module = pytest.importorskip(library, reason=f"{library} is not installed")
    if library == "cupy":
        return module.asarray(x)
    if library == "torch":
        return module.tensor(x, device="cuda")
    module.config.update("jax_enable_x64", True)
    found = [d for d in module.devices() if d.platform in ("gpu", "cuda")]
    if not found:
        pytest.skip("this JAX has no CUDA device")
    return module.device_put(x, found[0])


def _host(value: Any) -> Array:
    for name in ("get", "copy_to_host"):
        if hasattr(value, name):
            return np.asarray(getattr(value, name)())
    return np.asarray(value.cpu() if hasattr(value, "cpu") else value)


def _rows(n: int, d: int = 8, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((n, d))


@every_library
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_come_back_as_their_kind(library: str, dtype: str) -> None:
    x = _rows(150).astype(dtype)
    given = _on(library, x)
    for got, other in zip(NET.kernels(given), NET.kernels(x, device="cuda"), strict=True):
        assert type(got) is type(given)
        np.testing.assert_array_equal(_host(got), other)
    cross = NET.ntk(given[:40], given)
    np.testing.assert_array_equal(_host(cross), NET.ntk(x[:40], x, device="cuda"))
    np.testing.assert_array_equal(_host(NET.diag(given)), NET.diag(x))


@pytest.mark.parametrize("library", ["cupy", "torch", "jax"])
def test_strides_do_not_matter(library: str) -> None:
    x = _rows(60, 20)
    given = _on(library, x)
    for view, expected in [(given[:, ::2], x[:, ::2]), (given.T, x.T), (given[::3], x[::3])]:
        np.testing.assert_array_equal(_host(NET.ntk(view)), NET.ntk(expected.copy(), device="cuda"))


def test_rows_that_a_stream_still_computes_are_waited_for() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    cupy = _cupy()
    x = _rows(200)
    busy = torch.randn(6000, 6000, device="cuda")
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(20):
            busy = torch.tanh(busy @ busy)
        late = _on("torch", x) + 0 * busy[:200, :8].double()
        K = NET.ntk(late)
        solved = nk.solve(K, _on("torch", np.ones(200)), 0.1)
        np.testing.assert_array_equal(_host(K), NET.ntk(x, device="cuda"))
    np.testing.assert_allclose(_host(solved), nk.solve(NET.ntk(x), np.ones(200), 0.1), rtol=1e-8)
    other = cupy.cuda.Stream(non_blocking=True)
    with other:
        slow = cupy.random.standard_normal((6000, 6000), dtype=np.float32)
        for _ in range(20):
            slow = cupy.tanh(slow @ slow)
        late = cupy.asarray(x) + 0 * slow[:200, :8]
        K = NET.ntk(late)
    # On another stream than the one that was current: the kernel is finished.
    np.testing.assert_array_equal((K + 0).get(), NET.ntk(x, device="cuda"))


def test_a_kernel_outlives_its_rows_and_gives_its_memory_back() -> None:
    cupy = _cupy()
    given = cupy.asarray(_rows(3000))
    NET.ntk(given[:10])
    before = cuda.devices()[0].free_memory
    kernels = [NET.ntk(given) for _ in range(4)]  # 72 MB each
    del given
    gc.collect()
    assert cuda.devices()[0].free_memory < before - 4 * 70_000_000
    assert bool(cupy.isfinite(kernels[0]).all())
    del kernels
    gc.collect()
    cupy.get_default_memory_pool().free_all_blocks()
    assert cuda.devices()[0].free_memory > before - 40_000_000


# --- solves ------------------------------------------------------------------------------------


@every_library
@pytest.mark.parametrize("refine", [False, True])
def test_solves_are_those_of_the_cpu(library: str, refine: bool) -> None:
    K, y = NET.ntk(_rows(300)), _rows(300, 3, seed=1)
    x, info = nk.solve(_on(library, K), _on(library, y), 0.1, refine=refine, return_info=True)
    assert type(x) is type(_on(library, y))
    assert info.device == "cuda:0"
    assert ("float32" in info.method) == refine
    np.testing.assert_allclose(_host(x), nk.solve(K, y, 0.1), rtol=1e-9)


def test_a_factor_of_several_blocks_is_that_of_lapack() -> None:
    _cupy()
    place = CudaPlace(0)
    K, B = NET.ntk(_rows(2 * cholesky.BLOCK + 77)), _rows(2 * cholesky.BLOCK + 77, 5, seed=2)
    K[np.diag_indices_from(K)] *= 1.1
    expected = KernelSystem(K)
    there = BlockedFactor(place.asarray(K), place)
    rcond = there.factorise(K.diagonal().copy())
    assert rcond is not None
    assert 0.1 < rcond / expected.rcond < 10
    np.testing.assert_allclose(
        place.to_host(there.solve(place.asarray(B))), expected.solve(B), rtol=1e-7
    )
    np.testing.assert_allclose(
        place.to_host(there.inverse_diagonal()), expected.inverse_diagonal(), rtol=1e-8
    )
    there.restore(K.diagonal().copy())
    np.testing.assert_array_equal(place.to_host(there.matrix), K)


def test_leave_one_out_is_that_of_the_cpu() -> None:
    cupy = _cupy()
    K, y = NET.ntk(_rows(200)), _rows(200, 2, seed=3)
    there = KernelSystem(cupy.asarray(K), 0.1)
    np.testing.assert_allclose(
        there.leave_one_out(y), KernelSystem(K, 0.1).leave_one_out(y), rtol=1e-8
    )
    ours, theirs = loo_grid(cupy.asarray(K), y, [1e-2, 1.0]), loo_grid(K, y, [1e-2, 1.0])
    np.testing.assert_allclose(ours.predictions, theirs.predictions, rtol=1e-8)


def test_failures_are_typed_and_the_next_solve_works() -> None:
    cupy = _cupy()
    K = NET.ntk(_rows(300))
    expected = nk.solve(cupy.asarray(K), np.ones(300), 0.1).get()
    with pytest.raises(SingularKernelError, match="was tried and works"):
        nk.solve(cupy.ones((50, 50)), np.ones(50))
    with pytest.warns(LinAlgWarning, match="in float64 instead"):
        nk.solve(cupy.eye(60) + 1e9 * cupy.ones((60, 60)), np.ones(60), refine=True)
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    pool.set_limit(size=1 << 20)
    try:
        with pytest.raises(MemoryBudgetError, match="on cuda:0"):
            nk.solve(NET.ntk(cupy.asarray(_rows(2000))), np.ones(2000), 0.1)
    finally:
        pool.set_limit(size=0)
    np.testing.assert_array_equal(nk.solve(cupy.asarray(K), np.ones(300), 0.1).get(), expected)
    with pytest.raises(DeviceError, match="y is on cuda:0 and K on cpu"):
        nk.solve(K, cupy.ones(300))


# --- estimators --------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["numpy", "cupy", "torch", "jax"])
@pytest.mark.parametrize(
    "model",
    [
        nk.sklearn.NTKRegressor(NET, alpha=0.1),
        nk.sklearn.NTKRegressor(NET),
        nk.sklearn.NNGPRegressor(NET),
    ],
    ids=["given", "loo", "process"],
)
def test_estimators_say_what_they_say_on_the_cpu(library: str, model: Any) -> None:
    x, z = _rows(250), _rows(30, seed=4)
    y = np.sin(x[:, 0]) + x[:, 1] ** 2
    expected = clone(model).fit(x, y).predict(z, return_std=True)
    if library == "numpy":
        fitted = clone(model).set_params(device="cuda").fit(x, y)
        got = fitted.predict(z, return_std=True)
    else:
        fitted = clone(model).fit(_on(library, x), _on(library, y))
        got = fitted.predict(_on(library, z), return_std=True)
        assert type(got[0]) is type(_on(library, z))
    assert fitted.device_ == "cuda:0"
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(_host(a), b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("library", ["numpy", "cupy", "torch"])
def test_the_classifier_says_what_it_says_on_the_cpu(library: str) -> None:
    x, z = _rows(250), _rows(30, seed=5)
    y = np.digitize(x[:, 0], [-0.5, 0.5])
    expected = nk.sklearn.NTKClassifier(NET).fit(x, y)
    model = nk.sklearn.NTKClassifier(NET, device="cuda")
    new = z if library == "numpy" else _on(library, z)
    model.fit(x if library == "numpy" else _on(library, x), y)
    np.testing.assert_array_equal(_host(model.predict(new)), expected.predict(z))
    np.testing.assert_allclose(
        _host(model.predict_proba(new)), expected.predict_proba(z), rtol=1e-5
    )
