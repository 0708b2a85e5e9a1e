"""Passes through a network: forwards, backwards, and forwards with a direction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

from ._operations import Affine
from ._parameters import DenseParameters
from ._tape import Tape

__all__ = ["Arrival", "directional", "forward", "parameter_gradients", "signals"]

Array = NDArray[Any]
Parameters = Mapping[int, DenseParameters]  # by step


class Arrival(NamedTuple):
    """What a backward pass brings to a trained Dense layer: its input and the signal by its value.

    Attributes
    ----------
    step : int
        Which step of the tape.
    a : array, shape (n, units before)
    signal : array, shape (n, outputs, units)
    """

    step: int
    a: Array
    signal: Array


def forward(tape: Tape, parameters: Parameters, x: Array) -> list[Array]:
    """Return all values, the data first and the output last."""
    values = [x]
    for i, step in enumerate(tape.steps):
        inputs = tuple(values[j] for j in step.inputs)
        values.append(step.operation.value(inputs, parameters.get(i)))
    return values


def signals(
    tape: Tape, parameters: Parameters, values: list[Array], signal: Array
) -> Iterator[Arrival]:
    """Pull a signal by the output, (n, outputs, units), back to every trained Dense layer.

    A signal is forgotten as soon as it has been pulled further.
    """
    arrived: dict[int, Array] = {len(tape.steps): signal}
    for i in reversed(range(len(tape.steps))):
        step, here = tape.steps[i], arrived.pop(i + 1, None)
        if here is None or not step.trained:
            continue
        inputs = tuple(values[j] for j in step.inputs)
        if isinstance(step.operation, Affine) and step.operation.trainable:
            yield Arrival(i, inputs[0], here)
        if not any(j > 0 and tape.steps[j - 1].trained for j in step.inputs):
            continue
        pulled = step.operation.pull(inputs, values[i + 1], parameters.get(i), here)
        for j, part in zip(step.inputs, pulled, strict=True):
            arrived[j] = arrived[j] + part if j in arrived else part


def parameter_gradients(
    tape: Tape, parameters: Parameters, values: list[Array], signal: Array
) -> dict[int, DenseParameters]:
    """Return the derivative by all trained parameters of sum(signal * output)."""
    found = {}
    for step, a, arrived in signals(tape, parameters, values, signal[:, None, :]):
        operation = tape.steps[step].operation
        assert isinstance(operation, Affine)
        found[step] = operation.gradient(a, arrived[:, 0], parameters[step])
    return found


def directional(
    tape: Tape, parameters: Parameters, values: list[Array], direction: Parameters
) -> Array | None:
    """Return the derivative of the output along a direction of the trained parameters."""
    moved: list[Array | None] = [None]
    for i, step in enumerate(tape.steps):
        inputs = tuple(values[j] for j in step.inputs)
        change = step.operation.push(
            inputs, values[i + 1], parameters.get(i), tuple(moved[j] for j in step.inputs)
        )
        if i in direction:
            assert isinstance(step.operation, Affine)
            own = step.operation.moved(inputs[0], direction[i])
            change = own if change is None else change + own
        moved.append(change)
    return moved[-1]
