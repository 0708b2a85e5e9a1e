"""Dual activations by quadrature in polar coordinates: steep functions, large rows, a kink at 0.

A pair (u, v) of correlation cos(theta) is p r sin(psi), p' r sin(psi') with psi + psi' = pi - theta
where both have one sign, and psi + psi' = theta where they have not. On either sector a function
that is smooth for x > 0 is smooth in r and psi; panels shrink towards r = 0 and towards both ends
of a sector, where its argument is of the order of one. Only E[phi' phi'] is integrated so: it is
a sum without cancellation, and the loss of E[phi phi] follows from it by integration over rho.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, lru_cache

import numpy as np

from .parts import Function, Parts, Vector
from .transform import Variable, to_coefficients

__all__ = ["PolarRows", "steepest_row"]

_REACH = 10.0  # the density is 8e-23 there
_TERMS = (32, 40, 48, 64, 80, 96, 128)  # of the interpolants in x
_BLOCK = 1 << 16  # values of a slope at a time: they stay in the cache


@dataclass(frozen=True)
class Rule:
    """Panels for rows up to the largest, of so many nodes; G in so many terms of a variable."""

    largest: float
    order: int
    variable: Variable
    terms: int


class PolarRows:
    """Rows by quadrature; see Rows. The slopes of all parts must be known.

    ``rule`` says how fine the panels are and what G is interpolated by.
    """

    name = "quadrature"

    def __init__(self, parts: Parts, p: Vector, rule: Rule) -> None:
        self.p = p
        self.rule, self._parts = rule, parts
        self._first = 1.0 / (1 + rule.largest)
        self._radius, weight = self._panels(_graded(_REACH, self._first, 1.5))
        self._radial = weight * self._radius * np.exp(-(self._radius**2) / 2)
        z, line = self._panels(_graded(_REACH, self._first, 0.75))
        line = line * np.exp(-(z**2) / 2) * np.sqrt(2 / np.pi)
        x, root = p[:, None] * z, np.sqrt(line)
        self.mean = np.full(len(p), parts.at_zero)
        self.norms, self.gains = [np.zeros(len(p))] * 2, [np.zeros(len(p))] * 2
        self.vectors: list[Vector] = []
        self._slopes: list[tuple[int, Function]] = []  # 0: of the odd part, 1: of the even one
        functions = ((parts.odd, parts.odd_slope), (parts.even, parts.even_slope))
        for k, (part, slope) in enumerate(functions):
            if part is None or slope is None:
                continue
            values = part(x)
            if k == 1:
                mean = values @ line
                self.mean = self.mean + mean
                values = values - mean[:, None]
            self.norms[k] = np.sqrt(values**2 @ line)
            self.gains[k] = p * np.sqrt(slope(x) ** 2 @ line)
            self.vectors.append(values * root)
            self._slopes.append((k, slope))
        self._series: list[Vector] = []
        self._losses: list[Vector] = []

    def same_way(self, p: Vector) -> PolarRows:
        """Return other rows by the same rule."""
        return PolarRows(self._parts, p, self.rule)

    def gain(self, mu: Vector) -> list[Vector]:
        """Return G of every part: (rows, rows, mu)."""
        basis = self.rule.variable.basis(mu, self.rule.terms)
        return [series @ basis.T for series in self._gain_series()]

    def loss(self, mu: Vector) -> list[Vector]:
        """Return H of every part: (rows, rows, mu)."""
        basis = self.rule.variable.basis(mu, self.rule.terms)
        return [series @ basis.T for series in self._loss_series()]

    def error(self) -> float:
        """Return how far G moves with finer panels, and what its interpolant leaves out."""
        order = self.rule.order + self.rule.order // 2
        finer = PolarRows(self._parts, self.p, replace(self.rule, order=order))
        mu = np.array([1e-7, 1e-4, 0.02, 0.3, 0.9])
        pairs = [*zip(self.gain(mu), finer.direct_gain(mu), strict=True)]
        pairs += [*zip((*self.norms, *self.gains), (*finer.norms, *finer.gains), strict=True)]
        tiny = np.finfo(float).tiny
        return max(float(np.max(np.abs(a - b)) / (np.max(np.abs(b)) + tiny)) for a, b in pairs)

    def tail(self) -> float:
        """Return the last coefficients of the interpolants of G, relative to the largest ones."""
        tiny = np.finfo(float).tiny
        return max(
            float(np.max(np.abs(series[..., -8:])) / (np.max(np.abs(series)) + tiny))
            for series in self._gain_series()
        )

    def direct_gain(self, mu: Vector) -> list[Vector]:
        """Return G of every part by quadrature for each mu."""
        count = len(self.p)
        out = [np.empty((count, count, len(mu))) for _ in self._slopes]
        for m, value in enumerate(mu):
            theta = float(np.arcsin(np.sqrt(value)))
            near, far = self._sums(np.pi - theta), self._sums(theta)
            for (k, _), result, one, two in zip(self._slopes, out, near, far, strict=True):
                total = one + two if k == 0 else (one - two) / max(np.cos(theta), 1e-9)
                result[:, :, m] = total * np.outer(self.p, self.p)
        return out

    def _gain_series(self) -> list[Vector]:
        if not self._series:
            at_nodes = self.direct_gain(self.rule.variable.nodes(self.rule.terms))
            self._series = [values @ to_coefficients(self.rule.terms).T for values in at_nodes]
        return self._series

    def _loss_series(self) -> list[Vector]:
        if not self._losses:
            operators = _Operators(self.rule.variable, self._first, self.rule.terms)
            for (k, _), slopes, a in zip(
                self._slopes, self._gain_series(), self.vectors, strict=True
            ):
                values = operators.even(slopes) if k == 1 else operators.odd(slopes, a @ a.T)
                self._losses.append(values @ to_coefficients(self.rule.terms).T)
        return self._losses

    def _sums(self, width: float) -> list[Vector]:
        """E[phi'(|u|) phi'(|v|)] over the two opposite sectors of this width, part by part.

        The rule for psi is symmetric about width / 2, so that half of it, with u and v exchanged
        for the other half, is enough.
        """
        psi, weight = self._panels(_graded(width / 2, 0.5 * self._first, 0.6))
        count = len(self.p)
        out = [np.zeros((count, count)) for _ in self._slopes]
        step = max(1, _BLOCK // (count * len(self._radius)))
        for start in range(0, len(psi), step):
            here = psi[start : start + step]
            u = np.outer(np.sin(here), self._radius).ravel()
            v = np.outer(np.sin(width - here), self._radius).ravel()
            measure = np.outer(weight[start : start + step], self._radial / np.pi).ravel()
            for (_, slope), total in zip(self._slopes, out, strict=True):
                half = (slope(self.p[:, None] * u) * measure) @ slope(self.p[:, None] * v).T
                total += half + half.T
        return out

    def _panels(self, edges: Vector) -> tuple[Vector, Vector]:
        return _gauss(edges, self.rule.order)


def steepest_row(parts: Parts, p: float, tolerance: float) -> tuple[PolarRows, float]:
    """Return row p by the cheapest rule that reaches the tolerance, and its error.

    Where rounding does not let any reach it, the search ends as soon as more brings no more.
    """
    candidates = (Variable(False, 0.3 / (1 + p * p), 3), Variable(True, 0.5 / (1 + p), 2))
    best: tuple[PolarRows, float] | None = None
    for order in (10, 12, 16) if tolerance < 1e-10 else (6, 8, 10):
        row = min(
            (_with_terms(parts, p, order, variable, tolerance) for variable in candidates),
            key=lambda row: (row.tail() > 0.1 * tolerance, row.rule.terms, row.tail()),
        )
        error = row.error()
        stuck = best is not None and error > 0.25 * best[1]
        if best is None or error < best[1]:
            best = row, error
        if error <= 0.2 * tolerance or stuck:
            break
    assert best is not None
    return best


def _with_terms(
    parts: Parts, p: float, order: int, variable: Variable, tolerance: float
) -> PolarRows:
    """Return the row p with as few terms as its interpolants need."""
    best: PolarRows | None = None
    for terms in _TERMS:
        row = PolarRows(parts, np.array([p]), Rule(p, order, variable, terms))
        stuck = best is not None and row.tail() > 0.5 * best.tail()
        if best is None or row.tail() < best.tail():
            best = row
        if row.tail() <= 0.1 * tolerance or stuck:
            break
    assert best is not None
    return best


class _Operators:
    """H at the nodes of a variable from the series of G, part by part."""

    def __init__(self, variable: Variable, first: float, terms: int) -> None:
        self._mu, self._terms = variable.nodes(terms), terms
        self._mean, self._ray, self._near = _operators(variable, first, terms)

    def even(self, slopes: Vector) -> Vector:
        """H = (1 / 2 mu) int_0^mu G, as the product falls by G / 2 with mu."""
        return np.asarray(slopes @ (0.5 * self._mean).T)

    def odd(self, slopes: Vector, at_one: Vector) -> Vector:
        """H = (R(0) - R(mu)) / mu, R the product over n: the difference, or an integral of -R'."""
        rays = slopes @ self._ray.T
        difference = (at_one[:, :, None] - rays) / self._mu
        integral = (slopes - rays @ to_coefficients(self._terms).T) @ self._near.T
        return np.asarray(np.where(self._mu > 0.1, difference, integral))


@lru_cache(maxsize=8)
def _operators(variable: Variable, first: float, terms: int) -> tuple[Vector, Vector, Vector]:
    """Matrices (node mu, k) from T_k(x) to three means.

    Over (0, mu); over 1 - n^2 s^2 for s in (0, 1); and of T_k(x) / (2 - 2 mu) over (0, mu).
    """
    mean, ray, near = (np.empty((terms, terms)) for _ in range(3))
    for m, mu in enumerate(variable.nodes(terms)):
        # In the root of what is integrated over, a root of mu is smooth.
        root = np.sqrt(mu)
        v, weight = _gauss(_graded(root, min(first / 2, root), 1.0), 16)
        basis = variable.basis(v * v, terms)
        mean[m] = (weight * 2 * v / mu) @ basis
        near[m] = (weight * v / ((1 - v * v) * mu)) @ basis
        v, weight = _gauss(_graded(1.0, max(min(first / 2, 0.7 * root), 1e-5), 1.0), 16)
        t = v * v  # 1 - s
        ray[m] = (weight * 2 * v) @ variable.basis(mu + (1 - mu) * t * (2 - t), terms)
    return mean, ray, near


@cache
def _legendre(order: int) -> tuple[Vector, Vector]:
    return np.polynomial.legendre.leggauss(order)


def _gauss(edges: Vector, order: int) -> tuple[Vector, Vector]:
    """Nodes and weights of Gauss-Legendre panels between the edges."""
    at, weight = _legendre(order)
    half = np.diff(edges)[:, None] / 2
    middle = (edges[1:] + edges[:-1])[:, None] / 2
    return (middle + half * at).ravel(), (half * weight).ravel()


def _graded(end: float, first: float, step: float) -> Vector:
    """Edges from 0 to `end`: a panel of size `first`, then growing up to `step`."""
    edges = [0.0]
    while edges[-1] < end:
        a = edges[-1]
        edges.append(min(end, a + min(step, max(first, 0.9 * a))))
    return np.array(edges)
