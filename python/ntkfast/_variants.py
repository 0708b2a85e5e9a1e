"""A sequence of layers at other depths, and with its first layers fixed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ._validate import got, whole_number
from .errors import ArchitectureError
from .layers import Activation, Conv, Dense, Layer

__all__ = ["all_fixed", "variants"]

Layers = tuple[Layer, ...]


def variants(
    layers: Layers, depths: Iterable[int] | None, fixed: Iterable[int] | str
) -> dict[tuple[int, int], Layers]:
    """Return ``(depth, fixed)`` to layers; see `Network.variants`."""
    for layer in layers:
        if not isinstance(layer, Activation) and _has_activation([layer]):
            raise ArchitectureError(
                f"{layer!r} has activations in branches, where depth is not defined: give the "
                "networks themselves to kernels_of()"
            )
    ends = [i for i, layer in enumerate(layers, start=1) if isinstance(layer, Activation)]
    # The readout is what follows the last activation; depth 0 is the readout alone.
    readout = layers[ends[-1] :] if ends else layers
    ends = [0, *ends]
    if depths is None:
        depths = range(1, len(ends)) if len(ends) > 1 else (0,)
    chosen = _whole_numbers("depths", depths)
    if chosen and chosen[-1] >= len(ends):
        raise ValueError(
            f"depths must be at most {len(ends) - 1}, the number of activations, {got(chosen[-1])}"
        )
    if not readout:
        raise ArchitectureError(
            "a network that ends with an activation has no readout to go with other depths"
        )
    counts = None if fixed == "all" else _whole_numbers("fixed", fixed)
    result: dict[tuple[int, int], Layers] = {}
    for depth in chosen:
        at_depth = layers[: ends[depth]] + readout
        most = sum(isinstance(layer, (Dense, Conv)) for layer in at_depth) - 1
        for j in range(max(most, 0) + 1) if counts is None else counts:
            if j <= max(most, 0):
                result[depth, j] = _with_fixed(at_depth, j)
    return result


def _whole_numbers(name: str, values: Iterable[int] | str) -> list[int]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        words = ' or "all"' if name == "fixed" else ""
        raise TypeError(f"{name} must be integers >= 0{words}, {got(values)}")
    return sorted({whole_number(f"each of {name}", value, minimum=0) for value in values})


def _with_fixed(layers: Layers, count: int) -> Layers:
    fixed: list[Layer] = []
    for layer in layers:
        if count > 0 and isinstance(layer, (Dense, Conv)):
            layer, count = replace(layer, trainable=False), count - 1
        fixed.append(layer)
    return tuple(fixed)


def all_fixed(layers: Layers) -> Layers:
    """Return the layers with none of them trained, within branches neither."""
    return tuple(_fixed(layer) for layer in layers)


def _fixed(layer: Layer) -> Layer:
    if isinstance(layer, (Dense, Conv)):
        return replace(layer, trainable=False)
    if branches := getattr(layer, "branches", ()):
        return replace(layer, branches=tuple(map(all_fixed, branches)))  # type: ignore[call-arg]
    return layer


def _has_activation(layers: Iterable[Layer]) -> bool:
    return any(
        isinstance(layer, Activation) or any(map(_has_activation, getattr(layer, "branches", ())))
        for layer in layers
    )
