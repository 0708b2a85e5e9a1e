"""From layers and data to a program: ranges of rows are measured layer by layer where asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._dual_tables import Range, RangeNeededError, TableBuilder, dual_table
from ._lowering import Columns, Sequences, compile_program, lower_all, width_read
from .layers import Layer
from .layers.branches import leaves
from .layers.numerical import Numerical

__all__ = ["Approximation", "approximations", "program_for"]

Rows = NDArray[Any]


def program_for(
    networks: Iterable[tuple[Layer, ...]],
    x: Rows,
    z: Rows | None,
    threads: int,
    isa: str,
    *,
    pairs: bool = True,
) -> _core.Program:
    """Return the program of the networks' layers, one output each, for these rows.

    Without pairs it is one that knows what the rows become, diagonals included, and no more.

    Raises
    ------
    ToleranceError
        If an activation without closed form cannot be computed accurately on them.
    """
    sequences = tuple(networks)
    if not any(isinstance(layer, Numerical) for layers in sequences for layer in leaves(layers)):
        return compile_program(*sequences, width=columns_of(x))
    return _complete(sequences, x, z, threads, isa, pairs)[0]


def columns_of(x: Rows) -> Columns:
    """Return the number of columns of rows, or the size of images."""
    return x.shape[1] if x.ndim == 2 else (x.shape[1], x.shape[2], x.shape[3])


class Approximation(NamedTuple):
    """How one activation without closed form was computed.

    Attributes
    ----------
    layer : Layer
        The activation.
    K : tuple of float
        Smallest and largest K(x, x) in front of it that the table serves.
    method : str
        Where the numbers of the table come from.
    error : float
        Largest error of the dual and its derivative, relative to rho = 1, that checks of the table
        and the bounds of its source give.
    terms : int
        Multiplications per pair.
    """

    layer: Layer
    K: tuple[float, float]
    method: str
    error: float
    terms: int


def approximations(
    layers: tuple[Layer, ...], x: Rows, z: Rows | None, threads: int, isa: str
) -> tuple[Approximation, ...]:
    """Return how every activation without closed form is computed on these rows."""
    numerical = [layer for layer in leaves(layers) if isinstance(layer, Numerical)]
    if not numerical:
        return ()
    found = []
    for layer, rows in zip(
        numerical, _complete((layers,), x, z, threads, isa, False)[1], strict=True
    ):
        made = dual_table(layer, rows).fit
        ends = (math.sinh(rows.low) ** 2, math.sinh(rows.high) ** 2)
        found.append(Approximation(layer, ends, made.method, made.error, made.numbers))
    return tuple(found)


def _complete(
    sequences: Sequences, x: Rows, z: Rows | None, threads: int, isa: str, pairs: bool
) -> tuple[_core.Program, tuple[Range, ...]]:
    width = width_read(sequences, columns_of(x))
    sides = [
        (name, _core.input_roots(rows, threads, isa))
        for name, rows in (("X", x), ("Z", z))
        if rows is not None and len(rows)
    ]
    ranges: tuple[Range, ...] = ()
    while True:
        program, complete = _build(sequences, width, ranges, False)
        if complete:
            return _build(sequences, width, ranges, True)[0] if pairs else program, ranges
        met = [np.asarray(_core.output_roots(program, p, name)) for name, p in sides]
        positive = np.concatenate([p[p > 0] for p in met]) if met else np.zeros(0)
        low, high = (positive.min(), positive.max()) if positive.size else (1.0, 1.0)
        ranges += (Range.around(float(low), float(high), x.dtype == np.float32),)


# Nearby data meet the same ranges, which lie on a coarse grid, and share the program.
@lru_cache(maxsize=256)
def _build(
    sequences: Sequences, width: Columns, ranges: tuple[Range, ...], pairs: bool
) -> tuple[_core.Program, bool]:
    """Return the whole program, or the one up to the first activation without a range and False."""
    try:
        builder = TableBuilder(ranges, pairs)
        lower_all(builder, sequences, width)
        return builder.build(), True
    except RangeNeededError as missing:
        builder = TableBuilder(ranges, pairs)
        with suppress(RangeNeededError):
            lower_all(builder, sequences, width)
        builder.output(missing.value)
        return builder.build(), False
