"""The kernel systems of `ntkfast.solvers`, against dense linear algebra."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import LinAlgWarning

from ntkfast.errors import MemoryBudgetError, SingularKernelError
from ntkfast.solvers import KernelSystem, solve

Array = NDArray[np.float64]


def covariance(n: int, rank: int | None = None, seed: int = 0) -> Array:
    """Return a random positive semi-definite matrix of the given rank (full by default)."""
    factor = np.random.default_rng(seed).standard_normal((n, n + 5 if rank is None else rank))
    return factor @ factor.T


def rows(n: int, t: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).standard_normal((n, t))


# --- the answer


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("targets", [None, 1, 3])
def test_solves_the_regularised_system(
    relative: bool, per_sample: bool, targets: int | None
) -> None:
    K = covariance(40)
    y = rows(40, targets or 1) if targets else rows(40, 1)[:, 0]
    ridge = np.linspace(0.0, 2.0, 40) if per_sample else 0.3
    added = np.broadcast_to(ridge, 40) * (K.diagonal().mean() if relative else 1.0)
    answer = solve(K, y, ridge, relative=relative)
    assert answer.shape == y.shape
    np.testing.assert_allclose((K + np.diag(added)) @ answer, y, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("n", [1, 2, 511, 512, 513, 1030])
def test_every_block_size_gives_the_inverse_diagonal_and_determinant(n: int) -> None:
    K = covariance(n) / n
    system = KernelSystem(K, 0.1)
    regularised = K + system.ridge * np.eye(n)
    inverse = np.linalg.inv(regularised)
    np.testing.assert_allclose(system.inverse_diagonal(), inverse.diagonal(), rtol=1e-9)
    np.testing.assert_allclose(system.logdet, np.linalg.slogdet(regularised)[1], rtol=1e-10)
    B = rows(n, 3)
    np.testing.assert_allclose(system.quadratic_form(B), np.diagonal(B.T @ inverse @ B), rtol=1e-9)


def test_a_float32_kernel_is_factorised_in_float64() -> None:
    single = covariance(60, rank=58).astype(np.float32)
    widened = single.astype(np.float64)
    answer = solve(single, rows(60, 2), 1e-3)
    assert answer.dtype == np.float64
    np.testing.assert_array_equal(answer, solve(widened, rows(60, 2), 1e-3))


def test_one_factorisation_serves_several_targets() -> None:
    K = covariance(30)
    system = KernelSystem(K, 0.1)
    for seed in range(3):
        y = rows(30, 1, seed)[:, 0]
        np.testing.assert_array_equal(system.solve(y), solve(K, y, 0.1))


def test_info_holds_ridge_condition_and_determinant() -> None:
    K = covariance(30)
    _, info = solve(K, np.ones(30), 0.5, return_info=True)
    regularised = K + 0.5 * K.diagonal().mean() * np.eye(30)
    assert info.ridge == pytest.approx(0.5 * K.diagonal().mean())
    assert info.logdet == pytest.approx(np.linalg.slogdet(regularised)[1])
    # LAPACK's estimate is a lower bound of the condition number, seldom off by more than 3.
    true = 1.0 / np.linalg.cond(regularised, 1)
    assert true * (1 - 1e-9) <= info.rcond <= 3 * true


# --- the caller's memory


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_kernel_is_not_touched(order: Any) -> None:
    K = np.array(covariance(50), order=order)
    before = K.copy()
    solve(K, np.ones(50), 0.1)
    np.testing.assert_array_equal(K, before)


def test_overwrite_works_in_the_memory_of_the_kernel() -> None:
    K = covariance(50)
    expected = solve(K, np.ones(50), 0.1)
    np.testing.assert_array_equal(solve(K, np.ones(50), 0.1, overwrite=True), expected)
    assert not np.array_equal(K, covariance(50))


@pytest.mark.parametrize("kind", ["read-only", "float32", "fortran", "strided"])
def test_overwrite_copies_what_cannot_be_overwritten(kind: str) -> None:
    K: NDArray[Any] = covariance(20)
    if kind == "read-only":
        K.flags.writeable = False
    elif kind == "float32":
        K = K.astype(np.float32)
    elif kind == "fortran":
        K = np.asfortranarray(K)
    else:
        K = np.repeat(np.repeat(K, 2, 0), 2, 1)[::2, ::2]
    before = K.copy()
    expected = solve(before, np.ones(20), 0.1)
    np.testing.assert_allclose(solve(K, np.ones(20), 0.1, overwrite=True), expected, rtol=1e-12)
    np.testing.assert_array_equal(K, before)


def test_a_failed_factorisation_gives_the_kernel_back() -> None:
    K = covariance(1100, rank=7)
    before = K.copy()
    with pytest.raises(SingularKernelError):
        KernelSystem(K, overwrite=True)
    np.testing.assert_array_equal(K, before)


# --- failure


def suggested(error: SingularKernelError) -> float:
    """Return the ridge that the message names."""
    found = re.search(r"(?:ridge=|adding )(1e[+-]\d+)", str(error))
    assert found, str(error)
    return float(found.group(1))


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("ridge", [0.0, 1e-30])
def test_the_suggested_ridge_works(relative: bool, scale: float, ridge: float) -> None:
    K = covariance(80, rank=5) * scale
    with pytest.raises(SingularKernelError) as caught:
        solve(K, np.ones(80), ridge, relative=relative)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solve(K, np.ones(80), suggested(caught.value), relative=relative)
    unit = 1.0 if relative else K.diagonal().mean()
    assert suggested(caught.value) < 1e-9 * unit, "far more than rounding asks for"


def test_the_suggestion_for_a_ridge_per_sample_is_added_to_it() -> None:
    K = covariance(80, rank=5)
    ridge = np.linspace(0.0, 1e-17, 80)
    with pytest.raises(SingularKernelError, match="adding 1e") as caught:
        solve(K, np.ones(80), ridge)
    solve(K, np.ones(80), ridge + suggested(caught.value))


def test_an_indefinite_matrix_is_told_the_large_ridge_it_needs() -> None:
    K = np.array([[1.0, 9.0], [9.0, 1.0]])
    with pytest.raises(SingularKernelError) as caught:
        solve(K, np.ones(2))
    assert 8.0 < suggested(caught.value) <= 100.0
    solve(K, np.ones(2), suggested(caught.value))


def test_a_kernel_of_zeros_needs_an_absolute_ridge() -> None:
    with pytest.raises(SingularKernelError, match="relative=False") as caught:
        solve(np.zeros((3, 3)), np.ones(3), 0.1)
    solve(np.zeros((3, 3)), np.ones(3), suggested(caught.value), relative=False)


def test_the_error_is_a_linalg_error_and_a_value_error() -> None:
    for kind in (np.linalg.LinAlgError, ValueError):
        with pytest.raises(kind):
            solve(np.ones((2, 2)), np.ones(2))


def test_a_nearly_singular_kernel_warns() -> None:
    K = np.diag([1.0, 1e-20])
    with pytest.warns(LinAlgWarning, match="singular to working precision"):
        solve(K, np.ones(2))


def test_a_copy_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ntkfast._memory.available_bytes", lambda: 1e6)
    K = np.eye(3000)
    with pytest.raises(MemoryBudgetError, match=r"n = 3000: 68\.7 MiB needed"):
        solve(K, np.ones(3000))
    np.testing.assert_allclose(solve(K, np.ones(3000), overwrite=True), 1.0)


# --- bad arguments

GOOD = covariance(3)
BAD_KERNELS = [
    (np.ones((2, 3)), ValueError, r"K must be a square matrix .* \(2, 3\)"),
    (np.ones(3), ValueError, r"K must be a square matrix .* \(3,\)"),
    (np.ones((0, 0)), ValueError, "at least one sample"),
    (np.full((3, 3), np.nan), ValueError, "K must be finite"),
    (np.diag([1.0, np.inf, 1.0]), ValueError, "K must be finite"),
    (np.array([[1.0, 0.5], [0.4, 1.0]]), ValueError, "K must be symmetric"),
    (np.eye(3, dtype=complex), TypeError, "K must hold real numbers, got dtype complex128"),
    (np.array([["a"]]), TypeError, "K must hold real numbers"),
    (np.array([[None]]), TypeError, "K must hold real numbers"),
]


@pytest.mark.parametrize(("K", "kind", "message"), BAD_KERNELS)
def test_bad_kernels_are_refused(K: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        solve(K, np.ones(len(K)))


@pytest.mark.parametrize("place", [(0, 0), (700, 3), (3, 700), (1099, 1099)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_bad_entry_is_found_wherever_it_is(place: tuple[int, int], value: float) -> None:
    K = np.eye(1100)
    K[place] = value
    with pytest.raises(ValueError, match="K must be finite"):
        KernelSystem(K)


@pytest.mark.parametrize("place", [(700, 3), (3, 700), (1, 0), (1099, 1098)])
def test_one_asymmetric_entry_is_found_wherever_it_is(place: tuple[int, int]) -> None:
    K = np.eye(1100)
    K[place] = 1e-3
    with pytest.raises(ValueError, match="K must be symmetric"):
        KernelSystem(K)


@pytest.mark.parametrize("ridge", [-1.0, np.nan, np.inf, [1.0, 2.0], [[1.0]], [1.0, 1.0, -1.0]])
def test_bad_ridges_are_refused(ridge: Any) -> None:
    with pytest.raises(ValueError, match="ridge must"):
        solve(GOOD, np.ones(3), ridge)


@pytest.mark.parametrize(
    "y", [np.ones(2), np.ones((2, 3)), np.ones((3, 1, 1)), 1.0, [1, 2, np.nan]]
)
def test_bad_targets_are_refused(y: Any) -> None:
    with pytest.raises(ValueError, match="y must"):
        solve(GOOD, y)


def test_complex_targets_are_refused() -> None:
    with pytest.raises(TypeError, match="y must hold real numbers"):
        solve(GOOD, np.ones(3, dtype=complex))
