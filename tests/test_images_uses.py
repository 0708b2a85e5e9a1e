"""Images and sequences in estimators, predictions and solvers."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

import ntkfast as nk
from ntkfast.sklearn import NNGPRegressor, NTKClassifier, NTKRegressor

Array = NDArray[np.float64]
NET = nk.serial(
    nk.Conv((3, 3), padding="SAME", W_std=2**0.5, b_std=0.1),
    nk.Relu(),
    nk.GlobalAvgPool(),
    nk.Dense(),
)
SEQUENCES = nk.serial(nk.Conv((3,), W_std=2**0.5, b_std=0.1), nk.Tanh(), nk.Flatten(), nk.Dense())


def _stripes(n: int, seed: int = 0) -> tuple[Array, NDArray[np.int64]]:
    """Horizontal or vertical stripes with noise, at any place: a task for shared weights."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=n)
    phase = rng.integers(2, size=n)
    stripe = np.resize([1.0, -1.0], 7)
    x = np.empty((n, 6, 6, 1))
    for k in range(n):
        line = stripe[phase[k] : phase[k] + 6]
        x[k, :, :, 0] = line[:, None] if labels[k] else line[None, :]
    return x + 0.3 * rng.normal(size=x.shape), labels


def test_a_classifier_of_images() -> None:
    x, y = _stripes(60)
    model = NTKClassifier(NET).fit(x[:40], y[:40])
    assert model.score(x[40:], y[40:]) > 0.9
    assert model.predict_proba(x[40:]).shape == (20, 2)
    assert model.X_fit_.shape == (40, 6, 6, 1)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.decision_function(x), model.decision_function(x))


def test_model_selection_with_images() -> None:
    x, y = _stripes(40)
    scores = cross_val_score(NTKClassifier(NET, alpha=1e-2), x, y, cv=4)
    assert scores.mean() > 0.8
    dense = nk.serial(nk.Flatten(), *nk.mlp(1, b_std=0.1).layers)
    search = GridSearchCV(clone(NTKClassifier(NET)), {"net": [NET, dense], "alpha": [1e-3, 1.0]})
    search.fit(x, y)
    assert search.best_estimator_.predict(x).shape == (40,)
    chosen = NTKClassifier([dense, NET]).fit(x, y)
    assert chosen.net_ == NET


@pytest.mark.parametrize(("net", "axes"), [(NET, 2), (SEQUENCES, 1)])
def test_regressors_are_ridge_regression_with_the_kernel(net: nk.Network, axes: int) -> None:
    rng = np.random.default_rng(1)
    shape = (5, 5, 2) if axes == 2 else (9, 2)
    x, z = rng.normal(size=(12, *shape)), rng.normal(size=(4, *shape))
    y = rng.normal(size=(12, 3))
    model = NTKRegressor(net, alpha=0.1, relative=False, center=False).fit(x, y)
    dual = nk.solve(net.ntk(x), y, ridge=0.1, relative=False)
    np.testing.assert_allclose(model.predict(z), net.ntk(z, x) @ dual, rtol=1e-9, atol=1e-12)
    gp = NNGPRegressor(net, alpha=0.1, relative=False, center=False, output_scale=1.0)
    _, std = gp.fit(x, y[:, 0]).predict(z, return_std=True)
    K, cross = net.nngp(x) + 0.1 * np.eye(12), net.nngp(z, x)
    variance = net.diag(z, kind="nngp") - np.sum(cross * np.linalg.solve(K, cross.T).T, axis=1)
    np.testing.assert_allclose(std**2, variance, rtol=1e-7)
    _, std = model.predict(z, return_std=True)
    assert std.shape == (4, 3)
    assert (std > 0).all()
    with pytest.raises(ValueError, match="shape of those of the fit"):
        model.predict(z[:, :-1])
    with pytest.raises(ValueError, match="D \\("):
        NTKRegressor(net).fit(x.reshape(12, -1), y)
    with pytest.raises(ValueError, match="dim"):
        NTKRegressor(nk.mlp(1)).fit(x, y)


@pytest.mark.parametrize(("net", "shape"), [(NET, (5, 5, 2)), (SEQUENCES, (9, 2))])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_gradient_flow_of_images(net: nk.Network, shape: tuple[int, ...], dtype: Any) -> None:
    rng = np.random.default_rng(2)
    x, z = (rng.normal(size=(n, *shape)).astype(dtype) for n in (8, 3))
    y = rng.normal(size=8)
    flow = nk.predict.GradientFlow(net, x, y)
    got = flow.predict(z, [0.5, 10.0], cov=True)
    wide, far = x.astype(np.float64), z.astype(np.float64)
    arrays = nk.predict.GradientFlow.from_kernels(net.kernels(wide), y)
    expected = arrays.predict_from_kernels(
        net.kernels(far, wide), [0.5, 10.0], k_test_test=net.nngp(far)
    )
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5 if dtype == np.float32 else 1e-9, atol=1e-7)


def test_other_arrays() -> None:
    """Lists, and arrays in another order of memory."""
    x, y = _stripes(12)
    model = NTKClassifier(NET, alpha=0.1).fit(x.tolist(), y.tolist())
    np.testing.assert_allclose(
        model.decision_function(np.asfortranarray(x)), model.decision_function(x), rtol=1e-9
    )


def test_the_summary_of_images() -> None:
    """The numbers are those of an image of one colour, where no border is near."""
    layers = [nk.Conv((3, 3), padding="CIRCULAR", W_std=1.3, b_std=0.2), nk.Tanh()]
    layers += [nk.AvgPool((2, 2), (2, 2), "CIRCULAR"), nk.Conv((1, 1), trainable=False)]
    net = nk.serial(*layers, nk.Relu(), nk.Flatten(), nk.Dense(1.1, 0.3))
    x = np.full((1, 8, 6, 2), 0.7**0.5)
    table = net.summary(0.7, (8, 6, 2))
    assert [row.positions for row in table] == [(8, 6), (8, 6), (4, 3), (4, 3), (4, 3), None, None]
    assert [row.layer for row in table] == list(net.layers)
    for k in (1, 3, 6):
        front = net if k == 6 else nk.serial(*net.layers[: k + 1], nk.Flatten())
        for name, kind in (("q", "nngp"), ("ntk", "ntk")):
            np.testing.assert_allclose(getattr(table[k], name), front.diag(x, kind=kind), rtol=1e-9)
    assert table[5].state == "not Gaussian"
    assert table.offsets is not None
    assert table.entries is not None
    assert "positions" in str(table)
    assert str(table).endswith("entries of maps")
    assert net.summary(0.7).rows[1].q == table[1].q
    assert "offsets" not in str(net.summary())
    summed = nk.serial(nk.Dense(), nk.GlobalSumPool(), nk.Dense())
    with pytest.raises(ValueError, match="needs shape"):
        summed.summary()
    np.testing.assert_allclose(
        summed.summary(0.7, (8, 6, 2))[-1].q, summed.diag(x, kind="nngp"), rtol=1e-12
    )
    with pytest.raises(ValueError, match="shape must be that of one sample"):
        net.summary(shape=(8, 2))
    with pytest.raises(ValueError, match="must be None for a network of rows"):
        nk.mlp(1).summary(shape=(2, 2, 2))
    with pytest.raises(nk.errors.ArchitectureError, match='parameterization="ntk"'):
        nk.serial(nk.Conv((1, 1), parameterization="standard"), nk.Flatten()).summary()


@pytest.mark.parametrize("net", [NET, SEQUENCES, nk.mlp(3, b_std=0.1)], ids=["2-D", "1-D", "rows"])
def test_float32_samples_computed_in_float64(net: nk.Network) -> None:
    shape = {NET: (5, 5, 2), SEQUENCES: (9, 2)}.get(net, (7,))
    x = np.random.default_rng(4).normal(size=(6, *shape)).astype(np.float32)
    wide = x.astype(np.float64)
    with nk.config(precision="float64"):
        got, cross, own = net.kernels(x), net.ntk(x, x[:2]), net.diag(x)
        assert net.ntk(wide).dtype == np.float64
        if net is not SEQUENCES:  # bounded by Tanh
            with pytest.raises(nk.errors.KernelOverflowError, match="largest float32"):
                net.nngp(x * 1e20)
    assert got.ntk.dtype == got.nngp.dtype == cross.dtype == own.dtype == np.float32
    np.testing.assert_array_equal(got.ntk, net.ntk(wide).astype(np.float32))
    np.testing.assert_array_equal(cross, net.ntk(wide, wide[:2]).astype(np.float32))
    np.testing.assert_array_equal(own, net.diag(wide).astype(np.float32))


def test_an_operator_has_no_float64_for_float32_rows() -> None:
    x = np.ones((2, 3), np.float32)
    with nk.config(precision="float64"):
        with pytest.raises(ValueError, match="pass float64 rows"):
            nk.mlp(1).operator(x)
        assert nk.mlp(1).operator(x.astype(float)).dtype == np.float64
