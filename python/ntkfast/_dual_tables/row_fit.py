"""The fit of what depends on one row: Chebyshev series in asinh(stretch p)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .hermite import HermiteRows, terms_needed
from .moments import LineMoments, panels, resolution
from .parts import Parts, Vector
from .rows import Moments, RowScales
from .transform import needed, nodes, to_coefficients

__all__ = ["RowFit", "fit_rows"]

_SIZE = 96
# Ranges of asinh(p) over which three rows are as many as any.
_NARROW = 1e-6
# asinh(p) turns from p to log(p) at one, the functions of a row where phi bends: at one or below.
_STRETCHES = (1.0, 2.0, 4.0)
_ALL_TERMS = 32768  # of a Hermite series


@dataclass(frozen=True)
class RowFit:
    """Series of the functions of a row in t, which is asinh(stretch p) mapped to [-1, 1]."""

    low: float
    high: float
    stretch: float
    series: list[Vector]
    method: str
    error: float

    @property
    def size(self) -> int:
        """Terms of the longest series."""
        return max(len(series) for series in self.series)

    def roots(self, t: Vector) -> Vector:
        """Return p of every t."""
        w = 0.5 * (self.low + self.high) + 0.5 * (self.high - self.low) * t
        return np.asarray(np.sinh(w) / self.stretch)


def fit_rows(parts: Parts, low: float, high: float, tolerance: float) -> RowFit:
    """Fit the functions of a row for low <= asinh(p) <= high."""
    source, method, own_error = _source(parts, float(np.sinh(high)), tolerance)
    hopeless = own_error > 20 * tolerance
    if high - low <= _NARROW or hopeless:
        tries = [_fit(parts, source, (low, high), 1.0, 3 if high > low else 1, tolerance)]
    else:
        tries = [_fit(parts, source, (low, high), k, _SIZE, tolerance) for k in _STRETCHES]
    best = min(tries, key=lambda made: made.size)
    error = own_error if hopeless else own_error + _check(parts, source, best)
    return replace(best, method=method, error=error)


def _check(parts: Parts, source: Callable[[Vector], Moments], made: RowFit) -> float:
    """Return the largest error at random rows."""
    t = np.concatenate([[-0.999, 1.0], np.random.default_rng(0).uniform(-1, 1, 6)])
    at = source(made.roots(t))
    return max(
        float(np.max(np.abs(np.polynomial.chebyshev.chebval(t, series) - true)))
        for series, true in zip(made.series, RowScales(parts, at).values(at), strict=True)
    )


def _source(
    parts: Parts, p: float, tolerance: float
) -> tuple[Callable[[Vector], Moments], str, float]:
    if parts.slopes_known():
        fine, error = resolution(parts, p)
        z, weight = panels(p, 64, fine)
        return lambda p: LineMoments(parts, p, z, weight), "quadrature", error
    terms = terms_needed(parts, p, 0.1 * tolerance, _ALL_TERMS)
    at = HermiteRows(parts, np.array([p]), terms)
    error = max(at.value_tail, at.slope_tail)
    return lambda p: HermiteRows(parts, p, terms), f"Hermite series of {terms} terms", error


def _fit(
    parts: Parts,
    source: Callable[[Vector], Moments],
    ends: tuple[float, float],
    stretch: float,
    size: int,
    tolerance: float,
) -> RowFit:
    low, high = (float(np.arcsinh(stretch * np.sinh(w))) for w in ends)
    whole = RowFit(low, high, stretch, [], "", 0.0)
    at = source(whole.roots(nodes(size)))
    series = [to_coefficients(size) @ v for v in RowScales(parts, at).values(at)]
    kept = [c[: needed(np.abs(c), 0.1 * tolerance)] for c in series]
    return replace(whole, series=kept)
