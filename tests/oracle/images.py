"""Kernels of images by the book: K(p, p') of all pairs of positions of two images at once.

A plain walk over the layers of an architecture in the file format, in float64, on tensors of shape
(height, width, height', width'). It carries rho as it is, so that half of the digits of the NTK are
lost where patches are nearly equal: comparisons allow for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oracle import quadrature

Array = NDArray[np.float64]


class State(NamedTuple):
    """K and T of two images, and K of either with itself: arrays (H, W, H', W')."""

    K: Array
    T: Array
    left: Array
    right: Array
    channels: int = 1


def _q(K: Array) -> Array:
    """Variances: the diagonal over positions of K of an image with itself, (H, W)."""
    return np.asarray(np.einsum("ijij->ij", K))


def _relu(c: Array, p: Array, q: Array) -> tuple[Array, Array]:
    scale = np.sqrt(p * q)
    rho = np.clip(np.divide(c, scale, where=scale > 0, out=np.ones_like(c)), -1, 1)
    theta = np.arccos(rho)
    K = scale * (np.sin(theta) + (np.pi - theta) * rho) / (2 * np.pi)
    return K, (np.pi - theta) / (2 * np.pi)


def _erf(c: Array, p: Array, q: Array) -> tuple[Array, Array]:
    scale = (1 + 2 * p) * (1 + 2 * q)
    return 2 / np.pi * np.arcsin(2 * c / np.sqrt(scale)), 4 / np.pi / np.sqrt(scale - 4 * c**2)


def _identity(c: Array, p: Array, q: Array) -> tuple[Array, Array]:
    return c, np.ones_like(c)


DUALS: dict[str, Callable[[Array, Array, Array], tuple[Array, Array]]] = {
    "Relu": _relu,
    "Erf": _erf,
    "Identity": _identity,
}


# The trapezoidal rule is spectrally accurate on a normal density times a smooth function.
_STEP = 0.2
_GRID = np.arange(-9, 9 + _STEP, _STEP)
_WEIGHT = _STEP * np.exp(-(_GRID**2) / 2) / np.sqrt(2 * np.pi)


def _smooth(layer: dict[str, Any]) -> Callable[[Array, Array, Array], tuple[Array, Array]]:
    """Two-dimensional quadrature of any activation without a kink, from its function alone."""
    phi, slope, _ = quadrature.FUNCTIONS[layer["type"]](layer)

    def dual(c: Array, p: Array, q: Array) -> tuple[Array, Array]:
        c, p, q = (v[..., None] for v in np.broadcast_arrays(c, p, q))
        scale = np.sqrt(p * q)
        rho = np.clip(np.divide(c, scale, where=scale > 0, out=np.ones_like(c)), -1, 1)
        u = np.sqrt(p) * _GRID
        mean, spread = np.sqrt(q) * rho, np.sqrt(q * (1 - rho**2))
        K, T = np.zeros(c.shape[:-1]), np.zeros(c.shape[:-1])
        for k, weight in enumerate(_WEIGHT):
            v = mean * _GRID[k] + spread * _GRID
            K += weight * phi(u[..., k]) * (phi(v) @ _WEIGHT)
            T += weight * slope(u[..., k]) * (slope(v) @ _WEIGHT)
        return K, T

    return dual


def kernels(arch: dict[str, Any], x: Array, z: Array | None = None) -> tuple[Array, Array]:
    """Return both kernels of images x and z (None: x itself) of an architecture that ends flat."""
    other = x if z is None else z
    K = np.zeros((len(x), len(other)))
    T = np.zeros_like(K)
    for i, a in enumerate(x):
        for j, b in enumerate(other):
            state = walk(arch, _pixels(a, b))
            K[i, j], T[i, j] = state.K.item(), state.T.item()
    return K, T


def _pixels(a: Array, b: Array) -> State:
    channels = a.shape[-1]
    K = np.einsum("ijc,klc->ijkl", a, b) / channels
    left, right = (np.einsum("ijc,klc->ijkl", each, each) / channels for each in (a, b))
    return State(K, np.zeros_like(K), left, right, channels)


def walk(arch: dict[str, Any] | list[dict[str, Any]], state: State) -> State:
    """Return what the layers make of a state."""
    if isinstance(arch, list) or arch["type"] == "serial":
        layers = arch if isinstance(arch, list) else arch["layers"]
        branches: list[State] = []
        for layer in layers:
            if layer["type"] == "FanOut":
                branches = [state] * layer["num"]
            elif layer["type"] == "parallel":
                branches = [walk(a, s) for a, s in zip(layer["layers"], branches, strict=True)]
            elif layer["type"] == "FanInSum":
                state = State(
                    *(sum(parts) for parts in zip(*(b[:4] for b in branches), strict=True))
                )
            else:
                state = walk(layer, state)
        return state
    name = arch["type"]
    if name in DUALS or name in quadrature.FUNCTIONS:
        left, right = (_dual(arch, v, _q(v), _q(v))[0] for v in (state.left, state.right))
        K, slope = _dual(arch, state.K, _q(state.left), _q(state.right))
        return State(K, state.T * slope, left, right, state.channels)
    return {
        "Conv": _conv,
        "Dense": _dense,
        "LayerNorm": _layer_norm,
        "AvgPool": _pool,
        "SumPool": _pool,
        "Flatten": _flatten,
        "GlobalAvgPool": _global_pool,
        "GlobalSumPool": _global_pool,
    }[name](arch, state)


def _dual(layer: dict[str, Any], K: Array, p: Array, q: Array) -> tuple[Array, Array]:
    dual = DUALS[layer["type"]] if layer["type"] in DUALS else _smooth(layer)
    return dual(K, p[:, :, None, None], q[None, None])


def _window(arch: dict[str, Any], axis: int, size: int) -> list[list[int | None]]:
    """For every output position, the input position of every tap; None outside of the image."""
    filter_, stride = _size(arch)[axis], (arch.get("strides") or [1, 1])[axis]
    padding = arch.get("padding", "VALID")
    if padding == "VALID":
        out, before = (size - filter_) // stride + 1, 0
    else:
        out = -(-size // stride)
        before = max(0, (out - 1) * stride + filter_ - size) // 2
    taps = [[stride * p - before + t for t in range(filter_)] for p in range(out)]
    if padding == "CIRCULAR":
        return [[at % size for at in row] for row in taps]
    return [[at if 0 <= at < size else None for at in row] for row in taps]


def _size(arch: dict[str, Any]) -> list[int]:
    return list(arch["window_shape"] if "window_shape" in arch else arch["filter_shape"])


def _taps(arch: dict[str, Any], axis: int, size: int) -> list[Array]:
    """One matrix per tap that takes input positions to output positions."""
    rows = _window(arch, axis, size)
    matrices = []
    for t in range(_size(arch)[axis]):
        matrix = np.zeros((len(rows), size))
        for p, row in enumerate(rows):
            if row[t] is not None:
                matrix[p, row[t]] = 1
        matrices.append(matrix)
    return matrices


def _conv(arch: dict[str, Any], state: State) -> State:
    vertical = _taps(arch, 0, state.left.shape[0])
    horizontal = _taps(arch, 1, state.left.shape[1])
    count = len(vertical) * len(horizontal)

    def mean(values: Array) -> Array:
        total: Any = 0
        for v in vertical:
            for h in horizontal:
                total = total + _moved(values, v, h)
        return np.asarray(total / count)

    W, b = arch.get("W_std", 1.0) ** 2, (arch.get("b_std") or 0.0) ** 2
    K = W * mean(state.K) + b
    own = K
    if arch.get("parameterization") == "standard":
        s = arch.get("s", [1, 1])[0]
        own = count * state.channels / s * mean(state.K) + (arch.get("b_std") is not None)
    T = W * mean(state.T) + (own if arch.get("trainable", True) else 0)
    left, right = (W * mean(q) + b for q in (state.left, state.right))
    return State(K, T, left, right, arch.get("out_chan", 1))


def _moved(values: Array, vertical: Array, horizontal: Array) -> Array:
    """Apply a matrix to rows, and one to columns, of both images."""
    v, h = vertical, horizontal
    return np.asarray(np.einsum("ai,bj,ck,dl,ijkl->abcd", v, h, v, h, values, optimize=True))


def _pool(arch: dict[str, Any], state: State) -> State:
    vertical, horizontal = (sum(_taps(arch, axis, state.left.shape[axis])) for axis in (0, 1))
    if arch["type"] == "AvgPool":
        inside = arch.get("normalize_edges", False) and arch.get("padding") == "SAME"
        rows, cols = _size(arch)
        vertical = vertical / (vertical.sum(axis=1, keepdims=True) if inside else rows)
        horizontal = horizontal / (horizontal.sum(axis=1, keepdims=True) if inside else cols)
    return State(*(_moved(v, vertical, horizontal) for v in state[:4]), state.channels)


def _dense(arch: dict[str, Any], state: State) -> State:
    W, b = arch.get("W_std", 1.0) ** 2, (arch.get("b_std") or 0.0) ** 2
    K = W * state.K + b
    T = W * state.T + (K if arch.get("trainable", True) else 0)
    return State(K, T, W * state.left + b, W * state.right + b)


def _layer_norm(arch: dict[str, Any], state: State) -> State:
    eps = arch.get("eps", 1e-12)

    def factor(p: Array, q: Array) -> Array:
        return np.asarray(1 / np.sqrt((p + eps)[:, :, None, None] * (q + eps)[None, None]))

    p, q = _q(state.left), _q(state.right)
    left, right = state.left * factor(p, p), state.right * factor(q, q)
    return State(state.K * factor(p, q), state.T * factor(p, q), left, right, state.channels)


def _flatten(arch: dict[str, Any], state: State) -> State:
    def mean(values: Array) -> Array:
        n = values.shape[0] * values.shape[1]
        return np.asarray(np.einsum("ijij->", values) / n).reshape(1, 1, 1, 1)

    n = state.K.shape[0] * state.K.shape[1]
    return State(*(mean(v) for v in state[:4]), state.channels * n)


def _global_pool(arch: dict[str, Any], state: State) -> State:
    n = state.K.shape[0] * state.K.shape[1]
    weight = 1.0 if arch["type"] == "GlobalSumPool" else 1 / n**2
    return State(
        *(np.asarray(weight * v.sum()).reshape(1, 1, 1, 1) for v in state[:4]), state.channels
    )
