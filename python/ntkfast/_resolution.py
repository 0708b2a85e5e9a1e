"""From layers and data to a program: ranges of rows are measured layer by layer where asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
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
Measure = Callable[[_core.Program], list[tuple[float, float]]]


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
        Smallest and largest K(x, x) in front of it that the table serves; of images, K(p, p) at
        their positions.
    method : str
        Where the numbers of the table come from.
    error : float
        Largest error of the dual and its derivative, relative to rho = 1, that checks of the table
        and the bounds of its source give.
    terms : int
        Multiplications per pair, of images per pair of positions.
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
        table, made = dual_table(layer, rows)
        ends = (math.sinh(rows.low) ** 2, math.sinh(rows.high) ** 2)
        error, terms = made.error, made.numbers
        if x.ndim == 4:  # what maps leave out, and what is left
            error += table.map_error(rows.single)
            terms = table.map_numbers(rows.single)
        found.append(Approximation(layer, ends, made.method, error, terms))
    return tuple(found)


def _complete(
    sequences: Sequences, x: Rows, z: Rows | None, threads: int, isa: str, pairs: bool
) -> tuple[_core.Program, tuple[Range, ...]]:
    width = width_read(sequences, columns_of(x))
    sides = [(name, side) for name, side in (("X", x), ("Z", z)) if side is not None and len(side)]
    images = x.ndim == 4
    measure = (_images_met if images else _rows_met)(sides, threads, isa)
    ranges: tuple[Range, ...] = ()
    pairs = pairs or images  # one image with itself is pairs of positions
    while True:
        program, complete = _build(sequences, width, ranges, images)
        if complete:
            return _build(sequences, width, ranges, True)[0] if pairs else program, ranges
        met = measure(program)
        low, high = (
            (min(a for a, _ in met), max(b for _, b in met)) if met else (1.0, 1.0)
        )  # rows of zeros alone: any range serves them
        ranges += (Range.around(low, high, x.dtype == np.float32),)


def _rows_met(sides: list[tuple[str, Rows]], threads: int, isa: str) -> Measure:
    """Return what finds the range of sqrt(K(x, x)) at the end of a program, side by side."""
    inputs = [(name, _core.input_roots(side, threads, isa)) for name, side in sides]

    def measure(program: _core.Program) -> list[tuple[float, float]]:
        met = (np.asarray(_core.output_roots(program, p, name)) for name, p in inputs)
        return [(float(p[p > 0].min()), float(p.max())) for p in met if p.any()]

    return measure


def _images_met(sides: list[tuple[str, Rows]], threads: int, isa: str) -> Measure:
    """Return the same for images: over all their positions, where there are any."""

    def measure(program: _core.Program) -> list[tuple[float, float]]:
        met = (_core.root_range(program, side, name, threads, isa) for name, side in sides)
        return [(low, high) for low, high in met if low <= high]

    return measure


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
        builder.probe(missing.value)
        return builder.build(), False
