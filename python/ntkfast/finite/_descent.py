"""Algorithms of training: gradient descent, stochastic or not, and gradient flow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DivergenceError
from ..predict.arguments import loss_weight
from ._parameters import DenseParameters, flat, shifted

if TYPE_CHECKING:
    from ._training import Trainable

__all__ = ["Gradient", "Path", "Plan", "descend", "flow"]

Array = NDArray[Any]
Gradient = dict[int, DenseParameters]  # by step of the tape

_FLOW_TOLERANCE = 1e-6  # of a step of gradient flow, in the parameters: relative and absolute


class Path(NamedTuple):
    """Where training ended, and the losses on the way."""

    end: Any
    times: NDArray[np.float64]
    losses: NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """Checked arguments of gradient descent."""

    steps: int
    rate: float
    momentum: float
    batch_size: int | None
    seed: int
    loss_scale: float | str
    records: int


def descend(model: Trainable, x: Array, y: Array, plan: Plan) -> Path:
    """Heavy ball: velocity <- momentum velocity + gradient, parameters -= rate velocity."""
    batches = _batches(len(x), plan.batch_size, plan.seed)
    every = max(1, plan.steps // plan.records)
    velocity: Gradient | None = None
    times, losses = [0.0], [_loss(model, x, y, plan.loss_scale)]
    for step in range(1, plan.steps + 1):
        rows = next(batches)
        xs, ys = (x, y) if rows is None else (x[rows], y[rows])
        outputs, seen = model.outputs_and_pass(xs)
        weight = loss_weight(plan.loss_scale, ys.shape[1], len(ys))
        gradient = model.gradient(seen, (outputs - ys) * weight)
        velocity = gradient if velocity is None else _sum(plan.momentum, velocity, gradient)
        model = model.moved(velocity, -plan.rate)
        if step % every == 0 or step == plan.steps:
            times.append(plan.rate * step / (1 - plan.momentum))
            losses.append(_loss(model, x, y, plan.loss_scale))
            if not losses[-1] <= 1e6 * (losses[0] + np.finfo(np.float64).tiny):
                raise DivergenceError(
                    f"training diverged: after {step} steps of learning_rate={plan.rate:.3g} the "
                    f"loss is {losses[-1]:.3g}, from {losses[0]:.3g} at the start; a stable rate "
                    "is below max_learning_rate(X)"
                    + ("" if plan.batch_size is None else ", and lower still for small batches")
                )
    return Path(model, np.array(times), np.array(losses))


def _batches(n: int, size: int | None, seed: int) -> Iterator[NDArray[np.intp] | None]:
    """Rows of each step: all of them (None), or every row once per shuffled round."""
    rng = np.random.default_rng(seed)
    while True:
        if size is None:
            yield None
            continue
        order = rng.permutation(n)
        for first in range(0, n, size):
            yield order[first : first + size]


def flow(model: Trainable, x: Array, y: Array, time: float, loss_scale: float | str) -> Path:
    """Gradient flow of all parameters by an adaptive Runge-Kutta method of order 5."""
    from scipy.integrate import RK45  # takes a tenth of a second to import

    outputs, seen = model.outputs_and_pass(x)
    layout = model.gradient(seen, np.zeros_like(outputs))
    weight = loss_weight(loss_scale, y.shape[1], len(y))

    def slope(_: float, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        here = model.moved(_unflat(layout, vector), 1.0)
        outputs, seen = here.outputs_and_pass(x)
        return -flat(here.gradient(seen, (outputs - y) * weight).values())

    start = np.zeros(flat(layout.values()).size)
    solver = RK45(slope, 0.0, start, time, rtol=_FLOW_TOLERANCE, atol=_FLOW_TOLERANCE)
    times, losses = [0.0], [_loss(model, x, y, loss_scale)]
    while solver.status == "running":
        message = solver.step()
        if solver.status == "failed":
            raise DivergenceError(f"gradient flow failed at time {solver.t:.3g}: {message}")
        times.append(float(solver.t))
        here = model.moved(_unflat(layout, solver.y), 1.0)
        losses.append(_loss(here, x, y, loss_scale))
    end = model.moved(_unflat(layout, solver.y), 1.0)
    return Path(end, np.array(times), np.array(losses))


def _loss(model: Trainable, x: Array, y: Array, loss_scale: float | str) -> float:
    outputs, _ = model.outputs_and_pass(x)
    squares = np.sum(np.square(outputs - y, dtype=np.float64))
    return 0.5 * loss_weight(loss_scale, y.shape[1], len(y)) * float(squares)


def _sum(factor: float, velocity: Gradient, gradient: Gradient) -> Gradient:
    return {i: shifted(new, velocity[i], factor) for i, new in gradient.items()}


def _unflat(layout: Gradient, vector: NDArray[np.float64]) -> Gradient:
    """Cut a vector into parameters like those of `layout`."""
    found, at = {}, 0
    for i, own in layout.items():
        pieces: list[Array | None] = []
        for array in own:
            if array is None:
                pieces.append(None)
                continue
            piece = vector[at : at + array.size].reshape(array.shape)
            pieces.append(piece.astype(array.dtype, copy=False))
            at += array.size
        weights, bias = pieces
        assert weights is not None
        found[i] = DenseParameters(weights, bias)
    return found
