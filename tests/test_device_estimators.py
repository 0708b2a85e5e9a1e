"""Estimators on a device, imitated: the answers of the CPU, and no n x n array on the host."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

import imitated_cupy
import ntkfast as nk
from imitated_cupy import State, on_device
from ntkfast.errors import DeviceError, MemoryBudgetError, SingularKernelError
from ntkfast.sklearn import NNGPRegressor, NTKClassifier, NTKRegressor
from support import Array

N, D = 40, 3
X = np.random.default_rng(0).standard_normal((N, D))
Y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2]
Z = np.random.default_rng(1).standard_normal((11, D))
NET = nk.mlp(2, b_std=0.5)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> State:
    return imitated_cupy.install(monkeypatch)


def _host(value: Any) -> Array:
    return value.get() if isinstance(value, imitated_cupy.ndarray) else np.asarray(value)


MODELS: dict[str, Any] = {
    "NTK": NTKRegressor(NET, alpha=0.1),
    "NTK loo": NTKRegressor(NET),
    "NTK per sample": NTKRegressor(NET, alpha=np.linspace(0.1, 1, N), relative=False),
    "NTK several": NTKRegressor([NET, nk.mlp(1)], kind="nngp"),
    "NNGP": NNGPRegressor(NET, alpha=0.1),
    "NNGP loo": NNGPRegressor(NET),
}
every_model = pytest.mark.parametrize("name", MODELS)
every_way = pytest.mark.parametrize(
    "rows_on_device", [True, False], ids=["device rows", "host rows"]
)


@every_model
@every_way
@pytest.mark.parametrize("outputs", [1, 2])
def test_regressors_say_what_they_say_on_the_cpu(
    device: State, name: str, rows_on_device: bool, outputs: int
) -> None:
    y = Y if outputs == 1 else np.column_stack([Y, Y**2])
    weights = np.random.default_rng(2).uniform(0, 2, N)
    weights[3] = 0
    expected = clone(MODELS[name]).fit(X, y, weights)
    model = clone(MODELS[name])
    if rows_on_device:
        model.fit(on_device(X), on_device(y), on_device(weights))
        new: Any = on_device(Z)
    else:
        model.set_params(device="cuda").fit(X, y, weights)
        new = Z
    assert model.device_ == "cuda:0"
    assert set(device.calls) == {"gram on 0"}
    mean, std = model.predict(new, return_std=True)
    for got, other in zip((mean, std), expected.predict(Z, return_std=True), strict=True):
        assert isinstance(got, imitated_cupy.ndarray) == rows_on_device
        np.testing.assert_allclose(_host(got), other, rtol=1e-6, atol=1e-9)
    assert isinstance(model.dual_coef_, imitated_cupy.ndarray) == rows_on_device
    np.testing.assert_allclose(_host(model.dual_coef_), expected.dual_coef_, rtol=1e-6)
    assert model.score(new, on_device(y[:11]) if rows_on_device else y[:11]) == pytest.approx(
        expected.score(Z, y[:11])
    )
    assert getattr(model, "loo_score_", 0) == pytest.approx(getattr(expected, "loo_score_", 0))
    # Kernels, factors and eigenvectors stayed there: n * n is 40 n.
    assert 0 < device.largest_copy <= 20 * N


@pytest.mark.parametrize("alpha", ["loo", 0.3])
@pytest.mark.parametrize("classes", [["no", "yes"], [0, 1, 2]], ids=["two", "three"])
@every_way
def test_classifiers_say_what_they_say_on_the_cpu(
    device: State, alpha: Any, classes: list[Any], rows_on_device: bool
) -> None:
    y = np.array(classes)[np.digitize(Y, np.quantile(Y, [0.33, 0.66][: len(classes) - 1]))]
    expected = NTKClassifier(NET, alpha=alpha).fit(X, y)
    numbers = y.dtype.kind != "U"
    if rows_on_device:
        model, new = NTKClassifier(NET, alpha=alpha), on_device(Z)
        model.fit(on_device(X), on_device(y) if numbers else y)
    else:
        model, new = NTKClassifier(NET, alpha=alpha, device="cuda:1").fit(X, y), Z
    assert model.device_ == ("cuda:0" if rows_on_device else "cuda:1")
    labels = model.predict(new)
    assert isinstance(labels, imitated_cupy.ndarray) == (rows_on_device and numbers)
    np.testing.assert_array_equal(_host(labels), expected.predict(Z))
    for method in ("decision_function", "predict_proba"):
        got = getattr(model, method)(new)
        assert isinstance(got, imitated_cupy.ndarray) == rows_on_device
        np.testing.assert_allclose(_host(got), getattr(expected, method)(Z), rtol=1e-6)
    assert model.loo_score_ == expected.loo_score_
    assert model.score(new, y[:11]) == expected.score(Z, y[:11])
    assert device.largest_copy <= 20 * N


def test_the_device_of_later_samples(device: State) -> None:
    model = NTKRegressor(NET, alpha=0.1).fit(on_device(X, 1), Y)
    expected = model.predict(on_device(Z, 1)).get()
    device.calls.clear()
    for new in (on_device(Z, 0), on_device(Z, 1), Z):  # NumPy rows go to the device of the fit
        np.testing.assert_allclose(_host(model.predict(new)), expected)
    assert device.calls == ["gram on 0", "gram on 1", "gram on 1"]
    with nk.config(device="cpu"):
        assert isinstance(model.predict(Z), np.ndarray)
    assert len(device.calls) == 3
    model = NTKRegressor(NET, alpha=0.1, device="cuda:1").fit(X, Y)
    with pytest.raises(DeviceError, match="X is on cuda:0"):
        model.predict(on_device(Z, 0))
    with nk.config(device="cuda:1"):
        assert NTKRegressor(NET, alpha=0.1).fit(X, Y).device_ == "cuda:1"
    # A second fit does not remember the first.
    assert model.set_params(device=None).fit(X, Y).device_ == "cpu"


def test_a_model_of_host_rows_is_read_back_without_a_device(device: State) -> None:
    model = NTKRegressor(NET, alpha=0.1, device="cuda").fit(X, Y)
    back = pickle.loads(pickle.dumps(model)).set_params(device="cpu")
    np.testing.assert_allclose(back.predict(Z), model.predict(Z))


def test_what_is_missing_is_said_before_anything_is_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = imitated_cupy.install(monkeypatch, cupy=False)
    with pytest.raises(DeviceError, match=r"without CuPy.*pip install 'ntkfast\[cuda13\]'"):
        NTKRegressor(NET, device="cuda").fit(X, Y)
    assert not state.calls


def test_errors_are_typed_and_the_next_fit_works(device: State) -> None:
    for alpha in (0.1, "loo"):
        model = NTKRegressor(NET, alpha=alpha, device="cuda")
        device.free = 100
        with pytest.raises(MemoryBudgetError, match=r"n = 40: .* needed on cuda:0, 100 bytes|free"):
            model.fit(X, Y)
        device.free = 1 << 40
        device.fail = imitated_cupy.OutOfMemoryError("Out of memory allocating 1 byte")
        with pytest.raises(MemoryBudgetError, match="on cuda:0: Out of memory allocating"):
            model.fit(X, Y)
        device.fail = None
        model.fit(X, Y)
        device.fail = RuntimeError("an illegal memory access was encountered")
        with pytest.raises(DeviceError, match="prediction on cuda:0 failed: an illegal memory"):
            model.predict(Z)
        device.fail = None
        model.predict(Z)
    with pytest.raises(SingularKernelError, match="alpha is too small"):
        NTKRegressor(NET, alpha=0.0, device="cuda").fit(np.ones((5, 2)), np.arange(5.0))


def test_an_unknown_device_is_refused_by_every_estimator() -> None:
    for model in (NTKRegressor(device="gpu"), NNGPRegressor(device="gpu")):
        with pytest.raises(ValueError, match='device must be "auto", "cpu"'):
            model.fit(X, Y)
    with pytest.raises(ValueError, match='device must be "auto", "cpu"'):
        NTKClassifier(device="gpu").fit(X, Y > 0)
