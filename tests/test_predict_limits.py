"""Singular kernels, late times, and whatever else does not fit `ntkfast.predict`."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from scipy.linalg import LinAlgWarning

import ntkfast as nk
from ntkfast.errors import MemoryBudgetError, SingularKernelError
from ntkfast.predict import GradientDescent, GradientFlow, gradient_descent, gradient_flow
from oracle import training

NET = nk.mlp(2, "relu", W_std=1.3, b_std=0.4)


def data(n: int = 10, m: int = 4) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(5)
    return rng.standard_normal((n, 3)), rng.standard_normal((n, 2)), rng.standard_normal((m, 3))


def with_duplicates() -> tuple[Any, Any, Any]:
    X, y, Z = data()
    X[7], X[9] = X[3], X[0]
    return X, y, Z


# --- rows that are equal ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ntk", "nngp", "ntkgp"])
@pytest.mark.parametrize("cov", [False, True, "diag"])
def test_equal_rows_without_a_ridge_are_an_error_that_says_what_to_do(kind: str, cov: Any) -> None:
    X, y, Z = with_duplicates()
    for targets in (y, np.ones((10, 2))):  # in conflict, and not
        for rows in (Z, None):
            with pytest.raises(SingularKernelError, match=r"rows 0 and 9, 3 and 7 are eq") as info:
                gradient_flow(NET, X, targets, rows, [1.0, np.inf], cov=cov, kind=kind)
            advised = re.search(r"diag_reg=(\S+)", str(info.value))
            assert advised is not None
            ridge = float(advised[1])
            assert 1e-15 < ridge < 1e-10
            got = gradient_flow(NET, X, targets, rows, cov=cov, kind=kind, diag_reg=ridge)
            for part in got if cov else (got,):
                assert np.isfinite(part).all()


def test_the_advice_keeps_to_the_units_of_the_caller() -> None:
    X, y, Z = with_duplicates()
    with pytest.raises(SingularKernelError, match="diag_reg_absolute_scale=True") as info:
        gradient_flow(NET, 1e4 * X, y, Z, diag_reg_absolute_scale=True)
    ridge = float(re.search(r"diag_reg=([^,]+)", str(info.value))[1])  # type: ignore[index]
    assert ridge > 1e-7
    assert np.isfinite(
        gradient_flow(NET, 1e4 * X, y, Z, diag_reg=ridge, diag_reg_absolute_scale=True)
    ).all()


def test_finite_times_need_no_ridge() -> None:
    X, y, Z = with_duplicates()
    kernel = NET.ntk(np.concatenate([X, Z]))
    f0 = np.zeros((14, 2))
    for t in (0.0, 1.0, 300.0, 1e5):
        true = training.flow(kernel, 10, y, t, f0)
        np.testing.assert_allclose(gradient_flow(NET, X, y, Z, t), true[10:], atol=1e-8)
        np.testing.assert_allclose(gradient_flow(NET, X, y, t=t), true[:10], atol=1e-8)


def test_the_limit_averages_conflicting_targets() -> None:
    X, y, Z = with_duplicates()
    mean, covariance = gradient_flow(NET, X, y, Z, [1e12, 1e30, np.inf], cov=True, singular="limit")
    merged, keep = y.copy(), [i for i in range(10) if i not in (7, 9)]
    merged[3], merged[0] = (y[3] + y[7]) / 2, (y[0] + y[9]) / 2
    # Two rows weigh twice, which does not matter at the end of training without a ridge.
    true = gradient_flow(NET, X[keep], merged[keep], Z, cov=True)
    for i in range(3):
        np.testing.assert_allclose(mean[i], true.mean, atol=1e-9)
        np.testing.assert_allclose(covariance[i], true.covariance, atol=1e-9)
    train = gradient_flow(NET, X, y, singular="limit")
    np.testing.assert_allclose(train[[3, 7, 0, 9]], merged[[3, 3, 0, 0]], atol=1e-9)
    descended = gradient_descent(NET, X, y, Z, singular="limit", momentum=0.5)
    np.testing.assert_allclose(descended, true.mean, atol=1e-9)


def test_a_linear_network_with_many_rows_ends_at_least_squares() -> None:
    X, y, Z = data(30)
    net = nk.serial(nk.Dense())
    with pytest.raises(SingularKernelError, match="rank is 3 of 30"):
        gradient_flow(net, X, y, Z)
    ends = gradient_flow(net, X, y, Z, singular="limit")
    np.testing.assert_allclose(ends, Z @ np.linalg.lstsq(X, y, rcond=None)[0], atol=1e-12)


@pytest.mark.parametrize("late", [1e16, 1e300, np.inf])
def test_huge_times_are_an_answer_or_an_error(late: float) -> None:
    X, y, Z = data()
    end = gradient_flow(NET, X, y, Z, cov=True)
    got = gradient_flow(NET, X, y, Z, late, cov=True)
    np.testing.assert_allclose(got.mean, end.mean, atol=1e-12)
    np.testing.assert_allclose(got.covariance, end.covariance, atol=1e-12)
    X, y, Z = with_duplicates()
    with pytest.raises(SingularKernelError, match="stop earlier"):
        gradient_flow(NET, X, y, Z, late)


def test_kernels_of_zeros() -> None:
    K, y = np.zeros((3, 3)), np.ones(3)
    for trained in (GradientFlow.from_kernels(K, y), GradientDescent.from_kernels(K, y)):
        np.testing.assert_array_equal(trained.predict(t=5), 0.0)
        np.testing.assert_array_equal(trained.predict_from_kernels(np.zeros((1, 3)), 5), 0.0)
        assert trained.max_learning_rate == np.inf
        with pytest.raises(SingularKernelError, match="diag_reg"):
            trained.predict()
    assert nk.predict.max_learning_rate(K) == pytest.approx(2 * 3 / 1e-12)
    assert nk.predict.max_learning_rate(K, eps=0) == np.inf


def test_eigenvalues_below_zero_are_said_and_taken_as_zero() -> None:
    K = np.diag([2.0, 1.0, -0.1])
    with pytest.warns(LinAlgWarning, match=r"smallest eigenvalue is -0\.1"):
        trained = GradientFlow.from_kernels(K, np.ones(3))
    np.testing.assert_array_equal(trained.eigenvalues, [0.0, 1.0, 2.0])
    assert trained.rank == 2
    np.testing.assert_allclose(trained.predict(t=9), [1 - np.exp(-6), 1 - np.exp(-3), 0])
    trained = GradientFlow.from_kernels(K, np.ones(3), diag_reg=0.2, diag_reg_absolute_scale=True)
    np.testing.assert_allclose(trained.eigenvalues, [0.1, 1.2, 2.2])


# --- small and odd ----------------------------------------------------------------------------


def test_one_row() -> None:
    mean, covariance = gradient_flow(NET, [[1.0, 2.0]], [3.0], [[1.0, 2.0], [0.0, 1.0]], cov=True)
    assert mean[0] == pytest.approx(3.0)
    assert covariance[0, 0] == pytest.approx(0.0, abs=1e-14)
    assert covariance[1, 1] > 0


def test_a_learning_rate_of_zero_never_moves() -> None:
    X, y, Z = with_duplicates()
    for call in (gradient_flow, gradient_descent):
        mean, covariance = call(NET, X, y, Z, [0, 5, np.inf], cov=True, learning_rate=0)
        assert not mean.any()
        np.testing.assert_allclose(covariance, [NET.nngp(Z)] * 3, rtol=1e-13)


def test_an_ensemble_of_zero_rows_and_scalars() -> None:
    X, y, Z = data()
    assert gradient_flow(NET, X, y, Z, 1).shape == (4, 2)
    assert gradient_flow(NET, X, y, Z, np.float32(1)).shape == (4, 2)
    assert gradient_flow(NET, X, y, Z, np.array(1)).shape == (4, 2)
    assert gradient_descent(NET, X, y, Z, 1.0).shape == (4, 2)


# --- what is refused --------------------------------------------------------------------------


NAN_ROWS = np.array([[np.nan, 0.0, 0.0]])
WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"net": lambda x: x}, TypeError, "net must be a Network.*from_kernels"),
    ({"X": np.zeros((0, 3)), "y": np.zeros((0, 2))}, ValueError, "X must hold at least one"),
    ({"X": np.full((10, 3), np.nan)}, ValueError, "X must be finite"),
    ({"X": np.zeros(10)}, ValueError, "X must be 2-D"),
    ({"y": np.zeros((9, 2))}, ValueError, "y must have 10 rows"),
    ({"y": 1.0}, ValueError, "y must have 10 rows"),
    ({"y": np.zeros((10, 0))}, ValueError, "at least one output"),
    ({"y": np.full(10, np.inf)}, ValueError, "y must be finite"),
    ({"y": np.zeros(10) * 1j}, TypeError, "y must hold real numbers"),
    ({"y": ["a"] * 10}, TypeError, "y must hold real numbers"),
    ({"Z": NAN_ROWS}, ValueError, "Z must be finite"),
    ({"Z": np.zeros((4, 2))}, ValueError, "same number of columns"),
    ({"t": -1}, ValueError, "t must not be negative"),
    ({"t": [1, np.nan]}, ValueError, "t must not be negative or NaN"),
    ({"t": "end"}, TypeError, "t must hold numbers"),
    ({"t": True}, TypeError, "t must hold numbers"),
    ({"t": 1j}, TypeError, "t must hold numbers"),
    ({"cov": "full"}, ValueError, "cov must be True, False or 'diag'"),
    ({"cov": 1}, ValueError, "cov must be True, False or 'diag'"),
    ({"cov": True, "f0": 0.0, "f0_Z": 0.0}, ValueError, "one function has no covariance"),
    ({"f0": np.zeros((10, 2))}, ValueError, "f0 and f0_Z go together"),
    ({"f0_Z": np.zeros((4, 2))}, ValueError, "f0 and f0_Z go together"),
    ({"f0": np.zeros((9, 2)), "f0_Z": 0.0}, ValueError, r"f0 must have shape \(10, 2\)"),
    ({"f0": 0.0, "f0_Z": np.zeros(3)}, ValueError, r"f0_Z must have shape \(4, 2\)"),
    ({"f0": np.nan, "f0_Z": 0.0}, ValueError, "f0 must be finite"),
    ({"f0": lambda x: 0.0, "f0_Z": 0.0}, ValueError, "f0_Z must be None"),
    ({"Z": None, "f0_Z": 0.0}, ValueError, "f0_Z needs Z"),
    ({"learning_rate": -1.0}, ValueError, "learning_rate must be"),
    ({"learning_rate": "1"}, TypeError, "learning_rate must be"),
    ({"diag_reg": -1e-9}, ValueError, "diag_reg must be"),
    ({"diag_reg": np.nan}, ValueError, "diag_reg must be"),
    ({"diag_reg_absolute_scale": 1}, TypeError, "diag_reg_absolute_scale must be"),
    ({"kind": "both"}, ValueError, "kind must be one of"),
    ({"singular": "pinv"}, ValueError, "singular must be one of"),
    ({"loss_scale": "row"}, ValueError, "loss_scale must be one of"),
    ({"loss_scale": -1}, ValueError, "loss_scale must be"),
    ({"momentum": 0.9}, TypeError, "momentum"),
]


@pytest.mark.parametrize(("change", "error", "message"), WRONG, ids=lambda x: str(x)[:40])
def test_wrong_arguments_are_named(change: Any, error: Any, message: str) -> None:
    X, y, Z = data()
    arguments = {"net": NET, "X": X, "y": y, "Z": Z, "t": 1.0, **change}
    with pytest.raises(error, match=message):
        gradient_flow(**arguments)


def test_steps_are_whole_and_momentum_below_one() -> None:
    X, y, Z = data()
    with pytest.raises(ValueError, match="whole steps"):
        gradient_descent(NET, X, y, Z, [1, 2.5])
    for momentum in (1.0, -0.1):
        with pytest.raises(ValueError, match="momentum must be"):
            gradient_descent(NET, X, y, Z, 1, momentum=momentum)
        with pytest.raises(ValueError, match="momentum must be"):
            nk.predict.max_learning_rate(NET.ntk(X), momentum=momentum)


def test_kernels_that_do_not_fit_are_named() -> None:
    X, y, Z = data()
    train, cross = NET.kernels(X), NET.kernels(Z, X)
    trained = GradientFlow.from_kernels(train.ntk, y)
    with pytest.raises(ValueError, match=r"k_test_train must have shape \(m, 10\)"):
        trained.predict_from_kernels(cross.ntk.T)
    with pytest.raises(ValueError, match="k_test_train must be finite"):
        trained.predict_from_kernels(np.full((4, 10), np.nan))
    both = GradientFlow.from_kernels(train, y)
    with pytest.raises(ValueError, match="needs the NNGP kernel, too: pass k_test_train"):
        both.predict_from_kernels(cross.ntk, k_test_test=NET.nngp(Z))
    with pytest.raises(ValueError, match="NNGP kernel of the training rows"):
        trained.predict_from_kernels(cross, k_test_test=NET.nngp(Z))
    with pytest.raises(ValueError, match=r"k_test_test must be the NNGP kernel of shape \(4, 4\)"):
        trained.predict_from_kernels(cross, k_test_test=NET.nngp(X))
    with pytest.raises(ValueError, match="predict_from_kernels"):
        trained.predict(Z)
    with pytest.raises(TypeError, match="no rows to call it at"):
        trained.predict(f0=np.sin)
    with pytest.raises(ValueError, match="square"):
        GradientFlow.from_kernels(cross.ntk, y)
    with pytest.raises(ValueError, match="symmetric"):
        GradientFlow.from_kernels(np.triu(train.ntk), y)
    with pytest.raises(ValueError, match="finite"):
        GradientFlow.from_kernels(np.full((10, 10), np.nan), y)
    with pytest.raises(ValueError, match="must hold the NTK kernel"):
        GradientFlow.from_kernels(nk.Kernels(train.nngp, None), y)
    with pytest.raises(TypeError, match="GradientDescent does"):
        GradientFlow.from_kernels(train, y, momentum=0.5)
    with pytest.raises(TypeError, match="threads"):
        GradientFlow.from_kernels(train, y, threads=2)


def test_given_kernels_stay_as_they_were() -> None:
    X, y, Z = data()
    train, cross, prior = NET.kernels(X), NET.kernels(Z, X), NET.nngp(Z)
    before = [a.copy() for a in (*train, *cross, prior, y)]
    trained = GradientFlow.from_kernels(train, y, diag_reg=0.1)
    trained.predict_from_kernels(cross, [1, np.inf], k_test_test=prior)
    trained.predict(t=1, cov=True)
    for a, b in zip((*train, *cross, prior, y), before, strict=True):
        np.testing.assert_array_equal(a, b)


# --- memory -----------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused_before_it_starts() -> None:
    X, y, Z = data(10, 2000)
    trained = GradientFlow(NET, X, y)
    with nk.config(memory_budget="40 MB"):
        assert trained.predict(Z, [1, 2], cov="diag").covariance.shape == (2, 2000)
        with pytest.raises(MemoryBudgetError, match=r"covariances of 2000 rows at 2 times.*diag"):
            trained.predict(Z, [1, 2], cov=True)
        with pytest.raises(MemoryBudgetError, match="eigendecomposition of the training kernel"):
            GradientFlow(NET, Z, np.zeros(2000))
        with pytest.raises(MemoryBudgetError, match="predictions for 2000 rows at 2000 times"):
            trained.predict(Z, np.arange(2000))


def test_names_of_the_archived_library_are_pointed_to() -> None:
    with pytest.raises(AttributeError, match=r"ntkfast\.stax\.predict\.gp_inference"):
        nk.predict.gp_inference  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'$"):
        nk.predict.nothing  # noqa: B018
