"""Hermite coefficients of an activation, with the two bounds of what is left out.

a_k(p) = E[phi(p z) h_k(z)] with the orthonormal h_k. The integral runs over z > 0, part by part, in
Gauss-Legendre panels that shrink towards 0, where steep functions change within 1 / p and functions
with a kink have it. The density confines it to z < 13 whatever k is, so a thousand nodes carry
tens of thousands of terms. h_k times the root of the density is computed by its stable recurrence.
"""

from __future__ import annotations

import numpy as np

from .moments import panels, resolution
from .parts import Parts, Vector

__all__ = ["HermiteRows", "terms_needed"]

_BLOCK = 512


class HermiteRows:
    """Rows by their series; see Rows.

    ``value_tail`` bounds what is missing of E[phi^2], ``slope_tail`` what is missing of E[phi'^2]
    p^2, both relative to the sum that is there and for the worst row. Without derivatives the
    latter is an estimate from the decay of the series.
    """

    def __init__(self, parts: Parts, p: Vector, terms: int) -> None:
        self.p, self.terms, self._parts = p, terms, parts
        self.name = f"Hermite series of {terms} terms"
        z, weight = panels(float(p.max()), terms, resolution(parts, float(p.max()))[0])
        x = p[:, None] * z
        values = [None if part is None else part(x) for part in (parts.odd, parts.even)]
        self.mean = np.full(len(p), parts.at_zero)
        missing = np.zeros(len(p))
        if values[1] is not None:
            mean = values[1] @ weight
            self.mean = self.mean + mean
            missing = missing - mean**2
        self._series = [
            (order, a)
            for order, a in zip((1, 2), _coefficients(values, z, weight, terms), strict=True)
            if a is not None
        ]
        self.vectors = [a for _, a in self._series]
        self.norms, self.gains = [np.zeros(len(p))] * 2, [np.zeros(len(p))] * 2
        for first, a in self._series:
            self.norms[first - 1] = np.sqrt((a**2).sum(1))
            self.gains[first - 1] = np.sqrt(a**2 @ _orders(first, a))
        value_sum = self.norms[0] ** 2 + self.norms[1] ** 2
        slope_sum = self.gains[0] ** 2 + self.gains[1] ** 2
        missing = missing + sum(v**2 @ weight for v in values if v is not None) - value_sum
        self.value_tail = _worst(missing, value_sum)
        if parts.slopes_known():
            slopes = (f for f in (parts.odd_slope, parts.even_slope) if f is not None)
            left_out = sum((p**2 * (f(x) ** 2 @ weight) for f in slopes), -slope_sum)
        else:
            left_out = sum((_estimated_tail(a) for _, a in self._series), np.zeros(len(p)))
        self.slope_tail = _worst(left_out, slope_sum)

    def same_way(self, p: Vector) -> HermiteRows:
        """Return other rows by as many terms."""
        return HermiteRows(self._parts, p, self.terms)

    def loss(self, mu: Vector) -> list[Vector]:
        """Return H of every part: (rows, rows, mu)."""
        out = []
        for first, a in self._series:
            j = np.floor(_orders(first, a) / 2)
            with np.errstate(divide="ignore", invalid="ignore"):
                powers = -np.expm1(np.outer(j, np.log1p(-mu))) / mu
            powers[j == 0] = 0.0
            out.append(_pair_sum(a, powers))
        return out

    def gain(self, mu: Vector) -> list[Vector]:
        """Return G of every part: (rows, rows, mu)."""
        out = []
        for first, a in self._series:
            j = np.floor((_orders(first, a) - 1) / 2)
            with np.errstate(divide="ignore", invalid="ignore"):
                powers = np.exp(np.outer(j, np.log1p(-mu)))
            powers[j == 0] = 1.0
            out.append(_pair_sum(a * np.sqrt(_orders(first, a)), powers))
        return out


def terms_needed(parts: Parts, p: float, tolerance: float, limit: int) -> int:
    """Return how many terms bring both tails below the tolerance at row p; or the limit."""
    terms = 256
    while terms < limit:
        rows = HermiteRows(parts, np.array([p]), terms)
        if max(rows.value_tail, rows.slope_tail) <= tolerance:
            break
        terms *= 2
    return terms


def _coefficients(
    values: list[Vector | None], z: Vector, weight: Vector, terms: int
) -> list[Vector | None]:
    """a_1, a_3, ... of the odd part and a_2, a_4, ... of the even one."""
    out = [None if v is None else np.zeros((len(v), terms // 2)) for v in values]
    root = np.exp(-(z**2) / 4)  # h_k times this is stable for all k
    by_root = weight / root
    before, here = np.zeros_like(z), root
    block = np.empty((_BLOCK, len(z)))
    for start in range(0, terms, _BLOCK):
        size = min(_BLOCK, terms - start)
        for r in range(size):  # block[r] = h_{start + r + 1}
            k = start + r
            before, here = here, (z * here - np.sqrt(k) * before) / np.sqrt(k + 1)
            block[r] = here
        for first, (part, a) in enumerate(zip(values, out, strict=True)):
            if part is not None and a is not None:
                a[:, start // 2 : (start + size) // 2] = (part * by_root) @ block[first:size:2].T
    return out


def _orders(first: int, a: Vector) -> Vector:
    return np.asarray(first + 2.0 * np.arange(a.shape[1]))


def _pair_sum(a: Vector, powers: Vector) -> Vector:
    return np.stack([(a * row) @ powers for row in a])


def _worst(part: Vector, whole: Vector) -> float:
    return float(np.max(np.abs(part) / np.maximum(whole, np.finfo(float).tiny), initial=0.0))


def _estimated_tail(a: Vector) -> Vector:
    """Return what a slope series that goes on as its second half does would still bring.

    Halves of halves of a power-law tail shrink by a constant factor; of anything better, faster.
    """
    n = a.shape[1]
    weighted = a**2 * np.arange(1, n + 1)
    last = 2 * weighted[:, n // 2 :].sum(1)
    before = 2 * weighted[:, n // 4 : n // 2].sum(1)
    ratio = np.clip(last / np.maximum(before, np.finfo(float).tiny), 0.0, 0.97)
    tail: Vector = last * np.maximum(ratio / (1 - ratio), 0.5)
    return tail
