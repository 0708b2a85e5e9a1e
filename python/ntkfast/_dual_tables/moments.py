"""Moments of rows by quadrature on a line: all that a row needs, as opposed to a pair."""

from __future__ import annotations

import numpy as np

from .parts import Parts, Vector

__all__ = ["LineMoments", "panels", "resolution"]

_REACH = 13.0  # the density is 2e-37 there
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)


class LineMoments:
    """Moments; see there. The slopes of all parts must be known."""

    def __init__(self, parts: Parts, p: Vector, z: Vector, weight: Vector) -> None:
        self.p = p
        self.mean = np.full(len(p), parts.at_zero)
        self.norms, self.gains = [np.zeros(len(p))] * 2, [np.zeros(len(p))] * 2
        x = p[:, None] * z
        if parts.odd is not None:
            self.norms[0] = np.sqrt(parts.odd(x) ** 2 @ weight)
        if parts.even is not None:
            values = parts.even(x)
            mean = values @ weight
            self.mean = self.mean + mean
            self.norms[1] = np.sqrt((values - mean[:, None]) ** 2 @ weight)
        for k, slope in enumerate((parts.odd_slope, parts.even_slope)):
            if slope is not None:
                self.gains[k] = p * np.sqrt(slope(x) ** 2 @ weight)


def panels(p: float, terms: int, fine: float) -> tuple[Vector, Vector]:
    """Nodes on (0, 13) and weights, twice the density included, for rows up to p."""
    step = min(1.0, 18 / np.sqrt(terms)) / fine
    first = 2.0 / (max(p, 1e-3) * fine)
    edges = [0.0]
    while edges[-1] < _REACH:
        a = edges[-1]
        edges.append(min(_REACH, a + min(step, max(first, 0.7 * a / fine))))
    ends = np.array(edges)
    half = np.diff(ends)[:, None] / 2
    z = ((ends[1:] + ends[:-1])[:, None] / 2 + half * _NODES).ravel()
    weight = (half * _WEIGHTS).ravel() * np.exp(-(z**2) / 2) * np.sqrt(2 / np.pi)
    return z, weight


def resolution(parts: Parts, p: float) -> tuple[float, float]:
    """How fine the panels must be for E[phi^2] and E[phi'^2], and the error that remains."""

    def moments(fine: float) -> Vector:
        z, weight = panels(p, 64, fine)
        known = (parts.odd, parts.even, parts.odd_slope, parts.even_slope)
        return np.array([weight @ f(p * z) ** 2 for f in known if f is not None])

    fine, here = 1.0, moments(1.0)
    while True:
        finer = moments(2 * fine)
        change = np.abs(here - finer) / np.maximum(finer, np.finfo(float).tiny)
        error = float(np.max(change, initial=0.0))
        if error <= 4e-15 or fine >= 16:
            return fine, error
        fine, here = 2 * fine, finer
