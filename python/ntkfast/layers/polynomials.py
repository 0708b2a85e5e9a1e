"""Polynomial activations, whose kernels are finite Hermite series."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._validate import finite_number, got, whole_number
from .base import Activation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._core import Builder

__all__ = ["Hermite", "Monomial", "Polynomial"]

_MAX_DEGREE = 32  # kMaxHermiteDegree in hermite_rows.hpp
_POWERS, _HERMITE = 0.0, 1.0  # the variance of the basis that the core takes coefficients in


def _flat_at_zero(phi: Activation) -> ValueError:
    return ValueError(
        f"{phi!r} has no critical W_std: its slope is 0 at 0 and unbounded, small signals die "
        " and large ones explode"
    )


@dataclass(frozen=True, repr=False)
class Monomial(Activation):
    """phi(x) = x**degree.

    Parameters
    ----------
    degree : int
        0 to 32. The variance grows as its power, ``q' = q**degree (2 degree - 1)!!``, and errors of
        a correlation near 1 grow by up to this factor.

    Examples
    --------
    >>> from ntkfast import Monomial
    >>> Monomial(3)
    Monomial(degree=3)
    """

    degree: int

    def __post_init__(self) -> None:
        degree = whole_number("Monomial(degree=...)", self.degree, minimum=0, maximum=_MAX_DEGREE)
        object.__setattr__(self, "degree", degree)

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        coefficients = (*[0.0] * self.degree, 1.0)
        return builder.hermite_series(value, "Monomial", _POWERS, coefficients)

    def phi(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.asarray(x**self.degree)

    def slope(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        if self.degree == 0:
            return np.zeros_like(x)
        return np.asarray(self.degree * x ** (self.degree - 1))

    def _mean_squared_slope(self) -> float:
        if self.degree > 1:
            raise _flat_at_zero(self)
        return float(self.degree)


@dataclass(frozen=True, repr=False)
class Polynomial(Activation):
    """phi(x) = coef[0] + coef[1] x + coef[2] x**2 + ...

    Parameters
    ----------
    coef : sequence of float
        Coefficients, lowest power first: at least one, at most 33. Kept as a tuple.

    Raises
    ------
    TypeError, ValueError
        If coef is no sequence of numbers, is empty or too long, or a coefficient is not finite.

    Examples
    --------
    >>> from ntkfast import Polynomial
    >>> Polynomial([0.1, 0.5, 0.2])
    Polynomial(coef=(0.1, 0.5, 0.2))
    """

    coef: tuple[float, ...]

    def __post_init__(self) -> None:
        expected = f"a sequence of 1 to {_MAX_DEGREE + 1} finite numbers, lowest power first"
        if isinstance(self.coef, (str, bytes)) or not isinstance(self.coef, Iterable):
            raise TypeError(f"Polynomial(coef=...) must be {expected}, {got(self.coef)}")
        coef = tuple(
            finite_number(f"Polynomial(coef=...): coefficient {k}", c)
            for k, c in enumerate(self.coef)
        )
        if not 1 <= len(coef) <= _MAX_DEGREE + 1:
            raise ValueError(f"Polynomial(coef=...) must be {expected}, got {len(coef)} of them")
        object.__setattr__(self, "coef", coef)

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        return builder.hermite_series(value, "Polynomial", _POWERS, self.coef)

    def phi(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.asarray(np.polynomial.polynomial.polyval(x, self.coef), dtype=x.dtype)

    def slope(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        slopes = np.polynomial.polynomial.polyder(self.coef)
        return np.asarray(np.polynomial.polynomial.polyval(x, slopes), dtype=x.dtype)

    def _mean_squared_slope(self) -> float:
        slopes = self.coef[1:]
        if any(slopes) and slopes[0] == 0:
            raise _flat_at_zero(self)
        return slopes[0] ** 2 if slopes else 0.0


@dataclass(frozen=True, repr=False)
class Hermite(Activation):
    """phi(x) = He_n(x) / sqrt(n!), the orthonormal Hermite polynomial of probability theory.

    At unit variance, ``K = 1``, the kernel is ``K' = rho**degree``; other variances are allowed.

    Parameters
    ----------
    degree : int
        0 to 32. Errors of a correlation near 1 grow by up to this factor.

    Examples
    --------
    >>> from ntkfast import Hermite
    >>> Hermite(2)
    Hermite(degree=2)
    """

    degree: int

    def __post_init__(self) -> None:
        degree = whole_number("Hermite(degree=...)", self.degree, minimum=0, maximum=_MAX_DEGREE)
        object.__setattr__(self, "degree", degree)

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        coefficients = (*[0.0] * self.degree, 1.0)
        return builder.hermite_series(value, "Hermite", _HERMITE, coefficients)

    def phi(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        size = math.sqrt(math.factorial(self.degree))
        one = (*[0.0] * self.degree, 1 / size)
        return np.asarray(np.polynomial.hermite_e.hermeval(x, one), dtype=x.dtype)

    def slope(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        if self.degree == 0:
            return np.zeros_like(x)
        return np.asarray(math.sqrt(self.degree) * Hermite(self.degree - 1).phi(x))

    def _mean_squared_slope(self) -> float:
        if self.degree % 2 == 0 and self.degree > 0:
            raise _flat_at_zero(self)
        # phi'(0) = sqrt(n) h_(n-1)(0), and h_k(0)**2 = (k - 1)!! / k!! for even k.
        n = self.degree
        return n * math.prod((k - 1) / k for k in range(2, n, 2))
