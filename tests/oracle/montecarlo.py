"""NNGP kernel and NTK estimated from wide random networks, with a confidence interval of their own.

Every network is drawn, run forwards and differentiated by hand in NumPy. A network of width m is
biased by O(1/m); the combination 2 E(2m) - E(m) of two widths removes that term, so what is left is
noise, whose standard error comes with the estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oracle.arch import Layer, flatten
from oracle.quadrature import functions

Matrix = NDArray[np.float64]


class Estimate(NamedTuple):
    """Mean over random networks and its standard error, both (n, n)."""

    mean: Matrix
    error: Matrix


def _forward(
    layers: Sequence[Layer], X: Matrix, width: int, rng: np.random.Generator
) -> tuple[list[Matrix], list[Matrix | None]]:
    """Draw a network with one output; return the value in front of every layer, and the weights."""
    last = max(i for i, layer in enumerate(layers) if layer["type"] == "Dense")
    values = [X]
    weights: list[Matrix | None] = []
    for i, layer in enumerate(layers):
        a = values[-1]
        if layer["type"] != "Dense":
            weights.append(None)
            values.append(functions(layer)[0](a))
            continue
        w = rng.standard_normal((a.shape[1], 1 if i == last else width))
        w *= layer.get("W_std", 1.0) / np.sqrt(a.shape[1])
        b = (layer.get("b_std") or 0.0) * rng.standard_normal(w.shape[1])
        weights.append(w)
        values.append(a @ w + b)
    return values, weights


def sample(
    arch: Layer, x: ArrayLike, width: int, rng: np.random.Generator
) -> tuple[Matrix, Matrix]:
    """Output product and gradient product of one random network that ends in a Dense layer.

    The expectation over the readout weights is taken exactly in the first, to lower its noise.
    """
    layers = list(flatten(arch))
    values, weights = _forward(layers, np.asarray(x, dtype=np.float64), width, rng)
    n = len(values[0])
    ntk = np.zeros((n, n))
    signal = np.ones((n, 1))  # derivative of the output by the value behind the layer
    products = []
    for layer, a, w in reversed(list(zip(layers, values, weights, strict=False))):
        if w is None:
            signal = signal * functions(layer)[1](a)
            continue
        b = layer.get("b_std") or 0.0
        products.append(layer.get("W_std", 1.0) ** 2 * (a @ a.T) / a.shape[1] + b**2)
        if layer.get("trainable", True):
            ntk += products[-1] * (signal @ signal.T)
        signal = signal @ w.T
    return products[0], ntk


def estimate(
    arch: Layer, x: ArrayLike, *, width: int = 128, networks: int = 400, seed: int = 0
) -> tuple[Estimate, Estimate]:
    """Estimate the NNGP kernel and the NTK of `x` (n, d) from 2 x `networks` random networks."""
    rng = np.random.default_rng(seed)
    draws = {
        m: np.array([sample(arch, x, m, rng) for _ in range(networks)]) for m in (width, 2 * width)
    }
    narrow, wide = draws[width], draws[2 * width]
    mean = 2 * wide.mean(0) - narrow.mean(0)
    error = np.sqrt((4 * wide.var(0, ddof=1) + narrow.var(0, ddof=1)) / networks)
    return Estimate(mean[0], error[0]), Estimate(mean[1], error[1])
