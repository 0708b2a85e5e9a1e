"""Arguments that all methods share: times, targets, initial functions, the scale of the loss."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._kernel_matrix import FloatArray, real_array
from .._validate import choice, finite_number, got, require_finite

__all__ = ["Targets", "called", "loss_weight", "times"]


def times(t: Any, whole: bool) -> FloatArray:
    """Return times of any shape as float64, None being infinity; `whole` asks for steps."""
    values = np.asarray(t)
    if values.dtype == object:
        values = np.asarray([np.inf if v is None else v for v in values.ravel()]).reshape(
            values.shape
        )
    if values.dtype.kind not in "iuf":
        raise TypeError(f"t must hold numbers >= 0, or be None for the end of training, {got(t)}")
    result: FloatArray = values.astype(np.float64)
    if np.isnan(result).any() or (result < 0).any():
        raise ValueError(f"t must not be negative or NaN, {got(t)}")
    if whole and (np.floor(result) != result).any():
        raise ValueError(f"t counts whole steps of gradient descent, {got(t)}")
    return result


def loss_weight(loss_scale: object, outputs: int, rows: int) -> float:
    """Return the factor of ``sum |f - y|**2 / 2``."""
    if isinstance(loss_scale, str):
        choice("loss_scale", loss_scale, ("mean", "sample", "sum"))
        return {"mean": 1.0 / (rows * outputs), "sample": 1.0 / rows, "sum": 1.0}[loss_scale]
    return finite_number("loss_scale", loss_scale, minimum=0.0) / (rows * outputs)


class Targets:
    """Targets of any shape (n, ...) as columns (n, outputs), and back."""

    def __init__(self, y: Any, n: int) -> None:
        values = real_array(y, "y")
        if values.ndim == 0 or len(values) != n:
            raise ValueError(f"y must have {n} rows, one for each of X, got shape {values.shape}")
        if values.size == 0:
            raise ValueError(f"y must have at least one output, got shape {values.shape}")
        require_finite("y", values)
        self.trailing: tuple[int, ...] = values.shape[1:]
        self.columns: FloatArray = values.reshape(n, -1).astype(np.float64)

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return int(self.columns.shape[1])

    def start(self, f0: Any, rows: int, name: str) -> FloatArray:
        """Return an initial function's values at so many rows as columns."""
        values = real_array(f0, name)
        shape = (rows, *self.trailing)
        try:
            filled = np.broadcast_to(values, shape)
        except ValueError as error:
            raise ValueError(
                f"{name} must have shape {shape}, the outputs at each row, got {values.shape}"
            ) from error
        require_finite(name, values)
        return filled.reshape(rows, self.outputs).astype(np.float64)

    def restore(self, columns: NDArray[Any], leading: tuple[int, ...]) -> NDArray[Any]:
        """Return (times, rows, outputs) with the shapes of the times and of the targets."""
        return columns.reshape(*leading, columns.shape[1], *self.trailing)


def called(f0: Any, rows: Any, targets: Targets) -> Any:
    """Return an initial function's values at the rows where it is a callable, else itself."""
    if not callable(f0):
        return f0
    if rows is None:
        raise TypeError("f0 must be an array: there are kernels, and no rows to call it at")
    values = np.asarray(f0(rows))
    # A column for targets without one: so finite networks return it.
    column = values.ndim == 2 and values.shape[1] == 1 and not targets.trailing
    return values[:, 0] if column else values
