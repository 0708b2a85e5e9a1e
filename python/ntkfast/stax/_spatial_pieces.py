"""Pieces of images (n, height, width, channels) and of sequences (n, width, channels)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..layers import Conv, Flatten, GlobalAvgPool, GlobalSumPool, Identity, Layer, Parallel
from ..layers.spatial import has_positions
from ._pieces import Piece, Signal

__all__ = ["ConvPiece", "GlobalPoolPiece", "settled"]

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
class ConvPiece(Piece):
    """A convolution; see `DensePiece`, with n the numbers that one output reads."""

    layer: Conv

    def layers(self) -> tuple[Layer, ...]:
        return (self.layer,)

    @property
    def _standard(self) -> bool:
        return self.layer.parameterization == "standard"

    def infer(self, signal: Signal) -> Signal:
        sizes = tuple(out for out, *_ in self._windows(signal.shape[1:-1]))
        width = int(self.layer.out_chan * self.layer.s[1])
        return Signal((signal.shape[0], *sizes, width), gaussian=True)

    def _windows(self, sizes: Sequence[int]) -> list[tuple[int, int, int]]:
        """Positions of the result and what is read before and after the image, axis by axis."""
        layer = self.layer
        if len(sizes) != len(layer.filter_shape):
            raise ValueError(
                f"{layer!r} needs an array of shape (n, {'height, ' * (layer.axes == 2)}width, "
                f"channels), got {len(sizes)} axes of positions"
            )
        found = []
        for size, taps, step in zip(
            sizes, layer.filter_shape, layer.strides or (1,) * len(sizes), strict=True
        ):
            if layer.padding == "VALID":
                found.append(((size - taps) // step + 1, 0, 0))
                continue
            out = -(-size // step)
            missing = max(0, (out - 1) * step + taps - size)
            found.append((out, missing // 2, missing - missing // 2))
        return found

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
        windows = self._windows(x.shape[1:-1])
        around = [(0, 0), *((before, after) for _, before, after in windows), (0, 0)]
        x = np.pad(x, around, mode="wrap" if layer.padding == "CIRCULAR" else "constant")
        taps = sliding_window_view(x, layer.filter_shape, axis=axes)
        steps = tuple(slice(None, None, k) for k in layer.strides or (1,) * len(axes))
        stepped = (slice(None), *steps)
        taps = taps[stepped]  # (n, positions, channels, taps)
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
