"""What a layer of finite width does: forwards, and the products with its derivatives.

Values have shape (n, units), signals, which are derivatives of outputs by a value, (n, outputs,
units). `pull` takes a signal by the operation's value to signals by its inputs, `push` takes
directions of the inputs (None: zero) to that of the value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._threads import resolve_threads
from ..config import config
from ..layers import Activation, Dense
from ._parameters import DenseParameters

__all__ = [
    "Affine",
    "Concatenation",
    "Normalization",
    "Operation",
    "Pointwise",
    "Product",
    "Sum",
    "large_array",
]

Array = NDArray[Any]
Values = tuple[Array, ...]
Directions = tuple["Array | None", ...]


class Operation:
    """Base of the operations."""

    def value(self, inputs: Values, own: DenseParameters | None) -> Array:
        """Return the value, shape (n, units)."""
        raise NotImplementedError

    def pull(
        self, inputs: Values, value: Array, own: DenseParameters | None, signal: Array
    ) -> Values:
        """Return the signals by the inputs."""
        raise NotImplementedError

    def push(
        self, inputs: Values, value: Array, own: DenseParameters | None, directions: Directions
    ) -> Array | None:
        """Return the direction of the value."""
        raise NotImplementedError


@dataclass(frozen=True)
class Affine(Operation):
    """z = scale a W + bias_scale b."""

    scale: float
    bias_scale: float
    weight_std: float
    bias_std: float | None
    trainable: bool

    @staticmethod
    def of(layer: Dense, units_before: int) -> Affine:
        """Return the operation of a layer.

        Parameters are drawn from N(0, weight_std^2) and N(0, bias_std^2). In NTK parameterization
        these are 1 and the scales carry W_std / sqrt(units) and b_std, in
        standard parameterization it is the other way round.
        """
        W_std = math.sqrt(units_before) if isinstance(layer.W_std, str) else layer.W_std
        weight = W_std / math.sqrt(units_before / layer.s[0])
        bias, has_bias = layer.b_std or 0.0, layer.b_std is not None
        if layer.parameterization == "standard":
            return Affine(1.0, 1.0, weight, bias if has_bias else None, layer.trainable)
        return Affine(weight, bias, 1.0, 1.0 if has_bias else None, layer.trainable)

    def draw(self, shape: tuple[int, int], rng: np.random.Generator, dtype: Any) -> DenseParameters:
        """Return random parameters."""
        weights = rng.standard_normal(shape, dtype=dtype)
        weights *= dtype.type(self.weight_std)
        if self.bias_std is None:
            return DenseParameters(weights, None)
        bias = rng.standard_normal(shape[1], dtype=dtype)
        return DenseParameters(weights, dtype.type(self.bias_std) * bias)

    def value(self, inputs: Values, own: DenseParameters | None) -> Array:
        assert own is not None
        z = _product(inputs[0], own.weights, self.scale)
        if own.bias is not None:
            z += z.dtype.type(self.bias_scale) * own.bias
        return z

    def pull(
        self, inputs: Values, value: Array, own: DenseParameters | None, signal: Array
    ) -> Values:
        assert own is not None
        n, outputs, units = signal.shape
        rows = signal.reshape(n * outputs, units)
        back = _product(rows, own.weights, self.scale, transposed=True)
        return (back.reshape(n, outputs, len(own.weights)),)

    def push(
        self, inputs: Values, value: Array, own: DenseParameters | None, directions: Directions
    ) -> Array | None:
        assert own is not None
        direction = directions[0]
        return None if direction is None else _product(direction, own.weights, self.scale)

    def gradient(self, a: Array, signal: Array, own: DenseParameters) -> DenseParameters:
        """Return the derivative by the parameters of the sum over samples; signal (n, units)."""
        weights = a.T @ signal
        weights *= weights.dtype.type(self.scale)
        bias = None if own.bias is None else weights.dtype.type(self.bias_scale) * signal.sum(0)
        return DenseParameters(weights, bias)

    def moved(self, a: Array, direction: DenseParameters) -> Array:
        """Return the direction of the value when the parameters move, shape (n, units)."""
        return self.value((a,), direction)

    def squares(self, own: DenseParameters) -> tuple[float, float]:
        """Return (w, b): <dz_u/dparameters, dz'_u/dparameters> = w <a, a'> + b for all units u."""
        return self.scale**2, 0.0 if own.bias is None else self.bias_scale**2


@dataclass(frozen=True)
class Pointwise(Operation):
    """An activation."""

    phi: Activation

    def value(self, inputs: Values, own: DenseParameters | None) -> Array:
        return self.phi.phi(inputs[0])

    def pull(
        self, inputs: Values, value: Array, own: DenseParameters | None, signal: Array
    ) -> Values:
        slope = self.phi.slope(inputs[0])[:, None, :]
        pulled = large_array(signal.shape, np.result_type(signal, slope))
        return (np.multiply(signal, slope, out=pulled),)

    def push(
        self, inputs: Values, value: Array, own: DenseParameters | None, directions: Directions
    ) -> Array | None:
        direction = directions[0]
        return None if direction is None else direction * self.phi.slope(inputs[0])


@dataclass(frozen=True)
class Normalization(Operation):
    """LayerNorm: y = (z - mean) / root with root^2 = variance + eps."""

    eps: float

    def _root(self, z: Array) -> Array:
        return np.asarray(np.sqrt(z.var(1, keepdims=True) + z.dtype.type(self.eps)))

    def value(self, inputs: Values, own: DenseParameters | None) -> Array:
        z = inputs[0]
        root = self._root(z)
        return _divided(z - z.mean(1, keepdims=True), root)

    def _derivative(self, y: Array, root: Array, moved: Array) -> Array:
        """Return the derivative, a symmetric matrix per sample, times the last axis of `moved`."""
        along = (moved * y).mean(-1, keepdims=True)
        change = moved - moved.mean(-1, keepdims=True) - along * y
        return _divided(change, root)

    def pull(
        self, inputs: Values, value: Array, own: DenseParameters | None, signal: Array
    ) -> Values:
        return (self._derivative(value[:, None], self._root(inputs[0])[:, None], signal),)

    def push(
        self, inputs: Values, value: Array, own: DenseParameters | None, directions: Directions
    ) -> Array | None:
        direction = directions[0]
        if direction is None:
            return None
        return self._derivative(value, self._root(inputs[0]), direction)


class Sum(Operation):
    """FanInSum."""

    def value(self, inputs: Values, own: DenseParameters | None) -> Array:
        total = inputs[0]
        for value in inputs[1:]:
            total = total + value
        return total

    def pull(
        self, inputs: Values, value: Array, own: DenseParameters | None, signal: Array
    ) -> Values:
        return (signal,) * len(inputs)

    def push(
        self, inputs: Values, value: Array, own: DenseParameters | None, directions: Directions
    ) -> Array | None:
        return _added([d for d in directions if d is not None])


class Product(Operation):
    """FanInProd."""

    def value(self, inputs: Values, own: DenseParameters | None) -> Array:
        return _multiplied(inputs)

    def pull(
        self, inputs: Values, value: Array, own: DenseParameters | None, signal: Array
    ) -> Values:
        if len(inputs) == 1:
            return (signal,)
        return tuple(
            signal * _multiplied(inputs[:i] + inputs[i + 1 :])[:, None] for i in range(len(inputs))
        )

    def push(
        self, inputs: Values, value: Array, own: DenseParameters | None, directions: Directions
    ) -> Array | None:
        return _added(
            [
                _multiplied((*inputs[:i], direction, *inputs[i + 1 :]))
                for i, direction in enumerate(directions)
                if direction is not None
            ]
        )


class Concatenation(Operation):
    """FanInConcat."""

    def value(self, inputs: Values, own: DenseParameters | None) -> Array:
        return np.concatenate(inputs, axis=1)

    def pull(
        self, inputs: Values, value: Array, own: DenseParameters | None, signal: Array
    ) -> Values:
        ends = np.cumsum([value.shape[1] for value in inputs])[:-1]
        return tuple(np.split(signal, ends, axis=2))

    def push(
        self, inputs: Values, value: Array, own: DenseParameters | None, directions: Directions
    ) -> Array | None:
        if all(direction is None for direction in directions):
            return None
        parts = [
            np.zeros_like(value) if direction is None else direction
            for value, direction in zip(inputs, directions, strict=True)
        ]
        return np.concatenate(parts, axis=1)


def _product(a: Array, b: Array, scale: float, *, transposed: bool = False) -> Array:
    """Return ``scale * a @ b``, or ``b.T``, by the core's threads."""
    dtype = np.result_type(a, b)
    a, b = (np.ascontiguousarray(each, dtype) for each in (a, b))
    return _core.product(a, b, transposed, scale, resolve_threads(), config.reuse_memory)


def large_array(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return memory, perhaps that of an array that was dropped: new pages cost a pass each."""
    return _core.large_array(shape, dtype == np.float32, config.reuse_memory)


def _divided(z: Array, root: Array) -> Array:
    """Return z / root, and 0 where root is 0: a sample of equal units without eps."""
    return np.asarray(np.divide(z, root, out=np.zeros_like(z), where=root > 0))


def _added(terms: list[Array]) -> Array | None:
    if not terms:
        return None
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _multiplied(factors: Values) -> Array:
    product = factors[0]
    for factor in factors[1:]:
        product = product * factor
    return product
