"""Trained infinitely wide networks: outputs at every time of training, in closed form.

The tangent kernel of an infinitely wide network does not change in training, so that its outputs
follow a linear equation under squared error (Jacot et al. 2018, Lee et al. 2019). `GradientFlow`
and `GradientDescent` decompose the kernel of the training rows once and then give mean and
covariance of all networks with random initial weights, or the path of one given function, at any
time and its end. `LossFlow` solves the equation of other losses numerically.

>>> import numpy as np
>>> import ntkfast as nk
>>> X = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
>>> y = np.array([1.0, -1.0, 0.5])
>>> net = nk.mlp(2, "relu", b_std=0.3)
>>> mean, cov = nk.predict.gradient_flow(net, X, y, [[0.5, 1.0]], t=[0, 10, np.inf], cov=True)
>>> mean.shape, cov.shape
((3, 1), (3, 1, 1))
"""

from __future__ import annotations

from typing import Any

from .dynamics import GradientDescent, GradientFlow
from .functions import gradient_descent, gradient_flow
from .learning_rate import max_learning_rate
from .loss_flow import LossFlow
from .training import Gaussian

__all__ = [
    "Gaussian",
    "GradientDescent",
    "GradientFlow",
    "LossFlow",
    "gradient_descent",
    "gradient_flow",
    "max_learning_rate",
]

_ARCHIVED = frozenset({"ODEState", "gp_inference", "gradient_descent_mse"})


def __getattr__(name: str) -> Any:
    hint = ""
    if name in _ARCHIVED or name == "gradient_descent_mse_ensemble":
        hint = f": neural_tangents.predict.{name} is ntkfast.stax.predict.{name} here"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
