"""The arc-cosine family of any order: the sign, the step, and powers of the positive part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._validate import whole_number
from .base import Activation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._core import Builder

__all__ = ["RectifiedMonomial", "Sign"]

_MAX_DEGREE = 16  # of the polynomials in rectified_monomial.hpp


@dataclass(frozen=True, repr=False)
class Sign(Activation):
    """phi(x) = sign(x), with phi'(x) = 0 almost everywhere, so that its NTK is 0.

    The kernel is ``1 - 2 theta / pi`` (Cho and Saul 2009, order 0), whose slope at equal inputs is
    infinite: an error e of a correlation at distance delta from 1 moves it by
    ``2 e / (pi sqrt(2 delta))``, and deep networks tell near-duplicates apart that differ by less
    than a rounding. `Network.conditioning` counts phi' = 0 and does not show this.
    sign(0) = 0: the kernel of a zero row is 0.

    Examples
    --------
    >>> from ntkfast import Sign
    >>> Sign()
    Sign()
    """

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        return builder.activation(value, "Sign", ())

    def phi(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.asarray(np.sign(x))

    def slope(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.zeros_like(x)

    def _mean_squared_slope(self) -> float:
        raise ValueError("Sign() jumps and has no critical W_std: its slope is 0 or infinite")


@dataclass(frozen=True, repr=False)
class RectifiedMonomial(Activation):
    """phi(x) = max(x, 0)**degree: the arc-cosine kernel of this order (Cho and Saul 2009).

    Parameters
    ----------
    degree : int
        0 to 16. 0 is the step function, 0 at x = 0, whose slope is 0 almost everywhere and whose
        NTK is 0; 1 is `Relu`. The variance grows as a power, ``q' = q**degree (2 degree - 1)!!/2``,
        and errors of a correlation near 1 grow by ``degree**2 / (2 degree - 1)``.

    Examples
    --------
    >>> from ntkfast import RectifiedMonomial
    >>> RectifiedMonomial(2)
    RectifiedMonomial(degree=2)
    """

    degree: int

    def __post_init__(self) -> None:
        degree = whole_number(
            "RectifiedMonomial(degree=...)", self.degree, minimum=0, maximum=_MAX_DEGREE
        )
        object.__setattr__(self, "degree", degree)

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        return builder.activation(value, "RectifiedMonomial", (self.degree,))

    def phi(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.asarray(np.where(x > 0, np.maximum(x, 0) ** self.degree, x.dtype.type(0)))

    def slope(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        if self.degree == 0:
            return np.zeros_like(x)
        above = self.degree * np.maximum(x, 0) ** (self.degree - 1)
        return np.asarray(np.where(x > 0, above, x.dtype.type(0)))

    def _mean_squared_slope(self) -> float:
        if self.degree == 1:
            return 0.5
        reason = (
            "it jumps, its slope is 0 or infinite"
            if self.degree == 0
            else "its slope is 0 at 0 and unbounded, small signals die and large ones explode"
        )
        raise ValueError(f"{self!r} has no critical W_std: {reason}")
