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
from .layers import LAYERS, Conv, Dense, Elementwise, Layer, Parallel

if TYPE_CHECKING:
    from .network import Network

__all__ = ["from_dict", "to_dict"]


def to_dict(net: Network) -> dict[str, Any]:
    """Return a network as a dictionary of plain JSON values; see `Network.to_dict`."""
    return _write_serial(net.layers)


def from_dict(d: Mapping[str, Any]) -> Network:
    """Return the network that a dictionary, for instance read from JSON, describes.

    Parameters
    ----------
    d : mapping
        ``{"type": "serial", "layers": [...]}``, nested at will, or one layer; the layers of
        ``{"type": "parallel", "layers": [...]}`` are its branches.

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
    from ._composition import serial

    return serial(*_read(d, "the network"))


def _write_serial(layers: tuple[Layer, ...]) -> dict[str, Any]:
    return {"type": "serial", "layers": [_write(layer) for layer in layers]}


#: Functions of the literature's "ElementwiseNumerical", a layer of two-dimensional quadrature.
_NUMERICAL = {
    name.lower(): name for name in ("Elu", "Selu", "Sigmoid", "Silu", "Softplus", "Tanh")
} | {"swish": "Silu"}


def _write(layer: Layer) -> dict[str, Any]:
    if isinstance(layer, Elementwise):
        raise ArchitectureError(
            f"{layer!r} cannot be written to a file, which holds names and not functions: use one "
            f"of the named activations, {known(LAYERS)}, or pickle the network"
        )
    if isinstance(layer, Parallel):
        branches = (
            _write(branch[0]) if len(branch) == 1 else _write_serial(branch)
            for branch in layer.branches
        )
        return {"type": "parallel", "layers": list(branches)}
    arguments = {spec.name: getattr(layer, spec.name) for spec in fields(layer)}
    if isinstance(layer, (Dense, Conv)):
        if layer.trainable:
            del arguments["trainable"]
        if layer.parameterization == "standard":
            arguments["s"] = list(layer.s)
        else:
            del arguments["s"]
    for name, value in arguments.items():
        if isinstance(value, tuple):  # JSON has lists
            arguments[name] = list(value)
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
        for i, layer in enumerate(_layers(name, arguments, where), start=1):
            yield from _read(layer, f"layer {i} of {where}")
    elif name == "parallel":
        branches = _layers(name, arguments, where)
        read = [tuple(_read(d, f"branch {i} of {where}")) for i, d in enumerate(branches, start=1)]
        try:
            yield Parallel(tuple(read))
        except ArchitectureError as error:
            raise ArchitectureError(f"{where}: {error}") from error
    else:
        yield _read_layer(name, arguments, where)


def _layers(name: str, arguments: dict[str, Any], where: str) -> list[Any]:
    """Return the layers of a "serial" or the branches of a "parallel"."""
    layers = arguments.pop("layers", None)
    if not isinstance(layers, (list, tuple)):
        raise ArchitectureError(f'{where} ({name}): "layers" must be a list, {got(layers)}')
    if arguments:
        raise ArchitectureError(
            f"{where} ({name}): unknown argument {known(arguments)}; the only one is layers"
        )
    return list(layers)


def _read_layer(name: object, arguments: dict[str, Any], where: str) -> Layer:
    if name == "ElementwiseNumerical":
        name, arguments = _read_numerical(arguments, where), {}
    cls = LAYERS.get(name) if isinstance(name, str) and name != "Elementwise" else None
    if cls is None:
        raise ArchitectureError(
            f"{where}: unknown or not yet supported layer {name!r}; "
            f"this version knows serial, parallel, {known(LAYERS)}"
        )
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


def _read_numerical(arguments: dict[str, Any], where: str) -> str:
    """Return the layer of a named function; the degree of a quadrature means nothing here."""
    fn = arguments.get("fn")
    if not isinstance(fn, str) or fn.lower() not in _NUMERICAL or set(arguments) - {"fn", "deg"}:
        raise ArchitectureError(
            f"{where} (ElementwiseNumerical): expected fn, one of {known(_NUMERICAL)}, and deg, "
            f"{got(arguments)}"
        )
    return _NUMERICAL[fn.lower()]
