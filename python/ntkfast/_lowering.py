"""From sequences of layers to a program of the core."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from . import _core
from ._dual_tables import TableBuilder
from .errors import ArchitectureError
from .layers import Dense, FanInConcat, FanOut, Layer, Parallel
from .layers.base import flatten
from .layers.branches import FanIn, leaves
from .layers.spatial import positions

__all__ = ["Columns", "Sequences", "compile_program", "flatten", "lower_all", "width_read"]

Sequences = tuple[tuple[Layer, ...], ...]

#: Number of columns of the data, (height, width, channels) of images, None for not known yet.
Columns = int | tuple[int, int, int] | None

#: What layers hand on: one value of the program, or one for each branch.
State = int | tuple[int, ...]


def compile_program(*sequences: tuple[Layer, ...], width: Columns) -> _core.Program:
    """Return the program of one or several sequences for data of so many columns.

    None stands for a width that is not known yet. The program has one output per sequence, in this
    order. What sequences have in common from their first layer on is computed once.

    Raises
    ------
    ArchitectureError
        If a sequence has no kernel; the message names the layer.
    """
    if not all(sequences):
        raise ArchitectureError("serial() needs at least one layer, got none")
    return _compile(sequences, width_read(sequences, width))


def width_read(sequences: Sequences, width: Columns) -> Columns:
    """Return the width if a layer reads it; else None, so that all widths share one program."""
    if isinstance(width, tuple):
        return width
    reads = any(_reads_width(layer) for layers in sequences for layer in leaves(layers))
    return width if reads else None


# A cache beside the networks, not in them, keeps them plain values: nothing to rebuild after a
# pickle or a copy, and equal networks share a program.
@lru_cache(maxsize=256)
def _compile(sequences: Sequences, width: Columns) -> _core.Program:
    builder = TableBuilder(None)
    lower_all(builder, sequences, width)
    return builder.build()


def lower_all(builder: _core.Builder, sequences: Sequences, width: Columns) -> None:
    """Append all sequences, then one output for each."""
    lowering = _Lowering(builder, width, bool(positions(sequences)))
    for value in [lowering.one_value(layers, lowering.start, "") for layers in sequences]:
        lowering.output(value)


class _Lowering:
    """One walk through the layers, branch by branch."""

    def __init__(self, builder: _core.Builder, width: Columns, images: bool) -> None:
        self.builder = builder
        if isinstance(width, tuple) or images:
            size = width if isinstance(width, tuple) else (-1, -1, -1)
            self.width = size[2]
            self.start = self.builder.image(*size)
        else:
            self.width = 1 if width is None else width
            self.start = self.builder.input(-1 if width is None else width)
        self.made_by = ["the input"]  # what the user calls the layer that made each value
        self.known: dict[tuple[State, Layer], State] = {}  # what a layer makes of a state

    def one_value(self, layers: tuple[Layer, ...], value: int, inside: str) -> int:
        """Lower a sequence that must end in one value; `inside` says which branch it is."""
        state: State = value
        for i, layer in enumerate(layers, start=1):
            place = f"layer {i} of {len(layers)}{inside}"
            if inside:  # branches are independent: equal layers on one value have weights each
                state = self.layer(layer, state, place)
                continue
            if (state, layer) not in self.known:
                self.known[state, layer] = self.layer(layer, state, place)
            state = self.known[state, layer]
        if isinstance(state, tuple):
            what = inside.removeprefix(" in ") or "the network"
            raise ArchitectureError(
                f"{what} ends with {len(state)} values: join them with FanInSum(), FanInProd() or "
                "FanInConcat()"
            )
        return state

    def layer(self, layer: Layer, state: State, place: str) -> State:
        where = f"{place}, {layer!r}"
        if isinstance(layer, Parallel):
            return self.parallel(layer, state, place)
        if isinstance(layer, FanIn):
            if not isinstance(state, tuple):
                raise ArchitectureError(
                    f"{where} joins branches, and there are none: FanOut(...) and parallel(...) "
                    "come before it"
                )
            value = state[0]
            for other in state[1:]:
                value = self.named(where, layer.join, value, other)
            return value
        if isinstance(state, tuple):
            raise ArchitectureError(
                f"{where} gets {len(state)} values: put what works on each of them into "
                "parallel(...), or join them first"
            )
        if isinstance(layer, FanOut):
            return (state,) * layer.num
        return self.named(where, layer.lower, state, self.width)

    def parallel(self, layer: Parallel, state: State, place: str) -> tuple[int, ...]:
        count, given = len(layer.branches), len(state) if isinstance(state, tuple) else 1
        if not isinstance(state, tuple) or count != given:
            raise ArchitectureError(
                f"{place}, parallel(...) with {count} branches, gets {given} "
                f"value{'s' * (given > 1)}: FanOut({count}) has to come before it"
            )
        return tuple(
            self.one_value(branch, value, f" in branch {k} of {place}")
            for k, (branch, value) in enumerate(zip(layer.branches, state, strict=True), start=1)
        )

    def named(self, where: str, lower: Callable[..., int], *arguments: int) -> int:
        """Append one layer to the program; errors of the core name it as the user does."""
        try:
            value = lower(self.builder, *arguments)
        except (_core.ArchitectureError, ArchitectureError) as error:
            message = self.in_users_words(str(error), where)
            raise ArchitectureError(message) from error
        if value == len(self.made_by):  # Identity adds nothing
            self.made_by.append(where)
        return value

    def output(self, value: int) -> None:
        """Hand a value out; errors of the core name the layer that made it as the user does."""
        try:
            self.builder.output(value)
        except _core.ArchitectureError as error:
            raise ArchitectureError(
                self.in_users_words(str(error), "the end of the network")
            ) from error

    def in_users_words(self, message: str, where: str) -> str:
        """Put the user's layers where the core names its own, such as "ABRelu (layer 2)"."""
        names = [*self.made_by, where]
        message = re.sub(r"\w+ \(layer (\d+)\)", lambda found: names[int(found[1])], message)
        return message if where in message else f"{where}: {message}"


def _reads_width(layer: Layer) -> bool:
    if isinstance(layer, Dense):
        return layer.W_std == "sqrt_dim" or layer.parameterization == "standard"
    return isinstance(layer, FanInConcat)
