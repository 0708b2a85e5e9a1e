"""Fill a kernel block by block, holding the terms of as many samples as the budget allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from . import _contract

__all__ = ["Grid", "Source", "Terms", "fill", "result_shape", "steps"]

# Terms, or Jacobians as arrays of shape (n, outputs, parameters).
Terms = list[Any]


class Source(Protocol):
    """Gives the terms of samples."""

    def __len__(self) -> int:
        """Return how many samples there are."""
        ...

    def terms(self, start: int, stop: int, group: int) -> Terms:
        """Return the terms of some samples by the parameters of a group."""
        ...


@dataclass(frozen=True)
class Grid:
    """How a kernel is cut.

    Attributes
    ----------
    rows : int
        Samples of a piece, whose terms are computed in one go.
    held : int
        Pieces of the left side whose terms are kept while the other side passes by.
    groups : int
        Groups of parameters, one after the other.
    """

    rows: int
    held: int
    groups: int = 1

    def pieces(self, n: int) -> list[slice]:
        """Return the samples of all pieces."""
        return [slice(i, min(n, i + self.rows)) for i in range(0, n, self.rows)]


def result_shape(mode: str, n: int, m: int, outputs: int) -> tuple[int, ...]:
    """Shape of the kernel of n and m samples."""
    return {"full": (n, m, outputs, outputs), "trace": (n, m), "diagonal": (n, m, outputs)}[mode]


def steps(n: int, m: int | None, grid: Grid) -> Iterator[tuple[list[slice], int, slice]]:
    """Yield what is held, the group of parameters, and the piece of the other side, in order."""
    left = grid.pieces(n)
    for first in range(0, len(left), grid.held):
        held = left[first : first + grid.held]
        right = left[: first + len(held)] if m is None else grid.pieces(m)
        for group in range(grid.groups):
            for piece in right:
                yield held, group, piece


def fill(
    out: Any,
    mode: str,
    left: Source,
    right: Source | None,
    grid: Grid,
    *,
    skip: int = 0,
    done: Callable[[int, int], None],
) -> None:
    """Write the kernel into out.

    Parameters
    ----------
    out : array or tensor
        Of the shape of `result_shape`.
    mode : str
    left, right : Source
        Without `right` the kernel of `left` with itself.
    grid : Grid
    skip : int
        Steps that an earlier run has finished; the next one starts a block anew.
    done : callable
        Called with (finished steps, all steps).
    """
    n, m = len(left), None if right is None else len(right)
    todo = list(steps(n, m, grid))
    kept: tuple[Any, ...] = ()
    terms: list[Terms] = []
    for index, (held, group, piece) in enumerate(todo):
        if index < skip:
            continue
        if kept != (held[0].start, group):
            terms = []  # free before the next ones are made
            terms = [left.terms(each.start, each.stop, group) for each in held]
            kept = (held[0].start, group)
        if right is None and piece in held:
            theirs = terms[held.index(piece)]
        else:
            theirs = (right or left).terms(piece.start, piece.stop, group)
        for rows, ours in zip(held, terms, strict=True):
            if right is not None or piece.start <= rows.start:
                _block(out, rows, piece, ours, theirs, mode, right is None, group, grid)
        done(index + 1, len(todo))


def _block(
    out: Any,
    rows: slice,
    piece: slice,
    ours: Terms,
    theirs: Terms,
    mode: str,
    symmetric: bool,
    group: int,
    grid: Grid,
) -> None:
    block = out[rows, piece]
    own = symmetric and rows == piece
    if group == 0:
        block[...] = 0
    with _contract.workplace(block, ours) as place:
        _contract.add(place, ours, None if own else theirs, mode)
    if symmetric and group + 1 == grid.groups:
        if own:
            with _contract.workplace(block, ours) as place:
                _contract.mirror(place, mode)
        else:
            out[piece, rows] = _contract.swapped(block)
