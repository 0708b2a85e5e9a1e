"""From sequences of layers to a program of the core."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from . import _core
from ._validate import got
from .errors import ArchitectureError
from .layers import Dense, Layer

__all__ = ["compile_program", "flatten"]


def flatten(layers: Iterable[object]) -> tuple[Layer, ...]:
    """Return the layers, with a network replaced by its own."""
    flat: list[Layer] = []
    for layer in layers:
        if isinstance(layer, Layer):
            flat.append(layer)
        elif isinstance(inner := getattr(layer, "layers", None), tuple):
            flat.extend(flatten(inner))
        elif isinstance(layer, type) and issubclass(layer, Layer):
            raise TypeError(f"serial() takes layers, got the class: write {layer.__name__}(...)")
        elif isinstance(layer, (list, tuple)):
            raise TypeError(f"serial() takes layers, {got(layer)}: write serial(*layers)")
        else:
            raise TypeError(f"serial() takes layers, {got(layer)}")
    return tuple(flat)


def compile_program(*sequences: tuple[Layer, ...], width: int) -> _core.Program:
    """Return the program of one or several sequences for data of so many columns.

    It has one output per sequence, in this order. What sequences have in common from their first
    layer on is computed once.

    Raises
    ------
    ArchitectureError
        If a sequence has no kernel; the message names the layer.
    """
    if not all(sequences):
        raise ArchitectureError("serial() needs at least one layer, got none")
    # Only "sqrt_dim" reads the width: all other networks share one program for all widths.
    reads_width = any(_reads_width(layers[0]) for layers in sequences)
    return _compile(sequences, width if reads_width else 1)


# A cache beside the networks, not in them, keeps them plain values: nothing to rebuild after a
# pickle or a copy, and equal networks share a program.
@lru_cache(maxsize=256)
def _compile(sequences: tuple[tuple[Layer, ...], ...], width: int) -> _core.Program:
    builder = _core.Builder()
    start = builder.input()
    lowered: list[str] = []  # the layers that the core has seen
    known: dict[tuple[int, Layer], int] = {}  # a value and a layer applied to it -> the result
    for layers in sequences:
        value = start
        for i, layer in enumerate(layers, start=1):
            where = f"layer {i} of {len(layers)}, {layer!r}"
            if i > 1 and _reads_width(layer):
                raise ArchitectureError(
                    f'{where}: W_std="sqrt_dim" is defined by the number of columns of the data, '
                    "and so for the first layer only"
                )
            if (value, layer) not in known:
                try:
                    result = layer.lower(builder, value, width)
                except _core.ArchitectureError as error:
                    words = _in_users_words(str(error), [*lowered, where])
                    raise ArchitectureError(words) from error
                if result != value:  # Identity adds nothing
                    lowered.append(where)
                known[value, layer] = result
            value = known[value, layer]
        builder.output(value)
    return builder.build()


def _in_users_words(message: str, lowered: list[str]) -> str:
    """Put the user's layers where the core names its own, such as "ABRelu (layer 2)"."""
    return re.sub(r"\w+ \(layer (\d+)\)", lambda found: lowered[int(found[1]) - 1], message)


def _reads_width(layer: Layer) -> bool:
    return isinstance(layer, Dense) and layer.W_std == "sqrt_dim"
