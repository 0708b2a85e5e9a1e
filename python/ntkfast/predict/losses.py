"""Gradients of mean losses with respect to the outputs of a network.

A loss is its gradient here: ``gradient(f, y) -> array`` of the shape of f, where f and y are arrays
(n, outputs) and the loss is a mean, so that the gradient is divided by the number of terms.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import expit, softmax

from .._kernel_matrix import FloatArray
from .._validate import got, known

__all__ = ["LOSSES", "Gradient", "cross_entropy", "gradient_of", "logistic", "squared_error"]

Gradient = Callable[[FloatArray, FloatArray], FloatArray]


def squared_error(f: FloatArray, y: FloatArray) -> FloatArray:
    """Return the gradient of half the mean of ``(f - y)**2`` over all outputs."""
    return (f - y) / f.size


def cross_entropy(f: FloatArray, y: FloatArray) -> FloatArray:
    """Return the gradient of the mean over rows of ``-sum(y log(softmax(f)))``.

    Rows of y are probabilities, one-hot codes among them.
    """
    probabilities: FloatArray = softmax(f, axis=-1)
    gradient: FloatArray = (probabilities * y.sum(axis=-1, keepdims=True) - y) / len(f)
    return gradient


def logistic(f: FloatArray, y: FloatArray) -> FloatArray:
    """Return the gradient of the mean over all outputs of ``log(1 + exp(-y f))``, y = -1 or 1."""
    slopes: FloatArray = -y * expit(-y * f)
    return slopes / f.size


LOSSES: dict[str, Gradient] = {
    "cross_entropy": cross_entropy,
    "logistic": logistic,
    "squared_error": squared_error,
}


def gradient_of(loss: object) -> Gradient:
    """Return the gradient of a named loss, or the callable that was given."""
    if isinstance(loss, str) and loss in LOSSES:
        return LOSSES[loss]
    if not callable(loss):
        raise ValueError(
            f"loss must be one of {known(map(repr, LOSSES))}, or a function gradient(f, y) of "
            "arrays (n, outputs) that returns the gradient of a mean loss with respect to f, "
            f"{got(loss)}"
        )

    def checked(f: FloatArray, y: FloatArray) -> FloatArray:
        gradient = np.asarray(loss(f, y), dtype=np.float64)
        if gradient.shape != f.shape:
            raise ValueError(
                f"loss must return the gradient with respect to f, of shape {f.shape}, got shape "
                f"{gradient.shape}"
            )
        if not np.isfinite(gradient).all():
            raise ValueError("the gradient of the loss is not finite: NaN or infinity")
        return gradient

    return checked
