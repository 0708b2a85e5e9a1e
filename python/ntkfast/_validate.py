"""Checks of arguments: a message names the argument, what was expected and what was got."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray


def got(value: object) -> str:
    """Short description of a refused value: its repr, cut to one line, and its type."""
    text = repr(value).replace("\n", " ")
    if len(text) > 60:
        text = text[:57] + "..."
    return f"got {text} ({type(value).__name__})"


def known(names: Iterable[str]) -> str:
    """Comma-separated, sorted list for "this version knows ..." messages."""
    return ", ".join(sorted(names, key=str.lower))


def finite_number(name: str, value: object, *, minimum: float = -math.inf) -> float:
    """Return value as a float, refusing non-numbers, NaN, infinities and values below minimum."""
    expected = "a finite number" if minimum == -math.inf else f"a finite number >= {minimum:g}"
    # bool is a Real for Python, but W_std=True is a slip, not a number.
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be {expected}, {got(value)}")
    try:
        number = float(value)
    except OverflowError:  # an int or a Fraction beyond the range of float64
        number = math.inf
    if not math.isfinite(number) or number < minimum:
        raise ValueError(f"{name} must be {expected}, {got(value)}")
    return number


def whole_number(name: str, value: object, *, minimum: int, maximum: int | None = None) -> int:
    """Return value as an int, refusing bools, floats and values below minimum or above maximum."""
    expected = f"an integer >= {minimum}"
    if maximum is not None:
        expected = f"an integer from {minimum} to {maximum}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be {expected}, {got(value)}")
    number = int(value)
    if number < minimum or (maximum is not None and number > maximum):
        raise ValueError(f"{name} must be {expected}, {got(value)}")
    return number


def channel_axis(name: str, axis: object) -> int:
    """Return -1 if axis is that of the channels, the last of two."""
    expected = "-1, the axis of the channels"
    if isinstance(axis, bool) or not isinstance(axis, Integral):
        raise TypeError(f"{name} must be {expected}, {got(axis)}")
    if axis not in (-1, 1):
        raise ValueError(f"{name} must be {expected}, {got(axis)}")
    return -1


def flag(name: str, value: object) -> bool:
    """Return value if it is True or False (NumPy's bool included)."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise TypeError(f"{name} must be True or False, {got(value)}")
    return bool(value)


def choice(name: str, value: object, allowed: Iterable[str]) -> str:
    """Return value if it is one of the allowed strings."""
    allowed = tuple(allowed)
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(map(repr, allowed))}, {got(value)}")
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, {got(value)}")
    return value


def require_finite(name: str, array: NDArray[Any]) -> None:
    """Raise ValueError if a number is NaN or infinite."""
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
