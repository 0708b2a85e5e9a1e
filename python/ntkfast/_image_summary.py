"""What `Network.summary` needs to know of images: their rows, positions and cost."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from . import _core
from ._lowering import compile_program
from ._validate import got, whole_number
from .errors import ArchitectureError
from .layers import Conv, Dense, GlobalSumPool, Identity, Layer, Parallel, SumPool
from .layers.branches import FanIn, leaves
from .layers.spatial import has_positions, positions
from .layers.window import window_axis

__all__ = ["ImageSize", "checked_shape", "cost", "positions_behind", "rows_of"]

ImageSize = tuple[int, ...]


def checked_shape(shape: Any, layers: tuple[Layer, ...]) -> ImageSize | None:
    """Return the shape of one sample, (height, width, channels) or (width, channels), checked."""
    if shape is None:
        return None
    axes = positions([layers])
    expected = " or ".join(
        {1: "(width, channels)", 2: "(height, width, channels)"}[k] for k in axes
    )
    if not axes:
        raise ValueError(f"shape must be None for a network of rows, {got(shape)}")
    if not isinstance(shape, (tuple, list)) or len(shape) - 1 not in axes:
        raise ValueError(f"shape must be that of one sample, {expected}, {got(shape)}")
    return tuple(whole_number("shape", size, minimum=1) for size in shape)


def rows_of(layers: tuple[Layer, ...], shape: ImageSize | None) -> tuple[Layer, ...]:
    """Return layers of rows that do to a row what these do to an image of one colour.

    Borders are far away: there every tap of a filter and every position is the same.
    """
    if not has_positions(layers):
        return layers
    for layer in leaves(layers):
        if getattr(layer, "parameterization", "ntk") == "standard":
            raise ArchitectureError(
                f'summary() of images knows parameterization="ntk" alone, got {layer!r}'
            )
    behind = positions_behind(layers, shape)
    size: ImageSize | None = None if shape is None else shape[:-1]
    made: list[Layer] = []
    for layer, next_size in zip(layers, behind, strict=True):
        made.append(_row_of(layer, size))
        size = next_size
    return tuple(made)


def _row_of(layer: Layer, size: ImageSize | None) -> Layer:
    if isinstance(layer, Parallel):
        inner = None if size is None else (*size, 1)
        return replace(layer, branches=tuple(rows_of(branch, inner) for branch in layer.branches))
    if isinstance(layer, Conv):
        return Dense(layer.W_std, layer.b_std, layer.out_chan, trainable=layer.trainable)
    if isinstance(layer, SumPool):
        return Dense(float(math.prod(layer.window_shape)), trainable=False)
    if isinstance(layer, GlobalSumPool):
        if size is None:
            raise ValueError("summary() of a network with GlobalSumPool needs shape=...")
        return Dense(float(math.prod(size)), trainable=False)
    return Identity() if has_positions([layer]) else layer


def positions_behind(layers: Iterable[Layer], shape: ImageSize | None) -> list[ImageSize | None]:
    """Return the numbers of positions behind every layer; None where there are none, or unknown."""
    size: Any = None if shape is None else shape[:-1]
    found: list[ImageSize | None] = []
    for layer in layers:
        if size is None or isinstance(layer, FanIn):
            pass
        elif isinstance(layer, Parallel):
            size = positions_behind(layer.branches[0], (*size, 1))[-1]
        elif has_positions([layer]):
            window = getattr(layer, "filter_shape", None) or getattr(layer, "window_shape", None)
            size = None if window is None else _stepped(layer, window, size)
        found.append(size)
    return found


def _stepped(layer: Any, window: ImageSize, size: ImageSize) -> ImageSize:
    steps = layer.strides or (1,) * len(size)
    return tuple(
        window_axis(*each, layer.padding).out for each in zip(size, window, steps, strict=True)
    )


def cost(layers: tuple[Layer, ...], shape: ImageSize) -> tuple[int, int]:
    """Return the offsets of a pair of images, and the entries of all its maps in all layers."""
    width = (1, *shape) if len(shape) == 2 else shape
    program = compile_program(layers, width=(width[0], width[1], width[2]))
    offsets, entries, *_ = _core.spatial_cost(program, 1, 1, 4, 1)
    return offsets, round(entries)
