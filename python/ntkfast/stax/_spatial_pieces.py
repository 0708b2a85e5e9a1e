"""Pieces of images (n, height, width, channels) and of sequences (n, width, channels)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..layers import (
    AvgPool,
    Conv,
    Flatten,
    GlobalAvgPool,
    GlobalSumPool,
    Identity,
    Layer,
    Parallel,
    SumPool,
)
from ..layers.spatial import has_positions
from ..layers.window import WindowAxis, window_axis
from ._pieces import Piece, Signal

__all__ = ["ConvPiece", "GlobalPoolPiece", "PoolPiece", "settled"]

Array = NDArray[Any]


def settled(piece: Piece) -> tuple[Layer, ...]:
    """Return the layers of a whole network; Flatten changes nothing where it has only rows."""
    layers = piece.layers()
    return layers if has_positions(_without_flatten(layers)) else _without_flatten(layers)


def _without_flatten(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    return tuple(
        replace(layer, branches=tuple(map(_without_flatten, layer.branches)))
        if isinstance(layer, Parallel)
        else Identity()
        if isinstance(layer, Flatten)
        else layer
        for layer in layers
    )


@dataclass(frozen=True)
class Window:
    """What a convolution or a pool reads."""

    layer: Conv | AvgPool | SumPool
    shape: tuple[int, ...]

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps between the positions of the result."""
        return self.layer.strides or (1,) * len(self.shape)

    def along(self, sizes: Sequence[int]) -> list[WindowAxis]:
        """Return the axes for an input of these sizes."""
        if len(sizes) != len(self.shape):
            height = "height, " * (len(self.shape) == 2)
            raise ValueError(
                f"{self.layer!r} needs an array of shape (n, {height}width, channels), got "
                f"{len(sizes)} axes of positions"
            )
        axes = zip(sizes, self.shape, self.steps, strict=True)
        return [window_axis(*axis, self.layer.padding) for axis in axes]

    def taps(self, x: Array) -> Array:
        """Return what every position of the result reads: (n, positions, channels, taps)."""
        around = [(axis.before, axis.after) for axis in self.along(x.shape[1:-1])]
        mode: Any = "wrap" if self.layer.padding == "CIRCULAR" else "constant"
        padded = np.pad(x, [(0, 0), *around, (0, 0)], mode=mode)
        axes = tuple(range(1, x.ndim - 1))
        stepped = (slice(None), *(slice(None, None, k) for k in self.steps))
        return np.asarray(sliding_window_view(padded, self.shape, axis=axes)[stepped])


@dataclass(frozen=True)
class ConvPiece(Piece):
    """A convolution; see `DensePiece`, with n the numbers that one output reads."""

    layer: Conv

    def layers(self) -> tuple[Layer, ...]:
        return (self.layer,)

    @property
    def _window(self) -> Window:
        return Window(self.layer, self.layer.filter_shape)

    @property
    def _standard(self) -> bool:
        return self.layer.parameterization == "standard"

    def infer(self, signal: Signal) -> Signal:
        sizes = tuple(axis.out for axis in self._window.along(signal.shape[1:-1]))
        width = int(self.layer.out_chan * self.layer.s[1])
        return Signal((signal.shape[0], *sizes, width), gaussian=True)

    def init(self, rng: np.random.Generator, signal: Signal) -> tuple[Array, Array | None]:
        layer, width = self.layer, self.infer(signal).shape[-1]
        shape = (*layer.filter_shape, signal.shape[-1], width)
        n = int(np.prod(shape[:-1]))
        W = rng.standard_normal(shape)
        if self._standard:
            W *= layer.W_std * (layer.s[0] / n) ** 0.5
        if layer.b_std is None:
            return W, None
        b_scale = layer.b_std if self._standard else 1.0
        return W, b_scale * rng.standard_normal((1,) * (len(signal.shape) - 1) + (width,))

    def apply(self, params: Any, x: Array, rng: np.random.Generator | None) -> Array:
        W, b = params
        layer, axes = self.layer, tuple(range(1, x.ndim - 1))
        taps = self._window.taps(x)
        W = np.asarray(W, x.dtype)
        read = tuple(range(-len(axes) - 1, 0))
        z = np.tensordot(taps, W, axes=(read, (len(axes), *range(len(axes)))))
        n = int(np.prod(W.shape[:-1]))
        z *= x.dtype.type(layer.s[0] ** -0.5 if self._standard else layer.W_std * n**-0.5)
        if b is not None:
            assert layer.b_std is not None
            z += (1.0 if self._standard else layer.b_std) * np.asarray(b, x.dtype)
        return np.asarray(z, x.dtype)


@dataclass(frozen=True)
class PoolPiece(Piece):
    """The mean or the sum over windows."""

    layer: AvgPool | SumPool

    def layers(self) -> tuple[Layer, ...]:
        return (self.layer,)

    @property
    def _window(self) -> Window:
        return Window(self.layer, self.layer.window_shape)

    def infer(self, signal: Signal) -> Signal:
        sizes = (axis.out for axis in self._window.along(signal.shape[1:-1]))
        return replace(signal, shape=(signal.shape[0], *sizes, signal.shape[-1]))

    def apply(self, params: Any, x: Array, rng: np.random.Generator | None) -> Array:
        window = self._window
        axes = tuple(range(-len(window.shape), 0))
        total = window.taps(x).sum(axis=axes)
        if isinstance(self.layer, SumPool):
            return np.asarray(total)
        if self.layer.normalize_edges:
            return np.asarray(total / window.taps(np.ones_like(x[:1])).sum(axis=axes))
        return np.asarray(total / x.dtype.type(np.prod(window.shape)))


@dataclass(frozen=True)
class GlobalPoolPiece(Piece):
    """The mean or the sum over all positions."""

    layer: GlobalAvgPool | GlobalSumPool

    def layers(self) -> tuple[Layer, ...]:
        return (self.layer,)

    def infer(self, signal: Signal) -> Signal:
        return replace(signal, shape=(signal.shape[0], signal.shape[-1]))

    def apply(self, params: Any, x: Array, rng: np.random.Generator | None) -> Array:
        axes = tuple(range(1, x.ndim - 1))
        mean = isinstance(self.layer, GlobalAvgPool)
        return np.asarray(x.mean(axis=axes) if mean else x.sum(axis=axes))
