"""Layers of images (n, height, width, channels) and of sequences (n, width, channels).

Sequences are images of height one: a filter of one number is one of that height.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .._validate import choice, finite_number, flag, got, whole_number
from ..errors import ArchitectureError
from .base import Layer
from .branches import leaves
from .dense import two_ratios

if TYPE_CHECKING:
    from .._core import Builder

__all__ = ["AvgPool", "Conv", "Flatten", "GlobalAvgPool", "GlobalSumPool", "SumPool"]

PADDINGS = ("VALID", "SAME", "CIRCULAR")


def has_positions(layers: Iterable[Layer]) -> bool:
    """Whether a network reads images instead of rows."""
    return any(isinstance(layer, _Spatial) for layer in leaves(layers))


def refuse_positions(what: str, layers: Iterable[Layer]) -> None:
    """Raise ArchitectureError where `what` knows networks of rows alone."""
    if has_positions(layers):
        raise ArchitectureError(f"{what} knows networks of rows, not of images")


def positions(networks: Iterable[Iterable[Layer]]) -> tuple[int, ...]:
    """Return the numbers of axes of positions that arrays for all networks may have; () for rows.

    Raises
    ------
    ArchitectureError
        If layers of sequences stand beside layers of images.
    """
    spatial = [
        layer for layers in networks for layer in leaves(layers) if isinstance(layer, _Spatial)
    ]
    one = next((layer for layer in spatial if layer.axes == 1), None)
    two = next((layer for layer in spatial if layer.axes == 2), None)
    if one is not None and two is not None:
        raise ArchitectureError(
            f"{one!r} reads sequences, (n, width, channels), and {two!r} reads images, "
            "(n, height, width, channels): use one or the other"
        )
    if not spatial:
        return ()
    return (2,) if two is not None else (1,) if one is not None else (1, 2)


@dataclass(frozen=True, repr=False)
class _Spatial(Layer):
    """Base of what knows positions."""

    @property
    def axes(self) -> int | None:
        """Axes of positions that it is made for; None: any."""
        return None


@dataclass(frozen=True, repr=False)
class Conv(_Spatial):
    """Convolution ``z(p) = W_std / sqrt(taps n_in) sum_o W(o) a(p + o) + b_std b``.

    Its kernel is ``W_std**2`` times the mean of K(p + o, p' + o) over the taps o of the filter,
    plus ``b_std**2``: shared weights move along both images together (Novak et al. 2019; Arora et
    al. 2019).

    Parameters
    ----------
    filter_shape : tuple of int
        Height and width of the filter, each odd or even; of sequences, (n, width, channels), the
        width alone: ``Conv((3,))``.
    strides : tuple of int, optional
        Steps between the positions of the result, as many numbers as the filter; 1 by default.
    padding : {"VALID", "SAME", "CIRCULAR"}, default "VALID"
        Beyond the border of an image: nothing is read, zeros, or the opposite side. "SAME" and
        "CIRCULAR" give ``ceil(size / stride)`` positions.
    W_std : float, default 1
        Standard deviation of the weights, >= 0.
    b_std : float or None, default None
        Standard deviation of the bias, >= 0; None means no bias.
    out_chan : int, default 1
        Channels of the result: the n_in of the next layer, in standard parameterization, and the
        weight of a branch in `FanInConcat`. No effect otherwise.
    trainable : bool, default True
        False freezes the layer at initialisation.
    parameterization : {"ntk", "standard"}, default "ntk"
        As in `Dense`.
    s : pair of float, default (1, 1)
        As in `Dense`.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.

    References
    ----------
    R. Novak et al., "Bayesian deep convolutional networks with many channels are Gaussian
    processes", ICLR 2019; S. Arora et al., "On exact computation with an infinitely wide neural
    net", NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np
    >>> import ntkfast as nk
    >>> net = nk.serial(
    ...     nk.Conv((3, 3), padding="SAME", b_std=0.1), nk.Relu(), nk.GlobalAvgPool(), nk.Dense()
    ... )
    >>> images = np.random.default_rng(0).normal(size=(5, 8, 8, 3))
    >>> net.ntk(images).shape
    (5, 5)
    """

    filter_shape: tuple[int, ...]
    strides: tuple[int, ...] | None = None
    padding: str = "VALID"
    W_std: float = 1.0
    b_std: float | None = None
    out_chan: int = 1
    trainable: bool = field(default=True, kw_only=True)
    parameterization: str = field(default="ntk", kw_only=True)
    s: tuple[float, float] = field(default=(1.0, 1.0), kw_only=True)

    def __post_init__(self) -> None:
        set_window(self, "filter_shape", "strides")
        choice("Conv(padding=...)", self.padding, PADDINGS)
        W_std = finite_number("Conv(W_std=...)", self.W_std, minimum=0)
        object.__setattr__(self, "W_std", W_std)
        if self.b_std is not None:
            b_std = finite_number("Conv(b_std=...)", self.b_std, minimum=0)
            object.__setattr__(self, "b_std", b_std)
        out_chan = whole_number("Conv(out_chan=...)", self.out_chan, minimum=1)
        object.__setattr__(self, "out_chan", out_chan)
        object.__setattr__(self, "trainable", flag("Conv(trainable=...)", self.trainable))
        choice("Conv(parameterization=...)", self.parameterization, ("ntk", "standard"))
        s = two_ratios("Conv(s=...)", self.s) if self.parameterization == "standard" else (1.0, 1.0)
        object.__setattr__(self, "s", s)
        if not (out_chan * s[1]).is_integer():
            raise ValueError(f"Conv(s=...): s[1] * out_chan must be a whole number, {got(self.s)}")

    @property
    def axes(self) -> int | None:  # noqa: D102
        return len(self.filter_shape)

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        standard = self.parameterization == "standard"
        return builder.conv(
            value,
            self.W_std,
            self.b_std,
            self.trainable,
            pair_of(self.filter_shape),
            pair_of(self.strides or (1, 1)),
            self.padding,
            int(self.out_chan * self.s[1]),
            self.s[0] if standard else None,
        )


@dataclass(frozen=True, repr=False)
class _Pool(_Spatial):
    """Base of pools that leave positions."""

    window_shape: tuple[int, ...]
    strides: tuple[int, ...] | None = None
    padding: str = "VALID"

    def __post_init__(self) -> None:
        set_window(self, "window_shape", "strides")
        choice(f"{type(self).__name__}(padding=...)", self.padding, PADDINGS)

    @property
    def axes(self) -> int | None:
        return len(self.window_shape)

    def _append(self, builder: Builder, value: int, mean: bool, normalize_edges: bool) -> int:
        window, strides = pair_of(self.window_shape), pair_of(self.strides or (1, 1))
        return builder.pool(value, mean, window, strides, self.padding, normalize_edges)


@dataclass(frozen=True, repr=False)
class AvgPool(_Pool):
    """Mean over windows: K becomes the mean of K(p + o, p' + o') over all pairs o, o' of taps.

    Local average pooling of radius c (Li et al. 2019), which stands for random crops, is
    ``AvgPool((2 * c + 1, 2 * c + 1), padding="SAME")`` in front of `Flatten`.

    Parameters
    ----------
    window_shape : tuple of int
        Height and width of the window; of sequences, the width alone.
    strides : tuple of int, optional
        Steps between the positions of the result, as many numbers as the window; 1 by default.
    padding : {"VALID", "SAME", "CIRCULAR"}, default "VALID"
        As in `Conv`.
    normalize_edges : bool, default False
        With "SAME" padding, divide by the number of taps inside of the image, not by that of all.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.

    References
    ----------
    Z. Li et al., "Enhanced convolutional neural tangent kernels", 2019.

    Examples
    --------
    >>> import ntkfast as nk
    >>> import numpy as np
    >>> net = nk.serial(nk.Conv((1, 1)), nk.AvgPool((2, 2), (2, 2)), nk.Flatten(), nk.Dense())
    >>> net.nngp(np.ones((1, 4, 4, 2)))
    array([[1.]])
    """

    normalize_edges: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        edges = flag("AvgPool(normalize_edges=...)", self.normalize_edges)
        object.__setattr__(self, "normalize_edges", edges)

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        return self._append(builder, value, True, self.normalize_edges)


@dataclass(frozen=True, repr=False)
class SumPool(_Pool):
    """Sum over windows: K becomes the sum of K(p + o, p' + o') over all pairs o, o' of taps.

    Parameters
    ----------
    window_shape, strides, padding
        As in `AvgPool`.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.

    Examples
    --------
    >>> import ntkfast as nk
    >>> nk.SumPool((2, 2), padding="SAME")
    SumPool(window_shape=(2, 2), padding='SAME')
    """

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        return self._append(builder, value, False, False)


@dataclass(frozen=True, repr=False)
class Flatten(_Spatial):
    """Make channels of all positions: K becomes the mean of K(p, p) over the positions p.

    Examples
    --------
    >>> import ntkfast as nk
    >>> nk.serial(nk.Conv((3, 3)), nk.Relu(), nk.Flatten(), nk.Dense())
    serial(Conv(filter_shape=(3, 3)), Relu(), Flatten(), Dense())
    """

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        return builder.flatten(value)


@dataclass(frozen=True, repr=False)
class GlobalAvgPool(_Spatial):
    """Mean over all positions: K becomes the mean of K(p, p') over all pairs of positions.

    Examples
    --------
    >>> import numpy as np
    >>> import ntkfast as nk
    >>> net = nk.serial(nk.Conv((1, 1)), nk.GlobalAvgPool(), nk.Dense())
    >>> net.nngp(np.ones((1, 4, 4, 2)))
    array([[1.]])
    """

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        return builder.global_pool(value, True)


@dataclass(frozen=True, repr=False)
class GlobalSumPool(_Spatial):
    """Sum over all positions: K becomes the sum of K(p, p') over all pairs of positions.

    Examples
    --------
    >>> import numpy as np
    >>> import ntkfast as nk
    >>> net = nk.serial(nk.Conv((1, 1)), nk.GlobalSumPool(), nk.Dense())
    >>> net.nngp(np.ones((1, 2, 2, 3)))
    array([[16.]])
    """

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        return builder.global_pool(value, False)


def set_window(layer: Layer, shape: str, strides: str) -> None:
    """Check the attributes of these names, sizes and steps of a window, and make them tuples.

    One number each for sequences, two for images; steps may be None.
    """
    name = type(layer).__name__
    sizes = _counts(f"{name}({shape}=...)", getattr(layer, shape))
    object.__setattr__(layer, shape, sizes)
    if (steps := getattr(layer, strides)) is None:
        return
    steps = _counts(f"{name}({strides}=...)", steps)
    if len(steps) != len(sizes):
        raise ValueError(
            f"{name}({strides}=...) must have as many numbers as {shape}, {sizes}, got {steps}"
        )
    object.__setattr__(layer, strides, steps)


def pair_of(counts: tuple[int, ...]) -> tuple[int, int]:
    """Return sizes or steps along the height and the width; sequences have one row."""
    return (1, counts[0]) if len(counts) == 1 else (counts[0], counts[1])


def _counts(name: str, value: object) -> tuple[int, ...]:
    if not isinstance(value, (tuple, list)) or len(value) not in (1, 2):
        raise TypeError(
            f"{name} must be whole numbers (height, width), or (width,) for sequences, {got(value)}"
        )
    return tuple(whole_number(name, each, minimum=1) for each in value)
