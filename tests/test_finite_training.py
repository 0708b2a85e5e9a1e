"""Networks of finite width in training: descent, flow, the Taylor model, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from finite_networks import NETWORKS, draw, trained
from ntkfast.errors import DivergenceError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 3))
Z = RNG.standard_normal((4, 3))
Y = np.sin(X @ [1.0, -2.0, 0.5])[:, None]
SMOOTH = nk.mlp(2, nk.Erf(), W_std=1.5, b_std=0.1)


def test_gradient_descent_is_the_recursion_written_out() -> None:
    f = draw(NETWORKS["mlp"], width=6)
    y = RNG.standard_normal((5, 2))
    rate, momentum, scale = 0.3, 0.6, 2.0
    after = f.train(
        X, y, steps=7, learning_rate=rate, momentum=momentum, loss_scale=scale, records=7
    )
    own = [[np.array(a) for a in p] for p in f.parameters]
    velocity = [[np.zeros_like(a) for a in p] for p in own]
    losses = []
    for _ in range(8):
        g = nk.finite.from_parameters(f.network, own)
        residual = g(X) - y
        losses.append(0.5 * scale * np.mean(residual**2))
        for k, parts in enumerate(g.vjp(X, scale * residual / y.size)):
            for i, part in enumerate(parts):
                velocity[k][i] = momentum * velocity[k][i] + part
                own[k][i] = own[k][i] - rate * velocity[k][i]
    np.testing.assert_allclose(after.losses, losses, rtol=1e-12)
    assert after.learning_rate == rate
    np.testing.assert_allclose(after.times, rate * np.arange(8) / (1 - momentum))


def test_gradient_flow_of_the_taylor_model_is_the_closed_form() -> None:
    f = nk.finite.init(SMOOTH, 32, seed=2)
    model = f.linearize()
    time = 25.0
    end = model.train(X, Y, method="gradient_flow", time=time).network
    lam, vectors = np.linalg.eigh(f.ntk(X))
    decay = (vectors * np.exp(-lam * time / Y.size)) @ vectors.T
    exact = Y + decay @ (f(X) - Y)
    np.testing.assert_allclose(end(X), exact, atol=2e-5)
    # Elsewhere: f + Theta(z, X) Theta^-1 (what the training outputs moved by).
    moved = f.ntk(Z, X) @ np.linalg.solve(f.ntk(X), end(X) - f(X))
    np.testing.assert_allclose(end(Z), f(Z) + moved, atol=1e-10)


def test_small_steps_follow_the_flow() -> None:
    f = nk.finite.init(SMOOTH, 16, seed=1)
    time, steps = 2.0, 4000
    flow = f.train(X, Y, method="gradient_flow", time=time)
    descent = f.train(X, Y, steps=steps, learning_rate=time / steps)
    np.testing.assert_allclose(descent.network(Z), flow.network(Z), atol=2e-3)
    assert np.all(np.diff(flow.losses) < 0)
    assert flow.times[-1] == time


def test_the_taylor_model_touches_the_network() -> None:
    """The gap is of second order in the displacement."""
    f = nk.finite.init(SMOOTH, 16, seed=5)
    model = f.linearize()
    assert np.array_equal(model(X), f(X))
    direction = {i: own for i, own in f._own.items()}
    gaps = [
        np.abs(model.moved(direction, h)(X) - f.moved(direction, h)(X)).max() for h in (1e-2, 1e-3)
    ]
    assert gaps[1] < gaps[0] / 50


def test_the_stability_limit_is_where_descent_diverges() -> None:
    f = nk.finite.init(SMOOTH, 64)
    for momentum in (0.0, 0.5):
        limit = f.max_learning_rate(X, momentum=momentum)
        lam = np.linalg.eigvalsh(f.ntk(X))[-1]
        assert abs(limit - 2 * (1 + momentum) * 5 / lam) < 1e-9 * limit
        model = f.linearize()
        below = model.train(X, Y, steps=2000, learning_rate=0.98 * limit, momentum=momentum)
        assert below.losses[-1] < below.losses[0]
        with pytest.raises(DivergenceError, match="stable rate is below"):
            model.train(X, Y, steps=2000, learning_rate=1.02 * limit, momentum=momentum)


def test_the_largest_eigenvalue_of_many_samples_is_found() -> None:
    f = nk.finite.init(SMOOTH, 16, outputs=3)
    x = RNG.standard_normal((40, 3))
    full = f.ntk(x, outputs="full").transpose(0, 2, 1, 3).reshape(120, 120)
    expected = 2 * 120 / np.linalg.eigvalsh(full)[-1]
    assert abs(f.max_learning_rate(x) - expected) < 1e-3 * expected


def test_batches_see_every_sample_once_per_round() -> None:
    """With full batches in disguise: 5 samples in batches of 5 are gradient descent."""
    f = nk.finite.init(SMOOTH, 8)
    whole = f.train(X, Y, steps=10, learning_rate=0.1)
    batches = f.train(X, Y, steps=10, learning_rate=0.1, batch_size=5, seed=3)
    np.testing.assert_allclose(batches.losses, whole.losses, rtol=1e-10)
    one = f.train(X, Y, steps=200, learning_rate=0.05, batch_size=2, seed=1)
    again = f.train(X, Y, steps=200, learning_rate=0.05, batch_size=2, seed=1)
    assert np.array_equal(one.losses, again.losses)
    assert one.losses[-1] < 0.5 * one.losses[0]


def test_layers_that_are_not_trained_do_not_move() -> None:
    f = draw(NETWORKS["fixed branch"], outputs=None)
    after = f.train(X, Y, steps=5).network
    for train, old, new in zip(
        trained(f.network, f.parameters), f.parameters, after.parameters, strict=True
    ):
        assert train == (not np.array_equal(old.weights, new.weights))
    frozen = nk.serial(nk.Dense(trainable=False))
    g = nk.finite.init(frozen, features=3)
    assert np.array_equal(g.ntk(X), np.zeros((5, 5)))
    assert g.max_learning_rate(X) == np.inf
    assert np.array_equal(g.train(X, Y, steps=3).network(X), g(X))


@pytest.mark.parametrize(("loss_scale", "factor"), [("sample", 2), ("sum", 10), (3.0, 3.0)])
def test_the_scale_of_the_loss_scales_the_step(loss_scale: Any, factor: float) -> None:
    f, y = draw(NETWORKS["mlp"]), RNG.standard_normal((5, 2))
    mean = f.train(X, y, steps=4, learning_rate=0.1 * factor)
    scaled = f.train(X, y, steps=4, learning_rate=0.1, loss_scale=loss_scale)
    np.testing.assert_allclose(scaled.network(X), mean.network(X), rtol=1e-11)
    np.testing.assert_allclose(scaled.losses, factor * mean.losses, rtol=1e-11)
    limit = f.max_learning_rate(X, loss_scale=loss_scale)
    assert abs(limit * factor / f.max_learning_rate(X) - 1) < 1e-12


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, TypeError, "steps"),
        ({"steps": 3, "time": 1.0}, ValueError, "not time"),
        ({"steps": 3, "momentum": 1.0}, ValueError, "momentum must be in"),
        ({"steps": 3, "learning_rate": -0.1}, ValueError, "learning_rate"),
        ({"steps": 3, "loss_scale": "all"}, ValueError, "loss_scale must be"),
        ({"steps": 3, "batch_size": 6}, ValueError, "batch_size"),
        ({"steps": -1}, ValueError, "steps"),
        ({"steps": 3, "method": "adam"}, ValueError, "method must be"),
        ({"time": 1.0, "steps": 3, "method": "gradient_flow"}, ValueError, "takes time"),
        ({"method": "gradient_flow"}, TypeError, "time"),
    ],
)
def test_options_of_training_are_checked(options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        nk.finite.init(SMOOTH, 4).train(X, Y, **options)


def test_targets_are_checked() -> None:
    f = nk.finite.init(SMOOTH, 4)
    with pytest.raises(ValueError, match=r"y must have shape \(5, 1\), got \(4,\)"):
        f.train(X, Y[:4, 0], steps=1)
    with pytest.raises(ValueError, match="y must be finite"):
        f.train(X, Y * np.nan, steps=1)
    with pytest.raises(TypeError, match="y must hold real numbers"):
        f.train(X, ["a"] * 5, steps=1)
    with pytest.raises(ValueError, match="at least one sample"):
        f.train(X[:0], Y[:0], steps=1)
    assert f.train(X, (Y[:, 0] > 0), steps=1).losses.shape == (2,)
