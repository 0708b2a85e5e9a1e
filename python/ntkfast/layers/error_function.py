"""Activations made of the error function."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .base import Activation

if TYPE_CHECKING:
    from .._core import Builder

__all__ = ["Erf", "Gelu", "Sigmoid_like"]

#: sigmoid(x) is near (erf(x / this) + 1) / 2.
_SIGMOID_WIDTH = 2.4020563531719796


def _special() -> Any:
    """Import SciPy's special functions on first use: it takes longer than all of this package."""
    return import_module("scipy.special")


@dataclass(frozen=True, repr=False)
class Erf(Activation):
    """phi(x) = a erf(b x) + c (Williams 1997).

    Parameters
    ----------
    a, b : float, default 1.0
        Height and steepness, any finite numbers.
    c : float, default 0.0
        Offset.

    Examples
    --------
    >>> from ntkfast import Erf
    >>> Erf(b=2.0)
    Erf(b=2.0)
    """

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        return builder.activation(value, "Erf", (self.a, self.b, self.c))

    def phi(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.asarray(self.a * _special().erf(self.b * x) + self.c)

    def slope(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        height = 2 * self.a * self.b / math.sqrt(math.pi)
        return np.asarray(height * np.exp(-((self.b * x) ** 2)))

    def _mean_squared_slope(self) -> float:
        return 4 / math.pi * (self.a * self.b) ** 2  # phi'(0)**2: the largest, at small signals


@dataclass(frozen=True, repr=False)
class Sigmoid_like(Activation):  # noqa: N801 - its name in the file format
    """phi(x) = (erf(x / 2.4020563531719796) + 1) / 2, which is near the logistic function.

    Examples
    --------
    >>> from ntkfast import Sigmoid_like
    >>> Sigmoid_like()
    Sigmoid_like()
    """

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        return builder.activation(value, "Erf", (0.5, 1 / _SIGMOID_WIDTH, 0.5))

    def phi(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.asarray((_special().erf(x / _SIGMOID_WIDTH) + 1) / 2)

    def slope(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        height = 1 / (_SIGMOID_WIDTH * math.sqrt(math.pi))
        return np.asarray(height * np.exp(-((x / _SIGMOID_WIDTH) ** 2)))

    def _mean_squared_slope(self) -> float:
        return 1 / (math.pi * _SIGMOID_WIDTH**2)  # phi'(0)**2: the largest, at small signals


@dataclass(frozen=True, repr=False)
class Gelu(Activation):
    """phi(x) = x Phi(x), Phi the normal distribution function: the exact one, not its tanh form.

    Its kernel is that of Tsuchida et al. (2021), in a form that keeps its digits for rows of any
    norm.

    Examples
    --------
    >>> from ntkfast import Gelu
    >>> Gelu().critical_W_std
    2.0
    """

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        return builder.activation(value, "Gelu", ())

    def phi(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.asarray(x * _special().ndtr(x))

    def slope(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
        return np.asarray(_special().ndtr(x) + x * density)

    def _mean_squared_slope(self) -> float:
        return 0.25  # phi'(0)**2: that of small signals
