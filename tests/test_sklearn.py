"""The estimators keep scikit-learn's contract and refuse what they cannot fit."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import ntkfast as nk
from ntkfast.errors import SingularKernelError
from ntkfast.sklearn import NNGPRegressor, NTKClassifier, NTKRegressor
from tables import (
    ESTIMATORS,
    NET,
    classification,
    outputs,
    problem,
    regression,
)

# --- scikit-learn's contract


@parametrize_with_checks(
    [
        NTKRegressor(),
        NTKClassifier(),
        NNGPRegressor(),
        NTKRegressor(NET, alpha=0.1, kind="nngp", center=False),
        NTKClassifier(NET, alpha=0.1, kind="nngp", center=False),
        NNGPRegressor([NET, nk.mlp(1)], alpha=0.1, output_scale="std"),
    ]
)
def test_scikit_learn_conventions(estimator: Any, check: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # some checks warn on purpose
        check(estimator)


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("net", [None, NET, "auto", [NET, nk.mlp(1, b_std=1.0)]])
def test_constructor_arguments_stay_as_given(kind: Any, net: Any) -> None:
    X, y = problem(kind)
    model = kind(net=net, alpha="loo")
    before = model.get_params()
    model.fit(X[:30], y[:30])
    assert all(model.get_params()[name] is value for name, value in before.items())
    assert isinstance(model.net_, nk.Network)
    assert clone(model).get_params().keys() == before.keys()


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("copier", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_predict_the_same(kind: Any, copier: Any) -> None:
    X, y = problem(kind)
    model = kind().fit(X, y)
    np.testing.assert_array_equal(outputs(copier(model), X), outputs(model, X))


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_grid_search_over_networks_and_ridges(kind: Any) -> None:
    X, y = problem(kind)
    grid = {"net": [NET, nk.mlp(1, b_std=1.0)], "alpha": [1e-3, 0.1, "loo"]}
    search = GridSearchCV(make_pipeline(StandardScaler(), kind()), _prefixed(grid, kind), cv=3)
    assert search.fit(X, y).best_score_ > 0.5
    assert search.best_estimator_[-1].net_ in grid["net"]


def _prefixed(grid: dict[str, Any], kind: Any) -> dict[str, Any]:
    return {f"{kind.__name__.lower()}__{name}": values for name, values in grid.items()}


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_feature_names_are_kept_and_checked(kind: Any) -> None:
    X, y = problem(kind)
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
    model = kind(alpha=0.1).fit(frame, y)
    assert list(model.feature_names_in_) == list(frame.columns)
    np.testing.assert_array_equal(outputs(model, frame), outputs(kind(alpha=0.1).fit(X, y), X))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[frame.columns[::-1]])


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_memory_layout_and_later_changes_of_the_data_do_not_matter(kind: Any) -> None:
    X, y = problem(kind)
    expected = outputs(kind(alpha=0.1).fit(X, y), X)
    frozen = np.asfortranarray(X)
    frozen.flags.writeable = False
    np.testing.assert_allclose(outputs(kind(alpha=0.1).fit(frozen, y), frozen), expected, rtol=1e-9)
    mine = X.copy()
    model = kind(alpha=0.1).fit(mine, y)
    mine[:] = 0.0
    np.testing.assert_array_equal(outputs(model, X), expected)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_batches_do_not_change_predictions(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = problem(kind)
    model = kind(alpha=0.1).fit(X, y)
    expected = outputs(model, X)
    monkeypatch.setattr("ntkfast._estimators.base._BATCH_ENTRIES", 7 * len(X) + 3)
    np.testing.assert_allclose(outputs(model, X), expected, rtol=1e-9, atol=1e-9)


# --- bad arguments


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"alpha": -1.0}, ValueError, "alpha must be finite and not negative"),
        ({"alpha": np.nan}, ValueError, "alpha must be finite and not negative"),
        ({"alpha": "best"}, ValueError, 'alpha must be numbers or "loo"'),
        ({"alpha": None}, ValueError, 'alpha must be numbers or "loo"'),
        ({"alpha": [0.1, 0.2]}, ValueError, "alpha must be a number or have one entry per sample"),
        ({"alpha": 1j}, TypeError, "alpha must hold real numbers"),
        ({"alphas": [-1.0]}, ValueError, "alphas must be finite and not negative"),
        ({"alphas": []}, ValueError, "alphas must be finite and not negative"),
        ({"net": "car"}, TypeError, 'net must be a Network, None for the default, "auto"'),
        ({"net": []}, TypeError, "net must be a Network"),
        ({"net": 3}, TypeError, "net must be a Network"),
        ({"net": [NET, None]}, TypeError, "net must be a Network"),
    ],
)
def test_bad_arguments_are_refused(kind: Any, arguments: Any, error: Any, message: str) -> None:
    X, y = problem(kind)
    with pytest.raises(error, match=message):
        kind(**arguments).fit(X, y)


@pytest.mark.parametrize("kind", [NTKRegressor, NTKClassifier])
def test_an_unknown_kernel_is_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match='kind must be "ntk" or "nngp"'):
        kind(kind="rbf").fit(*problem(kind))


@pytest.mark.parametrize(("kind", "bad"), [(NTKRegressor, "loo"), (NNGPRegressor, "best")])
@pytest.mark.parametrize("number", [None, 0.0, -1.0, np.inf, True])
def test_a_bad_output_scale_is_refused(kind: Any, bad: str, number: Any) -> None:
    for value in (bad, number):
        with pytest.raises(ValueError, match="output_scale must be a positive number or"):
            kind(output_scale=value).fit(*regression())


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_bad_weights_are_refused(kind: Any) -> None:
    X, y = problem(kind)
    with pytest.raises(ValueError, match="at least one"):
        kind().fit(X, y, np.zeros(len(X)))
    with pytest.raises(ValueError, match="must not be negative"):
        kind().fit(X, y, -np.ones(len(X)))


def test_one_class_is_refused() -> None:
    X, y = classification(2)
    with pytest.raises(ValueError, match="one class"):
        NTKClassifier().fit(X, np.zeros(len(X), int))
    with pytest.raises(ValueError, match="one class"):
        NTKClassifier().fit(X, y, (y == "a").astype(float))


def test_one_sample_is_enough_for_a_given_ridge_only() -> None:
    with pytest.raises(ValueError, match="n_samples = 1"):
        NTKRegressor().fit([[1.0]], [2.0])
    assert NTKRegressor(alpha=0.1).fit([[1.0]], [2.0]).predict([[5.0]]) == pytest.approx(2.0)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_equal_rows_without_a_ridge_are_singular_and_say_what_helps(kind: Any) -> None:
    X, y = problem(kind)
    with pytest.raises(SingularKernelError, match=r"alpha is too small.*was tried and works"):
        kind(alpha=0.0).fit(np.r_[X, X], np.r_[y, y])


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_rows_of_zeros_without_a_bias_predict_the_mean(kind: Any) -> None:
    X, y = problem(kind)
    model = kind(nk.mlp(2)).fit(np.zeros_like(X), y)
    if kind is NTKClassifier:
        values, counts = np.unique(y, return_counts=True)
        assert (model.predict(np.zeros_like(X)) == values[counts.argmax()]).all()
    else:
        np.testing.assert_allclose(model.predict(np.zeros_like(X)), y.mean())


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_an_unfitted_estimator_says_so(kind: Any) -> None:
    with pytest.raises(NotFittedError):
        kind().predict([[1.0]])
