"""What a source of dual activations gives for a set of rows, whichever method it uses."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from .parts import Parts, Vector

__all__ = ["Moments", "RowScales", "Rows"]


class Moments(Protocol):
    """Moments of an activation at rows p = sqrt(q).

    `mean` is E[phi]; `norms` and `gains` are sqrt(E[part^2]), without the mean, and
    p sqrt(E[part'^2]) of the odd and of the even part, 0 where there is none.
    """

    p: Vector
    mean: Vector
    norms: list[Vector]
    gains: list[Vector]


class Rows(Moments, Protocol):
    """Products of rows; lists run over the parts there are, odd before even.

    With n = |rho| and mu = 1 - rho^2, the product of two rows, E[part part'] without the means, is
    n (A - mu H) for the odd part and A - mu H for the even one, where A is its value at rho = 1;
    p p' times the product of the slopes is G, or n G for the even part. `vectors` holds a vector
    a of each row with A = a . a'. `name` says what computes them.
    """

    name: str
    vectors: list[Vector]

    def same_way(self, p: Vector) -> Rows:
        """Return other rows, no steeper, computed in the same way."""

    def loss(self, mu: Vector) -> list[Vector]:
        """Return H of every part: (rows, rows, mu)."""

    def gain(self, mu: Vector) -> list[Vector]:
        """Return G of every part: (rows, rows, mu)."""


class RowScales:
    """By what the numbers of a row are divided to be smooth and of the order of one.

    `size` is P = sqrt(E[phi^2]), `gain` is p sqrt(E[phi'^2]), and `small` is how the odd part
    vanishes beside phi(0) for small rows; the even one vanishes like its square.
    """

    def __init__(self, parts: Parts, moments: Moments) -> None:
        self.whole = np.hypot(parts.at_zero, moments.p)
        self.small = moments.p / self.whole
        self.size = np.sqrt(moments.mean**2 + moments.norms[0] ** 2 + moments.norms[1] ** 2)
        self.gain = np.hypot(moments.gains[0], moments.gains[1])
        # A function that vanishes on its rows has no direction; the numbers are zero then.
        self.size = np.where(self.size > 0, self.size, 1.0)
        self._gain = np.where(self.gain > 0, self.gain, 1.0)

    def values(self, moments: Moments) -> list[Vector]:
        """Return the five functions of a row, in the order of DualTable::Data::rows."""
        grow = (1 + moments.p**2) ** 0.25
        return [
            moments.mean / self.size,
            (moments.norms[0] / (self.size * self.small)) ** 2,
            (moments.norms[1] / (self.size * self.small**2)) ** 2,
            self.gain / (self.size * self.small * grow),
            np.log(self.size / self.whole),
        ]

    def of_vectors(self, part: int) -> Vector:
        """Return the scale of the vectors, and of H, of the odd (0) or the even (1) part."""
        return np.asarray(1 / (self.size * self.small ** (part + 1)))

    def of_gains(self, part: int) -> Vector:
        """Return the scale of G."""
        return np.asarray(1 / (self._gain * self.small**part))
