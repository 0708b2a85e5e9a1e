"""Dual activations by quadrature in polar coordinates: steep functions, large rows, a kink at 0.

A pair (u, v) of correlation cos(theta) is p r sin(psi), p' r sin(psi') with psi + psi' = pi - theta
where both have one sign, and psi + psi' = theta where they have not. On either sector a function
that is smooth for x > 0 is smooth in r and psi; panels shrink towards r = 0 and towards both ends
of a sector, where its argument is of the order of one. Only E[phi' phi'] is integrated so: it is
a sum without cancellation, and the loss of E[phi phi] follows from it by integration over rho.
"""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np

from .parts import Function, Parts, Vector
from .transform import Variable, to_coefficients

__all__ = ["PolarRows"]

_REACH = 10.0  # the density is 8e-23 there
_TERMS = 128  # of the interpolants in x


class PolarRows:
    """Rows by quadrature; see Rows. The slopes of all parts must be known.

    ``order`` is the number of nodes in a panel, ``variable`` the one in which G is smooth.
    """

    def __init__(self, parts: Parts, p: Vector, order: int, variable: Variable) -> None:
        self.p = p
        self._parts, self._order, self.variable = parts, order, variable
        self._first = 1.0 / (1 + float(p.max()))
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
            norm = np.sqrt(values**2 @ line)
            self.norms[k] = norm
            self.gains[k] = p * np.sqrt(slope(x) ** 2 @ line)
            self.vectors.append(values * root / np.where(norm > 0, norm, 1.0)[:, None])
            self._slopes.append((k, slope))
        self._series: list[Vector] = []
        self._losses: list[Vector] = []

    def gain(self, mu: Vector) -> list[Vector]:
        """Return G of every part: (rows, rows, mu)."""
        basis = self.variable.basis(mu, _TERMS)
        return [series @ basis.T for series in self._gain_series()]

    def loss(self, mu: Vector) -> list[Vector]:
        """Return H of every part: (rows, rows, mu)."""
        basis = self.variable.basis(mu, _TERMS)
        return [series @ basis.T for series in self._loss_series()]

    def error(self) -> float:
        """Return how far G moves with finer panels, and what its interpolant leaves out."""
        finer = PolarRows(self._parts, self.p, self._order + self._order // 2, self.variable)
        mu = np.array([1e-7, 1e-4, 0.02, 0.3, 0.9])
        pairs = [*zip(self.gain(mu), finer.direct_gain(mu), strict=True)]
        pairs += [*zip((*self.norms, *self.gains), (*finer.norms, *finer.gains), strict=True)]
        tiny = np.finfo(float).tiny
        return max(float(np.max(np.abs(a - b)) / (np.max(np.abs(b)) + tiny)) for a, b in pairs)

    def tail(self) -> float:
        """Return the size of the last coefficients of the interpolants of G."""
        return max(float(np.max(np.abs(series[..., -8:]))) for series in self._gain_series())

    def direct_gain(self, mu: Vector) -> list[Vector]:
        """Return G of every part by quadrature for each mu."""
        count = len(self.p)
        out = [np.empty((count, count, len(mu))) for _ in self._slopes]
        for m, value in enumerate(mu):
            theta = float(np.arcsin(np.sqrt(value)))
            near, far = self._sums(np.pi - theta), self._sums(theta)
            for (k, _), result, one, two in zip(self._slopes, out, near, far, strict=True):
                total = one + two if k == 0 else (one - two) / max(np.cos(theta), 1e-9)
                root = self.gains[k] / self.p
                result[:, :, m] = total / np.outer(root, root)
        return out

    def _gain_series(self) -> list[Vector]:
        if not self._series:
            at_nodes = self.direct_gain(self.variable.nodes(_TERMS))
            self._series = [values @ to_coefficients(_TERMS).T for values in at_nodes]
        return self._series

    def _loss_series(self) -> list[Vector]:
        if not self._losses:
            operators = _Operators(self.variable, self._first)
            for (k, _), series, a in zip(
                self._slopes, self._gain_series(), self.vectors, strict=True
            ):
                ratio = self.gains[k] / np.where(self.norms[k] > 0, self.norms[k], 1.0)
                slopes = series * np.outer(ratio, ratio)[:, :, None]
                overlap = 1 - 0.5 * ((a[:, None] - a[None]) ** 2).sum(2)
                values = operators.even(slopes) if k == 1 else operators.odd(slopes, overlap)
                self._losses.append(values @ to_coefficients(_TERMS).T)
        return self._losses

    def _sums(self, width: float) -> list[Vector]:
        """E[phi'(|u|) phi'(|v|)] over the two opposite sectors of this width, part by part."""
        edges = _graded(width / 2, 0.5 * self._first, 0.6)
        psi, weight = self._panels(np.concatenate([edges, width - edges[-2::-1]]))
        x = np.outer(np.sin(psi), self._radius)
        measure = np.outer(weight, self._radial) / np.pi
        out = []
        for _, slope in self._slopes:
            values = np.stack([slope(p * x) for p in self.p])
            weighted = (values * measure).reshape(len(self.p), -1)
            out.append(weighted @ values[:, ::-1].reshape(len(self.p), -1).T)
        return out

    def _panels(self, edges: Vector) -> tuple[Vector, Vector]:
        return _gauss(edges, self._order)


class _Operators:
    """H at the nodes of a variable from the series of rho' (derivative in rho), part by part."""

    def __init__(self, variable: Variable, first: float) -> None:
        self._mu = variable.nodes(_TERMS)
        self._mean, self._ray, self._near = _operators(variable, first)

    def even(self, slopes: Vector) -> Vector:
        """H = (1 / 2 mu) int_0^mu G, as d rho / d mu = -G / 2."""
        return np.asarray(slopes @ (0.5 * self._mean).T)

    def odd(self, slopes: Vector, at_one: Vector) -> Vector:
        """H = (R(0) - R(mu)) / mu with R = rho / n: the difference, or the integral of -R'."""
        rays = slopes @ self._ray.T
        difference = (at_one[:, :, None] - rays) / self._mu
        integral = (slopes - rays @ to_coefficients(_TERMS).T) @ self._near.T
        return np.asarray(np.where(self._mu > 0.1, difference, integral))


@lru_cache(maxsize=8)
def _operators(variable: Variable, first: float) -> tuple[Vector, Vector, Vector]:
    """Matrices (node mu, k) from T_k(x) to three means.

    Over (0, mu); over 1 - n^2 s^2 for s in (0, 1); and of T_k(x) / (2 - 2 mu) over (0, mu).
    """
    mean, ray, near = (np.empty((_TERMS, _TERMS)) for _ in range(3))
    for m, mu in enumerate(variable.nodes(_TERMS)):
        # In the root of what is integrated over, a root of mu is smooth.
        root = np.sqrt(mu)
        v, weight = _gauss(_graded(root, min(first / 2, root), 1.0), 16)
        basis = variable.basis(v * v, _TERMS)
        mean[m] = (weight * 2 * v / mu) @ basis
        near[m] = (weight * v / ((1 - v * v) * mu)) @ basis
        v, weight = _gauss(_graded(1.0, max(min(first / 2, 0.7 * root), 1e-5), 1.0), 16)
        t = v * v  # 1 - s
        ray[m] = (weight * 2 * v) @ variable.basis(mu + (1 - mu) * t * (2 - t), _TERMS)
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
