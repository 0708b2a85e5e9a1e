"""Activations without closed form: tables fitted once per activation and range of rows."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

from threadpoolctl import threadpool_limits

from .. import _core
from ..errors import ToleranceError
from .fit import Fit, fit, fit_of_rows
from .parts import Parts, split

__all__ = ["Parts", "Range", "RangeNeededError", "TableBuilder", "Tabulated", "dual_table", "split"]


class Tabulated(Hashable, Protocol):
    """What a layer offers that wants a table."""

    def parts(self) -> Parts:
        """Return the function, split by parity."""


@dataclass(frozen=True)
class Range:
    """Rows that meet an activation: low <= asinh(sqrt(q)) <= high, and the precision wanted."""

    low: float
    high: float
    single: bool

    @property
    def dtype(self) -> str:
        """Name of the dtype."""
        return "float32" if self.single else "float64"

    @property
    def tolerance(self) -> float:
        """Error that a fit aims at: well below the rounding of the dtype's depth of layers."""
        return 2e-8 if self.single else 2e-14

    @property
    def acceptable(self) -> float:
        """Error beyond which a fit is refused."""
        return 2e-7 if self.single else 1e-12

    @staticmethod
    def around(low: float, high: float, single: bool) -> Range:
        """Return a range on a coarse grid that holds [low, high] of sqrt(q).

        Data of nearly the same norms then share a table, and rows of one norm have a narrow one.
        """
        # Functions of smaller rows are at their limits; squares of squares of these are no zeros.
        a, b = math.asinh(max(low, 1e-60)), math.asinh(max(high, 1e-60))
        finest = -24 if single else -44
        cell = 2.0 ** max(finest, math.ceil(math.log2(max(b - a, 1e-300) / 8)))
        return Range(math.floor(a / cell) * cell, math.ceil(b / cell) * cell, single)


class RangeNeededError(Exception):
    """The range of rows in front of an activation has to be measured first."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value


class TableBuilder(_core.Builder):
    """A builder that has the ranges of the first activations without closed form.

    Without ranges (None) it builds what is right in every respect but the numbers; without pairs,
    what is right for rows: their variances and diagonals, which need no more than a fraction of a
    table.
    """

    def __init__(self, ranges: tuple[Range, ...] | None, pairs: bool = True) -> None:
        super().__init__()
        self._ranges = None if ranges is None else list(ranges)
        self._table = dual_table if pairs else row_table

    def tabulated(self, phi: Tabulated, value: int) -> int:
        """Append the activation, or raise RangeNeededError."""
        name = type(phi).__name__
        if self._ranges is None:
            return self.table(value, _identity(), name)
        if not self._ranges:
            self.table(value, _identity(), name)  # refuses an illegal place first
            raise RangeNeededError(value)
        return self.table(value, self._table(phi, self._ranges.pop(0)).table, name)


class Built(NamedTuple):
    """A table and how it was made."""

    table: _core.DualTable
    fit: Fit


def dual_table(phi: Tabulated, rows: Range) -> Built:
    """Return the table of an activation for a range of rows.

    Raises
    ------
    ToleranceError
        If no method reaches the tolerance there.
    """
    with _fitting:
        return _built(fit, phi, rows)


def row_table(phi: Tabulated, rows: Range) -> Built:
    """Return a table for rows alone, whose functions are those of `dual_table` to the bit.

    Raises
    ------
    ToleranceError
        If they cannot be computed to the tolerance.
    """
    with _fitting:
        return _built(fit_of_rows, phi, rows)


# One thread fits at a time: others that want the same table find it, and the limit below, which is
# the whole process's, is lifted in the order in which it was set. Functions may call kernels again.
_fitting = threading.RLock()


def _new_lock() -> None:
    global _fitting
    _fitting = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)  # nobody is left there to release it


@lru_cache(maxsize=512)
def _built(
    method: Callable[[Parts, float, float, float], Fit], phi: Tabulated, rows: Range
) -> Built:
    # Many products of moderate matrices: threads that wait for each other cost more than they give.
    with threadpool_limits(1, user_api="blas"):
        made = method(phi.parts(), rows.low, rows.high, rows.tolerance)
    if not made.error <= rows.acceptable:
        low, high = math.sinh(rows.low) ** 2, math.sinh(rows.high) ** 2
        raise ToleranceError(
            f"{phi!r}: its dual for rows with K between {low:.3g} and {high:.3g} was computed "
            f"({made.method}) to {made.error:.1e}, expected {rows.acceptable:.1e} for "
            f"{rows.dtype}: scale the rows to one norm, use a smaller W_std, a smoother function "
            f"with its derivative{'' if rows.single else ', or float32'}"
        )
    return Built(_core.DualTable(**made.data), made)


@lru_cache(maxsize=1)
def _identity() -> _core.DualTable:
    rows = [[0.0], [1.0], [0.0], [1.0], [0.0]]
    return _core.DualTable(
        low=0.0,
        high=0.0,
        stretch=1.0,
        at_zero=0.0,
        rows=rows,
        odd=True,
        even=False,
        pure=True,
        mixed=False,
        nonnegative=False,
        degree_t=1,
        degree_x=1,
        roots=0,
        kappa=0.0,
        kinked=False,
        pair=[0.0, 1.0],
        excess=[0.0],
    )
