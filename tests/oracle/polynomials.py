"""Duals of the sign, of powers of the positive part and of polynomials, in textbook form.

Polynomials by the moments of Gaussians in powers of x (Isserlis 1918), not by Hermite coefficients.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from mpmath import mp, mpf

from oracle.arch import Layer, coefficients

Dual = Callable[[Layer, mpf, mpf, mpf], tuple[mpf, mpf]]


def _angle(k: mpf, q: mpf, p: mpf) -> mpf:
    return mp.acos(max(mpf(-1), min(mpf(1), k / mp.sqrt(q * p))))


def _sign(_: Layer, k: mpf, q: mpf, p: mpf) -> tuple[mpf, mpf]:
    """1 - 2 theta / pi (Sheppard 1899); phi(0) = 0 and phi' = 0."""
    if q == 0 or p == 0:
        return mpf(0), mpf(0)
    return 1 - 2 * _angle(k, q, p) / mp.pi, mpf(0)


def arc_cosine(n: int, theta: mpf) -> mpf:
    """J_n(theta) of Cho & Saul (2009, eq. 4), by a recurrence from their J_0 and J_1."""
    c, s = mp.cos(theta), mp.sin(theta)
    below, value = mp.pi - theta, s + (mp.pi - theta) * c
    if n == 0:
        return below
    for m in range(1, n):
        below, value = value, (2 * m + 1) * c * value + m * m * s * s * below
    return value


def _rectified(layer: Layer, k: mpf, q: mpf, p: mpf) -> tuple[mpf, mpf]:
    n = layer["degree"]
    if q == 0 or p == 0:  # phi(0) = 0; the slope of order 1 does not depend on the variance
        return mpf(0), mpf(n == 1) / 2
    theta, size = _angle(k, q, p), mp.sqrt(q * p)
    value = size**n * arc_cosine(n, theta) / (2 * mp.pi)
    slope = n * n * size ** (n - 1) * arc_cosine(n - 1, theta) / (2 * mp.pi) if n > 0 else mpf(0)
    return value, slope


@lru_cache(maxsize=4096)
def _mean_derivatives(c: tuple[mpf, ...], q: mpf) -> list[mpf]:
    """E[phi^(j)(u)], j = 0, 1, ...: of the powers of u, E[u^(2 i)] = (2 i - 1)!! q^i."""
    means = []
    for _ in c:
        means.append(
            mp.fsum(x * mp.fac2(n - 1) * q ** (n // 2) for n, x in enumerate(c) if n % 2 == 0)
        )
        c = tuple(n * x for n, x in enumerate(c))[1:]
    return means


def _expectation(c: tuple[mpf, ...], k: mpf, q: mpf, p: mpf) -> mpf:
    """E[phi(u) phi(v)]: j factors of u are paired with j of v, in j! ways (Isserlis 1918)."""
    pairs = zip(_mean_derivatives(c, q), _mean_derivatives(c, p), strict=True)
    return mp.fsum(k**j / mp.factorial(j) * a * b for j, (a, b) in enumerate(pairs))


def _polynomial(layer: Layer, k: mpf, q: mpf, p: mpf) -> tuple[mpf, mpf]:
    c = tuple(mpf(value) for value in coefficients(layer))
    size = mp.factorial(layer["degree"]) if layer["type"] == "Hermite" else mpf(1)
    slopes = tuple(n * value for n, value in enumerate(c))[1:]
    return _expectation(c, k, q, p) / size, _expectation(slopes, k, q, p) / size


DUALS: dict[str, Dual] = {
    "Sign": _sign,
    "RectifiedMonomial": _rectified,
    **dict.fromkeys(("Monomial", "Polynomial", "Hermite"), _polynomial),
}
