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

from oracle import clipped, exponentials, polynomials
from oracle.arch import CLIPPED, KINKED, Layer, erf_parameters, fold

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


def _gelu(k: mpf, q: mpf, p: mpf) -> tuple[mpf, mpf]:
    """E[phi phi] and E[phi' phi'] of x Phi(x) (Tsuchida et al. 2021)."""
    product = (1 + q) * (1 + p)
    root = mp.sqrt(product - k * k)
    angle, tangent = mp.asin(k / mp.sqrt(product)), k / root
    value = k * angle + (q * p * root + k * tangent) / product
    slope = angle + tangent * (1 - (q * p - 2 - tangent**2) / product)
    return k / 4 + value / (2 * mp.pi), mpf(1) / 4 + slope / (2 * mp.pi)


def _two_slopes(kind: str) -> Dual:
    return lambda layer, k, q, p: _kinked(*map(mpf, KINKED[kind](layer)), k, q, p)


def _clipped(kind: str) -> Dual:
    return lambda layer, k, q, p: clipped.dual(*map(mpf, CLIPPED[kind](layer)), k, q, p)


#: Type of activation -> (its dictionary, k, q, p) -> E[phi(u) phi(v)], E[phi'(u) phi'(v)].
#: One line per activation; the formulas may lose all the digits they like.
DUALS: dict[str, Dual] = {
    "Identity": lambda layer, k, q, p: (k, mpf(1)),
    **{kind: _two_slopes(kind) for kind in KINKED},
    **{kind: _clipped(kind) for kind in CLIPPED},
    **polynomials.DUALS,
    "Erf": lambda layer, k, q, p: _erf(*map(mpf, erf_parameters(layer)), k, q, p),
    "Sigmoid_like": lambda layer, k, q, p: _erf(*map(mpf, erf_parameters(layer)), k, q, p),
    "Gelu": lambda _layer, k, q, p: _gelu(k, q, p),
    "Sin": exponentials.sin,
    "Cos": exponentials.cos,
    "Rbf": exponentials.rbf,
    "Exp": exponentials.exp,
    "ExpNormalized": exponentials.exp_normalized,
    "Gaussian": exponentials.gaussian,
    "Gabor": exponentials.gabor,
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


#: Layers beside Dense and the activations, combinators included.
LAYERS = frozenset(
    {"FanOut", "parallel", "FanInSum", "FanInProd", "FanInConcat", "LayerNorm", "Dropout"}
)


class _Value(NamedTuple):
    """Covariances behind one layer, and its number of channels."""

    k: mpf
    t: mpf
    width: int


def _dense(layer: Layer, value: _Value) -> _Value:
    w = mpf(layer.get("W_std", 1.0)) ** 2
    k = w * value.k + mpf(layer.get("b_std") or 0) ** 2
    own = k
    if layer.get("parameterization", "ntk") == "standard":
        own = value.width / mpf(layer.get("s", (1, 1))[0]) * value.k
        own += 0 if layer.get("b_std") is None else 1
    t = w * value.t + (own if layer.get("trainable", True) else 0)
    return _Value(k, t, int(layer.get("out_dim", 1) * layer.get("s", (1, 1))[1]))


def _join(layer: Layer, values: Sequence[_Value]) -> _Value:
    kernels, tangents, widths = zip(*values, strict=True)
    if layer["type"] == "FanInSum":
        return _Value(mp.fsum(kernels), mp.fsum(tangents), widths[0])
    if layer["type"] == "FanInConcat":
        total = sum(widths)
        return _Value(mp.fdot(widths, kernels) / total, mp.fdot(widths, tangents) / total, total)
    others = [mp.fprod(kernels[:i] + kernels[i + 1 :]) for i in range(len(kernels))]
    return _Value(mp.fprod(kernels), mp.fdot(tangents, others), widths[0])


def _step(layer: Layer, values: Sequence[_Value], q: mpf, p: mpf, same: bool) -> _Value:
    """One layer at the variances q and p of its (first) input; `same`: one sample with itself."""
    kind, value = layer["type"], values[0]
    if kind == "Dense":
        return _dense(layer, value)
    if kind in ("FanInSum", "FanInProd", "FanInConcat"):
        return _join(layer, values)
    if kind == "LayerNorm":
        eps = mpf(layer.get("eps", 1e-12))
        scale = mp.sqrt((q + eps) * (p + eps)) if q > 0 and p > 0 else mpf(1)
        return value._replace(k=value.k / scale, t=value.t / scale)
    if kind == "Dropout":
        keep = mpf(layer["rate"]) if same and layer.get("mode", "train") == "train" else mpf(1)
        return value._replace(k=value.k / keep, t=value.t / keep)
    k, slope = _activation(layer, value.k, q, p)
    return value._replace(k=k, t=value.t * slope)


class _Row(NamedTuple):
    """One sample with itself: variances in front of every layer, and the kernels at the end."""

    variances: list[mpf]
    end: _Value


def _row(arch: Layer, q: mpf, width: int) -> _Row:
    variances: list[mpf] = []

    def step(layer: Layer, *values: _Value) -> _Value:
        variances.append(q := values[0].k)
        return _step(layer, values, q, q, True)

    end = fold(arch, _Value(q, mpf(0), width), step)
    return _Row(variances, end)


def _entry(arch: Layer, k: mpf, width: int, row: _Row, col: _Row) -> _Value:
    """Two different samples."""
    variances = zip(row.variances, col.variances, strict=True)

    def step(layer: Layer, *values: _Value) -> _Value:
        return _step(layer, values, *next(variances), False)

    return fold(arch, _Value(k, mpf(0), width), step)  # type: ignore[no-any-return]


def _exact(x: ArrayLike) -> list[list[mpf]]:
    return [[mpf(float(v)) for v in row] for row in np.asarray(x)]


def _rows(arch: Layer, samples: list[list[mpf]]) -> list[_Row]:
    return [_row(arch, mp.fdot(row, row) / len(row), len(row)) for row in samples]


def truth(arch: Layer, x: ArrayLike, z: ArrayLike | None = None) -> Truth:
    """NNGP kernel and NTK of `x` (n, d) with `z` (m, d), or with itself; float64.

    Takes about 50 microseconds per entry and layer: keep it to a hundred entries.
    """
    with mp.workdps(DIGITS):
        xs = _exact(x)
        zs = xs if z is None else _exact(z)
        d = len(xs[0])
        rows = _rows(arch, xs)
        cols = rows if z is None else _rows(arch, zs)
        nngp, ntk = np.empty((2, len(xs), len(zs)))
        for i, row in enumerate(rows):
            for j, col in enumerate(cols):
                if z is None and j < i:
                    nngp[i, j], ntk[i, j] = nngp[j, i], ntk[j, i]
                    continue
                same = z is None and i == j
                k = mp.fdot(xs[i], zs[j]) / d
                nngp[i, j], ntk[i, j] = (row.end if same else _entry(arch, k, d, row, col))[:2]
        ends = [[(row.end.k, row.end.t) for row in side] for side in (rows, cols)]
        return Truth(nngp, ntk, _outer_root(*ends, 0), _outer_root(*ends, 1))


def diag(arch: Layer, x: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """NNGP and NTK of every row of `x` with itself, each (n,)."""
    with mp.workdps(DIGITS):
        ends = [row.end for row in _rows(arch, _exact(x))]
        values = np.array([[float(end.k), float(end.t)] for end in ends]).reshape(-1, 2)
        return values[:, 0], values[:, 1]


def _outer_root(
    rows: list[tuple[mpf, mpf]], cols: list[tuple[mpf, mpf]], which: int
) -> NDArray[np.float64]:
    """sqrt(k(x, x) k(z, z)), formed before rounding so that extreme rows do not overflow."""
    return np.array([[float(mp.sqrt(r[which] * c[which])) for c in cols] for r in rows])


class _Growth(NamedTuple):
    """One sample: its kernels, and the growth of errors, in full but for the layers at work."""

    value: _Value
    growth: mpf
    chi: mpf


def _grow(layer: Layer, inputs: Sequence[_Growth]) -> _Growth:
    kind, (value, growth, chi) = layer["type"], inputs[0]
    q = value.k
    end = _step(layer, [each.value for each in inputs], q, q, True)
    if end.k == 0:
        return _Growth(end, growth, chi)
    if kind in ("FanInSum", "FanInProd", "FanInConcat"):
        shares = [mpf(1)] * len(inputs)
        if kind != "FanInProd":
            widths = [each.value.width if kind == "FanInConcat" else 1 for each in inputs]
            total = end.k * (end.width if kind == "FanInConcat" else 1)
            shares = [c * each.value.k / total for c, each in zip(widths, inputs, strict=True)]
        growth = max(each.growth for each in inputs)
        return _Growth(
            end, growth, mp.fdot(shares, [each.growth * each.chi for each in inputs]) / growth
        )
    if kind == "Dense":
        chi *= mpf(layer.get("W_std", 1.0)) ** 2 * q / end.k
    elif kind == "Dropout" and layer.get("mode", "train") == "train":
        chi *= mpf(layer["rate"])
    elif kind in DUALS and kind != "Identity" and q > 0:
        growth *= max(mpf(1), chi * _activation(layer, q, q, q)[1] * q / end.k)
        chi = mpf(1)
    return _Growth(end, growth, chi)


def conditioning(arch: Layer, x: ArrayLike) -> float:
    """Growth of a small error of delta, worst row: the product of max(1, chi) over activations.

    chi is `d delta' / d delta` at delta = 0 of an activation together with the layers in front of
    it, in relative terms (delta is relative to q already): below 1 in the ordered phase, above 1 in
    the chaotic one. Errors of several branches add up as their deltas do.
    """
    with mp.workdps(DIGITS):
        worst = mpf(1)

        def step(layer: Layer, *inputs: _Growth) -> _Growth:
            nonlocal worst
            end = _grow(layer, inputs)
            worst = max(worst, end.growth * max(mpf(1), end.chi))
            return end

        for row in _exact(x):
            start = _Value(mp.fdot(row, row) / len(row), mpf(0), len(row))
            fold(arch, _Growth(start, mpf(1), mpf(1)), step)
        return float(worst)
