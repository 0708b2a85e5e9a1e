"""The answer a contender is compared with: a plain recursion in extended precision.

It shares no code with the library. It carries (K, T) of a few rows in numpy.longdouble (64-bit
mantissa on x86), and sets the correlation of a row with itself to exactly 1. What it loses near
correlation 1 is below 1e-9 of an entry, far under what is compared here. (Where longdouble is
float64, read errors below 2e-8 as "no worse than that".)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cases import Case

Wide = NDArray[np.longdouble]


@dataclass(frozen=True)
class Answer:
    """One kernel of a few rows, and sqrt(k(x, x) k(z, z)), which no entry exceeds."""

    entries: Wide
    scale: Wide

    def differences(self, got: NDArray[Any]) -> dict[str, float]:
        """Return the largest |difference|, relative to the scale and to the entry itself."""
        error = np.abs(got.astype(np.longdouble) - self.entries)
        return {
            "scale": float(np.max(error / self.scale)),
            "entry": float(np.max(error / np.abs(self.entries))),
        }


def kernels(case: Case, x: NDArray[Any], z: NDArray[Any] | None) -> dict[str, Answer]:
    """Return both kernels of a few rows."""
    wide_x = x.astype(np.longdouble)
    wide_z = wide_x if z is None else z.astype(np.longdouble)
    pairs = _recursion(case, wide_x, wide_z, same=z is None)
    of_x, of_z = (_recursion(case, rows, rows, same=True) for rows in (wide_x, wide_z))
    scales = [
        np.sqrt(np.outer(a.diagonal(), b.diagonal())) for a, b in zip(of_x, of_z, strict=True)
    ]
    return {"nngp": Answer(pairs[0], scales[0]), "ntk": Answer(pairs[1], scales[1])}


def _recursion(case: Case, x: Wide, z: Wide, same: bool) -> tuple[Wide, Wide]:
    features = np.longdouble(case.features)
    w2, b2 = np.longdouble(case.w_std) ** 2, np.longdouble(case.b_std) ** 2
    k, p, q = x @ z.T / features, (x * x).sum(1) / features, (z * z).sum(1) / features
    t = np.zeros_like(k)
    for layer in range(case.depth + 1):
        k, p, q = w2 * k + b2, w2 * p + b2, w2 * q + b2
        t = k + w2 * t
        if layer < case.depth:
            step = _relu if case.activation == "relu" else _erf
            k, derivative, p, q = step(k, p, q, same=same)
            t = t * derivative
    return k, t


def _relu(k: Wide, p: Wide, q: Wide, same: bool) -> tuple[Wide, Wide, Wide, Wide]:
    norm = np.sqrt(np.outer(p, q))
    rho = np.clip(k / norm, -1, 1)
    if same:
        np.fill_diagonal(rho, 1)
    angle, pi = np.arccos(rho), np.arccos(np.longdouble(-1))
    sine = np.sqrt((1 - rho) * (1 + rho))
    value = norm * (sine + (pi - angle) * rho) / (2 * pi)
    return value, (pi - angle) / (2 * pi), p / 2, q / 2


def _erf(k: Wide, p: Wide, q: Wide, same: bool) -> tuple[Wide, Wide, Wide, Wide]:
    del same  # no kink: the rounding of the correlation does no harm
    pi = np.arccos(np.longdouble(-1))
    norm = np.outer(1 + 2 * p, 1 + 2 * q)
    value = 2 / pi * np.arcsin(2 * k / np.sqrt(norm))
    derivative = 4 / pi / np.sqrt(norm - 4 * k * k)
    return (
        value,
        derivative,
        2 / pi * np.arcsin(2 * p / (1 + 2 * p)),
        2 / pi * np.arcsin(2 * q / (1 + 2 * q)),
    )
