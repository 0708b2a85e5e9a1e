"""`LossFlow` against closed forms, matrix exponentials, and gradient descent in tiny steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm

import ntkfast as nk
from ntkfast.errors import MemoryBudgetError, ToleranceError
from ntkfast.predict import GradientDescent, GradientFlow, LossFlow
from ntkfast.predict.losses import LOSSES
from oracle import training

NET = nk.mlp(2, "erf", W_std=1.3, b_std=0.4)


def data(outputs: int = 3) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(4)
    X, Z = rng.standard_normal((8, 5)), rng.standard_normal((4, 5))
    return X, rng.standard_normal((8, outputs)), Z


def means(f: Any, y: Any) -> dict[str, float]:
    """Return the mean losses that the gradients are of."""
    logs = f - np.log(np.exp(f).sum(axis=1, keepdims=True))
    return {
        "squared_error": 0.5 * np.mean((f - y) ** 2),
        "cross_entropy": -np.mean((logs * y).sum(axis=1)),
        "logistic": np.mean(np.log1p(np.exp(-y * f))),
    }


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_gradients_are_those_of_the_losses(name: str) -> None:
    rng = np.random.default_rng(0)
    f, y = rng.standard_normal((2, 5, 3))
    gradient, h = LOSSES[name](f, y), 1e-6
    for place in np.ndindex(f.shape):
        step = np.zeros_like(f)
        step[place] = h
        slope = (means(f + step, y)[name] - means(f - step, y)[name]) / (2 * h)
        assert gradient[place] == pytest.approx(slope, abs=1e-9)


@pytest.mark.parametrize("method", ["LSODA", "DOP853", "BDF"])
def test_squared_error_has_the_closed_form(method: str) -> None:
    X, y, Z = data()
    f0 = np.random.default_rng(7).standard_normal((12, 3))
    t = [[5.0, 0.0], [0.3, 40.0]]  # in no order
    ridge = {"diag_reg": 0.05, "learning_rate": 0.6}
    solved = LossFlow(NET, X, y, "squared_error", method=method, **ridge)
    closed = GradientFlow(NET, X, y, **ridge)
    tolerance = 1e-6 if method == "BDF" else 1e-7
    for start in ({"f0": 0.0}, {"f0": f0[:8]}):
        got, true = solved.predict(t=t, **start), closed.predict(t=t, **start)
        assert got.shape == (2, 2, 8, 3)
        np.testing.assert_allclose(got, true, atol=tolerance)
    start = {"f0": f0[:8], "f0_Z": f0[8:]}
    np.testing.assert_allclose(
        solved.predict(Z, t, **start), closed.predict(Z, t, **start), atol=tolerance
    )
    np.testing.assert_allclose(solved.predict(Z, t), closed.predict(Z, t), atol=tolerance)


def test_late_times_are_stiff_and_solved() -> None:
    X, y, Z = data()
    got = LossFlow(NET, X, y, "squared_error").predict(Z, 1e7)
    np.testing.assert_allclose(got, GradientFlow(NET, X, y).predict(Z, 1e7), atol=1e-6)


@pytest.mark.parametrize("name", ["cross_entropy", "logistic"])
def test_other_losses_are_the_limit_of_small_steps(name: str) -> None:
    """Euler steps and half as long ones, extrapolated: an error of the second order."""
    X, y, Z = data()
    y = np.eye(3)[np.arange(8) % 3] if name == "cross_entropy" else np.sign(y)
    phi = training.features(NET.ntk(np.concatenate([X, Z])))
    ends = []
    for steps in (2000, 4000):
        path = training.simulate(phi, 8, y, steps, 20.0 / steps, gradient=LOSSES[name])
        ends.append(path[-1])
    true = 2 * ends[1] - ends[0]
    trained = LossFlow(NET, X, y, name, learning_rate=0.5)
    np.testing.assert_allclose(trained.predict(t=40.0), true[:8], atol=2e-5)
    np.testing.assert_allclose(trained.predict(Z, 40.0), true[8:], atol=2e-5)


def test_momentum_is_the_equation_of_the_second_order() -> None:
    """f'' = -(1 - m) f' - rate Theta (f - y)/size, as one exponential."""
    X, y, Z = data(1)
    rate, m, t = 0.2, 0.8, 30.0
    kernel = NET.ntk(np.concatenate([X, Z]))
    A = np.zeros((32, 32))  # (f at 12 rows, f', y at 8 rows)
    A[:12, 12:24] = np.eye(12)
    A[12:24, :8], A[12:24, 24:] = -rate * kernel[:, :8] / 8, rate * kernel[:, :8] / 8
    A[12:24, 12:24] = -(1 - m) * np.eye(12)
    true = (expm(A * t) @ np.concatenate([np.zeros(24), y[:, 0]]))[:12]
    trained = LossFlow(NET, X, y[:, 0], "squared_error", learning_rate=rate, momentum=m)
    np.testing.assert_allclose(trained.predict(t=t), true[:8], atol=1e-7)
    np.testing.assert_allclose(trained.predict(Z, t), true[8:], atol=1e-7)
    # Steps of the optimizer come near it where the learning rate is small.
    steps = GradientDescent(NET, X, y[:, 0], learning_rate=1e-4, momentum=0.99)
    smooth = LossFlow(NET, X, y[:, 0], "squared_error", learning_rate=1e-4, momentum=0.99)
    np.testing.assert_allclose(smooth.predict(t=1000), steps.predict(t=1000), atol=0.01)


def test_a_function_is_its_gradient_in_the_caller_s_columns() -> None:
    X, y, Z = data(1)
    shapes = set()

    def huber(f: Any, goal: Any) -> Any:
        shapes.add((f.shape, goal.shape))
        return np.clip(f - goal, -0.5, 0.5) / f.size

    got = LossFlow(NET, X, y[:, 0], huber).predict(Z, [1.0, 10.0])
    assert got.shape == (2, 4)
    assert shapes == {((8, 1), (8, 1))}
    arrays = LossFlow.from_kernels(NET.ntk(X), y[:, 0], huber)
    np.testing.assert_array_equal(arrays.predict_from_kernels(NET.ntk(Z, X), [1.0, 10.0]), got)
    assert LossFlow(NET, X.astype(np.float32), y, huber).predict(t=1).dtype == np.float32


def test_what_does_not_fit_is_refused() -> None:
    X, y, Z = data()
    flow = LossFlow(NET, X, y, "squared_error")
    with pytest.raises(ValueError, match=r"t must be finite.*GradientFlow"):
        flow.predict(Z, [1, np.inf])
    with pytest.raises(ValueError, match="t must be finite"):
        flow.predict(Z, None)
    with pytest.raises(ValueError, match="go together"):
        flow.predict(Z, 1, f0=y)
    with pytest.raises(ValueError, match="f0_Z needs Z"):
        flow.predict(t=1, f0_Z=0.0)
    with pytest.raises(ValueError, match="loss must be one of 'cross_entropy'"):
        LossFlow(NET, X, y, "hinge")
    with pytest.raises(ValueError, match="method must be one of"):
        LossFlow(NET, X, y, "logistic", method="Euler")
    with pytest.raises(ValueError, match="momentum must be"):
        LossFlow(NET, X, y, "logistic", momentum=1.5)
    with pytest.raises(ValueError, match="rtol must be positive"):
        LossFlow(NET, X, y, "logistic", rtol=0)
    with pytest.raises(ValueError, match=r"gradient with respect to f, of shape \(8, 3\), got"):
        LossFlow(NET, X, y, lambda f, goal: np.mean((f - goal) ** 2)).predict(t=1)
    with pytest.raises(ValueError, match="gradient of the loss is not finite"):
        LossFlow(NET, X, y, lambda f, goal: np.full_like(f, np.nan)).predict(t=1)
    with pytest.raises(ToleranceError, match="'DOP853' stopped after t"):
        LossFlow(NET, X, y, lambda f, goal: -(f**2) - 1, method="DOP853").predict(t=1e3)
    with nk.config(memory_budget="10 MB"), pytest.raises(MemoryBudgetError, match="DOP853"):
        LossFlow(NET, X, np.zeros((8, 300)), "squared_error").predict(t=1)
    assert flow.predict(Z[:0], [1, 2]).shape == (2, 0, 3)
    assert flow.predict(Z, []).shape == (0, 4, 3)
