"""Activations made of the error function."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .base import Activation

if TYPE_CHECKING:
    from .._core import Builder

__all__ = ["Erf"]


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

    def _mean_squared_slope(self) -> float:
        return 4 / math.pi * (self.a * self.b) ** 2  # phi'(0)**2: the largest, at small signals
