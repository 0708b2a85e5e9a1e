"""What a layer of this interface is made of: a description, and the finite network it stands for.

A piece knows three things: the layers of `ntkfast` that have its kernel; what is known of its
output without data; and how to draw and to apply a finite random network, in NumPy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..layers import Activation, Dense, Dropout, Flatten, Identity, Layer, LayerNorm

__all__ = [
    "ActivationPiece",
    "DensePiece",
    "DropoutPiece",
    "FlattenPiece",
    "LayerNormPiece",
    "Piece",
    "Signal",
]

Array = NDArray[Any]


@dataclass(frozen=True)
class Signal:
    """What is known of the values between two layers: no data, no parameters.

    ``gaussian``: whether, given the input, they are Gaussian in the infinite-width limit. Between
    a fan-out and a fan-in there is a list of signals.
    """

    shape: tuple[int, ...]
    gaussian: bool = False


class Piece(ABC):
    """One layer, or several put together."""

    @abstractmethod
    def layers(self) -> tuple[Layer, ...]:
        """Return the layers of `ntkfast` that have the same kernel."""

    @abstractmethod
    def infer(self, signal: Any) -> Any:
        """Return the signal behind this piece, given the one in front of it."""

    def init(self, rng: np.random.Generator, signal: Any) -> Any:
        """Draw the parameters for such an input; most pieces have none."""
        del rng, signal
        return ()

    @abstractmethod
    def apply(self, params: Any, x: Any, rng: np.random.Generator | None) -> Any:
        """Return the output of the finite network; ``rng`` is for what is random in training."""


@dataclass(frozen=True)
class DensePiece(Piece):
    """A fully-connected layer.

    "ntk": ``z = W_std/sqrt(n) x W + b_std b`` with entries of W and b from N(0, 1). "standard":
    ``z = x W/sqrt(s[0]) + b`` with W from N(0, W_std**2 s[0]/n) and b from N(0, b_std**2). Here n
    is the length of x, and the output has length ``s[1] out_dim`` in "standard".
    """

    out_dim: int
    W_std: float
    b_std: float | None
    parameterization: str
    s: tuple[int, int]

    @property
    def _standard(self) -> bool:
        return self.parameterization == "standard"

    def layers(self) -> tuple[Layer, ...]:
        options: dict[str, Any] = {"parameterization": self.parameterization, "s": self.s}
        return (Dense(self.W_std, self.b_std, self.out_dim, **options),)

    def infer(self, signal: Signal) -> Signal:
        width = self.out_dim * (self.s[1] if self._standard else 1)
        return Signal((*signal.shape[:-1], width), gaussian=True)

    def init(self, rng: np.random.Generator, signal: Signal) -> tuple[Array, Array | None]:
        n, width = signal.shape[-1], self.infer(signal).shape[-1]
        W_scale = self.W_std * (self.s[0] / n) ** 0.5 if self._standard else 1.0
        W = W_scale * rng.standard_normal((n, width))
        if self.b_std is None:
            return W, None
        b_scale = self.b_std if self._standard else 1.0
        return W, b_scale * rng.standard_normal((*[1] * (len(signal.shape) - 1), width))

    def apply(self, params: Any, x: Array, rng: np.random.Generator | None) -> Array:
        W, b = params
        W_scale = self.s[0] ** -0.5 if self._standard else self.W_std * x.shape[-1] ** -0.5
        z: Array = W_scale * (x @ np.asarray(W, x.dtype))
        if b is not None:
            z += (1.0 if self._standard else self.b_std) * np.asarray(b, x.dtype)
        return z


@dataclass(frozen=True)
class ActivationPiece(Piece):
    """An activation; ``finite`` replaces its function in the finite network alone."""

    layer: Activation
    finite: Callable[[Array], Array] | None = None

    def layers(self) -> tuple[Layer, ...]:
        return (self.layer,)

    def infer(self, signal: Signal) -> Signal:
        return signal if isinstance(self.layer, Identity) else replace(signal, gaussian=False)

    def apply(self, params: Any, x: Array, rng: np.random.Generator | None) -> Array:
        phi = self.finite or self.layer.phi
        return np.asarray(phi(x), x.dtype)


@dataclass(frozen=True)
class FlattenPiece(Piece):
    """Samples of any shape become vectors."""

    def layers(self) -> tuple[Layer, ...]:
        return (Flatten(),)

    def infer(self, signal: Signal) -> Signal:
        gaussian = signal.gaussian and len(signal.shape) == 2  # positions differ in variance
        return Signal((signal.shape[0], int(np.prod(signal.shape[1:]))), gaussian)

    def apply(self, params: Any, x: Array, rng: np.random.Generator | None) -> Array:
        return x.reshape(len(x), -1)


@dataclass(frozen=True)
class LayerNormPiece(Piece):
    """Every sample less its mean, over its standard deviation."""

    layer: LayerNorm

    def layers(self) -> tuple[Layer, ...]:
        return (self.layer,)

    def infer(self, signal: Signal) -> Signal:
        return signal

    def apply(self, params: Any, x: Array, rng: np.random.Generator | None) -> Array:
        centred: Array = x - x.mean(axis=-1, keepdims=True)
        return np.asarray(centred / np.sqrt(self.layer.eps + x.var(axis=-1, keepdims=True)))


@dataclass(frozen=True)
class DropoutPiece(Piece):
    """In training a part of the units, enlarged; else all."""

    layer: Dropout

    def layers(self) -> tuple[Layer, ...]:
        return (self.layer,)

    def infer(self, signal: Signal) -> Signal:
        return signal if self.layer.mode == "test" else replace(signal, gaussian=False)

    def apply(self, params: Any, x: Array, rng: np.random.Generator | None) -> Array:
        if self.layer.mode == "test":
            return x
        if rng is None:
            raise ValueError(
                'Dropout(mode="train") needs random numbers: apply_fn(params, x, rng=...), with a '
                "seed, a generator or a key"
            )
        keep = rng.random(x.shape) < self.layer.rate
        return np.asarray(np.where(keep, x / x.dtype.type(self.layer.rate), x.dtype.type(0)))
