"""Where windows of convolutions and pools stand along one axis."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["WindowAxis", "window_axis"]


class WindowAxis(NamedTuple):
    """Positions of a result, and what is read before and after the input."""

    out: int
    before: int
    after: int


def window_axis(size: int, taps: int, step: int, padding: str) -> WindowAxis:
    """Return the axis for an input of so many positions; the core knows it likewise."""
    if padding == "VALID":
        return WindowAxis((size - taps) // step + 1, 0, 0)
    out = -(-size // step)
    missing = max(0, (out - 1) * step + taps - size)
    return WindowAxis(out, missing // 2, missing - missing // 2)
