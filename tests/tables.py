"""Small tables for the tests of the estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_wine
from sklearn.preprocessing import scale

import ntkfast as nk
from ntkfast.sklearn import NNGPRegressor, NTKClassifier, NTKRegressor

Array = NDArray[np.float64]

NET = nk.mlp(2, "relu", b_std=0.5)
REGRESSORS = [NTKRegressor, NNGPRegressor]
ESTIMATORS = [*REGRESSORS, NTKClassifier]


def regression(n: int = 60, targets: int | None = None, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3))
    Y = np.column_stack([np.sin(2 * X[:, 0]), 30 * X[:, 1] * X[:, 2], 5 + X[:, 2]])
    Y += 0.1 * Y.std(0) * rng.standard_normal(Y.shape)
    return X, Y[:, 0] if targets is None else Y[:, :targets]


def classification(classes: int = 3, seed: int = 0) -> tuple[Array, NDArray[Any]]:
    X, y = load_wine(return_X_y=True)
    rng = np.random.default_rng(seed)
    keep = rng.permutation(np.flatnonzero(y < classes))[:90]
    X = scale(X[keep])[:, :6] + 0.8 * rng.standard_normal((len(keep), 6))
    return X, np.array(["a", "b", "c"])[y[keep]]


def problem(kind: Any) -> tuple[Array, NDArray[Any]]:
    return classification() if kind is NTKClassifier else regression()


def outputs(model: Any, X: Any) -> Array:
    """Return all that a fitted model says about X."""
    if hasattr(model, "predict_proba"):
        return np.column_stack([model.decision_function(X), model.predict_proba(X)])
    return np.column_stack(model.predict(X, return_std=True))
