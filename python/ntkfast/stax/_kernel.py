"""What a ``kernel_fn`` returns when it is asked for everything."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._pieces import Piece

__all__ = ["Kernel", "Origin"]

_ARRAYS = frozenset({"nngp", "ntk", "cov1", "cov2"})


@dataclass(frozen=True)
class Origin:
    """The network and the rows that a kernel is of."""

    piece: Piece
    x1: Any
    x2: Any


@dataclass(frozen=True, eq=False)
class Kernel:
    """Kernels of two sets of rows, and what is known of the network's output.

    Attributes
    ----------
    nngp, ntk : array, shape (n1, n2)
        Both kernels.
    cov1, cov2 : array, shape (n1,) or (n1, n1), (n2,) or (n2, n2)
        NNGP kernel of each set of rows with itself; its diagonal where ``diagonal_batch``. ``cov2``
        is None without ``x2``.
    x1_is_x2 : bool
        Whether the two sets are one.
    is_gaussian : bool
        Whether the output is Gaussian in the infinite-width limit, as behind a Dense layer.
    shape1, shape2 : tuple of int
        Shapes of the output of a finite network.
    diagonal_batch, diagonal_spatial, is_reversed, is_input, batch_axis, channel_axis, mask1, mask2
        Constants for rows that are vectors, except for the first.
    """

    nngp: Any
    ntk: Any
    cov1: Any
    cov2: Any
    x1_is_x2: bool
    is_gaussian: bool
    shape1: tuple[int, ...]
    shape2: tuple[int, ...]
    diagonal_batch: bool = True
    diagonal_spatial: bool = False
    is_reversed: bool = False
    is_input: bool = False
    batch_axis: int = 0
    channel_axis: int = 1
    mask1: None = None
    mask2: None = None
    _origin: Origin | None = field(default=None, repr=False)

    def replace(self, **changes: Any) -> Kernel:
        """Return a copy with some attributes changed.

        A kernel with changed arrays has no network any more, so no further layer can be applied.
        """
        if _ARRAYS & changes.keys():
            changes["_origin"] = None
        return replace(self, **changes)

    def asdict(self) -> dict[str, Any]:
        """Return the attributes as a dictionary."""
        return {name: getattr(self, name) for name in FIELDS}

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"Kernel has no attribute {name!r}; it has {', '.join(FIELDS)}")


FIELDS = tuple(spec.name for spec in fields(Kernel) if not spec.name.startswith("_"))
