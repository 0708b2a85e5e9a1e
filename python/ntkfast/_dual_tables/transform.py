"""Chebyshev nodes and transforms, and the variable in which a dual is smooth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .parts import Vector

__all__ = ["Variable", "needed", "nodes", "to_coefficients"]


def nodes(size: int) -> Vector:
    """Zeros of T_size."""
    return np.asarray(np.cos(np.pi * (np.arange(size) + 0.5) / size))


def to_coefficients(size: int) -> Vector:
    """Matrix from values at the nodes to coefficients."""
    turns = np.outer(np.arange(size), 2 * np.arange(size) + 1) % (4 * size)  # no large angles
    matrix: Vector = np.cos(turns * (np.pi / (2 * size))) * (2.0 / size)
    matrix[0] *= 0.5
    return matrix


def needed(magnitudes: Vector, tolerance: float) -> int:
    """Terms to keep so that the rest, without its rounding noise, adds up to no more."""
    noise = 1e-15 * np.max(magnitudes)
    tail = np.cumsum(np.where(magnitudes > noise, magnitudes, 0.0)[::-1])[::-1]
    return max(1, int((tail > tolerance).sum()))


@dataclass(frozen=True)
class Variable:
    """x = (b + kappa)^(1 / 2^roots), mapped to [-1, 1]; b is mu, or its root for kinked functions.

    A steep function changes within mu of about 1 / q, which a kappa of that size resolves; the
    roots then act like a logarithm.
    """

    kinked: bool
    kappa: float
    roots: int

    def _ends(self) -> tuple[float, float]:
        power = 0.5**self.roots
        return self.kappa**power, (1 + self.kappa) ** power

    def of(self, mu: Vector) -> Vector:
        """Return x of every mu."""
        low, high = self._ends()
        base = np.sqrt(mu) if self.kinked else mu
        x = (2 * (base + self.kappa) ** 0.5**self.roots - (low + high)) / (high - low)
        return np.asarray(np.clip(x, -1.0, 1.0))

    def nodes(self, size: int) -> Vector:
        """Return the mu of the nodes, kept inside (0, 1)."""
        low, high = self._ends()
        base = (0.5 * (low + high) + 0.5 * (high - low) * nodes(size)) ** 2**self.roots - self.kappa
        mu = np.maximum(base, 0.0) ** 2 if self.kinked else base
        return np.asarray(np.clip(mu, 1e-300, 1.0 - 1e-16))

    def basis(self, mu: Vector, terms: int) -> Vector:
        """Return T_0, ..., T_{terms-1} at x of every mu: (mu, terms)."""
        return np.asarray(np.polynomial.chebyshev.chebvander(self.of(mu), terms - 1))
