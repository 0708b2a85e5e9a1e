"""Kernels and outputs of neural_tangents.predict as matrices, and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._kernel_matrix import real_array
from .._validate import got
from ..errors import UnsupportedLayerError

__all__ = ["KINDS", "Layout", "kinds", "matrix"]

KINDS = ("nngp", "ntk")


def matrix(kernel: Any) -> Any:
    """Return a kernel with axes (n, m, o, o, ...) as the matrix (n o ..., m o ...)."""
    if np.ndim(kernel) == 2:
        return kernel
    array = np.asarray(kernel)
    if array.ndim == 0 or array.ndim % 2:
        raise ValueError(f"a kernel must have pairs of axes, got shape {array.shape}")
    axes = (*range(0, array.ndim, 2), *range(1, array.ndim, 2))
    rows = math.prod(array.shape[::2])
    return array.transpose(axes).reshape(rows, -1)


def kinds(get: str | Iterable[str] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the kernels that `get` names, None being both."""
    names = KINDS if get is None else (get,) if isinstance(get, str) else tuple(get)
    names = tuple(name.lower() if isinstance(name, str) else name for name in names)
    for name in names:
        if name not in known:
            raise ValueError(f"get must name {', '.join(map(repr, known))}, {got(name)}")
    return names


class Layout:
    """How outputs (rows, outputs) stand to a kernel that has or lacks an axis for the outputs."""

    def __init__(self, y_train: Any, trace_axes: Any) -> None:
        self.y: NDArray[Any] = real_array(y_train, "y_train")
        axes = (trace_axes,) if isinstance(trace_axes, int) else tuple(trace_axes)
        traced = sorted(axis % max(self.y.ndim, 1) for axis in axes)
        if traced not in ([], [self.y.ndim - 1]) or (traced and self.y.ndim < 2):
            raise UnsupportedLayerError(
                "trace_axes must be (-1,), one kernel for all outputs, or (), a kernel with axes "
                f"for them, in this version, {got(trace_axes)} for y_train of shape {self.y.shape}"
            )
        self.full = not traced

    @property
    def targets(self) -> NDArray[Any]:
        """Targets as (rows of the matrix, outputs that share it)."""
        return self.columns(self.y)

    def columns(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return outputs as (rows of the matrix, outputs that share it)."""
        outputs = 1 if self.full else values.shape[-1]
        return values.reshape(math.prod(values.shape) // outputs if outputs else 0, outputs)

    def shape(self, k_test_train: Any) -> tuple[int, ...]:
        """Return the shape of the outputs at the rows of a cross kernel."""
        rows = tuple(np.shape(k_test_train)[::2])
        return rows if self.full else (*rows, self.y.shape[-1])

    def start(self, values: Any, shape: tuple[int, ...]) -> NDArray[Any]:
        """Return an initial function, perhaps one number, as columns."""
        return self.columns(np.broadcast_to(np.asarray(values), shape))

    def restore(self, values: Any, shape: tuple[int, ...]) -> Any:
        """Return (times..., rows of the matrix, outputs) with outputs of the given shape."""
        return values.reshape((*tuple(values.shape)[:-2], *shape))

    def covariance(self, values: Any, shape: tuple[int, ...]) -> Any:
        """Return (times..., rows, rows) with the axes of a kernel."""
        if not self.full:
            return values
        times, half = tuple(values.shape)[:-2], len(shape)
        array = np.asarray(values).reshape((*times, *shape, *shape))
        first = len(times)
        pairs = [first + i + offset for i in range(half) for offset in (0, half)]
        return array.transpose((*range(first), *pairs))


Predict = Callable[..., Any]
