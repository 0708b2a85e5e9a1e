"""Samples of an estimator: where they are, and in which kind its answers go back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .._arrays import as_given, cuda_device, prepare

__all__ = ["Rows", "read_rows"]


class Rows(NamedTuple):
    """Samples for scikit-learn to check.

    Attributes
    ----------
    X : array_like
        The samples in host memory, where all numbers that depend on one row are made.
    device : int or None
        The CUDA device they came from.
    wrap : callable
        From a NumPy array to one of the caller's kind, on its device.
    """

    X: Any
    device: int | None
    wrap: Callable[[Any], Any]


def read_rows(X: Any, positions: tuple[int, ...] = ()) -> Rows:
    """Return samples of any kind; what is in host memory stays as it is.

    `positions`: numbers of axes of positions that they may have, none for rows.
    """
    if cuda_device("X", X) is None:
        return Rows(X, None, _unchanged)
    data = prepare(X, positions=positions)
    return Rows(as_given(data.x, positions), data.device, data.wrap)


def _unchanged(values: Any) -> Any:
    return values
