"""Networks out of layers, with the names and arguments of the archived library."""

from __future__ import annotations

from typing import Any

from .. import layers
from .._validate import whole_number
from ._arguments import number
from ._combinators import (
    ConcatPiece,
    FanOutPiece,
    ParallelPiece,
    ProdPiece,
    SerialPiece,
    SumPiece,
)
from ._triple import StaxLayer, piece_of, triple

__all__ = ["FanInConcat", "FanInProd", "FanInSum", "FanOut", "parallel", "repeat", "serial"]


def serial(*layers: Any) -> StaxLayer:
    """Return the network that applies the layers one after the other.

    Parameters
    ----------
    *layers : StaxLayer
        Triples ``(init_fn, apply_fn, kernel_fn)`` of this module.

    Returns
    -------
    StaxLayer
    """
    return triple(SerialPiece(tuple(piece_of(layer) for layer in layers)))


def repeat(layer: Any, n: int) -> StaxLayer:
    """Return ``serial(layer, ..., layer)`` with n times the layer.

    The parameters of the finite network are a list with one entry for each time.
    """
    return serial(*[layer] * whole_number("n", n, minimum=0))


def parallel(*layers: Any) -> StaxLayer:
    """Return the layers side by side: from a list of inputs to a list of outputs.

    Parameters
    ----------
    *layers : StaxLayer
        As many as `FanOut` made copies.

    Returns
    -------
    StaxLayer
    """
    return triple(ParallelPiece(tuple(piece_of(layer) for layer in layers)))


def FanOut(num: int) -> StaxLayer:
    """Return the layer that makes ``num`` copies of its input, for `parallel`."""
    return triple(FanOutPiece(layers.FanOut(number(num))))


def FanInSum() -> StaxLayer:
    """Return the sum of the branches, which must be independent."""
    return triple(SumPiece(layers.FanInSum()))


def FanInProd() -> StaxLayer:
    """Return the product of the branches, which must be independent."""
    return triple(ProdPiece(layers.FanInProd()))


def FanInConcat(axis: int = -1) -> StaxLayer:
    """Return the features of the branches one after the other; ``axis`` is that of the features."""
    return triple(ConcatPiece(layers.FanInConcat(number(axis))))
