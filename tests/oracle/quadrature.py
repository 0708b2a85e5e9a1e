"""Dual activations by two-dimensional Gaussian quadrature that knows phi and phi' alone.

With u = sqrt(q) x and v = sqrt(p) (cos(theta) x + sin(theta) y), x and y independent N(0, 1):
the inner integral over y is split where v meets a kink, the outer one over x where u meets one and
where the mean of v does. Panels shrink geometrically towards those points, so that steep smooth
functions (erf at large q) and the narrow inner Gaussian near theta = 0 and pi are resolved too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from oracle import numerical
from oracle.arch import CLIPPED, KINKED, Layer, coefficients, erf_parameters

Vector = NDArray[np.float64]
Function = Callable[[Vector], Vector]
Definition = Callable[[Layer], tuple[Function, Function, tuple[float, ...]]]

_REACH = 13.0  # the density is 2e-37 there
_GRID = np.linspace(-_REACH, _REACH, 27)
_SHRINK = _REACH * 4.0 ** -np.arange(23)  # down to 7e-13
_OFFSETS = np.concatenate([-_SHRINK, [0.0], _SHRINK[::-1]])
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)


def _rule(centres: Vector) -> tuple[Vector, Vector]:
    """Nodes and Gaussian weights, one rule per row of `centres` (n, c): each (n, nodes)."""
    graded = (centres[:, :, None] + _OFFSETS).reshape(len(centres), -1)
    grid = np.broadcast_to(_GRID, (len(centres), len(_GRID)))
    edges = np.sort(np.clip(np.concatenate([grid, graded], axis=1), -_REACH, _REACH), axis=1)
    half = np.diff(edges, axis=1)[:, :, None] / 2
    middle = ((edges[:, :-1] + edges[:, 1:]) / 2)[:, :, None]
    nodes = middle + half * _NODES
    weights = half * _WEIGHTS * np.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi)
    return nodes.reshape(len(centres), -1), weights.reshape(len(centres), -1)


def expectation(f: Function, kinks: Sequence[float], q: float, p: float, theta: float) -> float:
    """E[f(u) f(v)], Var u = q > 0, Var v = p > 0, correlation cos(theta); about 1e-13 of the scale.

    `kinks`: where f or its derivative jumps, or where f is steep.
    """
    points = np.asarray(kinks, dtype=np.float64)
    sd_u, sd_v, cosine, sine = np.sqrt(q), np.sqrt(p), np.cos(theta), np.sin(theta)
    centres = points / sd_u
    if abs(cosine) > 1e-3:
        centres = np.concatenate([centres, points / (sd_v * cosine)])
    x, weight = (array[0] for array in _rule(centres[None, :]))
    keep = weight > 0.0
    total = 0.0
    for part in np.array_split(np.flatnonzero(keep), 16):
        mean = cosine * x[part]
        crossing = (points[None, :] / sd_v - mean[:, None]) / max(sine, 1e-30)
        y, inner = _rule(np.clip(crossing, -2 * _REACH, 2 * _REACH))
        v = f(sd_v * (mean[:, None] + sine * y))
        total += float((weight[part] * f(sd_u * x[part])) @ (inner * v).sum(axis=1))
    return total


def _two_slopes(kind: str) -> Definition:
    def definition(layer: Layer) -> tuple[Function, Function, tuple[float, ...]]:
        a, b = KINKED[kind](layer)
        return (
            lambda x: a * np.minimum(x, 0) + b * np.maximum(x, 0),
            lambda x: np.where(x < 0, a, b).astype(np.float64),
            (0.0,),
        )

    return definition


def _clipped(kind: str) -> Definition:
    def definition(layer: Layer) -> tuple[Function, Function, tuple[float, ...]]:
        low, high = CLIPPED[kind](layer)
        return (
            lambda x: np.clip(x, low, high),
            lambda x: ((x > low) & (x < high)).astype(np.float64),
            (low, high),
        )

    return definition


def _erf(layer: Layer) -> tuple[Function, Function, tuple[float, ...]]:
    a, b, c = erf_parameters(layer)
    return (
        lambda x: a * special.erf(b * x) + c,
        lambda x: a * b * 2 / np.sqrt(np.pi) * np.exp(-((b * x) ** 2)),
        (0.0,),
    )


def _gelu(_layer: Layer) -> tuple[Function, Function, tuple[float, ...]]:
    def slope(x: Vector) -> Vector:
        return special.ndtr(x) + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)

    return lambda x: x * special.ndtr(x), slope, (0.0,)


def _polynomial(layer: Layer) -> tuple[Function, Function, tuple[float, ...]]:
    phi = np.polynomial.Polynomial(coefficients(layer))
    if layer["type"] == "Hermite":
        phi = phi / np.sqrt(special.factorial(layer["degree"]))
    return phi, phi.deriv(), ()


def _rectified(layer: Layer) -> tuple[Function, Function, tuple[float, ...]]:
    n = layer["degree"]
    return (
        lambda x: np.where(x > 0, np.maximum(x, 0) ** n, 0.0),
        lambda x: np.where(x > 0, n * np.maximum(x, 0) ** max(n - 1, 0), 0.0),
        (0.0,),
    )


def _wave(f: Function, slope: Function) -> Definition:
    def definition(layer: Layer) -> tuple[Function, Function, tuple[float, ...]]:
        a, b, c = (
            layer.get(name, default) for name, default in (("a", 1.0), ("b", 1.0), ("c", 0.0))
        )
        return (lambda x: a * f(b * x + c)), (lambda x: a * b * slope(b * x + c)), ()

    return definition


def _rbf(layer: Layer) -> tuple[Function, Function, tuple[float, ...]]:
    b = np.sqrt(2 * layer.get("gamma", 1.0))
    return (
        lambda x: np.sqrt(2) * np.sin(b * x + np.pi / 4),
        lambda x: np.sqrt(2) * b * np.cos(b * x + np.pi / 4),
        (),
    )


def _exp(layer: Layer) -> tuple[Function, Function, tuple[float, ...]]:
    a, b = layer.get("a", 1.0), layer.get("b", 1.0)
    return (lambda x: a * np.exp(b * x)), (lambda x: a * b * np.exp(b * x)), ()


def _gaussian(layer: Layer) -> tuple[Function, Function, tuple[float, ...]]:
    a, b = layer.get("a", 1.0), layer.get("b", -1.0)
    return (
        lambda x: a * np.exp(b * x**2),
        lambda x: 2 * a * b * x * np.exp(b * x**2),
        (0.0,),
    )


def _gabor(layer: Layer) -> tuple[Function, Function, tuple[float, ...]]:
    return (
        lambda x: np.exp(-(x**2)) * np.sin(x),
        lambda x: np.exp(-(x**2)) * (np.cos(x) - 2 * x * np.sin(x)),
        (0.0,),
    )


#: Type of activation -> its dictionary -> phi, phi' almost everywhere, where either jumps or is
#: steep. One line per activation.
FUNCTIONS: dict[str, Definition] = {
    "Identity": lambda layer: ((lambda x: x), np.ones_like, ()),
    **{kind: _two_slopes(kind) for kind in KINKED},
    **{kind: _clipped(kind) for kind in CLIPPED},
    "Erf": _erf,
    "Sigmoid_like": _erf,
    "Gelu": _gelu,
    "Sign": lambda layer: (np.sign, np.zeros_like, (0.0,)),
    "RectifiedMonomial": _rectified,
    **dict.fromkeys(("Monomial", "Polynomial", "Hermite"), _polynomial),
    "Sin": _wave(np.sin, np.cos),
    "Cos": _wave(np.cos, lambda x: -np.sin(x)),
    "Rbf": _rbf,
    "Exp": _exp,
    "Gaussian": _gaussian,
    "Gabor": _gabor,
    **numerical.FUNCTIONS,
}


def functions(layer: Layer) -> tuple[Function, Function, tuple[float, ...]]:
    """phi, phi' almost everywhere, and the kinks of the activation of a layer dictionary."""
    return FUNCTIONS[layer["type"]](layer)


def duals(layer: Layer, q: float, p: float, theta: float) -> tuple[float, float]:
    """E[phi(u) phi(v)] and E[phi'(u) phi'(v)] of the activation of a layer dictionary."""
    phi, slope, kinks = functions(layer)
    return expectation(phi, kinks, q, p, theta), expectation(slope, kinks, q, p, theta)
