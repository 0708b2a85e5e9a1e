"""Layers that are linear in their input, with the names and arguments of the archived library."""

from __future__ import annotations

from .. import layers
from .._validate import choice, finite_number, got, whole_number
from ._arguments import number, require_axes
from ._pieces import ActivationPiece, DensePiece, DropoutPiece, FlattenPiece, LayerNormPiece
from ._triple import StaxLayer, triple

__all__ = ["Dense", "Dropout", "Flatten", "Identity", "LayerNorm"]


def Dense(
    out_dim: int,
    W_std: float = 1.0,
    b_std: float | None = None,
    batch_axis: int = 0,
    channel_axis: int = -1,
    parameterization: str = "ntk",
    s: tuple[int, int] = (1, 1),
) -> StaxLayer:
    """Return a fully-connected layer.

    Parameters
    ----------
    out_dim : int
        Width; in the "ntk" parameterization it matters to the finite network alone.
    W_std : float, default 1.0
        Standard deviation of the weights.
    b_std : float, optional
        Standard deviation of the biases; None means no bias.
    batch_axis, channel_axis : int
        0 and -1 are supported.
    parameterization : {"ntk", "standard"}, default "ntk"
        "ntk": ``z = W_std/sqrt(n) W x + b_std b`` with N(0, 1) entries; "standard":
        ``z = W x/sqrt(s[0]) + b`` with W from N(0, W_std**2 s[0]/n), b from N(0, b_std**2).
    s : (int, int), default (1, 1)
        Width scalings of input and output in "standard".

    Returns
    -------
    StaxLayer
    """
    require_axes("Dense", batch_axis, channel_axis)
    parameterization = parameterization.lower()
    choice("Dense(parameterization=...)", parameterization, ("ntk", "standard"))
    if len(s) != 2:
        raise ValueError(f"Dense(s=...) must be a pair of integers >= 1, {got(s)}")
    return triple(
        DensePiece(
            whole_number("Dense(out_dim=...)", number(out_dim), minimum=1),
            finite_number("Dense(W_std=...)", number(W_std), minimum=0),
            None if b_std is None else finite_number("Dense(b_std=...)", number(b_std), minimum=0),
            parameterization,
            (
                whole_number("Dense(s=...)", s[0], minimum=1),
                whole_number("Dense(s=...)", s[1], minimum=1),
            ),
        )
    )


def Identity() -> StaxLayer:
    """Return the layer that changes nothing."""
    return triple(ActivationPiece(layers.Identity()))


def Flatten(batch_axis: int = 0, batch_axis_out: int = 0) -> StaxLayer:
    """Return the layer that makes vectors of images or sequences."""
    require_axes("Flatten", batch_axis or batch_axis_out, -1)
    return triple(FlattenPiece())


def LayerNorm(
    axis: int | tuple[int, ...] = -1,
    eps: float = 1e-12,
    batch_axis: int = 0,
    channel_axis: int = -1,
) -> StaxLayer:
    """Return the layer that gives every sample mean 0 and variance 1; ``axis`` is the last one."""
    require_axes("LayerNorm", batch_axis, channel_axis)
    if isinstance(axis, (tuple, list)) and len(axis) == 1:
        axis = axis[0]
    return triple(LayerNormPiece(layers.LayerNorm(number(axis), number(eps))))


def Dropout(rate: float, mode: str = "train") -> StaxLayer:
    """Return the layer that keeps a unit with probability ``rate``; all in mode "test".

    In mode "train" the finite network needs ``apply_fn(params, x, rng=...)``.
    """
    return triple(DropoutPiece(layers.Dropout(number(rate), mode)))
