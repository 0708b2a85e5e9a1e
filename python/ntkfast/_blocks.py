"""A Gram matrix in blocks of rows and columns, each computed when it is asked for."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _core, _memory
from ._arrays import Prepared
from ._device import kernels_on, resolve_devices
from ._gram import Kernels, translated, workspace_bytes
from ._resolution import program_for
from ._text import one_line
from ._threads import resolve_threads
from ._validate import require_finite
from .config import config, resolve_isa, resolve_precision
from .errors import KernelOverflowError

if TYPE_CHECKING:
    from .network import Network

__all__ = ["Blocks", "NetworkBlocks", "Place"]

Array = NDArray[Any]
Progress = Callable[[int, int], None]

# Entries of maps in a block: some seconds, so that little is lost when a computation stops.
_BLOCK_LANES = 1e10
_SMALLEST, _LARGEST = 32, 1024
_ROWS_EDGE = 2048  # rows are fast: a block of them is a matter of memory
# What progress counts within a block, where several blocks are one computation.
_PARTS = 1000


class Place(NamedTuple):
    """Rows and columns of a block."""

    rows: slice
    columns: slice


class Blocks(ABC):
    """The kernels of one pair of sets of samples, block by block.

    Attributes
    ----------
    x, z : array
        The samples; z is None for the symmetric Gram of x.
    nngp, ntk : bool
        Which kernels.
    edge : int
        Rows and columns of a block. It depends on network and samples, never on the machine.
    threads : int
    devices : tuple of int or None
        CUDA devices, None being the CPU.
    wrap : callable
        From a NumPy array to one of the caller's kind.
    """

    x: Array
    z: Array | None
    nngp: bool
    ntk: bool
    edge: int
    threads: int
    devices: tuple[int, ...] | None
    wrap: Callable[[Any], Any]

    @property
    def shape(self) -> tuple[int, int]:
        """Of a kernel."""
        return len(self.x), len(self.x if self.z is None else self.z)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a kernel."""
        return self.x.dtype

    @property
    def kinds(self) -> list[str]:
        """Names of the kernels, in the order of every block."""
        return [kind for kind in ("nngp", "ntk") if getattr(self, kind)]

    @abstractmethod
    def compute(self, x: Array, z: Array | None, progress: Progress | None) -> Kernels:
        """Return the kernels of some samples; z None: of x with itself, the same samples."""

    @abstractmethod
    def workspace(self, n: int, m: int | None, threads: int) -> int:
        """Return the bytes that `compute` takes beside inputs and results; m None: symmetric."""

    def whole_workspace(self, n: int, m: int | None, threads: int) -> int:
        """Return the same for a whole Gram in memory."""
        return self.workspace(n, m, threads)

    @abstractmethod
    def identity(self) -> str:
        """Return what tells this kernel function from others."""

    @abstractmethod
    def offsets_and_entries(self) -> tuple[int, float]:
        """Return how many maps a pair of images has, and entries of them in all layers."""

    @abstractmethod
    def stages(self) -> int | None:
        """Return in how many parts pools divide a network of images; None for rows."""

    @abstractmethod
    def method(self) -> str:
        """Return how a pair is computed, in words."""

    def where(self) -> str:
        """Return the devices in words."""
        if self.devices is None:
            return f"cpu ({resolve_isa() or _core.isa_available()[-1]})"
        return ", ".join(f"cuda:{index}" for index in self.devices)

    def places(self, edge: int | None = None) -> list[Place]:
        """Return all blocks; of a symmetric Gram those on the diagonal and below it."""
        edge = edge or self.edge
        n, m = self.shape
        return [
            Place(slice(i, min(i + edge, n)), slice(j, min(j + edge, m)))
            for i in range(0, n, edge)
            for j in range(0, m if self.z is not None else i + 1, edge)
        ]

    def at(self, place: Place, progress: Progress | None = None) -> list[Array]:
        """Return one block of every kernel that is wanted."""
        rows, columns = place
        if self.z is not None:
            z: Array | None = self.z[columns]
        else:
            z = None if rows == columns else self.x[columns]
        try:
            made = self.compute(self.x[rows], z, progress)
        except KernelOverflowError as error:
            if rows.start or columns.start:
                where = f"row {rows.start} and column {columns.start}"
                raise KernelOverflowError(f"{error} (counted from {where})") from error
            raise
        return [getattr(made, kind) for kind in self.kinds]

    def walk(
        self, progress: Progress | None, edge: int | None = None, skip: int = 0
    ) -> Iterator[tuple[int, Place, list[Array]]]:
        """Yield (number, place, block of every kernel), without the first `skip` places."""
        places = self.places(edge)
        self.require_memory(edge or self.edge)
        total = len(places) * _PARTS
        for k in range(skip, len(places)):
            if progress is not None and k == skip:
                progress(k * _PARTS, total)

            def inside(done: int, of: int, k: int = k) -> None:
                if progress is not None and done < of:  # the end is told when it is stored
                    progress(k * _PARTS + _PARTS * done // of, total)

            yield k, places[k], self.at(places[k], None if progress is None else inside)
            if progress is not None:
                progress((k + 1) * _PARTS, total)

    def require_memory(self, edge: int) -> None:
        """Refuse blocks that do not fit."""
        n, m = (min(edge, side) for side in self.shape)
        block = n * m * self.dtype.itemsize * len(self.kinds)
        _memory.require(
            block,
            self.workspace(n, m, self.threads),
            f"blocks of {n} x {m} entries in {self.dtype}",
            "one kernel at a time, or in float32",
        )


class NetworkBlocks(Blocks):
    """Blocks of the kernels of a network."""

    def __init__(
        self,
        net: Network,
        data: Prepared,
        *,
        nngp: bool,
        ntk: bool,
        threads: int | None,
        device: str | tuple[str, ...] | list[str] | None,
        precision: str | None = None,
    ) -> None:
        self._net = net
        self._precision = resolve_precision(precision)
        self.images = data.x.ndim > 2
        self.devices = resolve_devices(device, data.device)
        self.x, self.z, self.nngp, self.ntk = data.x, data.z, nngp, ntk
        self.wrap = data.wrap
        for name, array in (("X", data.x), ("Z", data.z)):  # now, not when its block comes
            if array is not None:
                require_finite(name, array)
        self.threads, self._isa = resolve_threads(threads), resolve_isa()
        with translated([net], data):
            self.program = program_for([net.layers], data.x, data.z, self.threads, self._isa)
        self.edge = _ROWS_EDGE
        if self.images:
            lanes = self.offsets_and_entries()[1]
            fitting = int(math.sqrt(_BLOCK_LANES / max(lanes, 1.0)))
            self.edge = min(max(fitting // _SMALLEST * _SMALLEST, _SMALLEST), _LARGEST)

    def compute(self, x: Array, z: Array | None, progress: Progress | None) -> Kernels:
        """Return the kernels of some samples."""
        data = Prepared(x, z, _same)
        with translated([self._net], data):
            if self.devices is None:
                K, T = _core.gram(
                    self.program,
                    x,
                    z,
                    self.nngp,
                    self.ntk,
                    self.threads,
                    self._isa,
                    config.reuse_memory,
                    progress,
                )
            else:
                K, T = kernels_on(
                    self.devices,
                    self.program,
                    data,
                    self.nngp,
                    self.ntk,
                    self.threads,
                    self._isa,
                    progress,
                    precision=self._precision,
                )
        return Kernels(K[0], T[0])

    def own_diagonals(self, x: Array) -> Kernels:
        """Return the kernels of each of some samples with itself."""
        with translated([self._net], Prepared(x, None, _same)):
            K, T = _core.diag(self.program, x, self.nngp, self.ntk, self.threads, self._isa)
        return Kernels(K[0], T[0])

    def workspace(self, n: int, m: int | None, threads: int) -> int:
        """Return the bytes that `compute` takes beside inputs and results."""
        sizes = (self.x.shape[1], self.dtype.itemsize, threads)
        return workspace_bytes(self.program, n, m, *sizes, self.images, self.devices is None)

    def offsets_and_entries(self) -> tuple[int, float]:
        """Return how many maps a pair of images has, and entries of them in all layers."""
        return _core.spatial_cost(self.program, 1, 1, self.dtype.itemsize, 1)[:2]

    def stages(self) -> int | None:
        """Return in how many parts pools divide the network."""
        if not self.images:
            return None
        return _core.spatial_cost(self.program, 1, 1, self.dtype.itemsize, 1)[3]

    def method(self) -> str:
        """Return how a pair is computed, in words."""
        if not self.images:
            return "tiles of rows, all layers while they are in cache"
        offsets, entries = self.offsets_and_entries()
        maps = f"{offsets:,} offset" + "s" * (offsets > 1)
        stages = self.stages() or 1
        parts = f", {stages} stages" * (stages > 1)
        return f"maps of {maps} between positions{parts}, {entries:.3g} entries a pair"

    def identity(self) -> str:
        """Return the network in one line."""
        return one_line(self._net.layers)


def _same(array: Any) -> Any:
    return array
