"""Piecewise linear activations: the identity, the arc-cosine family of order 1, clipped lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .base import Activation

if TYPE_CHECKING:
    from .._core import Builder

__all__ = ["ABRelu", "Abs", "Hardtanh", "Identity", "LeakyRelu", "Relu", "Relu6"]


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

    def slope(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.ones_like(x)

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

    def slope(self, x: NDArray[Any]) -> NDArray[Any]:
        a, b = self.slopes()
        if (a, b) == (0.0, 1.0):  # without branches: several times as fast as a choice
            return np.asarray((x > 0).astype(x.dtype))
        return np.asarray(np.where(x > 0, x.dtype.type(b), x.dtype.type(a)))

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


class _Clipped(Activation):
    """phi(x) = min(max(x, low), high), low <= 0 <= high."""

    def levels(self) -> tuple[float, float]:
        """Return (low, high)."""
        raise NotImplementedError(f"{type(self).__name__} has no levels")

    def lower(self, builder: Builder, value: int, width: int) -> int:
        return builder.activation(value, "Clip", self.levels())

    def phi(self, x: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(np.clip(x, *self.levels()))

    def slope(self, x: NDArray[Any]) -> NDArray[Any]:
        low, high = self.levels()
        return ((low < x) & (x <= high)).astype(x.dtype)

    def _mean_squared_slope(self) -> float:
        low, high = self.levels()
        return ((low < 0) + (high > 0)) / 2  # that of small signals


@dataclass(frozen=True, repr=False)
class Relu6(_Clipped):
    """phi(x) = min(max(x, 0), 6).

    Examples
    --------
    >>> from ntkfast import Relu6
    >>> Relu6().levels()
    (0.0, 6.0)
    """

    def levels(self) -> tuple[float, float]:  # noqa: D102
        return 0.0, 6.0


@dataclass(frozen=True, repr=False)
class Hardtanh(_Clipped):
    """phi(x) = min(max(x, min_val), max_val).

    Parameters
    ----------
    min_val, max_val : float, default -1.0 and 1.0
        Levels with ``min_val <= 0 <= max_val`` and ``min_val < max_val``.

    Raises
    ------
    ValueError
        If zero is not between the two, or they are equal.

    Examples
    --------
    >>> from ntkfast import Hardtanh
    >>> Hardtanh(max_val=2.0)
    Hardtanh(max_val=2.0)
    """

    min_val: float = -1.0
    max_val: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.min_val <= 0 <= self.max_val and self.min_val < self.max_val):
            raise ValueError(
                "Hardtanh(min_val=..., max_val=...) must have min_val <= 0 <= max_val and differ, "
                f"got {self.min_val} and {self.max_val}"
            )

    def levels(self) -> tuple[float, float]:  # noqa: D102
        return self.min_val, self.max_val
