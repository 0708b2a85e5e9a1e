"""Kernels as linear operators: products with vectors, without the matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from . import _core, _memory
from ._arrays import prepare
from ._block_product import BlockProduct
from ._device import DeviceOperator, resolve_devices
from ._gram import translated
from ._gram_progress import gram_progress
from ._kernel_function import Devices
from ._resolution import program_for
from ._threads import resolve_threads
from ._validate import choice
from ._vectors import VectorOperator
from .config import resolve_isa, resolve_precision
from .layers.spatial import has_positions
from .network import Network

if TYPE_CHECKING:
    from ._kernel_function import KernelFunction

__all__ = ["KernelOperator"]

_REMEDY = "multiply fewer vectors at a time, use fewer samples or float32"


class KernelOperator(VectorOperator):
    """A kernel that is multiplied by vectors and never formed; made by `Network.operator`.

    A `scipy.sparse.linalg.LinearOperator`: ``A @ V``, ``A.T @ U``, and whatever takes one (``cg``,
    ``eigsh``, ``svds``). Every product computes the kernel tile by tile and multiplies each tile by
    all columns of V while it is in the cache, so memory grows with the rows and never with their
    square; k columns at once cost little more than one.

    Attributes
    ----------
    shape : tuple of int
        ``(n, n)``, or ``(n, m)`` of a cross kernel.
    dtype : numpy.dtype
        That of the kernel's entries, float32 or float64.
    kind : {"ntk", "nngp"}
        Which kernel it is.

    Notes
    -----
    Numbers that depend on one row are made once, with the operator: it reads X and Z again in
    every product, so they must not be changed as long as it is used.

    Entries and products within a tile (up to 1024 rows) are in ``dtype``, V being rounded to it.
    Tiles are added as integers, multiples of ``2**-60 sqrt(K_ii) sum_j sqrt(K_jj) |V_j|``: the
    result has the same bits for every number of threads, and float32 loses nothing between tiles.
    It differs from ``net.ntk(X) @ V`` by rounding. The result has the common dtype of kernel and V.
    Of images the entries are those of ``net.ntk(X)`` bit for bit, and products are in float64.

    Where it computes on a CUDA device, V may lie there, too (CuPy, PyTorch, JAX and whatever X may
    be): the product is the same kind of array, in order on the caller's stream. V and the product
    pass through the host, k numbers per row, while the kernel's n^2 never leave the chip.

    Examples
    --------
    >>> import numpy as np, ntkfast as nk
    >>> from scipy.sparse.linalg import cg
    >>> X = np.random.default_rng(0).standard_normal((50, 4))
    >>> A = nk.mlp(2, b_std=0.1).operator(X)
    >>> A.shape, bool(np.allclose(A @ np.eye(50), nk.mlp(2, b_std=0.1).ntk(X)))
    ((50, 50), True)
    >>> alpha, failed = cg(A, X[:, 0], rtol=1e-10)
    >>> failed, bool(np.allclose(A @ alpha, X[:, 0]))
    (0, True)
    """

    def __init__(
        self,
        net: KernelFunction,
        X: Any,
        Z: Any = None,
        *,
        kind: str = "ntk",
        threads: int | None = None,
        device: Devices = None,
        precision: str | None = None,
    ) -> None:
        self.kind = choice("kind", kind, ("ntk", "nngp"))
        self._net = net
        self._threads = resolve_threads(threads)
        self._engine: _core.FloatOperator | DeviceOperator | BlockProduct
        self._by_blocks: BlockProduct | None = None
        if isinstance(net, Network) and not has_positions(net.layers):
            self._read_rows(net, X, Z, device, precision)
        else:
            wanted = {"nngp": self.kind == "nngp", "ntk": self.kind == "ntk"}
            where = {"threads": self._threads, "device": device, "precision": precision}
            blocks = net._blocks(X, Z, **wanted, **where)
            self._x, self._z, self._devices = blocks.x, blocks.z, blocks.devices
            self._engine = self._by_blocks = BlockProduct(blocks)
            self._require_memory(1)
        super().__init__(
            self._x.dtype, (len(self._x), len(self._x if self._z is None else self._z))
        )

    def _read_rows(
        self, net: Network, X: Any, Z: Any, device: Devices, precision: str | None
    ) -> None:
        data = prepare(X, Z)
        self._x, self._z = data.x, data.z
        isa = resolve_isa()
        precision = resolve_precision(precision)
        if precision == "float64" and data.x.dtype == np.float32:
            raise ValueError(
                'operator() has no precision="float64" for float32 rows: pass float64 rows'
            )
        self._devices = devices = resolve_devices(device, data.device)
        with translated([net], data):
            self._program = program_for([net.layers], data.x, data.z, self._threads, isa)
        self._on_cpu = devices is None
        self._require_memory(1)
        ntk = self.kind == "ntk"
        make = _core.DoubleOperator if data.x.dtype == np.float64 else _core.FloatOperator
        with translated([net], data):
            if devices is None:
                self._engine = make(self._program, data.x, data.z, ntk, self._threads, isa)
            else:
                self._engine = DeviceOperator(
                    self._program, data, ntk, self._threads, isa, devices, precision
                )

    def diagonal(self) -> NDArray[Any]:
        """Return the diagonal of the kernel of X with itself, in O(n d).

        Returns
        -------
        array, shape (n,)
            Equal to ``net.diag(X, kind)``.

        Raises
        ------
        ValueError
            For a cross kernel: none of its entries is that of a sample with itself.

        Examples
        --------
        >>> import ntkfast as nk
        >>> nk.models.arora(3).operator([[0.6, 0.8], [0.0, 1.0]]).diagonal().round(12)
        array([4., 4.])
        """
        if not self._symmetric:
            raise ValueError("a cross kernel (Z was given) has no diagonal")
        found: NDArray[Any] = self._net.diag(self._x, self.kind, threads=self._threads)
        return found

    # Its own adjoint, where it is symmetric.
    def _adjoint(self) -> LinearOperator:
        return self if self._symmetric else super()._adjoint()

    @property
    def _places(self) -> tuple[int, ...] | None:
        return self._devices

    @property
    def _symmetric(self) -> bool:
        return self._z is None

    def _product(self, V: Any, *, transposed: bool) -> NDArray[Any]:
        given = np.asarray(V)
        if given.dtype.kind not in "biuf":
            raise TypeError(f"V must hold real numbers, got dtype {given.dtype}")
        vectors = np.require(given, dtype=np.float64, requirements=["C", "A"])
        self._require_memory(vectors.shape[1])
        with gram_progress() as progress:
            result = self._engine.multiply(vectors, transposed and not self._symmetric, progress)
        return np.asarray(result).astype(np.result_type(self.dtype, given.dtype), copy=False)

    def _require_memory(self, count: int) -> None:
        n, m = len(self._x), 0 if self._z is None else len(self._z)
        own = n if self._z is None else m
        sizes = (n, m, self._x.shape[1], self._x.dtype.itemsize)
        if self._by_blocks is not None:
            workspace = self._by_blocks.workspace(count)
        elif self._on_cpu:
            workspace = _core.operator_bytes(self._program, *sizes, self._threads, count)
        else:
            workspace = _core.device_job_bytes(self._program, *sizes)
            workspace += (n + own) * count * 16
        # The result, and the vectors where they have to be converted.
        what = f"the product of a kernel of shape ({n}, {own}) with {count} vectors"
        _memory.require((n + own) * count * 8, workspace, what, _REMEDY)
