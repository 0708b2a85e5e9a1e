"""Piecewise linear activations: the identity and the arc-cosine family of order 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .base import Activation

if TYPE_CHECKING:
    from .._core import Builder

__all__ = ["ABRelu", "Abs", "Identity", "LeakyRelu", "Relu"]


@dataclass(frozen=True, repr=False)
class Identity(Activation):
    """phi(x) = x: changes nothing, neither K nor T.

    Examples
    --------
    >>> from ntkfast import Identity
    >>> Identity()
    Identity()
    """

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        return value

    def phi(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return x

    def _mean_squared_slope(self) -> float:
        return 1.0


class _TwoSlopes(Activation):
    """phi(x) = a min(x, 0) + b max(x, 0): the arc-cosine family (Cho and Saul 2009)."""

    def slopes(self) -> tuple[float, float]:
        """Return (a, b), the slopes left and right of zero."""
        raise NotImplementedError(f"{type(self).__name__} has no slopes")

    def lower(self, builder: Builder, value: int, width: int) -> int:
        return builder.activation(value, "ABRelu", self.slopes())

    def phi(self, x: NDArray[Any]) -> NDArray[Any]:
        a, b = self.slopes()
        return np.asarray(a * np.minimum(x, 0) + b * np.maximum(x, 0))

    def _mean_squared_slope(self) -> float:
        a, b = self.slopes()
        return (a * a + b * b) / 2


@dataclass(frozen=True, repr=False)
class Relu(_TwoSlopes):
    """phi(x) = max(x, 0).

    Examples
    --------
    >>> from ntkfast import Relu
    >>> Relu().critical_W_std == 2**0.5
    True
    """

    def slopes(self) -> tuple[float, float]:  # noqa: D102
        return 0.0, 1.0


@dataclass(frozen=True, repr=False)
class LeakyRelu(_TwoSlopes):
    """phi(x) = alpha min(x, 0) + max(x, 0).

    Parameters
    ----------
    alpha : float, default 0.01
        Slope left of zero, any finite number.

    Examples
    --------
    >>> from ntkfast import LeakyRelu
    >>> LeakyRelu(0.2)
    LeakyRelu(alpha=0.2)
    """

    alpha: float = 0.01

    def slopes(self) -> tuple[float, float]:  # noqa: D102
        return self.alpha, 1.0


@dataclass(frozen=True, repr=False)
class Abs(_TwoSlopes):
    """phi(x) = |x|.

    Examples
    --------
    >>> from ntkfast import Abs
    >>> Abs().slopes()
    (-1.0, 1.0)
    """

    def slopes(self) -> tuple[float, float]:  # noqa: D102
        return -1.0, 1.0


@dataclass(frozen=True, repr=False)
class ABRelu(_TwoSlopes):
    """phi(x) = a min(x, 0) + b max(x, 0).

    Parameters
    ----------
    a, b : float
        Slopes left and right of zero, any finite numbers.

    Examples
    --------
    >>> from ntkfast import ABRelu
    >>> ABRelu(-0.3, 1.2)
    ABRelu(a=-0.3, b=1.2)
    """

    a: float
    b: float

    def slopes(self) -> tuple[float, float]:  # noqa: D102
        return self.a, self.b
