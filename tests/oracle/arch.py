"""Architecture dictionaries, the format of tests/reference: reading and writing them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Layer = Mapping[str, Any]

#: Activations with one kink at 0, as (slope left of 0, slope right of 0) of their parameters.
KINKED: dict[str, Callable[[Layer], tuple[float, float]]] = {
    "Relu": lambda layer: (0.0, 1.0),
    "LeakyRelu": lambda layer: (layer.get("alpha", 0.01), 1.0),
    "Abs": lambda layer: (-1.0, 1.0),
    "ABRelu": lambda layer: (layer["a"], layer["b"]),
}


def flatten(arch: Layer) -> Iterator[Layer]:
    """Yield the layers of nested `serial`s from input to output."""
    if arch["type"] == "serial":
        for layer in arch["layers"]:
            yield from flatten(layer)
    else:
        yield arch


def layer_types(arch: Layer) -> set[str]:
    """Return the set of all type names, combinators included."""
    types = {arch["type"]}
    for layer in arch.get("layers", ()):
        types |= layer_types(layer)
    return types


def erf_parameters(layer: Layer) -> tuple[float, float, float]:
    """Return (a, b, c) of `a erf(b x) + c`."""
    return layer.get("a", 1.0), layer.get("b", 1.0), layer.get("c", 0.0)


def dense(
    W_std: float = 1.0, b_std: float | None = None, *, trainable: bool = True
) -> dict[str, Any]:
    """Return the dictionary of one Dense layer; keys at their default are left out."""
    layer: dict[str, Any] = {"type": "Dense", "W_std": W_std}
    if b_std is not None:
        layer["b_std"] = b_std
    if not trainable:
        layer["trainable"] = False
    return layer


def serial(*layers: Layer) -> dict[str, Any]:
    """Return the dictionary of `layers` in a row."""
    return {"type": "serial", "layers": list(layers)}


def mlp(
    depth: int, activation: Layer, W_std: float = 2**0.5, b_std: float | None = None
) -> dict[str, Any]:
    """Return Dense, (activation, Dense) x depth."""
    layers = [dense(W_std, b_std)]
    for _ in range(depth):
        layers += [dict(activation), dense(W_std, b_std)]
    return serial(*layers)
