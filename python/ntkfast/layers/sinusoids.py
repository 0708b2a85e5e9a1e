"""Activations that oscillate: sine, cosine and the random Fourier feature."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._validate import finite_number
from .base import Activation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._core import Builder

__all__ = ["Cos", "Rbf", "Sin"]


@dataclass(frozen=True, repr=False)
class Sin(Activation):
    """phi(x) = a sin(b x + c) (Rahimi and Recht 2007; Pearce et al. 2020).

    Parameters
    ----------
    a, b : float, default 1.0
        Height and frequency, any finite numbers.
    c : float, default 0.0
        Phase in radians.

    Examples
    --------
    >>> from ntkfast import Sin
    >>> Sin(b=2.0).critical_W_std
    0.5
    """

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        shares = (self.a * math.cos(self.c), self.a * math.sin(self.c))
        return builder.activation(value, "Sinusoid", (*shares, self.b))

    def phi(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.asarray(self.a * np.sin(self.b * x + self.c))

    def slope(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.asarray(self.a * self.b * np.cos(self.b * x + self.c))

    def _mean_squared_slope(self) -> float:
        return (self.a * self.b * math.cos(self.c)) ** 2


@dataclass(frozen=True, repr=False)
class Cos(Activation):
    """phi(x) = a cos(b x + c).

    Parameters
    ----------
    a, b : float, default 1.0
        Height and frequency, any finite numbers.
    c : float, default 0.0
        Phase in radians. Without one the function is even and flat at 0: it has no critical
        ``W_std``.

    Examples
    --------
    >>> from ntkfast import Cos
    >>> Cos(a=0.5)
    Cos(a=0.5)
    """

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        # Not a sine whose phase is pi / 2 larger: an even function has to stay exactly even.
        shares = (-self.a * math.sin(self.c), self.a * math.cos(self.c))
        return builder.activation(value, "Sinusoid", (*shares, self.b))

    def phi(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.asarray(self.a * np.cos(self.b * x + self.c))

    def slope(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.asarray(-self.a * self.b * np.sin(self.b * x + self.c))

    def _mean_squared_slope(self) -> float:
        return (self.a * self.b * math.sin(self.c)) ** 2


@dataclass(frozen=True, repr=False)
class Rbf(Activation):
    """phi(x) = sqrt(2) sin(sqrt(2 gamma) x + pi/4) (Rahimi and Recht 2007).

    Its NNGP kernel is the squared exponential ``exp(-gamma (q + q' - 2 K))``.

    Parameters
    ----------
    gamma : float, default 1.0
        Inverse squared length, >= 0.

    Raises
    ------
    ValueError
        If gamma is negative.

    Examples
    --------
    >>> import ntkfast as nk
    >>> net = nk.serial(nk.Dense(W_std=2**0.5), nk.Rbf(0.5))
    >>> round(float(net.nngp([[1.0, 0.0]], [[0.0, 1.0]])[0, 0]), 6)  # exp(-|x - z|^2 / 2)
    0.367879
    """

    gamma: float = 1.0

    def __post_init__(self) -> None:
        gamma = finite_number("Rbf(gamma=...)", self.gamma, minimum=0)
        object.__setattr__(self, "gamma", gamma)

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        return builder.activation(value, "Rbf", (self.gamma,))

    def phi(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.asarray(2**0.5 * np.sin((2 * self.gamma) ** 0.5 * x + math.pi / 4))

    def slope(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.asarray(2 * self.gamma**0.5 * np.cos((2 * self.gamma) ** 0.5 * x + math.pi / 4))

    def _mean_squared_slope(self) -> float:
        return 2 * self.gamma
