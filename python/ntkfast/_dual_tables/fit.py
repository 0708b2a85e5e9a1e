"""The fit of a dual table: what the core evaluates (src/cpp/program/pair_table.hpp says what)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .hermite import HermiteRows, terms_needed
from .parts import Parts, Vector
from .polar import PolarRows
from .rows import Rows, row_values
from .transform import Variable, nodes, to_coefficients

__all__ = ["Fit", "fit"]

MAX_DEGREE_T, MAX_DEGREE_X, MAX_NUMBERS = 48, 96, 8192
_SIZES_T = (1, 3, 5, 8, 12, 16, 24, 32, 40, 48)
# Ranges of asinh(p) over which three rows are as many as any.
_NARROW = 1e-6
# The series up to so many terms where there is another way, and where there is none.
_TERMS, _ALL_TERMS = 4096, 32768

Source = Callable[[Vector], Rows]


@dataclass(frozen=True)
class Fit:
    """Arguments of the core's DualTable, how they were found, and the error."""

    data: dict[str, Any]
    method: str
    error: float

    @property
    def numbers(self) -> int:
        """Multiplications per pair, about."""
        d = self.data
        return int((d["odd"] + d["even"]) * d["degree_t"] * (2 * d["degree_x"] + 1))


def fit(parts: Parts, low: float, high: float, tolerance: float) -> Fit:
    """Fit the dual for rows with low <= asinh(p) <= high.

    The error of the result is the largest one found at random points, where the table is compared
    with its source, plus the error that the source knows of itself; the caller judges it.
    """
    source, method, own_error = _choose_source(parts, float(np.sinh(high)), tolerance)
    if own_error > 20 * tolerance:
        return Fit({}, method, own_error)
    variable, degree = _choose_variable(source(np.sinh([high])), tolerance)
    best: Fit | None = None
    narrow = high - low <= _NARROW
    for size in _SIZES_T:
        if narrow != (size <= 3):  # a narrow range has nothing to gain from more rows
            continue
        table = _fit(parts, source, low, high, tolerance, size, degree, variable)
        if table is None:
            continue
        error = _check(parts, source, table)
        if best is None or error < best.error:
            best = Fit(table, method, error)
        if best.error <= 4 * tolerance or low == high:
            break
    if best is None:
        return Fit({}, method, float("inf"))
    data = {**best.data, "pair": best.data["pair"].ravel(), "excess": best.data["excess"].ravel()}
    return Fit(data, method, best.error + own_error)


def _choose_source(parts: Parts, p: float, tolerance: float) -> tuple[Source, str, float]:
    """Return the source that serves rows up to p, its name, and its own error."""
    limit = _TERMS if parts.slopes_known() else _ALL_TERMS
    terms = terms_needed(parts, p, 0.1 * tolerance, limit)
    longest = HermiteRows(parts, np.array([p]), terms)
    tail = max(longest.value_tail, longest.slope_tail)
    if tail > 0.1 * tolerance and parts.slopes_known():
        order = 16 if tolerance < 1e-10 else 10
        candidates = (Variable(False, 0.3 / (1 + p * p), 3), Variable(True, 0.5 / (1 + p), 2))
        rows = min(
            (PolarRows(parts, np.array([p]), order, variable) for variable in candidates),
            key=PolarRows.tail,
        )
        if (error := rows.error()) < tail:
            variable = rows.variable
            return lambda p: PolarRows(parts, p, order, variable), "quadrature", error
    series = f"Hermite series of {terms} terms"
    return lambda p: HermiteRows(parts, p, terms), series, tail


def _choose_variable(at: Rows, tolerance: float) -> tuple[Variable, int]:
    """Return the variable in which the steepest row needs the fewest terms, and their number."""
    p = float(at.p[0])
    candidates = [Variable(False, 0.0, 0), Variable(False, 0.3 / (1 + p * p), 1)]
    candidates += [Variable(False, k / (1 + p * p), r) for r in (2, 3, 4, 5) for k in (0.3, 1.0)]
    candidates += [Variable(True, 0.0, 0)] + [Variable(True, 0.5 / (1 + p), r) for r in (1, 2)]
    best: tuple[float, Variable, int] | None = None
    for variable in candidates:
        mu = variable.nodes(2 * MAX_DEGREE_X)
        degree = 1
        for values in (*at.loss(mu), *at.gain(mu)):
            c = np.abs(to_coefficients(2 * MAX_DEGREE_X) @ values[0, 0])
            degree = max(degree, _needed(c, 0.3 * tolerance * _scale(values)))
        cost = degree + 2 * variable.roots
        if best is None or cost < best[0]:
            best = (cost, variable, degree)
    assert best is not None
    return best[1], best[2]


def _fit(
    parts: Parts,
    source: Source,
    low: float,
    high: float,
    tolerance: float,
    size: int,
    degree: int,
    variable: Variable,
) -> dict[str, Any] | None:
    """Return the table with so many rows as nodes; None if it is larger than the core takes."""
    t = nodes(size)
    at = source(np.sinh(0.5 * (low + high) + 0.5 * (high - low) * t))
    size_x = min(degree + degree // 4 + 4, 2 * MAX_DEGREE_X)
    mu = variable.nodes(size_x)
    to_t, to_x = to_coefficients(size), to_coefficients(size_x)
    values = [*at.loss(mu), *at.gain(mu)]
    pair = [np.einsum("ai,bj,ijm,km->abk", to_t, to_t, v, to_x, optimize=True) for v in values]
    excess = [to_t @ _excess(a, t) @ to_t.T for a in at.vectors]
    nt = nx = 1
    for c, v in zip(pair, values, strict=True):
        nx = max(nx, _needed(np.abs(c).max((0, 1)), 0.5 * tolerance * _scale(v)))
        nt = max(nt, _needed(np.abs(c).max((1, 2)), 0.5 * tolerance * _scale(v)))
    for e in excess:
        nt = max(nt, _needed(np.abs(e).max(1), 0.1 * tolerance * np.sqrt(np.max(np.abs(e)))))
    if nx > MAX_DEGREE_X or nt > MAX_DEGREE_T or len(excess) * nt * (2 * nx + 1) > MAX_NUMBERS:
        return None
    rows = row_values(parts, at)
    constant, odd_share = rows[0], rows[1]
    return {
        "low": low,
        "high": high,
        "at_zero": parts.at_zero,
        "rows": [to_t @ v for v in rows],
        "odd": parts.odd is not None,
        "even": parts.even is not None,
        "pure": parts.even is None and parts.at_zero == 0,
        "mixed": bool(constant.min() < 0 < constant.max()),
        "nonnegative": bool(
            (constant.min() > 0 or constant.max() < 0)
            and np.min(np.abs(constant)) > np.max(odd_share) + 1e-3
        ),
        "degree_t": nt,
        "degree_x": nx,
        "kinked": variable.kinked,
        "kappa": variable.kappa,
        "roots": variable.roots,
        "pair": np.array([c[:nt, :nt, :nx] for c in pair]),
        "excess": np.array([e[:nt, :nt] for e in excess]),
    }


def _excess(a: Vector, t: Vector) -> Vector:
    """E = |a(t) - a(t')|^2 / (2 (t - t')^2) at all pairs of nodes; on the diagonal the limit."""
    if len(t) == 1:
        return np.zeros((1, 1))
    k = np.arange(len(t))
    angle = np.arccos(t)
    slopes = np.sin(np.outer(angle, k)) * k / np.sin(angle)[:, None]
    derivative = slopes @ to_coefficients(len(t)) @ a
    out = np.empty((len(t), len(t)))
    for i in k:
        gap = np.where(k == i, 1.0, t[i] - t)
        out[i] = 0.5 * ((a[i] - a) ** 2).sum(1) / gap**2
        out[i, i] = 0.5 * (derivative[i] ** 2).sum()
    return out


def _check(parts: Parts, source: Source, table: dict[str, Any]) -> float:
    """Return the largest error at random rows and correlations, in sqrt(deficit) or in T."""
    rng = np.random.default_rng(0)
    half = 0.5 * (table["high"] - table["low"])
    t = np.concatenate([[-0.999, 1.0], rng.uniform(-1, 1, 4)]) if half > 0 else np.zeros(1)
    mu = np.concatenate([[1e-7, 1e-3, 1.0], rng.uniform(0, 1, 6), 10 ** rng.uniform(-5, 0, 6)])
    at = source(np.sinh(0.5 * (table["low"] + table["high"]) + half * t))
    variable = Variable(table["kinked"], table["kappa"], table["roots"])
    nt, nx = table["degree_t"], table["degree_x"]
    of_t, of_x = np.polynomial.chebyshev.chebvander(t, nt - 1), variable.basis(mu, nx)
    worst = 0.0
    for c, true in zip(table["pair"], (*at.loss(mu), *at.gain(mu)), strict=True):
        got = np.einsum("ia,jb,mk,abk->ijm", of_t, of_t, of_x, c, optimize=True)
        worst = max(worst, float(np.max(np.abs(got - true) / np.sqrt(1 + np.abs(true)))))
    for e, a in zip(table["excess"], at.vectors, strict=True):
        got = of_t @ e @ of_t.T
        gap = t[:, None] - t
        true = 0.5 * ((a[:, None] - a[None]) ** 2).sum(2)
        error = np.abs(gap**2 * got - true) / np.sqrt(np.maximum(2 * true, 1e-24))
        worst = max(worst, float(np.max(error * (np.abs(gap) > 1e-3), initial=0.0)))
    for series, true in zip(table["rows"], row_values(parts, at), strict=True):
        got = np.polynomial.chebyshev.chebval(t, series)
        worst = max(worst, float(np.max(np.abs(got - true))))
    return worst


def _scale(values: Vector) -> float:
    return float(np.sqrt(1 + np.max(np.abs(values))))


def _needed(magnitudes: Vector, tolerance: float) -> int:
    """Terms to keep so that the rest, without its rounding noise, adds up to no more."""
    noise = 1e-15 * np.max(magnitudes)
    tail = np.cumsum(np.where(magnitudes > noise, magnitudes, 0.0)[::-1])[::-1]
    return max(1, int((tail > tolerance).sum()))
