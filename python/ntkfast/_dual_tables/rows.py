"""What a source of dual activations gives for a set of rows, whichever method it uses."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from .parts import Parts, Vector

__all__ = ["Rows", "row_values"]


class Rows(Protocol):
    """Rows p = sqrt(q) of one activation; lists run over the parts there are, odd before even.

    With the parts' shares of P = sqrt(E[phi^2]) divided out, rho_odd = n (1 - e_odd) and rho_even =
    1 - e_even, where n = |rho|, mu = 1 - rho^2 and e = e(mu = 0) + mu H; the correlation of phi' is
    G, or n G for the even part. `vectors` holds, per part, unit vectors of the rows with
    e(mu = 0) = |a - a'|^2 / 2. `norms` and `gains` are sqrt(E[part^2]) and p sqrt(E[part'^2]) of
    both parts, 0 where there is none; `mean` is E[phi].
    """

    p: Vector
    mean: Vector
    norms: list[Vector]
    gains: list[Vector]
    vectors: list[Vector]

    def loss(self, mu: Vector) -> list[Vector]:
        """Return H of every part: (rows, rows, mu)."""

    def gain(self, mu: Vector) -> list[Vector]:
        """Return G of every part: (rows, rows, mu)."""


def row_values(parts: Parts, rows: Rows) -> list[Vector]:
    """Return the six functions of a row, in the order of DualTable::Data::rows."""
    size = np.sqrt(rows.mean**2 + rows.norms[0] ** 2 + rows.norms[1] ** 2)
    size = np.where(size > 0, size, 1.0)
    scale = np.hypot(parts.at_zero, rows.p)
    small = rows.p / scale  # how shares vanish with p where phi(0) does not
    grow = (1 + rows.p**2) ** 0.25
    ratios = [
        gain / (np.where(norm > 0, norm, 1.0) * grow)
        for gain, norm in zip(rows.gains, rows.norms, strict=True)
    ]
    return [
        rows.mean / size,
        rows.norms[0] / (size * small),
        rows.norms[1] / (size * small**2),
        *ratios,
        np.log(size / scale),
    ]
