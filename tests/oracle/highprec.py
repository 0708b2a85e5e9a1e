"""The ground truth: the textbook (K, T) recursion in 60 decimal digits.

At 60 digits the recursion may be written in its plainest form: what cancellation destroys (half the
digits of theta at rho = 1, all digits of rho at rho = -1) leaves more than float64 can hold. Inputs
are taken exactly as the floating-point numbers they are; results are rounded once, to float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from mpmath import mp, mpf
from numpy.typing import ArrayLike, NDArray

from oracle.arch import KINKED, Layer, erf_parameters, flatten

DIGITS = 60

Dual = Callable[[Layer, mpf, mpf, mpf], tuple[mpf, mpf]]


class Truth(NamedTuple):
    """Kernels and, for each entry, the scale `sqrt(k(x, x) k(z, z))` it is compared on."""

    nngp: NDArray[np.float64]
    ntk: NDArray[np.float64]
    nngp_scale: NDArray[np.float64]
    ntk_scale: NDArray[np.float64]


def _kinked(a: mpf, b: mpf, k: mpf, q: mpf, p: mpf) -> tuple[mpf, mpf]:
    """E[phi phi] and E[phi' phi'] of a min(x, 0) + b max(x, 0) (Cho & Saul 2009, order 0 and 1)."""
    half = (a * a + b * b) / 2
    if q == 0 or p == 0:  # phi(0) = 0; the derivative then only ever meets T = 0
        return mpf(0), half
    scale = mp.sqrt(q * p)
    rho = max(mpf(-1), min(mpf(1), k / scale))
    theta = mp.acos(rho)
    sine = mp.sqrt((1 - rho) * (1 + rho))
    jump = (a - b) ** 2 / (2 * mp.pi)
    return a * b * k + jump * scale * (sine + (mp.pi - theta) * rho), half - jump * theta


def _erf(a: mpf, b: mpf, c: mpf, k: mpf, q: mpf, p: mpf) -> tuple[mpf, mpf]:
    """E[phi phi] and E[phi' phi'] of a erf(b x) + c (Williams 1997)."""
    s = 2 * b * b
    product = (1 + s * q) * (1 + s * p)
    value = a * a * (2 / mp.pi) * mp.asin(s * k / mp.sqrt(product)) + c * c
    return value, a * a * b * b * (4 / mp.pi) / mp.sqrt(product - (s * k) ** 2)


def _two_slopes(kind: str) -> Dual:
    return lambda layer, k, q, p: _kinked(*map(mpf, KINKED[kind](layer)), k, q, p)


#: Type of activation -> (its dictionary, k, q, p) -> E[phi(u) phi(v)], E[phi'(u) phi'(v)].
#: One line per activation; the formulas may lose all the digits they like.
DUALS: dict[str, Dual] = {
    "Identity": lambda layer, k, q, p: (k, mpf(1)),
    **{kind: _two_slopes(kind) for kind in KINKED},
    "Erf": lambda layer, k, q, p: _erf(*map(mpf, erf_parameters(layer)), k, q, p),
}


def _activation(layer: Layer, k: mpf, q: mpf, p: mpf) -> tuple[mpf, mpf]:
    """Dual and derivative dual of one activation at covariance k and variances q, p."""
    return DUALS[layer["type"]](layer, k, q, p)


def duals(layer: Layer, q: float, p: float, theta: float) -> tuple[float, float]:
    """E[phi(u) phi(v)] and E[phi'(u) phi'(v)], Var u = q, Var v = p, correlation cos(theta)."""
    with mp.workdps(DIGITS):
        k = mp.sqrt(mpf(q) * mpf(p)) * mp.cos(mpf(theta))
        value, slope = _activation(layer, k, mpf(q), mpf(p))
        return float(value), float(slope)


def _step(layer: Layer, k: mpf, t: mpf, q: mpf, p: mpf) -> tuple[mpf, mpf]:
    """(K, T) after one layer."""
    if layer["type"] != "Dense":
        value, slope = _activation(layer, k, q, p)
        return value, t * slope
    w = mpf(layer.get("W_std", 1.0)) ** 2
    k = w * k + mpf(layer.get("b_std") or 0) ** 2
    return k, (k if layer.get("trainable", True) else 0) + w * t


def _row_table(layers: Sequence[Layer], q: mpf) -> list[mpf]:
    """Variance of one sample in front of every layer, and behind the last."""
    table = [q]
    for layer in layers:
        table.append(_step(layer, table[-1], mpf(0), table[-1], table[-1])[0])
    return table


def _entry(layers: Sequence[Layer], k: mpf, rows: list[mpf], cols: list[mpf]) -> tuple[mpf, mpf]:
    t = mpf(0)
    for layer, q, p in zip(layers, rows, cols, strict=False):
        k, t = _step(layer, k, t, q, p)
    return k, t


def _exact(x: ArrayLike) -> list[list[mpf]]:
    return [[mpf(float(v)) for v in row] for row in np.asarray(x)]


def truth(arch: Layer, x: ArrayLike, z: ArrayLike | None = None) -> Truth:
    """NNGP kernel and NTK of `x` (n, d) with `z` (m, d), or with itself; float64.

    Takes about 50 microseconds per entry and layer: keep it to a hundred entries.
    """
    with mp.workdps(DIGITS):
        layers = list(flatten(arch))
        xs = _exact(x)
        zs = xs if z is None else _exact(z)
        d = len(xs[0])
        tables = [[_row_table(layers, mp.fdot(r, r) / d) for r in side] for side in (xs, zs)]
        nngp, ntk = np.empty((2, len(xs), len(zs)))
        for i, row in enumerate(xs):
            for j, col in enumerate(zs):
                if z is None and j < i:
                    nngp[i, j], ntk[i, j] = nngp[j, i], ntk[j, i]
                    continue
                k = mp.fdot(row, col) / d
                nngp[i, j], ntk[i, j] = _entry(layers, k, tables[0][i], tables[1][j])
        diagonals = [[_entry(layers, r[0], r, r) for r in table] for table in tables]
        rows, cols = diagonals
        return Truth(nngp, ntk, _outer_root(rows, cols, 0), _outer_root(rows, cols, 1))


def diag(arch: Layer, x: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """NNGP and NTK of every row of `x` with itself, each (n,)."""
    with mp.workdps(DIGITS):
        layers = list(flatten(arch))
        entries = []
        for row in _exact(x):
            table = _row_table(layers, mp.fdot(row, row) / len(row))
            entries.append(_entry(layers, table[0], table, table))
        values = np.array([[float(k), float(t)] for k, t in entries]).reshape(-1, 2)
        return values[:, 0], values[:, 1]


def _outer_root(
    rows: list[tuple[mpf, mpf]], cols: list[tuple[mpf, mpf]], which: int
) -> NDArray[np.float64]:
    """sqrt(k(x, x) k(z, z)), formed before rounding so that extreme rows do not overflow."""
    return np.array([[float(mp.sqrt(r[which] * c[which])) for c in cols] for r in rows])


def conditioning(arch: Layer, x: ArrayLike) -> float:
    """Growth of a small error of delta, worst row: the product of max(1, chi) over activations.

    chi is `d delta' / d delta` at delta = 0 of an activation together with the Dense layers in
    front of it, in relative terms (delta is relative to q already): below 1 in the ordered phase,
    above 1 in the chaotic one.
    """
    with mp.workdps(DIGITS):
        layers = list(flatten(arch))
        worst = mpf(1)
        for row in _exact(x):
            table = _row_table(layers, mp.fdot(row, row) / len(row))
            factor = chi = mpf(1)
            for layer, q, after in zip(layers, table[:-1], table[1:], strict=True):
                if q == 0 or after == 0:
                    continue
                if layer["type"] == "Dense":
                    chi *= mpf(layer.get("W_std", 1.0)) ** 2 * q / after
                elif layer["type"] != "Identity":
                    chi *= _activation(layer, q, q, q)[1] * q / after
                    factor *= max(mpf(1), chi)
                    chi = mpf(1)
            worst = max(worst, factor)
        return float(worst)
