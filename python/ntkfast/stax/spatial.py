"""Layers of images and sequences, with the names and arguments of the archived library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import layers
from .._validate import choice, got
from ..errors import UnsupportedLayerError
from ._arguments import number, require_axes
from ._spatial_pieces import ConvPiece, GlobalPoolPiece, PoolPiece
from ._triple import StaxLayer, triple

__all__ = ["AvgPool", "Conv", "GlobalAvgPool", "GlobalSumPool", "SumPool"]


def Conv(
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str = "VALID",
    W_std: float = 1.0,
    b_std: float | None = None,
    dimension_numbers: Any = None,
    parameterization: str = "ntk",
    s: tuple[int, int] = (1, 1),
) -> StaxLayer:
    """Return a convolution of images, or of sequences.

    Parameters
    ----------
    out_chan : int
        Channels of the result; in the "ntk" parameterization they matter to the finite network
        alone.
    filter_shape, strides : sequence of int
        Two numbers for images, (n, height, width, channels), one for sequences, (n, width,
        channels).
    padding : {"VALID", "SAME", "CIRCULAR"}, default "VALID"
        What lies beyond the border.
    W_std, b_std : float
        As in `Dense`.
    dimension_numbers : tuple of str, optional
        None or channels last.
    parameterization, s
        As in `Dense`.

    Returns
    -------
    StaxLayer
    """
    usual = (("NHWC", "HWIO", "NHWC"), ("NWC", "WIO", "NWC"))
    if dimension_numbers is not None and tuple(dimension_numbers) not in usual:
        raise UnsupportedLayerError(
            f"stax.Conv(dimension_numbers={dimension_numbers}): ntkfast takes channels in the last "
            "axis, NHWC or NWC"
        )
    parameterization = parameterization.lower()
    choice("Conv(parameterization=...)", parameterization, ("ntk", "standard"))
    if len(s) != 2:
        raise ValueError(f"Conv(s=...) must be a pair of integers >= 1, {got(s)}")
    window, steps = _window(filter_shape, strides)
    return triple(
        ConvPiece(
            layers.Conv(
                window,
                steps,
                padding,
                number(W_std),
                None if b_std is None else number(b_std),
                number(out_chan),
                parameterization=parameterization,
                s=(s[0], s[1]),
            )
        )
    )


def AvgPool(
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str = "VALID",
    normalize_edges: bool = False,
    batch_axis: int = 0,
    channel_axis: int = -1,
) -> StaxLayer:
    """Return the mean over windows; see `ntkfast.AvgPool`."""
    require_axes("AvgPool", batch_axis, channel_axis)
    window, steps = _window(window_shape, strides)
    return triple(PoolPiece(layers.AvgPool(window, steps, padding, normalize_edges)))


def SumPool(
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str = "VALID",
    batch_axis: int = 0,
    channel_axis: int = -1,
) -> StaxLayer:
    """Return the sum over windows; see `ntkfast.SumPool`."""
    require_axes("SumPool", batch_axis, channel_axis)
    window, steps = _window(window_shape, strides)
    return triple(PoolPiece(layers.SumPool(window, steps, padding)))


def GlobalAvgPool(batch_axis: int = 0, channel_axis: int = -1) -> StaxLayer:
    """Return the mean over all positions."""
    require_axes("GlobalAvgPool", batch_axis, channel_axis)
    return triple(GlobalPoolPiece(layers.GlobalAvgPool()))


def GlobalSumPool(batch_axis: int = 0, channel_axis: int = -1) -> StaxLayer:
    """Return the sum over all positions."""
    require_axes("GlobalSumPool", batch_axis, channel_axis)
    return triple(GlobalPoolPiece(layers.GlobalSumPool()))


def _window(
    shape: Sequence[int], strides: Sequence[int] | None
) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    return tuple(shape), None if strides is None else tuple(strides)
