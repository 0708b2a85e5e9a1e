"""The networks that the estimators use when the user names none.

Both were chosen on the KEEL tables, with splits that ``bench/keel.py`` does not use. What matters
on tabular data is a bias as strong as the inputs: without one a ReLU network is homogeneous, its
kernel tells a row from a multiple of it by size alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..layers import Dense
from ..models import mlp
from ..network import Network


def default_network() -> Network:
    """Return the network that ``net=None`` stands for."""
    return mlp(3, "relu", b_std=1.0)


def auto_networks() -> list[Network]:
    """Return the networks among which ``net="auto"`` chooses.

    Depth 1 to 5; no bias or a strong one; all layers trained, only the last hidden one and the
    readout, or the readout alone (Arora et al. 2020 call the number of the others L').
    """
    return [
        mlp(depth, "relu", b_std=b_std, fixed_layers=fixed)
        for depth in range(1, 6)
        for b_std in (None, 1.0)
        for fixed in sorted({0, depth - 1, depth})
    ]


def candidates(net: Any, kind: str) -> list[Network]:
    """Return the networks that an estimator's `net` argument stands for, at least one.

    `kind` is the kernel in use, "ntk" or "nngp": which layers are trained matters for the first.
    """
    if net is None:
        return [default_network()]
    if isinstance(net, Network):
        return [net]
    if isinstance(net, str):
        if net == "auto":
            return [each for each in auto_networks() if kind == "ntk" or _all_trained(each)]
    elif isinstance(net, Iterable):
        networks = list(net)
        if networks and all(isinstance(each, Network) for each in networks):
            return networks
    raise TypeError(
        'net must be a Network, None for the default, "auto" or a non-empty list of Networks to '
        f"choose from, got {net!r}."
    )


def _all_trained(net: Network) -> bool:
    return all(layer.trainable for layer in net.layers if isinstance(layer, Dense))
