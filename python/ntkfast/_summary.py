"""A table of what every layer of a network does to a signal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from ._gram import diagonals
from ._image_summary import checked_shape, cost, positions_behind, rows_of
from ._lowering import compile_program
from ._validate import finite_number
from ._variants import all_fixed
from .errors import ArchitectureError
from .layers import Activation, Dense, Identity, Layer, Relu

__all__ = ["LayerSummary", "Summary", "summarise"]


class LayerSummary(NamedTuple):
    """One layer in the table of `Network.summary`.

    Attributes
    ----------
    number : int
        Place of the layer, from 1.
    layer : Layer
        The layer.
    q : float or None
        NNGP diagonal behind it; None between branches that have not been joined yet.
    gain : float or None
        What it multiplies small squared distances by: ``W_std**2`` for Dense, ``E[phi'(u)**2]`` for
        an activation; NaN for an input of q = 0.
    chi : float or None
        At an activation, and where branches join: the product of all gains since the one before,
        such as ``W_std**2 E[phi'(u)**2]``. Above one the network is chaotic at this q.
    ntk : float or None
        NTK diagonal behind it.
    positions : tuple of int or None
        Height and width behind it, of sequences the width; None where there are no positions, or
        they are not known.
    state : str
        "Gaussian" where an activation may follow, "not Gaussian" where a Dense has to come first,
        "branches" where they have to be joined.
    """

    number: int
    layer: Layer
    q: float | None
    gain: float | None
    chi: float | None
    ntk: float | None
    state: str
    positions: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Summary:
    """The table of a network: a sequence of `LayerSummary` that prints.

    Attributes
    ----------
    q : float
        Variance of the input.
    rows : tuple of LayerSummary
    shape : tuple of int or None
        Shape of one image or sequence, where it was given; the next two come with it.
    offsets : int or None
        Offsets between positions at which pairs of images are compared.
    entries : int or None
        Entries of all maps of one pair of images, layer by layer: what a pair costs.
    """

    q: float
    rows: tuple[LayerSummary, ...]
    shape: tuple[int, ...] | None = None
    offsets: int | None = None
    entries: int | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> LayerSummary:
        return self.rows[index]

    def __iter__(self) -> Iterator[LayerSummary]:
        return iter(self.rows)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        cells = [("", "layer", "q", "chi", "ntk", "state", "positions"[: 9 * bool(self.shape)])]
        size = _size(None if self.shape is None else self.shape[:-1])
        cells += [("", "input", _number(self.q), "", "", "", size)]
        for row in self.rows:
            q, chi, ntk = map(_number, (row.q, row.chi, row.ntk))
            size = _size(row.positions)
            cells += [(str(row.number), repr(row.layer), q, chi, ntk, row.state, size)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(width) if k in (0, 2, 3, 4) else cell.ljust(width)
                for k, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in cells
        ]
        if self.shape is not None:
            lines += [
                f"a pair of samples: {self.offsets:,} offsets, {self.entries:,} entries of maps"
            ]
        return "\n".join(lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _size(positions: tuple[int, ...] | None) -> str:
    return "" if positions is None else " x ".join(map(str, positions))


def summarise(layers: tuple[Layer, ...], q: float, shape: object = None) -> Summary:
    """Return the table for an input of variance q; see `Network.summary`."""
    from .network import Network

    q = finite_number("q", q, minimum=0)
    sample = checked_shape(shape, layers)
    given, layers = layers, rows_of(layers, sample)
    behind = positions_behind(given, sample)
    beginnings = [layers[:i] for i in range(1, len(layers) + 1)]
    ends = [i for i in range(len(layers)) if _legal(given[: i + 1])]
    x = [[math.sqrt(q)]]
    real = diagonals([Network(beginnings[i]) for i in ends], x, nngp=True, ntk=True, threads=1)
    # With one trained layer in front and no other, T shows the gain of all that follows.
    front = [Network((Dense(), *_without_width(all_fixed(beginnings[i])))) for i in ends]
    probes = diagonals(front, x, nngp=False, ntk=True, threads=1)
    found = dict(zip(ends, zip(real, probes, strict=True), strict=True))
    rows, size, chi = [], q, 1.0
    for i, layer in enumerate(layers):
        if i not in found:
            row = LayerSummary(i + 1, given[i], None, None, None, None, "branches", behind[i])
            rows.append(row)
            continue
        kernels, probe = found[i]
        before, size = size, float(probe.ntk[0])
        gain = size / before if before > 0 else math.nan
        chi *= gain
        joined = i > 0 and i - 1 not in found
        bends = joined or (isinstance(layer, Activation) and not isinstance(layer, Identity))
        state = "Gaussian" if _legal((*given[: i + 1], Relu())) else "not Gaussian"
        K, T = float(kernels.nngp[0]), float(kernels.ntk[0])
        chi_here = chi if bends else None
        rows.append(LayerSummary(i + 1, given[i], K, gain, chi_here, T, state, behind[i]))
        chi = 1.0 if bends else chi
    return Summary(q, tuple(rows), sample, *(() if sample is None else cost(given, sample)))


def _legal(layers: tuple[Layer, ...]) -> bool:
    try:
        compile_program(layers, width=1)
    except ArchitectureError:
        return False
    return True


def _without_width(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Return the layers with the number for the word: the probing input has one column."""
    first = layers[0]
    if isinstance(first, Dense) and isinstance(first.W_std, str):
        return (replace(first, W_std=1.0), *layers[1:])
    return layers
