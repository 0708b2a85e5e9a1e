"""Linear operators whose vectors may lie on a CUDA device."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from ._arrays import device_vectors
from .errors import DeviceError

__all__ = ["Transposed", "VectorOperator"]


class VectorOperator(LinearOperator):  # type: ignore[misc]  # SciPy brings no types
    """A real linear operator that multiplies blocks of host vectors, and of CUDA devices.

    Vectors on a device are read by their own library on its current stream, and the product is
    written by it on the same stream: n k numbers each way, beside n^2 of the kernel. SciPy's own
    methods would make them NumPy arrays, which they refuse.
    """

    @abstractmethod
    def _product(self, V: Any, *, transposed: bool) -> NDArray[Any]:
        """Return the product with an array of rank 2 in host memory."""

    @property
    @abstractmethod
    def _places(self) -> tuple[int, ...] | None:
        """CUDA devices that compute, None being the CPU."""

    def dot(self, x: Any) -> Any:
        """Return ``A @ x``, the same kind of array as x."""
        return self._reached(super().dot, x, transposed=False)

    def matvec(self, x: Any) -> Any:
        """Return ``A @ x``, the same kind of array as x."""
        return self._reached(super().matvec, x, transposed=False)

    def matmat(self, X: Any) -> Any:
        """Return ``A @ X``, the same kind of array as X."""
        return self._reached(super().matmat, X, transposed=False)

    def rmatvec(self, x: Any) -> Any:
        """Return ``A.T @ x``, the same kind of array as x."""
        return self._reached(super().rmatvec, x, transposed=True)

    def rmatmat(self, X: Any) -> Any:
        """Return ``A.T @ X``, the same kind of array as X."""
        return self._reached(super().rmatmat, X, transposed=True)

    def _reached(self, on_host: Any, V: Any, *, transposed: bool) -> Any:
        found = device_vectors("V", V)
        if found is None:
            return on_host(V)
        places = self._places
        if places is None or found.device not in places:
            here = "the CPU" if places is None else " and ".join(f"cuda:{k}" for k in places)
            raise DeviceError(
                f"V is on cuda:{found.device}, but the operator computes on {here}: make it with "
                f'device="cuda:{found.device}", or copy V'
            )
        V = found.array
        met = self.shape[0 if transposed else 1]
        if V.ndim not in (1, 2) or V.shape[0] != met:
            raise ValueError(f"V must have shape ({met},) or ({met}, k), got {V.shape}")
        product = self._product(V.reshape(met, -1) if V.ndim == 1 else V, transposed=transposed)
        return found.wrap(np.ascontiguousarray(product[:, 0] if V.ndim == 1 else product))

    def _matmat(self, V: NDArray[Any]) -> NDArray[Any]:
        return self._product(V, transposed=False)

    def _matvec(self, v: NDArray[Any]) -> NDArray[Any]:
        return self._product(v.reshape(-1, 1), transposed=False).reshape(-1)

    def _rmatmat(self, V: NDArray[Any]) -> NDArray[Any]:
        return self._product(V, transposed=True)

    def _rmatvec(self, v: NDArray[Any]) -> NDArray[Any]:
        return self._product(v.reshape(-1, 1), transposed=True).reshape(-1)

    # Real entries: the transpose is the adjoint.
    def _adjoint(self) -> LinearOperator:
        return Transposed(self)

    def _transpose(self) -> LinearOperator:
        return self._adjoint()


class Transposed(VectorOperator):
    """The transpose of an operator."""

    def __init__(self, of: VectorOperator) -> None:
        self._of = of
        super().__init__(of.dtype, of.shape[::-1])

    def _product(self, V: Any, *, transposed: bool) -> NDArray[Any]:
        return self._of._product(V, transposed=not transposed)

    @property
    def _places(self) -> tuple[int, ...] | None:
        return self._of._places

    def _adjoint(self) -> LinearOperator:
        return self._of
