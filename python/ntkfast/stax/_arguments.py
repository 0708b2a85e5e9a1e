"""Arguments as users of the archived library write them, in the words of this one."""

from __future__ import annotations

from typing import Any

from ..errors import UnsupportedLayerError
from ..layers import LAYERS, Layer

__all__ = ["make", "number", "require_axes"]


def make(name: str, **arguments: Any) -> Layer:
    """Return the layer of `ntkfast` of this name."""
    cls = LAYERS.get(name)
    if cls is None:
        raise UnsupportedLayerError(f"stax.{name} is not in this version of ntkfast")
    return cls(**{key: number(value) for key, value in arguments.items()})


def number(value: Any) -> Any:
    """Return an array of no dimensions, such as jax.numpy.sqrt(2.0), as the number in it."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def require_axes(layer: str, batch_axis: int, channel_axis: int) -> None:
    """Refuse other layouts than samples in rows, features in the last axis."""
    if batch_axis != 0 or channel_axis != -1:
        raise UnsupportedLayerError(
            f"stax.{layer}(batch_axis={batch_axis}, channel_axis={channel_axis}): ntkfast takes "
            "samples in rows and features in columns, batch_axis=0 and channel_axis=-1"
        )
