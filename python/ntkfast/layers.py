"""The layers: frozen, hashable descriptions that know how to lower themselves to the core.

A new layer is one class here and one entry of ``LAYERS``; reading, writing and printing follow
from its dataclass fields. The formulas are in the C++ core.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from ._validate import choice, finite_number, flag, got, whole_number
from .errors import ArchitectureError

if TYPE_CHECKING:
    from ._core import Builder

__all__ = [
    "LAYERS",
    "ABRelu",
    "Abs",
    "Activation",
    "Dense",
    "Erf",
    "Identity",
    "Layer",
    "LeakyRelu",
    "Relu",
]


@dataclass(frozen=True, repr=False)
class Layer:
    """Base of all layers: immutable, compared and hashed by value."""

    def __post_init__(self) -> None:
        for spec in fields(self):
            if spec.type == "float":
                name = f"{type(self).__name__}({spec.name}=...)"
                object.__setattr__(self, spec.name, finite_number(name, getattr(self, spec.name)))

    def __repr__(self) -> str:
        pairs = ((spec, getattr(self, spec.name)) for spec in fields(self))
        shown = (f"{spec.name}={value!r}" for spec, value in pairs if value != spec.default)
        return f"{type(self).__name__}({', '.join(shown)})"

    def lower(self, builder: Builder, value: int, width: int) -> int:
        """Append this layer to the program and return the number of its result.

        ``width`` is the number of columns of the data; only ``W_std="sqrt_dim"`` reads it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how to lower itself")


@dataclass(frozen=True, repr=False)
class Dense(Layer):
    """Fully-connected layer ``z = W_std/sqrt(n_in) W a + b_std b`` with N(0, 1) parameters.

    Parameters
    ----------
    W_std : float or "sqrt_dim", default 1.0
        Standard deviation of the weights, >= 0. ``"sqrt_dim"``, allowed in the first layer only,
        is the square root of the number of input columns, so that ``K = x.x'`` instead of
        ``x.x'/d`` (the convention of Arora et al. 2019, see `ntkfast.models.arora`).
    b_std : float or None, default None
        Standard deviation of the bias, >= 0; None means no bias.
    out_dim : int, default 1
        Width; no effect on an infinite-width kernel, kept for serialisation.
    trainable : bool, default True
        False freezes the layer at initialisation: it adds nothing of its own to the NTK.
    parameterization : {"ntk"}, default "ntk"
        "standard" is known to the file format but not supported by this version.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, is not finite or is negative.
    ArchitectureError
        If ``parameterization="standard"``.

    Examples
    --------
    >>> from ntkfast import Dense
    >>> Dense(W_std=1.5, b_std=0.1)
    Dense(W_std=1.5, b_std=0.1)
    """

    W_std: float | str = 1.0
    b_std: float | None = None
    out_dim: int = 1
    trainable: bool = field(default=True, kw_only=True)
    parameterization: str = field(default="ntk", kw_only=True)

    def __post_init__(self) -> None:
        if isinstance(self.W_std, str):
            if self.W_std != "sqrt_dim":
                expected = 'a finite number >= 0 or "sqrt_dim"'
                raise ValueError(f"Dense(W_std=...) must be {expected}, {got(self.W_std)}")
        else:
            W_std = finite_number("Dense(W_std=...)", self.W_std, minimum=0)
            object.__setattr__(self, "W_std", W_std)
        if self.b_std is not None:
            b_std = finite_number("Dense(b_std=...)", self.b_std, minimum=0)
            object.__setattr__(self, "b_std", b_std)
        out_dim = whole_number("Dense(out_dim=...)", self.out_dim, minimum=1)
        object.__setattr__(self, "out_dim", out_dim)
        object.__setattr__(self, "trainable", flag("Dense(trainable=...)", self.trainable))
        choice("Dense(parameterization=...)", self.parameterization, ("ntk", "standard"))
        if self.parameterization == "standard":
            raise ArchitectureError(
                'Dense(parameterization="standard") is not supported by this version of ntkfast; '
                'expected parameterization="ntk"'
            )

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        W_std = math.sqrt(width) if isinstance(self.W_std, str) else self.W_std
        return builder.dense(value, W_std, self.b_std or 0.0, self.trainable)


@dataclass(frozen=True, repr=False)
class Activation(Layer):
    """Base of the pointwise functions phi."""

    @property
    def critical_W_std(self) -> float:
        """The ``W_std`` for which, without bias, signals neither die nor explode with depth.

        It solves ``W_std**2 E[phi'(u)**2] = 1``, for small signals where that depends on u.

        Raises
        ------
        ValueError
            If there is none, because phi is constant.
        """
        gain = self._mean_squared_slope()
        if gain == 0:
            raise ValueError(f"{self!r} is constant and has no critical W_std: give W_std")
        return math.sqrt(1 / gain)

    def _mean_squared_slope(self) -> float:
        raise NotImplementedError(f"{type(self).__name__} has no critical W_std")


@dataclass(frozen=True, repr=False)
class Identity(Activation):
    """phi(x) = x: changes nothing, neither K nor T.

    Examples
    --------
    >>> from ntkfast import Identity
    >>> Identity()
    Identity()
    """

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        return value

    def _mean_squared_slope(self) -> float:
        return 1.0


class _TwoSlopes(Activation):
    """phi(x) = a min(x, 0) + b max(x, 0): the arc-cosine family (Cho and Saul 2009)."""

    def slopes(self) -> tuple[float, float]:
        """Return (a, b), the slopes left and right of zero."""
        raise NotImplementedError(f"{type(self).__name__} has no slopes")

    def lower(self, builder: Builder, value: int, width: int) -> int:
        return builder.activation(value, "ABRelu", self.slopes())

    def _mean_squared_slope(self) -> float:
        a, b = self.slopes()
        return (a * a + b * b) / 2


@dataclass(frozen=True, repr=False)
class Relu(_TwoSlopes):
    """phi(x) = max(x, 0).

    Examples
    --------
    >>> from ntkfast import Relu
    >>> Relu().critical_W_std == 2**0.5
    True
    """

    def slopes(self) -> tuple[float, float]:  # noqa: D102
        return 0.0, 1.0


@dataclass(frozen=True, repr=False)
class LeakyRelu(_TwoSlopes):
    """phi(x) = alpha min(x, 0) + max(x, 0).

    Parameters
    ----------
    alpha : float, default 0.01
        Slope left of zero, any finite number.

    Examples
    --------
    >>> from ntkfast import LeakyRelu
    >>> LeakyRelu(0.2)
    LeakyRelu(alpha=0.2)
    """

    alpha: float = 0.01

    def slopes(self) -> tuple[float, float]:  # noqa: D102
        return self.alpha, 1.0


@dataclass(frozen=True, repr=False)
class Abs(_TwoSlopes):
    """phi(x) = |x|.

    Examples
    --------
    >>> from ntkfast import Abs
    >>> Abs().slopes()
    (-1.0, 1.0)
    """

    def slopes(self) -> tuple[float, float]:  # noqa: D102
        return -1.0, 1.0


@dataclass(frozen=True, repr=False)
class ABRelu(_TwoSlopes):
    """phi(x) = a min(x, 0) + b max(x, 0).

    Parameters
    ----------
    a, b : float
        Slopes left and right of zero, any finite numbers.

    Examples
    --------
    >>> from ntkfast import ABRelu
    >>> ABRelu(-0.3, 1.2)
    ABRelu(a=-0.3, b=1.2)
    """

    a: float
    b: float

    def slopes(self) -> tuple[float, float]:  # noqa: D102
        return self.a, self.b


@dataclass(frozen=True, repr=False)
class Erf(Activation):
    """phi(x) = a erf(b x) + c (Williams 1997).

    Parameters
    ----------
    a, b : float, default 1.0
        Height and steepness, any finite numbers.
    c : float, default 0.0
        Offset.

    Examples
    --------
    >>> from ntkfast import Erf
    >>> Erf(b=2.0)
    Erf(b=2.0)
    """

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        return builder.activation(value, "Erf", (self.a, self.b, self.c))

    def _mean_squared_slope(self) -> float:
        return 4 / math.pi * (self.a * self.b) ** 2  # phi'(0)**2: the largest, at small signals


# The one registry: name in the file format and at the top level of the package -> class.
LAYERS: dict[str, type[Layer]] = {
    cls.__name__: cls for cls in (Dense, Relu, LeakyRelu, Abs, ABRelu, Erf, Identity)
}
