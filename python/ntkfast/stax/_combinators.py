"""Pieces made of pieces: one after the other, side by side, and what joins them again.

Between a fan-out and a fan-in, signals, parameters and arrays come in lists.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..layers import FanInConcat, FanInProd, FanInSum, FanOut, Layer, parallel
from ._pieces import Piece, Signal

__all__ = [
    "ConcatPiece",
    "FanOutPiece",
    "ParallelPiece",
    "ProdPiece",
    "SerialPiece",
    "SumPiece",
]

Array = NDArray[Any]


@dataclass(frozen=True)
class SerialPiece(Piece):
    """One piece after the other; the parameters are a list with an entry for each."""

    pieces: tuple[Piece, ...]

    def layers(self) -> tuple[Layer, ...]:
        return tuple(layer for piece in self.pieces for layer in piece.layers())

    def infer(self, signal: Any) -> Any:
        for piece in self.pieces:
            signal = piece.infer(signal)
        return signal

    def init(self, rng: np.random.Generator, signal: Any) -> list[Any]:
        params = []
        for piece in self.pieces:
            params.append(piece.init(rng, signal))
            signal = piece.infer(signal)
        return params

    def apply(self, params: Any, x: Any, rng: np.random.Generator | None) -> Any:
        for piece, own in zip(self.pieces, params, strict=True):
            x = piece.apply(own, x, rng)
        return x


@dataclass(frozen=True)
class ParallelPiece(Piece):
    """A piece for each of several inputs; the parameters are a list with an entry for each."""

    branches: tuple[Piece, ...]

    def layers(self) -> tuple[Layer, ...]:
        return (parallel(*[list(branch.layers()) for branch in self.branches]),)

    def infer(self, signal: list[Any]) -> list[Any]:
        return [branch.infer(s) for branch, s in zip(self.branches, signal, strict=True)]

    def init(self, rng: np.random.Generator, signal: list[Any]) -> list[Any]:
        return [branch.init(rng, s) for branch, s in zip(self.branches, signal, strict=True)]

    def apply(self, params: Any, x: Any, rng: np.random.Generator | None) -> Any:
        parts = zip(self.branches, params, x, strict=True)
        return [branch.apply(own, part, rng) for branch, own, part in parts]


@dataclass(frozen=True)
class FanOutPiece(Piece):
    """Several copies of the input."""

    layer: FanOut

    def layers(self) -> tuple[Layer, ...]:
        return (self.layer,)

    def infer(self, signal: Signal) -> list[Signal]:
        return [signal] * self.layer.num

    def apply(self, params: Any, x: Array, rng: np.random.Generator | None) -> list[Array]:
        return [x] * self.layer.num


@dataclass(frozen=True)
class _FanInPiece(Piece):
    """One output of several inputs."""

    layer: FanInSum | FanInProd | FanInConcat

    def layers(self) -> tuple[Layer, ...]:
        return (self.layer,)

    def infer(self, signal: list[Signal]) -> Signal:
        return replace(signal[0], gaussian=len(signal) == 1 and signal[0].gaussian)

    @abstractmethod
    def apply(self, params: Any, x: list[Array], rng: np.random.Generator | None) -> Array: ...


class SumPiece(_FanInPiece):
    """The sum of the inputs."""

    def infer(self, signal: list[Signal]) -> Signal:
        return replace(signal[0], gaussian=all(s.gaussian for s in signal))

    def apply(self, params: Any, x: list[Array], rng: np.random.Generator | None) -> Array:
        return reduce(np.add, x)


class ProdPiece(_FanInPiece):
    """The product of the inputs, entry by entry."""

    def apply(self, params: Any, x: list[Array], rng: np.random.Generator | None) -> Array:
        return reduce(np.multiply, x)


class ConcatPiece(_FanInPiece):
    """The features of all inputs, one after the other."""

    def infer(self, signal: list[Signal]) -> Signal:
        width = sum(s.shape[-1] for s in signal)
        return replace(super().infer(signal), shape=(*signal[0].shape[:-1], width))

    def apply(self, params: Any, x: list[Array], rng: np.random.Generator | None) -> Array:
        return np.concatenate(x, axis=-1)
