"""An activation as its value at zero, its odd part and the rest of its even part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Function", "Parts", "Vector", "split"]

Vector = NDArray[np.float64]
Function = Callable[[Vector], Vector]


@dataclass(frozen=True)
class Parts:
    """phi(x) = at_zero + odd(x) + even(x), and the slopes of both; all are asked at x >= 0 only.

    A part that is None is zero, a slope that is None unknown. Parts that keep their relative
    accuracy towards x = 0 serve rows however small.
    """

    at_zero: float
    odd: Function | None
    even: Function | None
    odd_slope: Function | None = None
    even_slope: Function | None = None
    exact: bool = True

    def slopes_known(self) -> bool:
        """Whether every part that there is has its slope."""
        return all(
            part is None or slope is not None
            for part, slope in ((self.odd, self.odd_slope), (self.even, self.even_slope))
        )


def split(phi: Function, derivative: Function | None) -> Parts:
    """Return the parts of a function known by its values alone.

    They have an absolute rounding error towards x = 0, not a relative one.
    """
    at_zero = float(phi(np.zeros(1))[0])
    probe = np.linspace(0.05, 9.0, 64)
    right, left = phi(probe) - at_zero, phi(-probe) - at_zero
    noise = 8 * np.finfo(float).eps * (np.abs(right) + np.abs(left) + abs(at_zero))
    has_odd = bool(np.any(np.abs(right - left) > noise))
    has_even = bool(np.any(np.abs(right + left) > noise))
    return Parts(
        at_zero,
        (lambda x: 0.5 * (phi(x) - phi(-x))) if has_odd else None,
        (lambda x: 0.5 * ((phi(x) - at_zero) + (phi(-x) - at_zero))) if has_even else None,
        (lambda x: 0.5 * (derivative(x) + derivative(-x))) if derivative and has_odd else None,
        (lambda x: 0.5 * (derivative(x) - derivative(-x))) if derivative and has_even else None,
        exact=False,
    )
