"""Activations made of exponentials: exp, Gaussian, Gabor, and the normalised exponential kernel."""

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

__all__ = ["Exp", "ExpNormalized", "Gabor", "Gaussian"]


@dataclass(frozen=True, repr=False)
class Exp(Activation):
    """phi(x) = a exp(b x).

    Its kernel grows like ``exp(2 b**2 q)``: inputs far from 0 raise `KernelOverflowError`.

    Parameters
    ----------
    a, b : float, default 1.0
        Height and rate, any finite numbers.

    Examples
    --------
    >>> from ntkfast import Exp
    >>> Exp(0.6, 0.4)
    Exp(a=0.6, b=0.4)
    """

    a: float = 1.0
    b: float = 1.0

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        return builder.activation(value, "Exp", (self.a, self.b))

    def phi(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.asarray(self.a * np.exp(self.b * x))

    def slope(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.asarray(self.a * self.b * np.exp(self.b * x))

    def _mean_squared_slope(self) -> float:
        return (self.a * self.b) ** 2


@dataclass(frozen=True, repr=False)
class ExpNormalized(Activation):
    """The kernel ``K' = sqrt(q q') exp(gamma (rho + shift))`` (Shankar et al. 2020).

    It is not the dual of one function phi: there is no network of finite width to it. The NTK
    follows from ``T' = T dK'/dK``.

    Parameters
    ----------
    gamma : float, default 1.0
        Sharpness, >= 0.
    shift : float, default -1.0
        Added to the correlation; -1 keeps the diagonal.

    Raises
    ------
    ValueError
        If gamma is negative: the result would not be a kernel.

    Examples
    --------
    >>> import ntkfast as nk
    >>> net = nk.serial(nk.Dense(), nk.ExpNormalized(gamma=2.0))
    >>> round(float(net.nngp([[1.0, 1.0]], [[1.0, -1.0]])[0, 0]), 6)
    0.135335
    """

    gamma: float = 1.0
    shift: float = -1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        finite_number("ExpNormalized(gamma=...)", self.gamma, minimum=0)

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        return builder.activation(value, "ExpNormalized", (self.gamma, self.shift))

    def _mean_squared_slope(self) -> float:
        return math.exp(self.gamma * (1 + self.shift))  # the growth of q: there is no phi


@dataclass(frozen=True, repr=False)
class Gaussian(Activation):
    """phi(x) = a exp(b x**2) (Williams 1997).

    The function is even and flat at 0: it has no critical ``W_std``.

    Parameters
    ----------
    a : float, default 1.0
        Height, any finite number.
    b : float, default -1.0
        Any finite number. With ``b > 0`` the variance of phi is finite for ``q < 1 / (4 b)`` only;
        inputs beyond raise `KernelOverflowError`.

    Examples
    --------
    >>> import ntkfast as nk
    >>> net = nk.serial(nk.Dense(), nk.Gaussian())
    >>> round(float(net.diag([[1.0]], kind="nngp")[0]), 6)  # 5**-0.5
    0.447214
    """

    a: float = 1.0
    b: float = -1.0

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        return builder.activation(value, "Gaussian", (self.a, self.b))

    def phi(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.asarray(self.a * np.exp(self.b * x**2))

    def slope(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.asarray(2 * self.a * self.b * x * np.exp(self.b * x**2))

    def _mean_squared_slope(self) -> float:
        return 0.0


@dataclass(frozen=True, repr=False)
class Gabor(Activation):
    """phi(x) = exp(-x**2) sin(x).

    Examples
    --------
    >>> from ntkfast import Gabor
    >>> Gabor().critical_W_std
    1.0
    """

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        return builder.activation(value, "Gabor", ())

    def phi(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.asarray(np.exp(-(x**2)) * np.sin(x))

    def slope(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.asarray(np.exp(-(x**2)) * (np.cos(x) - 2 * x * np.sin(x)))

    def _mean_squared_slope(self) -> float:
        return 1.0
