"""Predictions of trained networks against training itself: exponentials, steps, small ODE steps."""

from __future__ import annotations

import itertools
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ntkfast as nk
from ntkfast.predict import GradientDescent, GradientFlow, ensemble, gradient_flow
from oracle import training

NET = nk.mlp(2, "relu", W_std=1.3, b_std=0.4)
KINDS = ("ntk", "nngp")


def problem(n: int = 12, m: int = 5, outputs: int = 3, seed: int = 0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal((n, 6)),
        rng.standard_normal((n, outputs)),
        rng.standard_normal((m, 6)),
    )


def functions(n: int, m: int, outputs: int = 3) -> Any:
    return np.random.default_rng(9).standard_normal((n + m, outputs))


def joint(X: Any, Z: Any, kind: str = "ntk") -> Any:
    kernel = getattr(NET, kind)(np.concatenate([X, Z]))
    return kernel


def close(got: Any, true: Any, tolerance: float = 1e-10) -> None:
    assert np.shape(got) == np.shape(true)
    scale = max(1.0, float(np.abs(true).max(initial=0.0)))
    assert float(np.abs(got - true).max(initial=0.0)) <= tolerance * scale


# --- one function -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("t", [0.0, 0.3, 7.0, 150.0])
def test_flow_is_the_matrix_exponential(kind: str, t: float) -> None:
    X, y, Z = problem()
    f0 = functions(12, 5)
    true = training.flow(joint(X, Z, kind), 12, y, 0.7 * t, f0)
    trained = GradientFlow(NET, X, y, kind=kind, learning_rate=0.7)
    close(trained.predict(t=t, f0=f0[:12]), true[:12])
    close(trained.predict(Z, t, f0=f0[:12], f0_Z=f0[12:]), true[12:])


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_descent_is_what_an_optimizer_does(momentum: float, share: float) -> None:
    X, y, Z = problem()
    f0 = functions(12, 5)
    kernel = joint(X, Z)
    rate = share * nk.predict.max_learning_rate(kernel[:12, :12], y.size, momentum)
    steps = [0, 1, 2, 3, 17, 200]
    path = training.simulate(training.features(kernel), 12, y, 200, rate, momentum, f0)
    trained = GradientDescent(NET, X, y, learning_rate=rate, momentum=momentum)
    true = np.array([path[k] for k in steps])
    close(trained.predict(t=steps, f0=f0[:12]), true[:, :12])
    close(trained.predict(Z, steps, f0=f0[:12], f0_Z=f0[12:]), true[:, 12:])


def test_descent_with_small_steps_is_flow() -> None:
    X, y, Z = problem()
    slow = GradientDescent(NET, X, y, learning_rate=1e-5).predict(Z, 200_000)
    fast = GradientFlow(NET, X, y, learning_rate=1e-5).predict(Z, 200_000)
    close(slow, fast, 1e-4)


def test_above_the_maximal_learning_rate_training_diverges() -> None:
    X, y, _ = problem()
    for momentum in (0.0, 0.9):
        largest = GradientDescent(NET, X, y, momentum=momentum).max_learning_rate
        for share, grows in ((0.999, False), (1.001, True)):
            trained = GradientDescent(NET, X, y, learning_rate=share * largest, momentum=momentum)
            ends = np.abs(trained.predict(t=[200, 4000]) - y).max(axis=(1, 2))
            assert (ends[1] > ends[0]) == grows
        with pytest.raises(ValueError, match=r"diverges.*max_learning_rate"):
            trained.predict(t=np.inf)
        with pytest.raises(ValueError, match="overflow at t"):
            trained.predict(t=10**9)


def test_the_law_of_descent_keeps_its_digits() -> None:
    """Against 60 digits, from eigenvalues that are nothing to those on the edge of stability."""
    from ntkfast.predict.laws import Descent

    with mpmath.workdps(60):
        for m, a, k in itertools.product(
            (0.0, 0.3, 0.9), (0.0, 1e-17, 1e-9, 1e-4, 0.002, 0.3, 1.9), (0, 1, 2, 7, 1000, 10**6)
        ):
            one, mp = mpmath.mpf(1), mpmath.mpf(m)
            matrix = mpmath.matrix([[one + mp - a, -mp, 0], [1, 0, 0], [one, 0, one]])
            # (r[k], r[k-1], sum of r before): total movement is not 1 - r at a = 0.
            step = mpmath.matrix([[mp, -mpmath.mpf(a), one], [mp, one - a, one], [0, 0, one]])
            moved = step**k * mpmath.matrix([0, 0, 1])  # (last change, learned, 1)
            del matrix
            decay, gain = Descent(1.0, m).factors(np.array([a]), k)
            true = moved[1]
            assert abs(gain[0] - true) <= 1e-10 * abs(true), (m, a, k)
            assert abs(decay[0] - (1 - a * true)) <= 1e-10, (m, a, k)


def test_the_law_of_flow_keeps_its_digits() -> None:
    from ntkfast.predict.laws import Flow

    values = np.array([0.0, 5e-324, 1e-300, 1e-17, 1e-9, 1.0, 1e3])
    for t in (0.0, 1e-300, 1e-9, 1.0, 1e5, 1e17, 1e300):
        decay, gain = Flow(1.0).factors(values, t)
        with mpmath.workdps(60):
            for i, lam in enumerate(map(mpmath.mpf, values)):
                g = mpmath.exp(-lam * t)
                h = -mpmath.expm1(-lam * t) / lam if lam else mpmath.mpf(t)
                assert abs(decay[i] - g) <= 1e-14
                assert abs(gain[i] - h) <= 1e-14 * h


# --- the ensemble -----------------------------------------------------------------------------


def covariance_by_exponentials(X: Any, Z: Any, outputs: int, t: float, kind: str) -> Any:
    """Return the covariance after training, each unit start trained towards y = 0 on its own."""
    rows = len(X) + len(Z)
    zero = np.zeros((len(X), rows))
    # The mean loss over as many outputs as the problem has, not over these columns.
    time = t * zero.size / (len(X) * outputs)
    map_of_starts = training.flow(joint(X, Z, kind), len(X), zero, time, np.eye(rows))
    return map_of_starts @ joint(X, Z, "nngp") @ map_of_starts.T


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("t", [0.0, 0.5, 20.0])
def test_covariance_is_that_of_trained_random_functions(kind: str, t: float) -> None:
    X, y, Z = problem()
    true = covariance_by_exponentials(X, Z, 3, t, kind)
    trained = GradientFlow(NET, X, y, kind=kind)
    close(trained.predict(Z, t, cov=True).covariance, true[12:, 12:])
    close(trained.predict(t=t, cov=True).covariance, true[:12, :12])
    close(trained.predict(Z, t, cov="diag").covariance, np.diag(true)[12:])
    close(trained.predict(t=t, cov="diag").covariance, np.diag(true)[:12])


def test_covariance_of_descent_is_that_of_random_starts() -> None:
    X, y, Z = problem()
    kernel, prior = joint(X, Z), joint(X, Z, "nngp")
    trained = GradientDescent(NET, X, y, learning_rate=0.3, momentum=0.7)
    starts = np.eye(17)
    gradient = lambda f, goal: (f - goal) / y.size  # noqa: E731
    goal = np.zeros((12, 17))
    path = training.simulate(training.features(kernel), 12, goal, 25, 0.3, 0.7, starts, gradient)
    for k in (0, 1, 25):
        true = path[k] @ prior @ path[k].T
        mean, covariance = trained.predict(Z, k, cov=True)
        close(covariance, true[12:, 12:])
        close(trained.predict(t=k, cov=True).covariance, true[:12, :12])
        close(mean, trained.predict(Z, k))


def test_the_start_is_the_prior_and_the_end_is_kernel_regression() -> None:
    X, y, Z = problem()
    for kind, ridge in itertools.product(KINDS, (0.0, 0.1)):
        mean, covariance = gradient_flow(
            NET, X, y, Z, [0, np.inf], cov=True, kind=kind, diag_reg=ridge
        )
        K = getattr(NET, kind)(X)
        cross = getattr(NET, kind)(Z, X)
        assert not mean[0].any()
        close(covariance[0], NET.nngp(Z))
        close(mean[1], cross @ nk.solve(K, y, ridge))
        if kind == "nngp":
            close(covariance[1], NET.nngp(Z) - cross @ nk.solve(K, cross.T, ridge))


def test_the_end_of_a_given_function_and_none_as_infinity() -> None:
    X, y, Z = problem()
    f0 = functions(12, 5)
    trained = GradientFlow(NET, X, y)
    end = trained.predict(Z, None, f0=f0[:12], f0_Z=f0[12:])
    weights = nk.solve(NET.ntk(X), y - f0[:12])
    close(end, f0[12:] + NET.ntk(Z, X) @ weights)
    np.testing.assert_array_equal(trained.predict(t=[0, None]), trained.predict(t=[0, np.inf]))
    close(trained.predict(), y, 1e-13)


@pytest.mark.parametrize("kind", ["ntk", "nngp", "ntkgp"])
def test_covariances_are_positive_semidefinite_and_symmetric(kind: str) -> None:
    X, y, Z = problem(40, 30)
    rows = np.concatenate([Z, X[:10]])  # training rows, where variances go to zero
    t = [0, 1e-3, 1, 100, 1e5, np.inf]
    _, covariance = gradient_flow(NET, X, y, rows, t, cov=True, kind=kind)
    np.testing.assert_array_equal(covariance, covariance.swapaxes(1, 2))
    for each in covariance:
        assert np.linalg.eigvalsh(each)[0] >= -1e-12 * np.trace(covariance[0])
    variances = gradient_flow(NET, X, y, rows, t, cov="diag", kind=kind).covariance
    assert (variances >= 0).all()
    close(variances, np.diagonal(covariance, axis1=1, axis2=2), 1e-12)


def test_training_with_the_ntk_ends_far_from_small_eigenvalues() -> None:
    """An ill-conditioned kernel without a ridge, against 50 digits."""
    rng = np.random.default_rng(3)
    X, Z, y = rng.standard_normal((9, 1)), rng.standard_normal((4, 1)), rng.standard_normal(9)
    net = nk.mlp(2, "erf", W_std=0.6, b_std=0.3)
    K, T = net.kernels(np.concatenate([X, Z]))
    condition = np.linalg.cond(T[:9, :9])
    assert condition > 1e5
    with mpmath.workdps(50):
        theta, prior = mpmath.matrix(T.tolist()), mpmath.matrix(K.tolist())
        values, vectors = mpmath.eigsy(theta[:9, :9])
        for t in (1.0, 1e4, 1e9, np.inf):
            gain = [1 / v if t == np.inf else -mpmath.expm1(-v * t / 9) / v for v in values]
            learned = theta[9:, :9] * vectors * mpmath.diag(gain) * vectors.T
            full = mpmath.matrix(4, 13)
            full[:, :9], full[:, 9:] = -learned, mpmath.eye(4)
            mean = np.array((learned * mpmath.matrix(y.tolist())).tolist(), dtype=float).ravel()
            covariance = np.array((full * prior * full.T).tolist(), dtype=float)
            got = gradient_flow(net, X, y, Z, t, cov=True)
            # One rounding of the kernel moves the end by epsilon times the condition number.
            loss = 1e-16 * condition
            assert np.abs(got.mean - mean).max() <= loss * np.abs(mean).max()
            assert np.abs(got.covariance - covariance).max() <= loss * float(K.max())


def test_the_first_covariance_makes_what_later_ones_take(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y, Z = problem()
    trained = GradientFlow(NET, X, y)
    first = trained.predict(Z, 2.0, cov=True)
    calls = []
    monkeypatch.setattr("ntkfast.predict.training.turned", lambda *a: calls.append(a))
    again = trained.predict(Z, 2.0, cov=True)
    np.testing.assert_array_equal(again.covariance, first.covariance)
    assert not calls


# --- invariance -------------------------------------------------------------------------------


def test_the_order_of_rows_does_not_matter() -> None:
    X, y, Z = problem()
    order, back = np.random.default_rng(1).permutation(12), np.random.default_rng(2).permutation(5)
    a = gradient_flow(NET, X, y, Z, [1, 50], cov=True)
    b = gradient_flow(NET, X[order], y[order], Z[back], [1, 50], cov=True)
    close(b.mean, a.mean[:, back], 1e-12)
    close(b.covariance, a.covariance[:, back][:, :, back], 1e-12)


@pytest.mark.parametrize("kind", ["ntk", "nngp", "ntkgp"])
def test_block_sizes_do_not_matter(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y, Z = problem(12, 23)
    t = [[0.5], [np.inf]]
    calls = [
        lambda: gradient_flow(NET, X, y, Z, t, cov=True, kind=kind),
        lambda: gradient_flow(NET, X, y, Z, t, cov="diag", kind=kind),
        lambda: gradient_flow(NET, X, y, t=t, cov=True, kind=kind),
    ]
    whole = [call() for call in calls]
    for block in (1, 4, 7):
        monkeypatch.setattr(ensemble, "BLOCK", block)
        for call, true in zip(calls, whole, strict=True):
            got = call()
            close(got.mean, true.mean, 1e-12)
            close(got.covariance, true.covariance, 1e-12)


@given(
    shape=st.sampled_from([(), (1,), (4,), (2, 3), (0,), (2, 0)]),
    trailing=st.sampled_from([(), (1,), (3,), (2, 2)]),
)
def test_shapes_of_times_and_targets(shape: tuple[int, ...], trailing: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    X, Z = rng.standard_normal((6, 4)), rng.standard_normal((3, 4))
    y, t = rng.standard_normal((6, *trailing)), rng.integers(0, 9, shape)
    for trained in (GradientFlow(NET, X, y), GradientDescent(NET, X, y, momentum=0.5)):
        assert trained.predict(t=t).shape == (*shape, 6, *trailing)
        mean, covariance = trained.predict(Z, t, cov=True)
        assert (mean.shape, covariance.shape) == ((*shape, 3, *trailing), (*shape, 3, 3))
        assert trained.predict(Z, t, cov="diag").covariance.shape == (*shape, 3)
        assert trained.predict(Z[:0], t, cov=True).mean.shape == (*shape, 0, *trailing)
        assert trained.predict(Z[:0], t, cov=True).covariance.shape == (*shape, 0, 0)


def test_conventions_of_the_loss() -> None:
    X, y, Z = problem()
    mean = gradient_flow(NET, X, y, Z, 3.0)
    close(gradient_flow(NET, X, y, Z, 1.0, learning_rate=3.0), mean, 1e-14)
    close(gradient_flow(NET, X, y, Z, 1.0, loss_scale="sample"), mean, 1e-14)  # 3 outputs
    close(gradient_flow(NET, X, y, Z, 3.0 / y.size, loss_scale="sum"), mean, 1e-14)
    close(gradient_flow(NET, X, y, Z, 1.5, loss_scale=2.0), mean, 1e-14)


def test_outputs_share_one_kernel() -> None:
    X, y, Z = problem()
    one = [gradient_flow(NET, X, y[:, j], Z, 1.0, loss_scale="sample") for j in range(3)]
    close(gradient_flow(NET, X, y, Z, 1.0, loss_scale="sample"), np.stack(one, 1), 1e-13)


# --- kinds of arrays --------------------------------------------------------------------------


def test_float32_rows_are_computed_in_float64_and_come_back_as_float32() -> None:
    X, y, Z = (a.astype(np.float32) for a in problem())
    got = gradient_flow(NET, X, y, Z, [1, np.inf], cov=True)
    assert got.mean.dtype == got.covariance.dtype == np.float32
    wide = gradient_flow(NET, *(a.astype(np.float64) for a in (X, y, Z)), [1, np.inf], cov=True)
    np.testing.assert_array_equal(got.mean, wide.mean.astype(np.float32))
    np.testing.assert_array_equal(got.covariance, wide.covariance.astype(np.float32))
    half = gradient_flow(NET, X.astype(np.float16), y, t=1)
    assert half.dtype == np.float32
    assert gradient_flow(NET, X, y, Z.astype(np.float64), 1).dtype == np.float64
    train, cross = NET.ntk(X), NET.ntk(Z, X)
    arrays = GradientFlow.from_kernels(train, y).predict_from_kernels(cross, 1)
    assert arrays.dtype == np.float32
    close(arrays, got.mean[0], 1e-5)


def test_lists_and_integers_are_float64() -> None:
    X, y = [[0, 1], [2, 1], [3, 3]], [1, 0, 2]
    for trained in (GradientFlow(NET, X, y), GradientDescent(NET, X, y, learning_rate=1)):
        outputs = trained.predict([[1, 1]], [0, 1])
        assert outputs.dtype == np.float64
        assert outputs.shape == (2, 1)


def test_an_initial_function_may_be_a_function() -> None:
    X, y, Z = problem(outputs=1)
    trained = GradientFlow(NET, X, y[:, 0])
    f0 = lambda rows: np.sin(rows[:, :1])  # noqa: E731  # a column, as networks return it
    arrays = trained.predict(Z, 2.0, f0=np.sin(X[:, 0]), f0_Z=np.sin(Z[:, 0]))
    np.testing.assert_array_equal(trained.predict(Z, 2.0, f0=f0), arrays)
    np.testing.assert_array_equal(
        trained.predict(t=2.0, f0=f0), trained.predict(t=2.0, f0=np.sin(X[:, 0]))
    )
    np.testing.assert_array_equal(trained.predict(Z, 2.0, f0=0, f0_Z=0), trained.predict(Z, 2.0))
