"""Layers that change the scale of a sample or drop units of it: LayerNorm and Dropout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._validate import channel_axis, choice, finite_number
from .base import Layer

if TYPE_CHECKING:
    from .._core import Builder

__all__ = ["Dropout", "LayerNorm"]


@dataclass(frozen=True, repr=False)
class LayerNorm(Layer):
    """Normalise every sample: ``(z - mean) / sqrt(variance + eps)`` over its channels.

    At infinite width the mean is 0 and the variance is K(x, x), so kernels are divided by
    ``sqrt((K(x, x) + eps) (K(z, z) + eps))`` (Ba et al. 2016). The channels must have mean 0: those
    of a Dense layer have, and sums, dropout and LayerNorm of such. A zero row stays zero.

    Parameters
    ----------
    axis : {-1, 1}, default -1
        The axis of the channels.
    eps : float, default 1e-12
        Added to the variance, >= 0.

    Examples
    --------
    >>> import ntkfast as nk
    >>> net = nk.serial(nk.Dense(2.0), nk.LayerNorm(), nk.Relu(), nk.Dense(2**0.5))
    >>> net.diag([[3.0, 4.0], [0.3, 0.4]], kind="nngp").round(9)
    array([1., 1.])
    """

    axis: int = -1
    eps: float = 1e-12

    def __post_init__(self) -> None:
        object.__setattr__(self, "axis", channel_axis("LayerNorm(axis=...)", self.axis))
        eps = finite_number("LayerNorm(eps=...)", self.eps, minimum=0)
        object.__setattr__(self, "eps", eps)

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        return builder.layer_norm(value, self.eps)


@dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """Keep every unit of every sample with probability `rate`, divided by it; drop the others.

    Different samples lose different units: their K and T stay, and those of a sample with itself
    are divided by `rate` (Srivastava et al. 2014). What is the same sample is decided by its place:
    two equal rows of X are two samples, and so are the rows of a cross kernel ``ntk(X, Z)``.

    Parameters
    ----------
    rate : float
        Probability to *keep* a unit, in (0, 1].
    mode : {"train", "test"}, default "train"
        "test" keeps everything.

    Examples
    --------
    >>> import ntkfast as nk
    >>> net = nk.serial(nk.Dense(), nk.Dropout(0.5), nk.Dense())
    >>> net.nngp([[1.0], [1.0]])
    array([[2., 1.],
           [1., 2.]])
    """

    rate: float
    mode: str = "train"

    def __post_init__(self) -> None:
        rate = finite_number("Dropout(rate=...)", self.rate)
        if not 0 < rate <= 1:
            raise ValueError(
                f"Dropout(rate=...) is the probability to keep a unit, in (0, 1], got {rate:g}"
            )
        object.__setattr__(self, "rate", rate)
        choice("Dropout(mode=...)", self.mode, ("train", "test"))

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        return builder.dropout(value, self.rate) if self.mode == "train" else value
