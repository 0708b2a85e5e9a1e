"""Networks as dictionaries for JSON: ``{"type": "serial", "layers": [{"type": "Dense", ...}]}``.

``type`` is the name of a layer class and the other keys are its arguments; what is left out takes
its default. This is the format in which the infinite-width literature's library names layers, plus
``trainable``, which is ours and written only where it is False.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from ._validate import got, known
from .errors import ArchitectureError
from .layers import LAYERS, Dense, Layer

if TYPE_CHECKING:
    from .network import Network

__all__ = ["from_dict", "to_dict"]


def to_dict(net: Network) -> dict[str, Any]:
    """Return a network as a dictionary of plain JSON values; see `Network.to_dict`."""
    return {"type": "serial", "layers": [_write(layer) for layer in net.layers]}


def from_dict(d: Mapping[str, Any]) -> Network:
    """Return the network that a dictionary, for instance read from JSON, describes.

    Parameters
    ----------
    d : mapping
        ``{"type": "serial", "layers": [...]}``, nested at will, or one layer.

    Returns
    -------
    Network

    Raises
    ------
    TypeError
        If d, or a layer in it, is not a mapping.
    ArchitectureError
        If a layer type or an argument is unknown, an argument is missing or has a wrong value, or
        the sequence has no kernel. The message names the layer.

    Examples
    --------
    >>> import ntkfast as nk
    >>> nk.from_dict({"type": "serial", "layers": [{"type": "Dense", "b_std": 0.1}]})
    serial(Dense(b_std=0.1))
    """
    from .network import serial

    return serial(*_read(d, "the network"))


def _write(layer: Layer) -> dict[str, Any]:
    arguments = {spec.name: getattr(layer, spec.name) for spec in fields(layer)}
    if arguments.get("trainable") is True:
        del arguments["trainable"]
    return {"type": type(layer).__name__, **arguments}


def _read(d: object, where: str) -> Iterator[Layer]:
    if not isinstance(d, Mapping):
        hint = " (read JSON text with json.loads first)" if isinstance(d, str) else ""
        raise TypeError(f'{where} must be a mapping with a "type" key, {got(d)}{hint}')
    arguments = dict(d)
    name = arguments.pop("type", None)
    if name is None:
        raise ArchitectureError(f'{where} has no "type" key, {got(d)}')
    if name == "serial":
        yield from _read_serial(arguments, where)
    else:
        yield _read_layer(name, arguments, where)


def _read_serial(arguments: dict[str, Any], where: str) -> Iterator[Layer]:
    layers = arguments.pop("layers", None)
    if not isinstance(layers, (list, tuple)):
        raise ArchitectureError(f'{where} (serial): "layers" must be a list, {got(layers)}')
    if arguments:
        raise ArchitectureError(
            f"{where} (serial): unknown argument {known(arguments)}; the only one is layers"
        )
    for i, layer in enumerate(layers, start=1):
        yield from _read(layer, f"layer {i} of {where}")


def _read_layer(name: object, arguments: dict[str, Any], where: str) -> Layer:
    cls = LAYERS.get(name) if isinstance(name, str) else None
    if cls is None:
        raise ArchitectureError(
            f"{where}: unknown or not yet supported layer {name!r}; "
            f"this version knows serial, {known(LAYERS)}"
        )
    if cls is Dense:  # the format gives it an "s", which means something in "standard" alone
        arguments.pop("s", None)
    names = {spec.name for spec in fields(cls)}
    if unknown := set(arguments) - names:
        raise ArchitectureError(
            f"{where} ({name}): unknown argument {known(map(str, unknown))}; "
            f"{'known are ' + known(names) if names else 'it takes none'}"
        )
    try:
        return cls(**arguments)
    except (TypeError, ValueError) as error:
        raise ArchitectureError(f"{where} ({name}): {error}") from error
