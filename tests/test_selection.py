"""Closed-form leave-one-out against as many refits as there are samples."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ntkfast.errors import MemoryBudgetError
from ntkfast.solvers import KernelSystem, loo_grid

Array = NDArray[np.float64]

N, RIDGES = 25, [1e-4, 1e-2, 1.0, 30.0]


def data(seed: int = 0, targets: int = 2) -> tuple[Array, Array]:
    """Return a smooth kernel and targets far from mean zero."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N, 3))
    K = np.exp(-0.5 * ((X[:, None] - X) ** 2).sum(-1)) + 0.1 * X @ X.T
    return K, 7.0 + np.sin(X[:, :targets]) + 0.3 * rng.standard_normal((N, targets))


def refit(K: Array, y: Array, noise: Array, weights: Array, center: bool, keep: Array) -> Array:
    """Fit on the samples of `keep` and return the predictions for all, the plain way."""
    mean = np.average(y[keep], axis=0, weights=weights[keep]) if center else 0.0
    system = K[np.ix_(keep, keep)] + np.diag(noise[keep])
    prediction: Array = mean + K[:, keep] @ np.linalg.solve(system, y[keep] - mean)
    return prediction


def brute_force(K: Array, y: Array, noise: Array, weights: Array, center: bool) -> Array:
    everyone = np.arange(len(y))
    return np.array(
        [refit(K, y, noise, weights, center, np.delete(everyone, i))[i] for i in everyone]
    )


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("relative", [False, True])
def test_equals_refitting_without_each_sample(center: bool, weighted: bool, relative: bool) -> None:
    K, y = data()
    # Weights of at most one: the whole sample is left out.
    weights = np.random.default_rng(5).uniform(0.1, 1.0, N) if weighted else np.ones(N)
    unit = K.diagonal().mean() if relative else 1.0
    grid = loo_grid(
        K, y, RIDGES, relative=relative, center=center, weights=weights if weighted else None
    )
    for ridge, mse, predictions in zip(grid.ridges, grid.mse, grid.predictions, strict=True):
        expected = brute_force(K, y, ridge * unit / weights, weights, center)
        np.testing.assert_allclose(predictions, expected, rtol=1e-9, atol=1e-9)
        errors = ((expected - y) ** 2).mean(axis=1)
        assert mse == pytest.approx(np.average(errors, weights=weights), rel=1e-8)


@pytest.mark.parametrize("center", [False, True])
def test_integer_weights_leave_out_one_copy(center: bool) -> None:
    K, y = data()
    copies = np.random.default_rng(6).integers(1, 4, N)
    source = np.repeat(np.arange(N), copies)
    repeated = loo_grid(K[np.ix_(source, source)], y[source], RIDGES, relative=False, center=center)
    weighted = loo_grid(K, y, RIDGES, relative=False, center=center, weights=copies)
    np.testing.assert_allclose(weighted.predictions[:, source], repeated.predictions, rtol=1e-8)
    np.testing.assert_allclose(weighted.mse, repeated.mse, rtol=1e-8)
    # The repeated data know nothing of the formula for weights: they are refitted.
    ones = np.ones(len(source))
    expected = brute_force(K[np.ix_(source, source)], y[source], RIDGES[1] * ones, ones, center)
    np.testing.assert_allclose(weighted.predictions[1][source], expected, rtol=1e-8)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_factorised_system_agrees_for_a_ridge_per_sample(center: bool, weighted: bool) -> None:
    K, y = data()
    rng = np.random.default_rng(7)
    weights = rng.uniform(0.1, 1.0, N) if weighted else np.ones(N)
    noise = rng.uniform(0.01, 1.0, N)
    system = KernelSystem(K, noise, relative=False)
    predictions = system.leave_one_out(y, center=center, weights=weights if weighted else None)
    expected = brute_force(K, y, noise, weights, center)
    np.testing.assert_allclose(predictions, expected, rtol=1e-9, atol=1e-9)
    single = system.leave_one_out(y[:, 0], center=center, weights=weights)
    np.testing.assert_allclose(single, expected[:, 0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("weights", [None, np.linspace(0.5, 3.0, N)])
def test_the_spectrum_and_the_factor_agree(weights: Array | None) -> None:
    K, y = data()
    grid = loo_grid(K, y, RIDGES, relative=False, center=True, weights=weights)
    for ridge, predictions in zip(RIDGES, grid.predictions, strict=True):
        noise = ridge / (np.ones(N) if weights is None else weights)
        system = KernelSystem(K, noise, relative=False)
        expected = system.leave_one_out(y, center=True, weights=weights)
        np.testing.assert_allclose(predictions, expected, rtol=1e-9)


def test_a_centred_model_does_not_care_about_a_constant() -> None:
    K, y = data()
    low = loo_grid(K, y, RIDGES, center=True)
    high = loo_grid(K, y + 1e4, RIDGES, center=True)
    np.testing.assert_allclose(high.predictions - 1e4, low.predictions, atol=1e-7)


def test_a_wrong_label_is_not_predicted_from_itself() -> None:
    x = np.linspace(0.0, 1.0, 30)
    K = np.exp(-((x[:, None] - x) ** 2) / 0.02)
    y = np.zeros(30)
    y[12] = 1.0
    prediction = loo_grid(K, y, [1e-3]).predictions[0, 12]
    assert abs(prediction) < 0.1


def test_singular_ridges_are_infinitely_bad_and_do_not_spoil_the_others() -> None:
    _, y = data()
    K = np.ones((N, N))
    grid = loo_grid(K, y, [0.0, 1e-30, 1e-2])
    assert np.isinf(grid.mse[:2]).all()
    assert np.isnan(grid.predictions[:2]).all()
    assert np.isfinite(grid.mse[2])
    assert np.isfinite(grid.predictions[2]).all()


def test_a_float32_kernel_agrees_within_its_own_rounding() -> None:
    K, y = data()
    single = loo_grid(K.astype(np.float32), y, RIDGES[1:])
    np.testing.assert_allclose(
        single.predictions, loo_grid(K, y, RIDGES[1:]).predictions, atol=1e-4
    )


def test_many_samples_go_through_several_blocks() -> None:
    n = 1100
    X = np.random.default_rng(0).standard_normal((n, 2))
    K = np.exp(-((X[:, None] - X) ** 2).sum(-1))
    y = np.sin(X[:, 0])
    grid = loo_grid(K, y, [1e-2], center=True)
    for i in (0, 511, 512, 1099):
        keep = np.delete(np.arange(n), i)
        noise = np.full(n, 1e-2 * K.diagonal().mean())
        expected = refit(K, y, noise, np.ones(n), True, keep)[i]
        assert grid.predictions[0, i] == pytest.approx(expected, abs=1e-9)


def test_the_kernel_is_not_touched_unless_allowed() -> None:
    K, y = data()
    before = K.copy()
    expected = loo_grid(K, y, RIDGES, weights=np.full(N, 0.5))
    np.testing.assert_array_equal(K, before)
    again = loo_grid(K, y, RIDGES, weights=np.full(N, 0.5), overwrite=True)
    np.testing.assert_array_equal(again.predictions, expected.predictions)


def test_the_only_sample_has_no_others_to_predict_it() -> None:
    with pytest.raises(ValueError, match="at least two samples"):
        loo_grid([[2.0]], [1.0], [0.1], center=True)
    assert loo_grid([[2.0]], [1.0], [0.1]).predictions == 0.0


@pytest.mark.parametrize("ridges", [[], [-1.0], [np.nan], [[1.0]]])
def test_bad_grids_are_refused(ridges: list[float]) -> None:
    with pytest.raises(ValueError, match="ridges must be"):
        loo_grid(np.eye(2), [0.0, 1.0], ridges)


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0, np.nan]])
def test_bad_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights must"):
        loo_grid(np.eye(2), [0.0, 1.0], [0.1], weights=weights)


def test_a_decomposition_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ntkfast._memory.available_bytes", lambda: 1e8)
    with pytest.raises(MemoryBudgetError, match=r"n = 3000: 137 MiB needed"):
        loo_grid(np.eye(3000), np.ones(3000), [0.1])
