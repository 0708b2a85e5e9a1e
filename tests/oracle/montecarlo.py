"""NNGP kernel and NTK estimated from wide random networks, with a confidence interval of their own.

Every network is drawn, run forwards and differentiated by hand in NumPy. A network of width m is
biased by O(1/m); the combination 2 E(2m) - E(m) of two widths removes that term, so what is left is
noise, whose standard error comes with the estimate. A Dense layer has `out_dim` times the width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oracle.arch import Layer, fold
from oracle.quadrature import functions

Matrix = NDArray[np.float64]


class Estimate(NamedTuple):
    """Mean over random networks and its standard error, both (n, n)."""

    mean: Matrix
    error: Matrix


@dataclass
class _Node:
    """What a layer made of its inputs, and how a derivative by it goes back to them."""

    layer: Layer
    value: Matrix
    inputs: tuple[_Node, ...] = ()
    back: Callable[[Matrix], Iterable[Matrix]] = lambda signal: ()
    signal: Matrix = field(default_factory=lambda: np.zeros(()))


def _dense(layer: Layer, node: _Node, width: int, rng: np.random.Generator) -> _Node:
    a = node.value
    w = rng.standard_normal((a.shape[1], width)) * layer.get("W_std", 1.0) / np.sqrt(a.shape[1])
    b = (layer.get("b_std") or 0.0) * rng.standard_normal(width)
    return _Node(layer, a @ w + b, (node,), lambda signal: [signal @ w.T])


def _layer_norm(layer: Layer, node: _Node) -> _Node:
    centred = node.value - node.value.mean(1, keepdims=True)
    scale = np.sqrt((centred**2).mean(1, keepdims=True) + layer.get("eps", 1e-12))
    value = centred / scale

    def back(signal: Matrix) -> list[Matrix]:
        along = (signal * value).mean(1, keepdims=True) * value
        return [(signal - signal.mean(1, keepdims=True) - along) / scale]

    return _Node(layer, value, (node,), back)


def _join(layer: Layer, nodes: tuple[_Node, ...]) -> _Node:
    values = [node.value for node in nodes]
    if layer["type"] == "FanInSum":
        return _Node(layer, sum(values[1:], values[0]), nodes, lambda signal: [signal] * len(nodes))
    if layer["type"] == "FanInConcat":
        ends = np.cumsum([value.shape[1] for value in values])[:-1]
        return _Node(
            layer, np.concatenate(values, 1), nodes, lambda signal: np.split(signal, ends, 1)
        )
    first, second = values
    return _Node(layer, first * second, nodes, lambda signal: [signal * second, signal * first])


def _forward(arch: Layer, x: Matrix, width: int, rng: np.random.Generator) -> list[_Node]:
    """Draw a network whose last layer, a Dense one, has one output; return all of its nodes."""
    nodes = [_Node({"type": "Input"}, x)]
    last = arch["layers"][-1]

    def step(layer: Layer, *inputs: _Node) -> _Node:
        node, kind = inputs[0], layer["type"]
        if kind == "Dense":
            channels = 1 if layer is last else width * layer.get("out_dim", 1)
            made = _dense(layer, node, channels, rng)
        elif kind == "LayerNorm":
            made = _layer_norm(layer, node)
        elif kind in ("FanInSum", "FanInProd", "FanInConcat"):
            made = _join(layer, inputs)
        else:
            if kind == "Dropout":
                kept = rng.random(node.value.shape) < layer["rate"]
                value, slope = node.value * kept / layer["rate"], kept / layer["rate"]
            else:
                value, slope = (f(node.value) for f in functions(layer)[:2])
            made = _Node(layer, value, inputs, lambda signal: [signal * slope])
        nodes.append(made)
        return made

    fold(arch, nodes[0], step)
    return nodes


def sample(
    arch: Layer, x: ArrayLike, width: int, rng: np.random.Generator
) -> tuple[Matrix, Matrix]:
    """Output product and gradient product of one random network that ends in a Dense layer.

    The expectation over the readout weights is taken exactly in the first, to lower its noise.
    """
    nodes = _forward(arch, np.asarray(x, dtype=np.float64), width, rng)
    n = len(nodes[0].value)
    ntk = np.zeros((n, n))
    nodes[-1].signal = np.ones((n, 1))  # derivative of the output by the value of a node
    products = []
    for node in reversed(nodes):
        for source, signal in zip(node.inputs, node.back(node.signal), strict=True):
            source.signal = source.signal + signal
        if node.layer["type"] != "Dense":
            continue
        a, b = node.inputs[0].value, node.layer.get("b_std") or 0.0
        products.append(node.layer.get("W_std", 1.0) ** 2 * (a @ a.T) / a.shape[1] + b**2)
        if node.layer.get("trainable", True):
            ntk += products[-1] * (node.signal @ node.signal.T)
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
