"""Architecture dictionaries, the format of tests/reference: reading and writing them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

Layer = Mapping[str, Any]
S = TypeVar("S")

#: Activations with one kink at 0, as (slope left of 0, slope right of 0) of their parameters.
KINKED: dict[str, Callable[[Layer], tuple[float, float]]] = {
    "Relu": lambda layer: (0.0, 1.0),
    "LeakyRelu": lambda layer: (layer.get("alpha", 0.01), 1.0),
    "Abs": lambda layer: (-1.0, 1.0),
    "ABRelu": lambda layer: (layer["a"], layer["b"]),
}

#: Activations min(max(x, low), high), as (low, high) of their parameters.
CLIPPED: dict[str, Callable[[Layer], tuple[float, float]]] = {
    "Relu6": lambda _layer: (0.0, 6.0),
    "Hardtanh": lambda layer: (layer.get("min_val", -1.0), layer.get("max_val", 1.0)),
}


def flatten(arch: Layer) -> Iterator[Layer]:
    """Yield the layers of nested `serial`s from input to output."""
    if arch["type"] == "serial":
        for layer in arch["layers"]:
            yield from flatten(layer)
    else:
        yield arch


def fold(arch: Layer, state: Any, step: Callable[..., S]) -> Any:
    """Walk through an architecture in order, branch after branch.

    `step(layer, value)` returns what a layer makes of a value, and `step(layer, a, b, ...)` what a
    FanIn layer makes of several. Between FanOut and FanIn the state is a list of values.
    """
    kind = arch["type"]
    if kind == "serial":
        for layer in arch["layers"]:
            state = fold(layer, state, step)
        return state
    if kind == "FanOut":
        return [state] * arch["num"]
    if kind == "parallel":
        pairs = zip(arch["layers"], state, strict=True)
        return [fold(layer, value, step) for layer, value in pairs]
    return step(arch, *state) if isinstance(state, list) else step(arch, state)


def layer_types(arch: Layer) -> set[str]:
    """Return the set of all type names, combinators included."""
    types = {arch["type"]}
    for layer in arch.get("layers", ()):
        types |= layer_types(layer)
    return types


def coefficients(layer: Layer) -> list[float]:
    """Return the coefficients of a polynomial activation, lowest power first, as exact floats.

    Those of `Hermite` are of He_n without its factor 1 / sqrt(n!), whole numbers.
    """
    if layer["type"] == "Polynomial":
        return list(layer["coef"])
    degree = layer["degree"]
    if layer["type"] == "Monomial":
        return [0.0] * degree + [1.0]
    below, coefficient = [1.0], [0.0, 1.0]  # He_0, He_1
    for n in range(1, degree):
        raised = [0.0, *coefficient]
        for k, c in enumerate(below):
            raised[k] -= n * c
        below, coefficient = coefficient, raised
    return coefficient if degree > 0 else below


def erf_parameters(layer: Layer) -> tuple[float, float, float]:
    """Return (a, b, c) of `a erf(b x) + c`."""
    if layer["type"] == "Sigmoid_like":
        return 0.5, 1 / 2.4020563531719796, 0.5
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


def standard(
    W_std: float = 1.0,
    b_std: float | None = None,
    out_dim: int = 1,
    s: tuple[float, float] = (1, 1),
) -> dict[str, Any]:
    """Return the dictionary of one Dense layer in standard parameterization."""
    layer = {**dense(W_std, b_std), "out_dim": out_dim, "parameterization": "standard"}
    return {**layer, "s": list(s)}


def branches(join: str, *branch: Layer) -> dict[str, Any]:
    """Return FanOut, the branches and the layer that joins them, such as "FanInSum"."""
    fan_out = {"type": "FanOut", "num": len(branch)}
    return serial(fan_out, {"type": "parallel", "layers": list(branch)}, {"type": join})


def mlp(
    depth: int, activation: Layer, W_std: float = 2**0.5, b_std: float | None = None
) -> dict[str, Any]:
    """Return Dense, (activation, Dense) x depth."""
    layers = [dense(W_std, b_std)]
    for _ in range(depth):
        layers += [dict(activation), dense(W_std, b_std)]
    return serial(*layers)
