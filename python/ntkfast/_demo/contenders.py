"""The methods of the contest: two kernels of infinite width, and what people use today."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ntkfast._demo.tables import Table
from ntkfast._estimators.networks import default_network
from ntkfast.layers import Activation

__all__ = ["OURS", "Contender", "contenders"]

#: Names of this library's methods.
OURS = ("NTK", "NNGP")


@dataclass(frozen=True)
class Contender:
    """A method: its name, one line on what it is, and how to make a fresh estimator."""

    name: str
    what: str
    make: Callable[[], Any]


def contenders(table: Table, *, seed: int, threads: int, quick: bool) -> list[Contender]:
    """Return the methods for this table, this library's first.

    Parameters
    ----------
    table
        Decides between classifiers and regressors.
    seed
        Seed of the methods that draw random numbers.
    threads
        Cores for the methods that take a number; the others follow the BLAS and joblib settings.
    quick
        Smaller grids, fewer trees and epochs.
    """
    trees, epochs = (100, 60) if quick else (200, 200)
    gammas = [factor / table.X.shape[1] for factor in ((0.5, 2.0) if quick else (0.25, 1.0, 4.0))]
    make = _classifiers if table.task == "classification" else _regressors
    return make(table, gammas, trees, epochs, seed, threads)


def _pipeline(table: Table, estimator: Any) -> Any:
    """Scale columns inside each split, so that test rows never leak into the scaling."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return estimator if table.pixels else make_pipeline(StandardScaler(), estimator)


def _classifiers(
    table: Table, gammas: list[float], trees: int, epochs: int, seed: int, threads: int
) -> list[Contender]:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC

    from ntkfast.sklearn import NTKClassifier

    svm_grid = {"C": [1.0, 10.0, 100.0], "gamma": gammas}
    linear_grid = {"C": [0.01, 0.1, 1.0, 10.0]}
    recipes: list[tuple[str, str, Callable[[], Any]]] = [
        (
            "NTK",
            f"infinitely wide ReLU network, {_hidden_layers()} hidden layers, all trained",
            NTKClassifier,
        ),
        (
            "NNGP",
            "the same network, readout trained only",
            lambda: NTKClassifier(kind="nngp"),
        ),
        (
            "RBF-SVM",
            f"grid of {3 * len(gammas)} by 3-fold CV",
            lambda: GridSearchCV(SVC(), svm_grid, cv=3),
        ),
        (
            "random forest",
            f"{trees} trees",
            lambda: RandomForestClassifier(trees, n_jobs=threads, random_state=seed),
        ),
        (
            "logistic",
            "linear, C by 3-fold CV",
            lambda: GridSearchCV(LogisticRegression(max_iter=1000), linear_grid, cv=3),
        ),
        (
            "finite MLP",
            f"128-128 ReLU network, Adam, up to {epochs} epochs",
            lambda: MLPClassifier((128, 128), max_iter=epochs, random_state=seed),
        ),
    ]
    return [_contender(table, *recipe) for recipe in recipes]


def _regressors(
    table: Table, gammas: list[float], trees: int, epochs: int, seed: int, threads: int
) -> list[Contender]:
    import numpy as np
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import GridSearchCV
    from sklearn.neural_network import MLPRegressor
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVR

    from ntkfast.sklearn import NNGPRegressor, NTKRegressor

    def scaled(regressor: Any) -> Any:
        return TransformedTargetRegressor(regressor, transformer=StandardScaler())

    svm_grid = {"C": [0.1, 1.0, 10.0], "gamma": gammas}
    recipes: list[tuple[str, str, Callable[[], Any]]] = [
        (
            "NTK",
            f"infinitely wide ReLU network, {_hidden_layers()} hidden layers, all trained",
            NTKRegressor,
        ),
        (
            "NNGP",
            "the same network as a Gaussian process",
            NNGPRegressor,
        ),
        (
            "RBF-SVM",
            f"grid of {3 * len(gammas)} by 3-fold CV",
            lambda: scaled(GridSearchCV(SVR(), svm_grid, cv=3)),
        ),
        (
            "random forest",
            f"{trees} trees",
            lambda: RandomForestRegressor(trees, n_jobs=threads, random_state=seed),
        ),
        (
            "ridge",
            "linear, penalty by leave-one-out",
            lambda: RidgeCV(np.logspace(-3, 4, 15)),
        ),
        (
            "finite MLP",
            f"128-128 ReLU network, Adam, early stopping, up to {epochs} epochs",
            lambda: scaled(
                MLPRegressor(
                    hidden_layer_sizes=(128, 128),
                    max_iter=epochs,
                    early_stopping=True,
                    random_state=seed,
                )
            ),
        ),
    ]
    return [_contender(table, *recipe) for recipe in recipes]


def _hidden_layers() -> int:
    return sum(isinstance(layer, Activation) for layer in default_network().layers)


def _contender(table: Table, name: str, what: str, make: Callable[[], Any]) -> Contender:
    return Contender(name, what, lambda: _pipeline(table, make()))
