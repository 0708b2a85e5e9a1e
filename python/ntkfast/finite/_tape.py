"""A network as a list of operations on numbered values, with a number of units for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..errors import ArchitectureError, UnsupportedLayerError
from ..layers import Activation, Dense, Dropout, FanOut, Identity, Layer, LayerNorm, Parallel
from ..layers.branches import FanIn, FanInConcat, FanInProd, FanInSum
from ._operations import (
    Affine,
    Concatenation,
    Normalization,
    Operation,
    Pointwise,
    Product,
    Sum,
)

__all__ = ["Step", "Tape", "record"]

UnitsOf = Callable[[Dense, bool], int]


@dataclass(frozen=True)
class Step:
    """One operation: the values it reads, and the units of its own value.

    ``trained`` says whether its value depends on a parameter that is trained.
    """

    operation: Operation
    inputs: tuple[int, ...]
    units: int
    trained: bool


@dataclass(frozen=True)
class Tape:
    """Step i makes value i + 1; value 0 are the data. The last value is the output."""

    features: int
    steps: tuple[Step, ...]

    @property
    def outputs(self) -> int:
        """Units of the last value."""
        return self.steps[-1].units if self.steps else self.features

    def shape(self, i: int) -> tuple[int, int]:
        """Units before and of a Dense layer."""
        (before,) = self.steps[i].inputs
        return (self.features if before == 0 else self.steps[before - 1].units, self.steps[i].units)

    @property
    def dense(self) -> tuple[int, ...]:
        """Which steps have parameters."""
        return tuple(i for i, s in enumerate(self.steps) if isinstance(s.operation, Affine))


def record(layers: tuple[Layer, ...], features: int, units_of: UnitsOf) -> Tape:
    """Return the tape of a network for data of so many features.

    ``units_of(layer, readout)`` says how many units a Dense layer has; a readout makes the output.

    Raises
    ------
    UnsupportedLayerError
        For a layer that has no function at finite width, or a random one.
    ArchitectureError
        Where branches of different numbers of units are added or multiplied.
    """
    recorder = _Recorder(features, units_of)
    recorder.sequence(layers, 0, last=True)
    return Tape(features, tuple(recorder.steps))


class _Recorder:
    def __init__(self, features: int, units_of: UnitsOf) -> None:
        self.features, self.units_of = features, units_of
        self.steps: list[Step] = []

    def sequence(self, layers: tuple[Layer, ...], start: int, *, last: bool) -> int:
        """Record layers from value `start` on; `last`: no Dense layer comes after them."""
        readout = _readout(layers) if last else len(layers)
        values: tuple[int, ...] = (start,)
        for i, layer in enumerate(layers):
            if isinstance(layer, FanOut):
                values = values * layer.num
            elif isinstance(layer, Parallel):
                values = tuple(
                    self.sequence(branch, value, last=i >= readout)
                    for branch, value in zip(layer.branches, values, strict=True)
                )
            elif not isinstance(layer, Identity):
                values = (self.layer(layer, values, readout=i >= readout),)
        return values[0]

    def layer(self, layer: Layer, values: tuple[int, ...], *, readout: bool) -> int:
        units = [self.units(value) for value in values]
        trained = any(value > 0 and self.steps[value - 1].trained for value in values)
        operation: Operation
        if isinstance(layer, Dense):
            operation = Affine.of(layer, units[0])
            made, trained = self.units_of(layer, readout), trained or layer.trainable
        elif isinstance(layer, FanIn):
            operation, made = _JOINS[type(layer)](), units[0]
            if isinstance(layer, FanInConcat):
                made = sum(units)
            elif len(set(units)) > 1:
                raise ArchitectureError(
                    f"{layer!r} joins branches of {units} units at finite width: give their last "
                    "Dense layers one out_dim"
                )
        elif isinstance(layer, LayerNorm):
            operation, made = Normalization(layer.eps), units[0]
        elif isinstance(layer, Activation):
            operation, made = Pointwise(layer), units[0]
        elif isinstance(layer, Dropout):
            if layer.mode == "train":
                raise UnsupportedLayerError(
                    f"{layer!r} drops other units in every pass: a finite network takes it in "
                    'mode="test" only'
                )
            return values[0]
        else:
            raise UnsupportedLayerError(f"{layer!r} is not known at finite width")
        self.steps.append(Step(operation, values, made, trained))
        return len(self.steps)

    def units(self, value: int) -> int:
        return self.features if value == 0 else self.steps[value - 1].units


_JOINS: dict[type[FanIn], type[Operation]] = {
    FanInSum: Sum,
    FanInProd: Product,
    FanInConcat: Concatenation,
}


def _readout(layers: tuple[Layer, ...]) -> int:
    """Index of the first layer behind which no other Dense layer comes in a row of layers.

    That is the last Dense layer, or the last parallel(...) every branch of which holds one.
    """
    for i in reversed(range(len(layers))):
        layer = layers[i]
        if isinstance(layer, Dense):
            return i
        if isinstance(layer, Parallel) and all(_has_dense(branch) for branch in layer.branches):
            return i
        if isinstance(layer, Parallel) and any(_has_dense(branch) for branch in layer.branches):
            return _before(layers, i)
    return len(layers)


def _before(layers: tuple[Layer, ...], end: int) -> int:
    """Of a block in which a branch hands on what came before, the layer that made this."""
    return _readout(layers[:end]) if _has_dense(layers[:end]) else end


def _has_dense(layers: Iterable[Layer]) -> bool:
    return any(
        isinstance(layer, Dense)
        or (isinstance(layer, Parallel) and any(_has_dense(branch) for branch in layer.branches))
        for layer in layers
    )
