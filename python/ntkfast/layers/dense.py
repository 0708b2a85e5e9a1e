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

    In standard parameterization the factors are part of the parameters, ``z = W a + b``. Training
    then moves wide layers more, and the layer's own part of the NTK is ``n_in/s[0] K_in + 1``, the
    1 with a bias only, instead of K (Sohl-Dickstein et al. 2020).

    Parameters
    ----------
    W_std : float or "sqrt_dim", default 1.0
        Standard deviation of the weights, >= 0. ``"sqrt_dim"``, allowed in the first layer only,
        is the square root of the number of input columns, so that ``K = x.x'`` instead of
        ``x.x'/d`` (the convention of Arora et al. 2019, see `ntkfast.models.arora`).
    b_std : float or None, default None
        Standard deviation of the bias, >= 0; None means no bias. 0 is a bias that starts at zero,
        which makes a difference to the NTK in standard parameterization.
    out_dim : int, default 1
        Width: the n_in of the next layer, and the weight of a branch in `FanInConcat`. No effect
        otherwise.
    trainable : bool, default True
        False freezes the layer at initialisation: it adds nothing of its own to the NTK.
    parameterization : {"ntk", "standard"}, default "ntk"
        What is trained, see above.
    s : pair of float, default (1, 1)
        In standard parameterization, the widths of the layer before and of this one in units of
        their ``out_dim``: this layer has ``s[1] * out_dim`` units, a whole number, and its weights
        the standard deviation ``W_std / sqrt(n_in / s[0])``. (1, 1) always in the other
        parameterization, where it means nothing.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, is not finite or is negative.

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
    s: tuple[float, float] = field(default=(1.0, 1.0), kw_only=True)

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
        s = (
            two_ratios("Dense(s=...)", self.s)
            if self.parameterization == "standard"
            else (1.0, 1.0)
        )
        object.__setattr__(self, "s", s)
        if not (out_dim * s[1]).is_integer():
            raise ValueError(f"Dense(s=...): s[1] * out_dim must be a whole number, {got(self.s)}")

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        if isinstance(self.W_std, str) and value != 0:
            raise ArchitectureError(
                'W_std="sqrt_dim" is defined by the number of columns of the data, and so for the '
                "first layer only"
            )
        W_std = math.sqrt(width) if isinstance(self.W_std, str) else self.W_std
        if self.parameterization == "standard":
            return builder.dense_standard(
                value, W_std, self.b_std, self.trainable, int(self.out_dim * self.s[1]), self.s[0]
            )
        return builder.dense(value, W_std, self.b_std or 0.0, self.trainable, self.out_dim)


def two_ratios(name: str, s: object) -> tuple[float, float]:
    """Return a pair of positive numbers, the s of standard parameterization."""
    if not isinstance(s, (tuple, list)) or len(s) != 2:
        raise TypeError(f"{name} must be a pair of positive numbers, {got(s)}")
    first, second = (finite_number(name, value) for value in s)
    if first <= 0 or second <= 0:
        raise ValueError(f"{name} must be a pair of positive numbers, {got(s)}")
    return first, second
