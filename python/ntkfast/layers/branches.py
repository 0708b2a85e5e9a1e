"""Branches: FanOut copies a value, parallel works on the copies, a FanIn joins them.

``serial(Dense(), FanOut(2), parallel([Relu(), Dense()], Identity()), FanInSum())`` is a residual
block. Branches must be independent where they meet: at most one may reach back to common units
without a Dense layer of its own. Otherwise units of one branch would vary with those of the other,
and the kernel of the sum would not be the sum of the kernels: `parallel(Identity(), Identity())`
doubles every unit, which makes 4 K and not 2 K.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._validate import channel_axis, whole_number
from ..errors import ArchitectureError
from .base import Layer, flatten

if TYPE_CHECKING:
    from .._core import Builder
    from ..network import Network

__all__ = ["FanInConcat", "FanInProd", "FanInSum", "FanOut", "Parallel", "parallel"]


@dataclass(frozen=True, repr=False)
class FanOut(Layer):
    """Hand the value to `num` branches; `parallel` follows.

    Parameters
    ----------
    num : int
        Number of branches, >= 1.

    Examples
    --------
    >>> from ntkfast import FanOut
    >>> FanOut(2)
    FanOut(num=2)
    """

    num: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "num", whole_number("FanOut(num=...)", self.num, minimum=1))


@dataclass(frozen=True, repr=False)
class Parallel(Layer):
    """Branches side by side; made by `parallel`.

    Attributes
    ----------
    branches : tuple of tuple of Layer
        The layers of every branch.
    """

    branches: tuple[tuple[Layer, ...], ...]

    def __post_init__(self) -> None:
        branches = tuple(flatten(branch, "parallel") for branch in self.branches)
        if not branches:
            raise ArchitectureError("parallel() needs at least one branch, got none")
        if not all(branches):
            raise ArchitectureError(
                "parallel() got a branch without layers: Identity() hands its value on"
            )
        object.__setattr__(self, "branches", branches)

    def __repr__(self) -> str:
        shown = (
            repr(branch[0]) if len(branch) == 1 else f"[{', '.join(map(repr, branch))}]"
            for branch in self.branches
        )
        return f"parallel({', '.join(shown)})"


def parallel(*branches: Layer | Network | Iterable[Layer | Network]) -> Parallel:
    """Return the layer that applies one branch to each of the values that `FanOut` made.

    Parameters
    ----------
    *branches : Layer, Network, or list of them
        One for each value. A list may hold what is no network by itself, such as
        ``[Relu(), Dense()]``.

    Returns
    -------
    Parallel

    Raises
    ------
    TypeError
        If a branch is not made of layers.
    ArchitectureError
        If there is no branch, or no layer in one.

    Examples
    --------
    >>> import ntkfast as nk
    >>> block = [nk.FanOut(2), nk.parallel([nk.Relu(), nk.Dense()], nk.Identity()), nk.FanInSum()]
    >>> nk.serial(nk.Dense(), *block, *block).diag([[1.0]])
    array([3.75])
    """
    # A list alone is taken apart; flatten() takes networks apart and refuses all else.
    return Parallel(
        tuple(
            tuple(branch) if isinstance(branch, (list, tuple)) else (branch,)  # type: ignore[misc]
            for branch in branches
        )
    )


class FanIn(Layer):
    """Base of the layers that make one value of the branches."""

    def join(self, builder: Builder, value: int, other: int) -> int:
        """Append the join of two values to the program and return the number of its result."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to join")


@dataclass(frozen=True, repr=False)
class FanInSum(FanIn):
    """Sum of the branches: K and T add up.

    All branches but one must have a mean of 0, as a Dense layer at the end makes it.

    Examples
    --------
    >>> import ntkfast as nk
    >>> net = nk.serial(nk.FanOut(2), nk.parallel(nk.Dense(), nk.Dense(2.0)), nk.FanInSum())
    >>> net.nngp([[1.0]])
    array([[5.]])
    """

    def join(self, builder: Builder, value: int, other: int) -> int:  # noqa: D102
        return builder.fan_in_sum(value, other)


@dataclass(frozen=True, repr=False)
class FanInProd(FanIn):
    """Product of the branches, unit by unit: ``K = K1 K2`` and ``T = T1 K2 + K1 T2``.

    Examples
    --------
    >>> import ntkfast as nk
    >>> net = nk.serial(nk.FanOut(2), nk.parallel(nk.Dense(), nk.Dense(2.0)), nk.FanInProd())
    >>> net.kernels([[1.0]])
    Kernels(nngp=array([[4.]]), ntk=array([[8.]]))
    """

    def join(self, builder: Builder, value: int, other: int) -> int:  # noqa: D102
        return builder.fan_in_product(value, other)


@dataclass(frozen=True, repr=False)
class FanInConcat(FanIn):
    """The units of all branches one after the other: the mean of the kernels.

    Each kernel counts as often as its branch has units: ``out_dim`` of its last Dense layer, or the
    columns of the data. Nothing has to be independent.

    Parameters
    ----------
    axis : {-1, 1}, default -1
        The axis of the channels.

    Examples
    --------
    >>> import ntkfast as nk
    >>> branches = nk.parallel(nk.Dense(out_dim=3), nk.Dense(2.0, out_dim=1))
    >>> nk.serial(nk.FanOut(2), branches, nk.FanInConcat()).nngp([[1.0]])
    array([[1.75]])
    """

    axis: int = -1

    def __post_init__(self) -> None:
        object.__setattr__(self, "axis", channel_axis("FanInConcat(axis=...)", self.axis))

    def join(self, builder: Builder, value: int, other: int) -> int:  # noqa: D102
        return builder.fan_in_concat(value, other)


def leaves(layers: Iterable[Layer]) -> Iterator[Layer]:
    """Yield all layers in order, those of the branches included."""
    for layer in layers:
        if isinstance(layer, Parallel):
            for branch in layer.branches:
                yield from leaves(branch)
        else:
            yield layer
