"""Networks of finite width: values, derivatives, tangent kernels and training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from finite_networks import NETWORKS, draw, trained
from ntkfast.errors import (
    ArchitectureError,
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

every_network = pytest.mark.parametrize("net", NETWORKS.values(), ids=NETWORKS)


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
