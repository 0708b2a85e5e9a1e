"""What all layers share: frozen values that know how to lower themselves to the core."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from .._validate import finite_number, got

if TYPE_CHECKING:
    from .._core import Builder

__all__ = ["Activation", "Layer", "flatten"]


@dataclass(frozen=True, repr=False)
class Layer:
    """Base of all layers: immutable, compared and hashed by value."""

    def __post_init__(self) -> None:
        for spec in fields(self):
            if spec.type == "float":
                name = f"{type(self).__name__}({spec.name}=...)"
                object.__setattr__(self, spec.name, finite_number(name, getattr(self, spec.name)))

    def __repr__(self) -> str:
        pairs = ((spec, getattr(self, spec.name)) for spec in fields(self))
        shown = (f"{spec.name}={value!r}" for spec, value in pairs if value != spec.default)
        return f"{type(self).__name__}({', '.join(shown)})"

    def lower(self, builder: Builder, value: int, width: int) -> int:
        """Append this layer to the program and return the number of its result.

        ``width`` is the number of columns of the data; only ``W_std="sqrt_dim"`` reads it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how to lower itself")


@dataclass(frozen=True, repr=False)
class Activation(Layer):
    """Base of the pointwise functions phi."""

    def phi(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return phi of every entry, as a network of finite width applies it.

        Parameters
        ----------
        x : array of float32 or float64, any shape

        Returns
        -------
        array
            Same shape and dtype.

        Raises
        ------
        NotImplementedError
            If there is a kernel, but no function that it is the kernel of.
        """
        raise NotImplementedError(f"{type(self).__name__} is a kernel without a function phi")

    def slope(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the derivative of phi at every entry, at a kink the one from the left.

        Parameters
        ----------
        x : array of float32 or float64, any shape

        Returns
        -------
        array
            Same shape and dtype.

        Raises
        ------
        NotImplementedError
            If the derivative is not known.
        """
        raise NotImplementedError(f"{type(self).__name__} has no derivative that is known")

    @property
    def critical_W_std(self) -> float:
        """The ``W_std`` for which, without bias, signals neither die nor explode with depth.

        It solves ``W_std**2 E[phi'(u)**2] = 1``, for small signals where that depends on u.

        Raises
        ------
        ValueError
            If there is none, because phi is constant, or flat for small signals.
        """
        gain = self._mean_squared_slope()
        if gain == 0:
            raise ValueError(
                f"{self!r} is constant, or flat for small signals, and has no critical W_std: "
                "give W_std"
            )
        return math.sqrt(1 / gain)

    def _mean_squared_slope(self) -> float:
        raise NotImplementedError(f"{type(self).__name__} has no critical W_std")


def flatten(layers: Iterable[object], taker: str = "serial") -> tuple[Layer, ...]:
    """Return the layers, with a network replaced by its own; errors name the function `taker`."""
    flat: list[Layer] = []
    for layer in layers:
        if isinstance(layer, Layer):
            flat.append(layer)
        elif isinstance(inner := getattr(layer, "layers", None), tuple):
            flat.extend(flatten(inner, taker))
        elif isinstance(layer, type) and issubclass(layer, Layer):
            raise TypeError(f"{taker}() takes layers, got the class: write {layer.__name__}(...)")
        elif isinstance(layer, (list, tuple)):
            raise TypeError(f"{taker}() takes layers, {got(layer)}: write {taker}(*layers)")
        else:
            raise TypeError(f"{taker}() takes layers, {got(layer)}")
    return tuple(flat)
