"""Kernels averaged over horizontal flips of images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _memory
from ._blocks import Blocks, NetworkBlocks, Progress
from ._gram import Kernels
from ._kernel_function import KernelFunction
from ._validate import got
from .errors import ArchitectureError
from .layers import AvgPool, Conv, Flatten, GlobalAvgPool, GlobalSumPool, Layer, Parallel, SumPool
from .layers.spatial import has_positions
from .network import Network

__all__ = ["FlipAverage"]

Array = NDArray[Any]

_READOUTS = (Flatten, GlobalAvgPool, GlobalSumPool)


@dataclass(frozen=True, repr=False)
class FlipAverage(KernelFunction):
    """The kernels of a network of images, averaged over horizontal flips of both images.

    ``k(x, z) = 1/4 sum k_net(f x, g z)``, f and g being the identity or a flip: regression with it
    is that with every training image and its flip (Li et al. 2019), at the size of the kernel
    without them. Where a network does the same to both sides of an image, flipping both images
    changes nothing, and two of the four terms are enough: if every window of a convolution or pool
    covers the width of its image symmetrically, as 3 x 3 filters with "SAME" or "VALID" padding and
    stride 1 do. Otherwise all four are computed (three where X is compared with itself).

    It has the methods `ntk`, `nngp`, `kernels`, `operator`, `diag` and `plan` of `Network`. An
    image and its own flip are different samples for `Dropout`.

    Parameters
    ----------
    net : Network
        Of images.

    Raises
    ------
    TypeError
        If net is not a network.
    ArchitectureError
        If it is one of rows.

    References
    ----------
    Z. Li et al., "Enhanced convolutional neural tangent kernels", arXiv:1911.00809, 2019.

    Examples
    --------
    >>> import numpy as np
    >>> import ntkfast as nk
    >>> k = nk.FlipAverage(nk.models.cntk(2, pool="flatten"))
    >>> images = np.random.default_rng(0).normal(size=(2, 5, 5, 1))
    >>> bool(np.allclose(k.ntk(images), k.ntk(images[:, :, ::-1])))
    True
    """

    net: Network

    def __post_init__(self) -> None:
        if not isinstance(self.net, Network):
            raise TypeError(f"FlipAverage() takes a network, {got(self.net)}")
        if not has_positions(self.net.layers):
            raise ArchitectureError("FlipAverage() takes a network of images, got one of rows")

    def __repr__(self) -> str:
        return f"FlipAverage({self.net!r})"

    def _blocks(self, X: Any, Z: Any, **options: Any) -> _FlipBlocks:
        return _FlipBlocks(self.net._blocks(X, Z, **options), self.net.layers)

    def _gram(self, X: Any, Z: Any, **options: Any) -> Kernels:
        from ._sinks import fill

        blocks = self._blocks(X, Z, **options)
        n, m = blocks.shape
        size = n * m * blocks.dtype.itemsize * len(blocks.kinds)
        own = None if blocks.z is None else m
        _memory.require(
            size,
            blocks.whole_workspace(n, own, blocks.threads),
            f"{len(blocks.kinds)} kernel{'s' * (len(blocks.kinds) > 1)} of shape ({n}, {m}) in "
            f"{blocks.dtype}",
        )
        made = {kind: np.empty((n, m), blocks.dtype) for kind in blocks.kinds}
        fill(blocks, list(made.values()))
        wrapped = {kind: blocks.wrap(array) for kind, array in made.items()}
        return Kernels(**{"nngp": None, "ntk": None, **wrapped})

    def _diagonals(self, X: Any, **options: Any) -> Kernels:
        blocks = self._blocks(X, None, **options, device=None)
        found: dict[str, Any] = {"nngp": None, "ntk": None}
        for kind, array in blocks.diagonals().items():
            found[kind] = blocks.wrap(array)
        return Kernels(**found)


class _FlipBlocks(Blocks):
    """Blocks of the mean over flips, from those of the network."""

    def __init__(self, inner: NetworkBlocks, layers: tuple[Layer, ...]) -> None:
        self._inner = inner
        self.x, self.z, self.nngp, self.ntk = inner.x, inner.z, inner.nngp, inner.ntk
        self.edge, self.threads, self.devices = inner.edge, inner.threads, inner.devices
        self.wrap = inner.wrap
        self.symmetric = width_behind(layers, inner.x.shape[-2]) is not None

    def compute(self, x: Array, z: Array | None, progress: Progress | None) -> Kernels:
        """Return the mean over the flips of both sides."""
        sides = [(x, z)]
        if z is not None:
            sides.append((x, _flipped(z)))
            if not self.symmetric:
                sides += [(_flipped(x), z), (_flipped(x), _flipped(z))]
        else:
            # K(F x, x) is the transpose of K(x, F x).
            sides.append((x, _flipped(x)))
            if not self.symmetric:
                sides.append((_flipped(x), None))
        found = [
            self._inner.compute(*side, _part(progress, k, len(sides)))
            for k, side in enumerate(sides)
        ]
        means = {
            kind: self._mean([getattr(each, kind) for each in found], z is None)
            for kind in self.kinds
        }
        return Kernels(**{"nngp": None, "ntk": None, **means})

    def _mean(self, terms: list[Array], symmetric: bool) -> Array:
        if not symmetric:
            return np.asarray(sum(terms[1:], start=terms[0]) / len(terms))
        own, crossed, *flipped = terms
        both = crossed + crossed.T
        own = own + flipped[0] if flipped else 2 * own
        return np.asarray((own + both) / 4)

    def diagonals(self) -> dict[str, Array]:
        """Return the diagonals of the kernels of x with itself."""
        x = self.x
        own = self._inner.own_diagonals(x)
        turned = own if self.symmetric else self._inner.own_diagonals(_flipped(x))
        crossed = [self._inner.compute(a[None], _flipped(a[None]), None) for a in x]
        found = {}
        for kind in self.kinds:
            across = np.array([getattr(each, kind)[0, 0] for each in crossed], self.dtype)
            found[kind] = (getattr(own, kind) + getattr(turned, kind) + 2 * across) / 4
        return found

    def workspace(self, n: int, m: int | None, threads: int) -> int:
        """Return the bytes that `compute` takes beside inputs and results."""
        other = n if m is None else m
        terms = 5 * n * other * self.dtype.itemsize * len(self.kinds)
        flipped = (n + other) * self.x[:1].nbytes
        return self._inner.workspace(n, other, threads) + terms + flipped

    def whole_workspace(self, n: int, m: int | None, threads: int) -> int:
        """Return the same for a whole Gram, which goes block by block."""
        edges = (min(n, self.edge), min(n if m is None else m, self.edge))
        return self.workspace(*edges, threads)

    def offsets_and_entries(self) -> tuple[int, float]:
        """Return the maps of a pair of images, and their entries for all flips."""
        offsets, entries = self._inner.offsets_and_entries()
        return offsets, entries * self._terms

    def stages(self) -> int | None:
        """Return in how many parts pools divide the network."""
        return self._inner.stages()

    def method(self) -> str:
        """Return how a pair is computed, in words."""
        return f"mean over {self._terms} pairs of flips of {self._inner.method()}"

    def identity(self) -> str:
        """Return the network in one line."""
        return f"FlipAverage({self._inner.identity()})"

    @property
    def _terms(self) -> int:
        return 2 if self.symmetric else 4


def width_behind(layers: Iterable[Layer], width: int) -> int | None:
    """Return the width of the images behind the layers; None if they tell left from right.

    K(p, p') of two flipped images is that of the images at mirrored positions. A layer keeps it so
    if the windows of all positions together are their own mirror image: the last one ends as far
    from the right border as the first one begins from the left. All that works on each position
    keeps it, and readouts see no order.
    """
    for layer in layers:
        if isinstance(layer, _READOUTS):
            return 1
        if isinstance(layer, Parallel):
            behind = {width_behind(branch, width) for branch in layer.branches}
            if None in behind:
                return None
            (width,) = (each for each in behind if each is not None)
        elif isinstance(layer, (Conv, AvgPool, SumPool)):
            taps = (layer.filter_shape if isinstance(layer, Conv) else layer.window_shape)[-1]
            stride = 1 if layer.strides is None else layer.strides[-1]
            if layer.padding == "VALID":
                count, before = (width - taps) // stride + 1, 0
            else:
                count = -(-width // stride)
                before = max(0, (count - 1) * stride + taps - width) // 2
            if (count - 1) * stride + taps - before != width + before:
                return None
            width = count
    return width


def _flipped(images: Array) -> Array:
    return np.ascontiguousarray(images[..., ::-1, :])


def _part(progress: Progress | None, k: int, of: int) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    tell = progress
    return lambda done, total: tell(k * total + done, of * total)
