"""Where matrices live: the array module that works there, and what the modules do differently.

All algorithms of this folder are written once, over `Place.xp`, which is NumPy or CuPy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from .. import _memory
from .._device import missing
from ..errors import DeviceError, MemoryBudgetError

__all__ = ["CUDA_EXTRA", "HOST", "CudaPlace", "Place", "place_on"]

CUDA_EXTRA = "pip install 'ntkfast[cuda13]' (or [cuda12], as the driver is)"


class Place:
    """The CPU, with NumPy and SciPy's LAPACK."""

    name = "cpu"
    xp: Any = np
    eigh_matrices = 2  # of n x n float64, that `eigh` takes beside the one it destroys

    def asarray(self, array: Any, dtype: Any = None) -> Any:
        """Return the array here, copied only where it is elsewhere or of another dtype."""
        return np.asarray(array, dtype=dtype)

    def to_host(self, array: Any) -> NDArray[Any]:
        """Return the array in host memory."""
        return np.asarray(array)

    def cholesky(self, block: Any) -> Any:
        """Return the lower factor of a small block; `numpy.linalg.LinAlgError` if there is none."""
        return scipy.linalg.cholesky(block, lower=True, check_finite=False)

    def solve_lower(self, factor: Any, columns: Any, *, transposed: bool = False) -> Any:
        """Return ``inv(factor) @ columns`` for a small lower triangle, or with its transpose."""
        trans = "T" if transposed else "N"
        return scipy.linalg.solve_triangular(
            factor, columns, lower=True, trans=trans, check_finite=False
        )

    def eigh(self, matrix: Any) -> tuple[Any, Any]:
        """Return eigenvalues in ascending order and eigenvectors; the matrix is destroyed."""
        # Divide and conquer: as fast as LAPACK's default (MRRR) and ten times more accurate. The
        # transpose is Fortran-ordered, so that LAPACK works in place.
        values, vectors = scipy.linalg.eigh(
            matrix.T, overwrite_a=True, check_finite=False, driver="evd"
        )
        return values, vectors

    def require_memory(self, n_bytes: int, what: str, remedy: str) -> None:
        """Raise `MemoryBudgetError` unless so many bytes can be allocated here."""
        _memory.require(0, n_bytes, what, remedy)

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Make this the current device, and errors of it typed ones that say at what."""
        del what
        yield


HOST = Place()


def place_on(device: int | None) -> Place:
    """Return the place of a CUDA device's number, or the CPU for None."""
    return HOST if device is None else CudaPlace(device)


class CudaPlace(Place):
    """A CUDA device, with CuPy, which calls cuSOLVER and cuBLAS.

    Parameters
    ----------
    index : int
        Number of the device.

    Raises
    ------
    DeviceError
        If the device or CuPy is missing; the message says what to install.
    """

    eigh_matrices = 3  # the eigenvectors, and cuSOLVER's workspace

    def __init__(self, index: int) -> None:
        self.index = index
        self.name = f"cuda:{index}"
        if why := missing():
            raise DeviceError(f"cannot solve on {self.name}: {why}")
        try:
            self.xp = import_module("cupy")
            self._linalg = import_module("cupyx.scipy.linalg")
            self._errstate = import_module("cupyx").errstate
        except ImportError as error:
            raise DeviceError(
                f"cannot solve on {self.name} without CuPy and cuSOLVER ({error}): {CUDA_EXTRA}"
            ) from error

    def asarray(self, array: Any, dtype: Any = None) -> Any:
        """Return the array here, copied only where it is elsewhere or of another dtype."""
        if not isinstance(array, (self.xp.ndarray, np.ndarray)):
            array = np.asarray(array)
        return self.xp.asarray(array, dtype=dtype)

    def to_host(self, array: Any) -> NDArray[Any]:
        """Return the array in host memory."""
        return np.asarray(self.xp.asnumpy(array))

    def cholesky(self, block: Any) -> Any:
        """Return the lower factor of a small block; `numpy.linalg.LinAlgError` if there is none."""
        with self._errstate(linalg="raise"):  # CuPy returns what cuSOLVER left, unless asked
            return self.xp.linalg.cholesky(block)

    def solve_lower(self, factor: Any, columns: Any, *, transposed: bool = False) -> Any:
        """Return ``inv(factor) @ columns`` for a small lower triangle, or with its transpose."""
        trans = "T" if transposed else "N"
        return self._linalg.solve_triangular(factor, columns, trans=trans, lower=True)

    def eigh(self, matrix: Any) -> tuple[Any, Any]:
        """Return eigenvalues in ascending order and eigenvectors."""
        with self._errstate(linalg="raise"):
            values, vectors = self.xp.linalg.eigh(matrix)
        return values, vectors

    def require_memory(self, n_bytes: int, what: str, remedy: str) -> None:
        """Raise `MemoryBudgetError` unless so many bytes can be allocated here."""
        free = self.xp.cuda.Device(self.index).mem_info[0]
        free += self.xp.get_default_memory_pool().free_bytes()  # CuPy's own, kept for reuse
        if n_bytes > free:
            raise MemoryBudgetError(
                f"{what}: {_memory.size_text(n_bytes)} needed on {self.name}, "
                f"{_memory.size_text(free)} free: {remedy}"
            )

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Make this the current device, and errors of it typed ones that say at what."""
        try:
            with self.xp.cuda.Device(self.index):
                yield
        except (MemoryBudgetError, DeviceError):
            raise
        except MemoryError as error:  # CuPy's OutOfMemoryError, with figures
            self.xp.get_default_memory_pool().free_all_blocks()
            raise MemoryBudgetError(f"{what} on {self.name}: {error}") from error
        except RuntimeError as error:  # of the runtime, cuBLAS or cuSOLVER
            raise DeviceError(f"{what} on {self.name} failed: {error}") from error
