"""Solves on a device, imitated, and what they are made of: blocked factors and refinement."""

from __future__ import annotations

import math
import pickle
import sys
import warnings

import numpy as np
import pytest
import scipy.linalg
from scipy.linalg import LinAlgWarning

import imitated_cupy
import ntkfast as nk
from imitated_cupy import State, on_device
from ntkfast import cuda
from ntkfast._linalg import cholesky, refinement
from ntkfast._linalg.factor import BlockedFactor, HostFactor
from ntkfast._linalg.place import HOST
from ntkfast.errors import DeviceError, MemoryBudgetError, SingularKernelError
from ntkfast.solvers import KernelSystem, loo_grid, solve
from support import Array


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> State:
    return imitated_cupy.install(monkeypatch)


def kernel(n: int, seed: int = 0, condition: float = 1e3) -> Array:
    """A symmetric positive definite matrix with eigenvalues from 1 down to 1 / condition."""
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.standard_normal((n, n)))
    matrix = (q * np.logspace(0, -math.log10(condition), n)) @ q.T
    return (matrix + matrix.T) / 2


# --- the blocked factor ------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 3, 16, 64])
@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 50])
def test_blocks_give_the_factor_of_lapack(n: int, block: int) -> None:
    K = kernel(n, n)
    rng = np.random.default_rng(1)
    columns = rng.standard_normal((n, 3))
    blocked, whole = BlockedFactor(K.copy(), HOST, block=block), HostFactor(K.copy())
    diagonal = K.diagonal() + 0.01
    rcond = blocked.factorise(diagonal)
    assert rcond is not None
    expected = whole.factorise(diagonal)
    assert expected is not None
    assert 0.3 < rcond / expected < 3  # both are estimates
    factor = np.linalg.cholesky(K + 0.01 * np.eye(n))
    np.testing.assert_allclose(np.tril(blocked.matrix), factor, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(np.triu(blocked.matrix, 1), np.triu(K, 1))
    np.testing.assert_allclose(blocked.solve(columns), whole.solve(columns), rtol=1e-9)
    np.testing.assert_allclose(blocked.solve_lower(columns), whole.solve_lower(columns), rtol=1e-9)
    np.testing.assert_allclose(blocked.inverse_diagonal(), whole.inverse_diagonal(), rtol=1e-9)
    blocked.restore(K.diagonal())
    np.testing.assert_array_equal(blocked.matrix, K)


@pytest.mark.parametrize("row", [0, 7, 19])
def test_a_failed_factor_gives_the_matrix_back(row: int) -> None:
    K = kernel(20, 2)
    K[row, row] = -1.0
    factor = BlockedFactor(K.copy(), HOST, block=6)
    assert factor.factorise(K.diagonal()) is None
    factor.restore(K.diagonal())
    np.testing.assert_array_equal(factor.matrix, K)


def test_the_workspace_is_small_against_the_matrix() -> None:
    """Fits of n = 50,000: 20 GB of kernel, no second matrix."""
    assert cholesky.workspace_bytes(50_000, 8) < 0.2 * 8 * 50_000**2


# --- refinement --------------------------------------------------------------------------------


def backward_error(K: Array, y: Array, x: Array) -> float:
    """In extended precision, of the system scaled to unit diagonal, per column."""
    scale = 1 / np.sqrt(K.diagonal().astype(np.longdouble))
    A = K * scale[:, None] * scale
    right, z = y * scale[:, None], x / scale[:, None]
    residual = np.abs(right - A @ z).max(axis=0)
    return float(
        (residual / (np.abs(A).sum(1).max() * np.abs(z).max(0) + np.abs(right).max(0))).max()
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("condition", [1e1, 1e3, 1e5])
def test_refinement_reaches_float64_accuracy(condition: float, dtype: str) -> None:
    n = 150
    K = kernel(n, 3, condition).astype(dtype)
    y = np.random.default_rng(4).standard_normal((n, 4)) * 10.0 ** np.array([0, 9, -9, -200])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x, info = solve(K, y, 1e-6, refine=True, return_info=True)
    assert info.method == "cholesky in float32, refined"
    assert info.device == "cpu"
    assert 1 <= info.iterations <= 30
    assert math.isnan(info.rcond)
    assert math.isnan(info.logdet)
    assert info.residual <= math.sqrt(n) * 2.3e-16
    exact = K.astype(np.float64) + np.diag(np.full(n, info.ridge))
    assert backward_error(exact, y, x) <= 2 * math.sqrt(n) * 2.3e-16
    assert x.dtype == np.float64
    # A solution of float32 is off by its unit roundoff at the very least.
    np.testing.assert_allclose(x, solve(K, y, 1e-6), rtol=1e-15 * condition * n)


@pytest.mark.parametrize("condition", [1e9, 1e11, 1e13])
def test_what_float32_cannot_factorise_is_said_and_solved_in_float64(condition: float) -> None:
    K, y = kernel(120, 5, condition), np.random.default_rng(6).standard_normal(120)
    with pytest.warns(LinAlgWarning, match=r"refine=True: .*float32.*in float64 instead") as seen:
        x, info = solve(K, y, refine=True, return_info=True)
    assert len(seen) == 1
    assert info.method == "cholesky"
    assert info.iterations == 0
    np.testing.assert_array_equal(x, solve(K, y))


def test_every_condition_number_ends_in_float64_accuracy() -> None:
    """Between the two tests above, too: refined, or said not to be."""
    n, methods = 80, []
    for exponent in np.arange(0, 13, 0.5):
        K = kernel(n, int(2 * exponent), 10.0**exponent)
        y = np.random.default_rng(7).standard_normal((n, 2))
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            x, info = solve(K, y, refine=True, return_info=True)
        assert backward_error(K, y, x) <= 4 * math.sqrt(n) * 2.3e-16
        methods.append(info.method)
        assert len(seen) == (info.method == "cholesky")
    assert methods.index("cholesky") >= 12  # a condition number of 1e6 at the least
    assert methods[-1] == "cholesky"


@pytest.mark.parametrize("decades", [30, 140])
def test_rows_of_very_different_size_are_scaled_first(decades: int) -> None:
    """Beyond the range of float32, and far beyond its digits."""
    rng = np.random.default_rng(8)
    size = 10.0 ** rng.uniform(-decades, decades, 60)
    K = kernel(60, 9, 100.0) * size[:, None] * size
    y = rng.standard_normal((60, 1)) * size[:, None]
    x, info = solve(K, y, refine=True, return_info=True)
    assert info.method == "cholesky in float32, refined"
    assert backward_error(K, y, x) <= 2 * math.sqrt(60) * 2.3e-16


def test_refinement_leaves_the_kernel_and_takes_a_ridge_per_sample() -> None:
    K, y = kernel(40, 10), np.arange(40.0)
    before, ridge = K.copy(), np.linspace(0.1, 1, 40)
    x = solve(K, y, ridge, relative=False, refine=True, overwrite=True)
    np.testing.assert_array_equal(K, before)
    np.testing.assert_allclose((K + np.diag(ridge)) @ x, y, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(solve(K, np.zeros(40), refine=True), np.zeros(40))
    assert solve(K, np.zeros((40, 0)), refine=True).shape == (40, 0)


def test_refinement_of_what_is_no_kernel_ends_in_the_usual_errors() -> None:
    K = np.ones((5, 5))
    with pytest.warns(LinAlgWarning, match="not positive"), pytest.raises(SingularKernelError):
        solve(K, np.ones(5), refine=True)
    for worse, message in [(-np.eye(3), "diagonal"), (np.eye(3) + 1e60, "float32")]:
        with pytest.warns(LinAlgWarning, match=message), pytest.raises(SingularKernelError):
            solve(worse, np.ones(3), refine=True)
    huge = np.array([[1.0, 1e60], [1e60, 1.0]])  # beyond float32, whatever the scale
    with pytest.warns(LinAlgWarning, match="float32"), pytest.raises(SingularKernelError):
        solve(huge, np.ones(2), refine=True)
    for bad, message in [(np.eye(3) * np.nan, "finite"), (np.triu(np.ones((3, 3))), "symmetric")]:
        with pytest.raises(ValueError, match=message):
            solve(bad, np.ones(3), refine=True)
    with pytest.raises(ValueError, match="square"):
        solve(np.ones((3, 2)), np.ones(3), refine=True)


def test_refinement_takes_less_memory() -> None:
    assert refinement.workspace_bytes(20_000) < 0.8 * 8 * 20_000**2


# --- on an imitated device ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("refine", [False, True])
def test_a_kernel_on_a_device_is_solved_there(device: State, refine: bool, dtype: str) -> None:
    K = kernel(70, 11).astype(dtype)
    rng = np.random.default_rng(12)
    for y in (rng.standard_normal(70), rng.standard_normal((70, 3))):
        expected = solve(K, y, 1e-3)
        for given in (y, on_device(y, 1), y.tolist()):
            x, info = solve(on_device(K, 1), given, 1e-3, refine=refine, return_info=True)
            assert isinstance(x, imitated_cupy.ndarray)
            assert x.device.id == 1
            assert info.device == "cuda:1"
            np.testing.assert_allclose(x.get(), expected, rtol=1e-9)


def test_all_of_a_system_on_a_device_is_that_of_the_cpu(device: State) -> None:
    K, rng = kernel(60, 13), np.random.default_rng(14)
    y, B, ridge = rng.standard_normal(60), rng.standard_normal((60, 5)), rng.uniform(0.1, 1, 60)
    there = KernelSystem(on_device(K), ridge, relative=False)
    here = KernelSystem(K, ridge, relative=False)
    assert (there.device, here.device) == ("cuda:0", "cpu")
    assert there.logdet == pytest.approx(here.logdet, rel=1e-12)
    assert 0.3 < there.rcond / here.rcond < 3
    np.testing.assert_allclose(there.inverse_diagonal(), here.inverse_diagonal(), rtol=1e-10)
    np.testing.assert_allclose(
        there.quadratic_form(on_device(B)).get(), here.quadratic_form(B), rtol=1e-10
    )
    for center in (False, True):
        np.testing.assert_allclose(
            there.leave_one_out(on_device(y), center=center),
            here.leave_one_out(y, center=center),
            rtol=1e-9,
        )
    for weights in (None, rng.uniform(0.2, 3, 60)):
        there_too = None if weights is None else on_device(weights)
        ours = loo_grid(on_device(K), on_device(y), [1e-3, 1.0], weights=there_too, center=True)
        theirs = loo_grid(K, y, [1e-3, 1.0], weights=weights, center=True)
        np.testing.assert_allclose(ours.predictions, theirs.predictions, rtol=1e-8)
        np.testing.assert_allclose(ours.mse, theirs.mse, rtol=1e-8)


def test_the_memory_of_the_kernel_is_used_only_when_it_may_be(device: State) -> None:
    K = kernel(50, 15)
    there = on_device(K)
    solve(there, np.ones(50))
    np.testing.assert_array_equal(there.get(), K)
    solve(there, np.ones(50), overwrite=True)
    assert (there.get() != K).any()
    np.testing.assert_array_equal(np.triu(there.get(), 1), np.triu(K, 1))
    bad = K.copy()
    bad[3, 3] = -1
    there = on_device(bad)
    with pytest.raises(SingularKernelError, match="was tried and works"):
        solve(there, np.ones(50), overwrite=True)
    np.testing.assert_array_equal(there.get(), bad)


def test_a_silent_cusolver_is_made_to_speak(device: State) -> None:
    with pytest.raises(SingularKernelError, match=r"ridge=1e.* was tried and works"):
        solve(on_device(np.ones((6, 6))), np.ones(6))


def test_errors_of_a_device_are_typed_and_the_next_call_works(device: State) -> None:
    K, y = on_device(kernel(30, 16)), np.ones(30)
    expected = solve(K, y).get()
    device.free = 1000
    with pytest.raises(MemoryBudgetError, match=r"n = 30: .* needed on cuda:0, .* free: use"):
        solve(K, y)
    device.free = 1 << 40
    for error, typed, message in [
        (imitated_cupy.OutOfMemoryError("9 bytes"), MemoryBudgetError, "on cuda:0: 9 bytes"),
        (RuntimeError("CUSOLVER_STATUS_INTERNAL"), DeviceError, "on cuda:0 failed: CUSOLVER"),
    ]:
        for refine in (False, True):
            device.fail = error
            with pytest.raises(typed, match=message):
                solve(K, y, refine=refine)
            with pytest.raises(typed, match=message):
                loo_grid(K, y, [1.0])
            device.fail = None
            np.testing.assert_array_equal(solve(K, y).get(), expected)


def test_arguments_on_different_devices_are_refused(device: State) -> None:
    K, y = kernel(10), np.ones(10)
    with pytest.raises(DeviceError, match="y is on cuda:0 and K on cuda:1"):
        solve(on_device(K, 1), on_device(y, 0))
    with pytest.raises(DeviceError, match="y is on cuda:0 and K on cpu"):
        solve(K, on_device(y, 0))


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (np.ones((3, 2)), ValueError, "square"),
        (np.ones((0, 0)), ValueError, "at least one sample"),
        (np.full((3, 3), np.inf), ValueError, "finite"),
        (np.triu(np.ones((3, 3))), ValueError, "symmetric"),
        (np.eye(3) + 0j, TypeError, "real numbers"),
    ],
)
def test_kernels_on_a_device_are_checked(
    device: State, bad: Array, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        solve(on_device(bad), np.ones(len(bad)))
    with pytest.raises(ValueError, match="y must be finite"):
        solve(on_device(np.eye(2)), np.array([1, np.nan]))
    with pytest.raises(ValueError, match=r"y must have shape \(2,\)"):
        solve(on_device(np.eye(2)), np.ones(3))


def test_without_cupy_or_without_cuda_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Tensor:
        __module__ = "foreign.arrays"
        __dlpack_device__ = lambda self: (2, 0)  # noqa: E731

    with monkeypatch.context() as patch:
        imitated_cupy.install(patch, cupy=False)
        patch.setitem(sys.modules, "foreign", type(sys)("foreign"))
        sys.modules["foreign"].from_dlpack = lambda x: x  # type: ignore[attr-defined]
        with pytest.raises(DeviceError, match=r"needs CuPy.*ntkfast\[cuda13\]"):
            solve(Tensor(), np.ones(2))
    monkeypatch.setattr(cuda, "_cuda", None)
    monkeypatch.setattr(cuda, "_import_error", "no such file", raising=False)
    array = imitated_cupy.ndarray(np.eye(2), 0)
    with pytest.raises(DeviceError, match=r"K \(cupy.ndarray\).*no CUDA extension.*from source"):
        solve(array, np.ones(2))


def test_the_factor_of_the_host_is_still_that_of_scipy() -> None:
    K, y = kernel(30, 17), np.ones(30)
    system = pickle.loads(pickle.dumps(KernelSystem(K)))
    np.testing.assert_array_equal(system.solve(y), KernelSystem(K).solve(y))
    np.testing.assert_array_equal(system.leave_one_out(y), KernelSystem(K).leave_one_out(y))
    np.testing.assert_allclose(nk.solve(K, y), scipy.linalg.solve(K, y, assume_a="pos"), rtol=1e-10)
