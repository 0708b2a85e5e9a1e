"""The fit of a dual table: what the core evaluates (src/cpp/program/pair_table.hpp says what)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .hermite import HermiteRows, terms_needed
from .parts import Parts, Vector
from .polar import steepest_row
from .row_fit import RowFit, fit_rows
from .rows import Rows, RowScales
from .transform import Variable, needed, nodes, to_coefficients

__all__ = ["Fit", "fit", "fit_of_rows"]

MAX_DEGREE_T, MAX_DEGREE_X, MAX_NUMBERS = 64, 96, 16384
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


@dataclass(frozen=True)
class _Series:
    """Coefficients of H, G and E of every part, in t, t' and x, as far as they are needed."""

    variable: Variable
    degree_t: int
    degree_x: int
    loss: list[Vector]
    gain: list[Vector]
    excess: list[Vector]
    nonnegative: bool


def fit(parts: Parts, low: float, high: float, tolerance: float) -> Fit:
    """Fit the dual for rows with low <= asinh(p) <= high.

    The error of the result is the largest one found at random points, where the table is compared
    with its source, plus the error that the source knows of itself; the caller judges it.
    """
    rows = fit_rows(parts, low, high, tolerance)
    if rows.error > 20 * tolerance:
        return Fit({}, rows.method, rows.error)
    steepest, source, own_error = _choose_source(parts, rows.roots(np.ones(1)), tolerance)
    method, own_error = steepest.name, max(own_error, rows.error)
    if own_error > 20 * tolerance:
        return Fit({}, method, own_error)
    variable, degree = _choose_variable(parts, steepest, tolerance)
    best: Fit | None = None
    for size in _sizes(rows):
        series = _fit(parts, source, rows, tolerance, size, degree, variable)
        if series is None:
            break
        error = _check(parts, source, rows, series)
        if best is None or error < best.error:
            best = Fit(_arguments(parts, rows, series), method, error)
        if best.error <= 5 * tolerance:
            break
    if best is None:
        return Fit({}, method, float("inf"))
    return Fit(best.data, method, best.error + own_error)


def fit_of_rows(parts: Parts, low: float, high: float, tolerance: float) -> Fit:
    """Fit the functions of a row alone: all that diagonals need."""
    rows = fit_rows(parts, low, high, tolerance)
    nothing = [np.zeros((1, 1, 1)) for _ in _there(parts)]
    excess = [e[:, :, 0] for e in nothing]
    empty = _Series(Variable(False, 0.0, 0), 1, 1, nothing, nothing, excess, False)
    return Fit(_arguments(parts, rows, empty), rows.method, rows.error)


def _sizes(rows: RowFit) -> list[int]:
    """Numbers of rows to try: products of rows have about as many terms as one row has."""
    if rows.low == rows.high:
        return [1]
    if rows.size <= 3:
        return [3]
    first = min(rows.size + rows.size // 8 + 2, MAX_DEGREE_T)
    second = min(first + first // 3, MAX_DEGREE_T)
    return [first, second] if second > 1.15 * first else [first]


def _choose_source(parts: Parts, p: Vector, tolerance: float) -> tuple[Rows, Source, float]:
    """Return row p, the steepest one, a source that serves all others, and its error."""
    limit = _TERMS if parts.slopes_known() else _ALL_TERMS
    terms = terms_needed(parts, float(p[0]), 0.1 * tolerance, limit)
    row: Rows
    row = series = HermiteRows(parts, p, terms)
    error = max(series.value_tail, series.slope_tail)
    if error > 0.1 * tolerance and parts.slopes_known():
        polar, polar_error = steepest_row(parts, float(p[0]), tolerance)
        if polar_error < error:
            row, error = polar, polar_error

    def source(others: Vector) -> Rows:  # rows of one norm are all this one
        return row if np.array_equal(others, p) else row.same_way(others)

    return row, source, error


def _choose_variable(parts: Parts, at: Rows, tolerance: float) -> tuple[Variable, int]:
    """Return the variable in which the steepest row needs the fewest terms, and their number."""
    p = float(at.p[0])
    candidates = [Variable(False, 0.0, 0), Variable(False, 0.3 / (1 + p * p), 1)]
    candidates += [Variable(False, k / (1 + p * p), r) for r in (2, 3, 4, 5) for k in (0.3, 1.0)]
    candidates += [Variable(True, 0.0, 0)] + [Variable(True, 0.5 / (1 + p), r) for r in (1, 2)]
    best: tuple[float, Variable, int] | None = None
    for variable in candidates:
        mu = variable.nodes(2 * MAX_DEGREE_X)
        degree = 1
        for values in _scaled(parts, at, mu):
            c = np.abs(to_coefficients(2 * MAX_DEGREE_X) @ values[0, 0])
            degree = max(degree, needed(c, 0.3 * tolerance * _scale(values)))
        cost = degree + 2 * variable.roots
        if best is None or cost < best[0]:
            best = (cost, variable, degree)
    assert best is not None
    return best[1], best[2]


def _scaled(parts: Parts, at: Rows, mu: Vector) -> list[Vector]:
    """H, then G, of every part as the table has them: of the order of one and smooth."""
    scales, there = RowScales(parts, at), _there(parts)
    by = [scales.of_vectors(k) for k in there] + [scales.of_gains(k) for k in there]
    values = (*at.loss(mu), *at.gain(mu))
    return [v * np.outer(s, s)[:, :, None] for v, s in zip(values, by, strict=True)]


def _vectors(parts: Parts, at: Rows) -> list[Vector]:
    scales = RowScales(parts, at)
    return [
        a * scales.of_vectors(k)[:, None] for k, a in zip(_there(parts), at.vectors, strict=True)
    ]


def _there(parts: Parts) -> list[int]:
    return [k for k, part in enumerate((parts.odd, parts.even)) if part is not None]


def _fit(
    parts: Parts,
    source: Source,
    rows: RowFit,
    tolerance: float,
    size: int,
    degree: int,
    variable: Variable,
) -> _Series | None:
    """Return the series with so many rows as nodes; None if they are longer than the core takes."""
    t = nodes(size)
    at = source(rows.roots(t))
    size_x = min(degree + degree // 4 + 4, 2 * MAX_DEGREE_X)
    to_t, to_x = to_coefficients(size), to_coefficients(size_x)
    mu = variable.nodes(size_x)
    values, vectors = _scaled(parts, at, mu), _vectors(parts, at)
    pair = [np.einsum("ai,bj,ijm,km->abk", to_t, to_t, v, to_x, optimize=True) for v in values]
    excess = [to_t @ _excess(a, t) @ to_t.T for a in vectors]
    nt = nx = 1
    for c, v in zip(pair, values, strict=True):
        nx = max(nx, needed(np.abs(c).max((0, 1)), 0.5 * tolerance * _scale(v)))
        nt = max(nt, needed(np.abs(c).max((1, 2)), 0.5 * tolerance * _scale(v)))
    for e in excess:
        nt = max(nt, needed(np.abs(e).max(1), 0.1 * tolerance * np.sqrt(np.max(np.abs(e)))))
    if nx > MAX_DEGREE_X or len(excess) * nt * (2 * nx + 1) > MAX_NUMBERS:
        return None
    kept = [c[:nt, :nt, :nx] for c in pair]
    half = len(kept) // 2
    cut = [e[:nt, :nt] for e in excess]
    return _Series(variable, nt, nx, kept[:half], kept[half:], cut, _nonnegative(parts, at, mu))


def _nonnegative(parts: Parts, at: Rows, mu: Vector) -> bool:
    """Whether no correlation gives a negative kernel: the constant outweighs the odd part."""
    constant, odd = np.abs(at.mean), at.norms[0]
    even = [a @ a.T for k, a in zip(_there(parts), at.vectors, strict=True) if k == 1]
    losses = [h for k, h in zip(_there(parts), at.loss(mu), strict=True) if k == 1]
    return bool(
        (at.mean.min() > 0 or at.mean.max() < 0)
        and np.all(constant > odd * (1 + 1e-3))
        and all(np.all(a[:, :, None] >= mu * h) for a, h in zip(even, losses, strict=True))
    )


def _arguments(parts: Parts, rows: RowFit, series: _Series) -> dict[str, Any]:
    """Return what the core's DualTable takes."""
    constant = np.polynomial.chebyshev.chebval(np.linspace(-1, 1, 4 * rows.size), rows.series[0])
    return {
        "low": rows.low,
        "high": rows.high,
        "stretch": rows.stretch,
        "at_zero": parts.at_zero,
        "rows": rows.series,
        "odd": parts.odd is not None,
        "even": parts.even is not None,
        "pure": parts.odd is not None and parts.even is None and parts.at_zero == 0,
        "mixed": bool(constant.min() < 0 < constant.max()),
        "nonnegative": series.nonnegative,
        "degree_t": series.degree_t,
        "degree_x": series.degree_x,
        "kinked": series.variable.kinked,
        "kappa": series.variable.kappa,
        "roots": series.variable.roots,
        "pair": np.array([*series.loss, *series.gain]).ravel(),
        "excess": np.array(series.excess).ravel(),
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


def _check(parts: Parts, source: Source, rows: RowFit, series: _Series) -> float:
    """Return the largest error at random rows and correlations, in sqrt(deficit) or in T."""
    rng = np.random.default_rng(0)
    one = rows.high == rows.low
    t = np.zeros(1) if one else np.concatenate([[-0.999, 1.0], rng.uniform(-1, 1, 4)])
    mu = np.concatenate([[1e-7, 1e-3, 1.0], rng.uniform(0, 1, 6), 10 ** rng.uniform(-5, 0, 6)])
    at = source(rows.roots(t))
    nt, nx = series.degree_t, series.degree_x
    of_t, of_x = np.polynomial.chebyshev.chebvander(t, nt - 1), series.variable.basis(mu, nx)
    worst = 0.0
    for c, true in zip([*series.loss, *series.gain], _scaled(parts, at, mu), strict=True):
        got = np.einsum("ia,jb,mk,abk->ijm", of_t, of_t, of_x, c, optimize=True)
        worst = max(worst, float(np.max(np.abs(got - true) / np.sqrt(1 + np.abs(true)))))
    for e, a in zip(series.excess, _vectors(parts, at), strict=True):
        got = of_t @ e @ of_t.T
        gap = t[:, None] - t
        true = 0.5 * ((a[:, None] - a[None]) ** 2).sum(2)
        error = np.abs(gap**2 * got - true) / np.sqrt(np.maximum(2 * true, 1e-24))
        worst = max(worst, float(np.max(error * (np.abs(gap) > 1e-3), initial=0.0)))
    return worst


def _scale(values: Vector) -> float:
    """Return what errors are relative to: between the scales of the smallest and the largest H."""
    return float((1 + np.max(np.abs(values))) ** 0.25)
