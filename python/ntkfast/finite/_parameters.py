"""The parameters of Dense layers, and small sums of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._validate import got, require_finite
from ..layers import Dense

__all__ = [
    "DenseParameters",
    "check_shapes",
    "flat",
    "locked",
    "read_parameters",
    "shape_of",
    "shifted",
    "zero_parameters",
]

Array = NDArray[Any]


class DenseParameters(NamedTuple):
    """Parameters of a Dense layer as they are trained.

    Attributes
    ----------
    weights : array, shape (units before, units)
    bias : array, shape (units,), or None
    """

    weights: Array
    bias: Array | None


def read_parameters(name: str, k: int, given: Any) -> DenseParameters:
    """Return checked parameters of one layer."""
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise TypeError(f"{name}[{k}] must be (weights, bias or None), {got(given)}")
    weights, bias = np.asarray(given[0]), None if given[1] is None else np.asarray(given[1])
    for array in (weights, bias):
        if array is not None and array.dtype.kind not in "fiu":
            raise TypeError(f"{name}[{k}] must hold real numbers, got dtype {array.dtype}")
        if array is not None:
            require_finite(f"{name}[{k}]", array)
    if weights.ndim != 2:
        raise ValueError(f"{name}[{k}]: weights must be 2-D, got shape {weights.shape}")
    return DenseParameters(weights, None if bias is None else bias.reshape(-1))


def shape_of(array: Array | None) -> tuple[int, ...] | None:
    """Return the shape; None where there is nothing."""
    return None if array is None else array.shape


def check_shapes(name: str, layer: Dense, own: DenseParameters, shape: tuple[int, int]) -> None:
    """Refuse parameters that are not those of a layer whose weights have a given shape."""
    bias = None if layer.b_std is None else (shape[1],)
    if own.weights.shape != shape or shape_of(own.bias) != bias:
        raise ValueError(
            f"{name} of {layer!r} must have weights of shape {shape} and a bias of shape {bias}, "
            f"got {own.weights.shape} and {shape_of(own.bias)}"
        )


def locked(own: DenseParameters) -> DenseParameters:
    """Return the parameters, which nobody can write to from here on."""
    for array in own:
        if array is not None:
            array.flags.writeable = False
    return own


def shifted(own: DenseParameters, direction: DenseParameters, step: float) -> DenseParameters:
    """Return own + step * direction."""
    weights = own.weights + own.weights.dtype.type(step) * direction.weights
    if own.bias is None:
        return DenseParameters(weights, None)
    return DenseParameters(weights, own.bias + own.bias.dtype.type(step) * direction.bias)


def zero_parameters(own: DenseParameters) -> DenseParameters:
    """Return zeros of the same shapes."""
    return DenseParameters(
        np.zeros_like(own.weights), None if own.bias is None else np.zeros_like(own.bias)
    )


def flat(parameters: Iterable[DenseParameters]) -> Array:
    """Return all numbers of several layers in one vector."""
    arrays = [array.ravel() for own in parameters for array in own if array is not None]
    return np.concatenate(arrays) if arrays else np.zeros(0)
