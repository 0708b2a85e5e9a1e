"""Arguments that all comparisons share."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import prepare
from .._device import require_host
from .._validate import got, require_finite
from ..network import Network

__all__ = ["check_network", "fingerprint", "rows"]


def check_network(net: object) -> None:
    """Raise TypeError if this is no Network."""
    if not isinstance(net, Network):
        raise TypeError(f"net must be a Network, {got(net)}")


def rows(name: str, value: Any) -> NDArray[Any]:
    """Return samples in the rows of a finite NumPy array."""
    data = prepare(value)
    require_host(name, data, "comparisons")
    if len(data.x) == 0:
        raise ValueError(f"{name} must hold at least one sample, got shape {data.x.shape}")
    require_finite(name, data.x)
    return data.x


def fingerprint(value: Network | NDArray[Any]) -> str:
    """Return what tells two inputs of a run apart."""
    if isinstance(value, Network):
        return json.dumps(value.to_dict(), sort_keys=True)
    digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    return f"{value.dtype} {value.shape} {digest[:16]}"
