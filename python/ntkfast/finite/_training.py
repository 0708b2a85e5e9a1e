"""Training on the mean squared error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from .._validate import choice, finite_number, got, require_finite, whole_number
from ..predict.arguments import loss_weight
from ._descent import Gradient, Plan, descend, flow

if TYPE_CHECKING:
    from typing_extensions import Self

    from .._arrays import Prepared

__all__ = ["Gradient", "Trainable", "Training", "targets"]

Array = NDArray[Any]
METHODS = ("gradient_descent", "gradient_flow")


def targets(name: str, value: Any, n: int, outputs: int) -> Array:
    """Return targets of n samples as an array of shape (n, outputs)."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    if array.ndim == 1 and outputs == 1:
        array = array[:, None]
    if array.shape != (n, outputs):
        raise ValueError(f"{name} must have shape {(n, outputs)}, got {np.shape(value)}")
    require_finite(name, array)
    return array


class Trainable:
    """Base of what can be trained: a function of data with parameters."""

    def __call__(self, X: Any) -> Any:
        """Return the outputs.

        Parameters
        ----------
        X : array, shape (n, d)

        Returns
        -------
        array, shape (n, outputs)

        Raises
        ------
        TypeError, ValueError
            As `Network` says.
        """
        data = self._data(X)
        x, rows = data.x, self._rows_per_pass(data.x)
        parts = [self.outputs_and_pass(x[i : i + rows])[0] for i in range(0, max(len(x), 1), rows)]
        return data.wrap(np.concatenate(parts))

    def _data(self, X: Any) -> Prepared:
        """Return checked data."""
        raise NotImplementedError

    def _rows_per_pass(self, x: Array) -> int:
        """Return how many samples to take at a time."""
        raise NotImplementedError

    def outputs_and_pass(self, x: Array) -> tuple[Array, Any]:
        """Return the outputs, shape (n, outputs), and what `gradient` wants to know of the pass."""
        raise NotImplementedError

    def gradient(self, seen: Any, signal: Array) -> Gradient:
        """Return the derivative by the trained parameters of sum(signal * outputs)."""
        raise NotImplementedError

    def moved(self, direction: Gradient, step: float) -> Self:
        """Return the function with its parameters moved by step * direction."""
        raise NotImplementedError

    def max_learning_rate(
        self, X: Any, *, momentum: float = 0.0, loss_scale: float | str = "mean"
    ) -> float:
        """Return the step size beyond which gradient descent diverges."""
        raise NotImplementedError

    def train(
        self,
        X: Any,
        y: Any,
        *,
        steps: int | None = None,
        time: float | None = None,
        learning_rate: float | None = None,
        momentum: float = 0.0,
        batch_size: int | None = None,
        seed: int = 0,
        loss_scale: float | str = "mean",
        method: str = "gradient_descent",
        records: int = 100,
    ) -> Training[Self]:
        """Train on half the mean of ``(f(X) - y)**2`` and return the trained function.

        Parameters
        ----------
        X : array, shape (n, d)
        y : array, shape (n, outputs) or (n,)
        steps : int
            Steps of gradient descent.
        time : float
            Of gradient flow: how long to follow it.
        learning_rate : float, optional
            Step size; by default half of `max_learning_rate`.
        momentum : float, default 0.0
            Heavy-ball momentum, in [0, 1).
        batch_size : int, optional
            Samples per step, drawn without replacement; all of them by default.
        seed : int, default 0
            Of the order of the batches.
        loss_scale : {"mean", "sample", "sum"} or float, default "mean"
            The loss is half the mean of ``(f(X) - y)**2`` over all outputs; "sample" is half the
            mean over the samples of ``|f(x) - y|**2``, "sum" half the sum, of a batch too; a number
            multiplies "mean".
        method : {"gradient_descent", "gradient_flow"}
            Gradient flow by an adaptive Runge-Kutta method.
        records : int, default 100
            About so many times the loss of all samples is taken in gradient descent.

        Returns
        -------
        Training

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type, shape or range.
        DivergenceError
            If the loss explodes.

        Examples
        --------
        >>> import ntkfast as nk
        >>> X, y = [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [1.0, 1.0, 0.0]
        >>> f = nk.finite.init(nk.mlp(2, b_std=0.1), width=64)
        >>> bool(f.train(X, y, steps=500).losses[-1] < 1e-3)
        True
        """
        x = self._data(X).x
        if len(x) == 0:
            raise ValueError("X must have at least one sample to train on, got none")
        loss_weight(loss_scale, 1, 1)  # refuses what it does not know
        y = targets("y", y, len(x), self.outputs_and_pass(x[:1])[0].shape[1])
        if choice("method", method, METHODS) == "gradient_flow":
            if (steps, learning_rate, batch_size) != (None, None, None) or momentum != 0:
                raise ValueError(
                    'method="gradient_flow" takes time=..., and neither steps, learning_rate, '
                    "batch_size nor momentum: its integrator chooses its own steps"
                )
            path = flow(self, x, y, finite_number("time", time, minimum=0), loss_scale)
            return Training(path.end, 0.0, path.times, path.losses)
        if time is not None:
            raise ValueError('method="gradient_descent" takes steps=..., and not time')
        momentum = finite_number("momentum", momentum, minimum=0)
        if momentum >= 1:
            raise ValueError(f"momentum must be in [0, 1), {got(momentum)}")
        if learning_rate is None:
            limit = self.max_learning_rate(X, momentum=momentum, loss_scale=loss_scale)
            learning_rate = 0.5 * limit if math.isfinite(limit) else 0.0
        if batch_size is not None:
            batch_size = whole_number("batch_size", batch_size, minimum=1, maximum=len(x))
        plan = Plan(
            whole_number("steps", steps, minimum=0),
            finite_number("learning_rate", learning_rate, minimum=0),
            momentum,
            batch_size,
            whole_number("seed", seed, minimum=0),
            loss_scale,
            whole_number("records", records, minimum=1),
        )
        path = descend(self, x, y, plan)
        return Training(path.end, plan.rate, path.times, path.losses)


M = TypeVar("M", bound=Trainable)


@dataclass(frozen=True)
class Training(Generic[M]):
    """A trained function and the way there.

    Attributes
    ----------
    network : FiniteNetwork or TaylorModel
        After training.
    learning_rate : float
        The step size that was used; 0 for gradient flow.
    times : array, shape (k,)
        Where the losses were taken, as times of gradient flow: ``learning_rate`` times the number
        of steps, divided by ``1 - momentum``.
    losses : array, shape (k,)
        Loss of all samples, the first before training and the last after it.
    """

    network: M
    learning_rate: float
    times: NDArray[np.float64]
    losses: NDArray[np.float64]
