"""Networks out of layers and other networks."""

from __future__ import annotations

from collections.abc import Iterable

from ._lowering import flatten
from ._validate import whole_number
from .layers import Layer
from .network import Network

__all__ = ["repeat", "serial"]


def serial(*layers: Layer | Network) -> Network:
    """Return the network that applies the layers one after the other.

    Parameters
    ----------
    *layers : Layer or Network
        At least one; a network stands for its layers.

    Returns
    -------
    Network

    Raises
    ------
    TypeError
        If an argument is not a layer.
    ArchitectureError
        If the sequence has no kernel, such as two activations in a row; the message says where.

    Examples
    --------
    >>> import ntkfast as nk
    >>> block = nk.serial(nk.Dense(), nk.Relu())
    >>> nk.serial(block, block, nk.Dense())
    serial(Dense(), Relu(), Dense(), Relu(), Dense())
    """
    return Network(layers)  # type: ignore[arg-type]  # flattened to layers there


def repeat(block: Layer | Network | Iterable[Layer | Network], times: int) -> Network:
    """Return the network that applies a block several times, with new weights each time.

    Parameters
    ----------
    block : Layer, Network, or list of them
        What to repeat.
    times : int
        How often, >= 1.

    Returns
    -------
    Network

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.
    ArchitectureError
        If the sequence has no kernel.

    Examples
    --------
    >>> import ntkfast as nk
    >>> nk.repeat([nk.Dense(2**0.5), nk.Relu()], 2)
    serial(Dense(W_std=1.4142135623730951), Relu(), Dense(W_std=1.4142135623730951), Relu())
    """
    layers = tuple(block) if isinstance(block, (list, tuple)) else (block,)
    return Network(flatten(layers, "repeat") * whole_number("times", times, minimum=1))
