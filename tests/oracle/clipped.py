"""The dual of min(max(x, lo), hi): exact at rho = +-1, by Price's theorem (1958) between.

What happens at rho = +-1 is a one-dimensional integral of piecewise linear functions, closed in
terms of erf and evaluated with all digits. What is lost on the way to rho is proportional to
1 - |rho|: there the 18 digits of an extended float are relative to that distance.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
from mpmath import mp, mpf
from numpy.typing import NDArray

Piece = tuple[mpf, mpf, mpf]  # min(max(slope z, low), high): slope, low, high

_PANELS = 110


def _gauss_legendre(n: int) -> tuple[NDArray[np.longdouble], NDArray[np.longdouble]]:
    """Nodes and weights on [-1, 1] with all digits of an extended float."""
    nodes, weights = [], []
    for start in np.polynomial.legendre.leggauss(n)[0]:
        x = mpf(float(start))
        for _ in range(3):
            value, before = mp.legendre(n, x), mp.legendre(n - 1, x)
            slope = n * (x * value - before) / (x * x - 1)
            x -= value / slope
        nodes.append(_extended(x))
        weights.append(_extended(2 / ((1 - x * x) * slope**2)))
    return np.array(nodes), np.array(weights)


def _extended(x: mpf) -> np.longdouble:
    high = float(x)
    return np.longdouble(high) + np.longdouble(float(x - high))


with mp.workdps(40):
    _NODES, _WEIGHTS = _gauss_legendre(16)
_EDGE = np.longdouble(2) ** -np.arange(_PANELS)[:, None]
#: Nodes and weights on [0, 1], in panels that shrink by half towards 0. The last leaves out 1e-33,
#: which rows of norm 1e8 multiply by 1e16.
_T = (_EDGE * (np.longdouble(3) + _NODES) / 4).ravel()
_W = (_EDGE * _WEIGHTS / 4).ravel()


@lru_cache(maxsize=10_000)
def _moments(z: mpf) -> tuple[mpf, mpf, mpf]:
    """Integrals of 1, z and z^2 against the normal density, from 0."""
    bell = mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi)
    inside = mp.erf(z / mp.sqrt(2)) / 2
    return inside, -bell, inside - z * bell


def _affine(f: Piece, left: mpf, right: mpf) -> tuple[mpf, mpf]:
    """(a, b) of a z + b, which `f` is between two neighbouring knots."""
    slope, low, high = f
    middle = slope * (left + right) / 2
    if low < middle < high:
        return slope, mpf(0)
    return mpf(0), low if middle <= low else high


def product_mean(f: Piece, g: Piece) -> mpf:
    """E[f(z) g(z)], z ~ N(0, 1)."""
    far = mpf(40)  # the density is 4e-348 there
    knots = {level / h[0] for h in (f, g) for level in h[1:]}
    edges = sorted({-far, far, *(z for z in knots if abs(z) < far)})
    total = mpf(0)
    for left, right in pairwise(edges):
        (a, b), (c, d) = _affine(f, left, right), _affine(g, left, right)
        zero, one, two = (hi - lo for lo, hi in zip(_moments(left), _moments(right), strict=True))
        total += b * d * zero + (a * d + b * c) * one + a * c * two
    return total


def _turned(a: list[mpf], b: list[mpf], gap: mpf) -> tuple[mpf, mpf]:
    """Integrals of H and of H v^2 / 2 over the angle, v^2 = 2 (1 - cos(angle)), up to v^2 = 2 gap.

    H is the joint density at the corners of the box that both variables have a slope in, up to its
    factor 1 / (2 pi sin(angle)).
    """
    v2 = 2 * _extended(gap)
    w = v2 * _T**2
    total = np.zeros_like(w)
    for k in (0, 1):
        for j in (0, 1):
            minus, plus = _extended(a[k] - b[j]), _extended(a[k] + b[j])
            drop = np.expm1(-(minus**2 / w + plus**2 / (4 - w)) / 2)
            total += drop if k == j else -drop
    weight: NDArray[np.longdouble] = np.sqrt(v2) * _W / np.sqrt(1 - w / 4)
    return tuple(mpf(str(np.sum(weight * total * by))) for by in (1, w / 2))  # type: ignore[return-value]


def dual(low: mpf, high: mpf, k: mpf, q: mpf, p: mpf) -> tuple[mpf, mpf]:
    """E[phi(u) phi(v)] and E[phi'(u) phi'(v)], low <= 0 <= high."""
    if q == 0 or p == 0:  # phi(0) = 0; the derivative then only ever meets T = 0
        return mpf(0), mpf(1)
    size, other = mp.sqrt(q), mp.sqrt(p)
    rho = max(mpf(-1), min(mpf(1), k / (size * other)))
    sign, gap = (1, 1 - rho) if rho > 0 else (-1, 1 + rho)
    mirrored = (low, high) if sign > 0 else (-high, -low)
    a, b = [low / size, high / size], [level / other for level in mirrored]
    value = product_mean((size, low, high), (other, *mirrored))
    inside = [_moments(z)[0] for z in (max(a[0], b[0]), min(a[1], b[1]))]
    slope = inside[1] - inside[0]
    if gap > 0:
        plain, weighted = _turned(a, b, gap)
        slope -= plain / (2 * mp.pi)
        value -= size * other * (gap * slope + weighted / (2 * mp.pi))
    return sign * value, slope
