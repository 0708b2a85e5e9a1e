"""The fully-connected layer."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .._validate import choice, finite_number, flag, got, whole_number
from ..errors import ArchitectureError
from .base import Layer

if TYPE_CHECKING:
    from .._core import Builder

__all__ = ["Dense"]


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
