"""Networks of finite width: values, derivatives, tangent kernels and training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from ntkfast.errors import (
    ArchitectureError,
    DivergenceError,
    MemoryBudgetError,
    UnsupportedLayerError,
)
from ntkfast.finite import DenseParameters, FiniteNetwork
from oracle import quadrature
from support import ACTIVATIONS, Array

REFERENCE = Path(__file__).parent / "reference"
RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 3))
Z = RNG.standard_normal((4, 3))

RESIDUAL = [
    nk.FanOut(2),
    nk.parallel([nk.Relu(), nk.Dense(1.2, 0.1), nk.Erf(), nk.Dense()], nk.Identity()),
    nk.FanInSum(),
]
#: Every operation at least once; hidden layers of 4 units for each of their out_dim.
NETWORKS: dict[str, nk.Network] = {
    "mlp": nk.serial(nk.Dense(1.3, 0.2), nk.Relu(), nk.Dense(1.1, 0.3), nk.Erf(), nk.Dense(1, 0.1)),
    "linear": nk.serial(nk.Dense(0.7)),
    "fixed": nk.mlp(2, nk.Tanh(), b_std=0.1, fixed_layers=1),
    "only the readout": nk.mlp(2, nk.Gelu(), b_std=0.1, fixed_layers=2),
    "standard": nk.serial(
        nk.Dense(1.2, 0.3, out_dim=2, parameterization="standard", s=(1, 2)),
        nk.Relu(),
        nk.Dense(1.1, 0.0, parameterization="standard", s=(2, 1)),
    ),
    "sqrt_dim": nk.models.arora(2),
    "layer norm": nk.serial(nk.Dense(), nk.LayerNorm(eps=0.1), nk.Silu(), nk.Dense()),
    "residual": nk.serial(nk.Dense(1.1), *RESIDUAL, *RESIDUAL, nk.Relu(), nk.Dense()),
    "residual end": nk.serial(nk.Dense(1.1), *RESIDUAL),
    "product": nk.serial(
        nk.FanOut(3),
        nk.parallel([nk.Dense(1.0, 0.1), nk.Relu()], [nk.Dense(), nk.Erf()], [nk.Dense(0.5, 1.0)]),
        nk.FanInProd(),
        nk.Dense(),
    ),
    "concatenation": nk.serial(
        nk.FanOut(2),
        nk.parallel([nk.Dense(out_dim=2), nk.Relu()], [nk.Dense(0.5, 0.3), nk.Sin()]),
        nk.FanInConcat(),
        nk.Dense(),
    ),
    "fixed branch": nk.serial(
        nk.Dense(trainable=False),
        nk.FanOut(2),
        nk.parallel([nk.Relu(), nk.Dense()], [nk.Dense(trainable=False)]),
        nk.FanInSum(),
        nk.Relu(),
        nk.Dense(),
    ),
    "dropout at test time": nk.serial(nk.Dense(), nk.Dropout(0.5, "test"), nk.Relu(), nk.Dense()),
}
every_network = pytest.mark.parametrize("net", NETWORKS.values(), ids=NETWORKS)


def draw(net: nk.Network, **arguments: Any) -> FiniteNetwork:
    return nk.finite.init(net, **{"width": 4, "features": 3, "outputs": 2, **arguments})


def trained(net: nk.Network, parameters: Any) -> list[bool]:
    """Which Dense layers are trained, in the order of the parameters."""
    found: list[bool] = []

    def walk(layers: Any) -> None:
        for layer in layers:
            if isinstance(layer, nk.Dense):
                found.append(layer.trainable)
            for branch in getattr(layer, "branches", ()):
                walk(branch)

    walk(net.layers)
    assert len(found) == len(parameters)
    return found


def away_from_kinks(f: FiniteNetwork) -> bool:
    """Whether no step of `jacobian` moves a unit through 0."""
    units = np.concatenate([value.ravel() for x in (X, Z) for value in f.signals(x)])
    return bool(np.abs(units[units != 0]).min() > 5e-3)


def jacobian(f: FiniteNetwork, x: Array) -> Array:
    """Derivatives (n, outputs, trained parameters) by differences that are exact to O(h^6)."""
    own = f.parameters
    columns = []
    for k, train in enumerate(trained(f.network, own)):
        for name in ("weights", "bias"):
            array = getattr(own[k], name)
            if array is None or not train:
                continue
            for index in np.ndindex(array.shape):

                def at(h: float, k: int = k, name: str = name, index: Any = index) -> Array:
                    moved = np.array(getattr(own[k], name))
                    moved[index] += h
                    changed = [*own]
                    changed[k] = own[k]._replace(**{name: moved})
                    return np.asarray(nk.finite.from_parameters(f.network, changed)(x))

                h = 2e-4
                one, two, three = (at(m * h) - at(-m * h) for m in (1, 2, 3))
                columns.append((45 * one - 9 * two + three) / (60 * h))
    return np.stack(columns, axis=-1)


@every_network
def test_the_kernel_is_the_inner_product_of_numerical_derivatives(net: nk.Network) -> None:
    f = next(f for f in (draw(net, seed=k) for k in range(99)) if away_from_kinks(f))
    j, k = jacobian(f, X), jacobian(f, Z)
    for other, right in ((None, j), (Z, k)):
        full = np.einsum("iap,jbp->ijab", j, right)
        scale = np.abs(full).max()
        args = (X,) if other is None else (X, other)
        close = {"rtol": 0, "atol": 1e-10 * scale}
        np.testing.assert_allclose(f.ntk(*args, outputs="full"), full, **close)
        diagonal = np.einsum("ijaa->ija", full)
        np.testing.assert_allclose(f.ntk(*args, outputs="diagonal"), diagonal, **close)
        np.testing.assert_allclose(f.ntk(*args), diagonal.mean(2), **close)


@every_network
def test_products_with_the_jacobian_agree_with_the_kernel(net: nk.Network) -> None:
    f = draw(net)
    signal = RNG.standard_normal((len(X), 2))
    gradient = f.vjp(X, signal)
    full = f.ntk(X, Z, outputs="full")
    np.testing.assert_allclose(
        f.jvp(Z, gradient), np.einsum("ia,ijab->jb", signal, full), atol=1e-12
    )
    dense = f.ntk(X, outputs="full").transpose(0, 2, 1, 3).reshape(10, 10)
    np.testing.assert_allclose(f.tangent_operator(X) @ np.eye(10), dense, atol=1e-12)
    for own, train in zip(gradient, trained(net, f.parameters), strict=True):
        assert train or not own.weights.any()


@every_network
def test_kernels_are_exactly_symmetric_and_blocks_do_not_matter(
    net: nk.Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    f = draw(net)
    whole = {mode: f.ntk(X, outputs=mode) for mode in ("full", "trace", "diagonal")}
    assert np.array_equal(whole["trace"], whole["trace"].T)
    assert np.array_equal(whole["full"], whole["full"].transpose(1, 0, 3, 2))
    assert np.array_equal(whole["diagonal"], whole["diagonal"].transpose(1, 0, 2))
    outputs = f(X)
    monkeypatch.setattr("ntkfast.finite._network._PASS_BYTES", 1)
    np.testing.assert_allclose(f(X), outputs, rtol=1e-13, atol=1e-14)
    for mode, kernel in whole.items():
        np.testing.assert_allclose(f.ntk(X, outputs=mode), kernel, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(f.ntk(X, X, outputs=mode), kernel, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["empirical_mlp_relu"])
def test_reference_networks(name: str) -> None:
    data = np.load(REFERENCE / f"{name}.npz")
    arch = json.loads(str(data["arch"]))
    dense = [i for i, layer in enumerate(arch["layers"]) if layer["type"] == "Dense"]
    f = nk.finite.from_parameters(
        nk.from_dict(arch), [(data[f"W_{i}"], data[f"b_{i}"]) for i in dense]
    )
    for k in ("1", "2"):
        np.testing.assert_allclose(f(data[f"x{k}"]), data[f"f_{k}"], rtol=1e-13, atol=1e-14)
    for mode, key in (("full", "full"), ("trace", "trace"), ("diagonal", "diag")):
        for pair, args in (("11", (data["x1"],)), ("12", (data["x1"], data["x2"]))):
            expected = data[f"ntk_{pair}_{key}"]
            np.testing.assert_allclose(f.ntk(*args, outputs=mode), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", [*ACTIVATIONS, *nk.layers.numerical.__all__])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_slopes_are_the_derivatives_of_phi(name: str, dtype: Any) -> None:
    if name == "Elementwise":
        with pytest.raises(NotImplementedError, match="give derivative"):
            nk.Elementwise(np.tanh).slope(np.zeros(2))
        phi: Any = nk.Elementwise(np.sin, np.cos)
        slope = np.cos
    else:
        layer = ACTIVATIONS.get(name, {"type": name})
        phi = nk.from_dict({"type": "serial", "layers": [{"type": "Dense"}, layer]}).layers[1]
        slope = quadrature.functions(layer)[1]
    x = np.linspace(-7.313, 7.931, 401).reshape(1, -1).astype(dtype)
    got = phi.slope(x)
    assert got.shape == x.shape
    assert got.dtype == x.dtype
    expected = np.asarray(slope(x.astype(np.float64)))
    eps = np.finfo(dtype).eps
    size = 1 + np.abs(expected) + np.abs(x * np.gradient(expected[0], x[0].astype(float)))
    assert np.all(np.abs(got - expected) <= 64 * eps * size)


def test_the_mean_over_seeds_is_the_infinite_network() -> None:
    """Its own confidence interval, at a width whose bias of order 1/width is below it."""
    for name in ("mlp", "residual", "product", "layer norm"):
        net = NETWORKS[name]
        draws = np.array([nk.finite.init(net, 256, seed).ntk(X) for seed in range(40)])
        error = draws.std(0, ddof=1) / np.sqrt(len(draws))
        expected = net.ntk(X)
        bias = 2 * np.abs(expected).max() / 256
        assert np.all(np.abs(draws.mean(0) - expected) <= 5 * error + bias), name


def test_the_deviation_falls_with_the_root_of_the_width() -> None:
    net, widths = nk.models.arora(3), [64, 256, 1024]
    x = X / np.linalg.norm(X, axis=1, keepdims=True)
    exact = net.ntk(x)
    deviation = [
        np.median([np.abs(nk.finite.init(net, m, seed).ntk(x) - exact).max() for seed in range(12)])
        for m in widths
    ]
    slope = np.polyfit(np.log(widths), np.log(deviation), 1)[0]
    assert -0.7 < slope < -0.3


def test_the_same_seed_gives_the_same_network() -> None:
    net = NETWORKS["mlp"]
    early, late = nk.finite.init(net, 8, 3, features=3), nk.finite.init(net, 8, 3)
    assert np.array_equal(early(X), late(X))
    assert not np.array_equal(early(X), nk.finite.init(net, 8, 4)(X))
    assert not np.array_equal(early.parameters[0].weights, early.parameters[1].weights[:, :3].T)


def test_parameters_cannot_be_written_to() -> None:
    f = draw(NETWORKS["mlp"])
    with pytest.raises(ValueError, match="read-only"):
        f.parameters[0].weights[0, 0] = 1.0
    given = np.ones((3, 1))
    g = nk.finite.from_parameters(nk.serial(nk.Dense()), [(given, None)])
    before = g(X)
    given[:] = 0.0
    assert np.array_equal(g(X), before)


def test_float32_is_computed_in_float32() -> None:
    f = draw(NETWORKS["residual"], dtype=np.float32)
    x = X.astype(np.float32)
    exact = nk.finite.from_parameters(
        f.network, [DenseParameters(w.astype(float), b) for w, b in f.parameters]
    )
    assert f(x).dtype == f.ntk(x).dtype == np.float32
    np.testing.assert_allclose(f(x), exact(x.astype(float)), atol=2e-6)
    kernel = exact.ntk(x.astype(float))
    np.testing.assert_allclose(f.ntk(x), kernel, atol=2e-6 * np.abs(kernel).max())


def test_layers_without_function_are_refused() -> None:
    dropped = nk.serial(nk.Dense(), nk.Dropout(0.5), nk.Dense())
    with pytest.raises(UnsupportedLayerError, match='mode="test"'):
        nk.finite.init(dropped, 4)(X)
    with pytest.raises(NotImplementedError, match="kernel without a function"):
        nk.finite.init(nk.serial(nk.Dense(), nk.ExpNormalized()), 4)(X)


def test_units_that_do_not_fit_are_refused() -> None:
    net = nk.serial(
        nk.FanOut(2), nk.parallel(nk.Dense(out_dim=2), nk.Dense()), nk.FanInSum(), nk.Relu(),
        nk.Dense(),
    )  # fmt: skip
    with pytest.raises(ArchitectureError, match=r"\[8, 4\] units"):
        nk.finite.init(net, 4)(X)
    joined = nk.serial(nk.FanOut(2), nk.parallel(nk.Dense(), nk.Dense()), nk.FanInConcat())
    assert nk.finite.init(joined, 4)(X).shape == (5, 2)
    with pytest.raises(ArchitectureError, match="outputs=3 cannot be had"):
        nk.finite.init(joined, 4, outputs=3)(X)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"width": 0}, ValueError, "width"),
        ({"width": 1.5}, TypeError, "width"),
        ({"seed": -1}, ValueError, "seed"),
        ({"outputs": 0}, ValueError, "outputs"),
        ({"features": 0}, ValueError, "features"),
        ({"dtype": np.float16}, TypeError, "dtype must be float32 or float64, got float16"),
    ],
)
def test_arguments_of_init_are_checked(arguments: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        nk.finite.init(NETWORKS["mlp"], **arguments)


def test_init_wants_a_network() -> None:
    with pytest.raises(TypeError, match="network must be a Network"):
        nk.finite.init([nk.Dense()], 3)  # type: ignore[arg-type]


def test_data_are_checked() -> None:
    f = draw(NETWORKS["mlp"])
    with pytest.raises(ValueError, match=r"3 columns.*got 2"):
        f(X[:, :2])
    for bad in (np.nan, np.inf):
        rows = X.copy()
        rows[1, 2] = bad
        with pytest.raises(ValueError, match="X must be finite"):
            f(rows)
        with pytest.raises(ValueError, match="Z must be finite"):
            f.ntk(X, rows)
    with pytest.raises(ValueError, match="2-D"):
        f(X[0])
    with pytest.raises(ValueError, match="outputs must be"):
        f.ntk(X, outputs="all")
    assert f(X[:0]).shape == (0, 2)
    assert f.ntk(X[:0], X, outputs="full").shape == (0, 5, 2, 2)
    with pytest.raises(ValueError, match="not drawn yet"):
        _ = nk.finite.init(NETWORKS["mlp"], 4).parameters


def test_given_parameters_are_checked() -> None:
    net = nk.serial(nk.Dense(b_std=0.1), nk.Relu(), nk.Dense())
    w, b, v = np.ones((3, 4)), np.ones(4), np.ones((4, 1))
    assert nk.finite.from_parameters(net, [(w, b), (v, None)])(X).shape == (5, 1)
    for bad, error, message in [
        ([], ValueError, "got none"),
        ([(w, b)], ValueError, "one entry for each Dense layer, got 1"),
        ([(w, b), (v, None), (v, None)], ValueError, "2 Dense layers, got 3"),
        ([(w, None), (v, None)], ValueError, r"parameters\[0\].*bias of shape \(4,\)"),
        ([(w, b), (w, None)], ValueError, r"parameters\[1\].*shape \(4, 4\)"),
        ([(w * np.nan, b), (v, None)], ValueError, r"parameters\[0\] must be finite"),
        ([w, (v, None)], TypeError, r"parameters\[0\] must be \(weights, bias or None\)"),
        ([(w.astype(complex), b), (v, None)], TypeError, "real numbers"),
    ]:
        with pytest.raises(error, match=message):
            nk.finite.from_parameters(net, bad)
    f = nk.finite.from_parameters(net, [(w, b), (v, None)])
    with pytest.raises(ValueError, match=r"direction must hold one entry for each of the 2"):
        f.jvp(X, [(w, b)])
    with pytest.raises(ValueError, match=r"direction\[1\] must have shapes"):
        f.jvp(X, [(w, b), (w, None)])
    with pytest.raises(ValueError, match=r"signal must have shape \(5, 1\), got \(4, 1\)"):
        f.vjp(X, np.ones((4, 1)))


def test_what_does_not_fit_is_said_before() -> None:
    with pytest.raises(MemoryBudgetError, match="parameters of"):
        nk.finite.init(NETWORKS["mlp"], 10**7, features=3)
    f = draw(NETWORKS["linear"], features=1)
    with pytest.raises(MemoryBudgetError, match="tangent kernel of 1000000 x 1000000 samples"):
        f.ntk(np.ones((10**6, 1)))


# --- Training ----------------------------------------------------------------------------------

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
