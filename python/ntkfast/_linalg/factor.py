"""A Cholesky factor in place of its kernel: SciPy's LAPACK on the CPU, blocks on a CUDA device."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from scipy.linalg import lapack
from scipy.sparse.linalg import LinearOperator, onenormest

from . import cholesky
from .place import HOST, Place

__all__ = ["BlockedFactor", "Factor", "HostFactor", "factor_of"]

_ROWS = 512


class Factor(Protocol):
    """A symmetric matrix that holds its factor after `factorise`, and itself after `restore`."""

    matrix: Any
    norm: float  # the largest sum of a row, of what was factorised last

    def factorise(self, diagonal: Any) -> float | None:
        """Set the diagonal and factorise; return rcond, or None where that fails."""

    def restore(self, diagonal: Any) -> None:
        """Undo `factorise`, finished or not."""

    def solve(self, columns: Any) -> Any:
        """Return the inverse times columns (n, t)."""

    def solve_lower(self, columns: Any) -> Any:
        """Return the inverse of the lower factor times columns (n, t)."""

    def inverse_diagonal(self) -> Any:
        """Return the diagonal of the inverse, shape (n,)."""


class HostFactor:
    """LAPACK, in place: the factor is over the upper triangle of the row-major matrix."""

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix
        self._letter = {np.float32: "s", np.float64: "d"}[matrix.dtype.type]

    def _lapack(self, name: str) -> Any:
        return getattr(lapack, self._letter + name)

    def factorise(self, diagonal: Any) -> float | None:
        """Set the diagonal and factorise; return rcond, or None where that fails."""
        np.fill_diagonal(self.matrix, diagonal)
        self.norm = _one_norm(self.matrix, np)
        # The transpose of a C-ordered matrix is Fortran-ordered: LAPACK works in place, and its
        # lower triangle is our upper one.
        _, info = self._lapack("potrf")(self.matrix.T, lower=1, clean=0, overwrite_a=1)
        if info != 0:
            return None
        rcond, _ = self._lapack("pocon")(self.matrix.T, self.norm, uplo="L")
        return float(rcond)

    def restore(self, diagonal: Any) -> None:
        """Undo `factorise` by mirroring the strict lower triangle, which keeps the kernel."""
        for start in range(0, len(self.matrix), _ROWS):
            stop = start + _ROWS
            self.matrix[start:stop, stop:] = self.matrix[stop:, start:stop].T
            block = np.tril(self.matrix[start:stop, start:stop], -1)
            self.matrix[start:stop, start:stop] = block + block.T
        np.fill_diagonal(self.matrix, diagonal)

    def solve(self, columns: Any) -> Any:
        """Return the inverse times columns (n, t)."""
        solution, _ = self._lapack("potrs")(self.matrix.T, columns, lower=1)
        return np.ascontiguousarray(solution)

    def solve_lower(self, columns: Any) -> Any:
        """Return the inverse of the lower factor times columns (n, t)."""
        half, _ = self._lapack("trtrs")(self.matrix.T, columns, lower=1)
        return half

    def inverse_diagonal(self) -> Any:
        """Return the diagonal of the inverse, shape (n,)."""
        inverse, _ = self._lapack("trtri")(self.matrix.T, lower=1)
        total = np.zeros(len(self.matrix))
        for start in range(0, len(self.matrix), _ROWS):
            # LAPACK leaves the kernel in the other triangle: only L^-1 counts.
            rows = np.tril(inverse[start : start + _ROWS], start)
            total += np.einsum("ij,ij->j", rows, rows)
        return total


class BlockedFactor:
    """The algorithms of `cholesky`, in place: the factor is over the lower triangle."""

    def __init__(self, matrix: Any, place: Place, *, block: int = cholesky.BLOCK) -> None:
        self.matrix = matrix
        self._place, self._block = place, block

    def factorise(self, diagonal: Any) -> float | None:
        """Set the diagonal and factorise; return rcond, or None where that fails."""
        xp = self._place.xp
        xp.fill_diagonal(self.matrix, self._place.asarray(diagonal))
        self.norm = _one_norm(self.matrix, xp)
        try:
            cholesky.factorise(self.matrix, self._place, self._block)
        except np.linalg.LinAlgError:
            return None
        return 1.0 / (self.norm * self._inverse_norm())

    def _inverse_norm(self) -> float:
        """Estimate the 1-norm of the inverse from a few solves, as LAPACK's dpocon does."""
        n = len(self.matrix)

        def product(columns: Any) -> Any:
            there = self._place.asarray(np.ascontiguousarray(columns.reshape(n, -1), np.float64))
            return self._place.to_host(self.solve(there)).reshape(columns.shape)

        inverse = LinearOperator(
            (n, n),
            matvec=product,
            rmatvec=product,
            matmat=product,
            rmatmat=product,
            dtype=np.float64,
        )
        return float(onenormest(inverse, t=1))  # with one column nothing is drawn at random

    def restore(self, diagonal: Any) -> None:
        """Undo `factorise`, finished or not."""
        cholesky.restore(self.matrix, self._place.asarray(diagonal), self._place, self._block)

    def solve(self, columns: Any) -> Any:
        """Return the inverse times columns (n, t)."""
        return cholesky.solve(self.matrix, columns, self._place, self._block)

    def solve_lower(self, columns: Any) -> Any:
        """Return the inverse of the lower factor times columns (n, t)."""
        return cholesky.solve_lower(self.matrix, columns, self._place, self._block)

    def inverse_diagonal(self) -> Any:
        """Return the diagonal of the inverse, shape (n,)."""
        return cholesky.inverse_diagonal(self.matrix, self._place, self._block)


def factor_of(matrix: Any, place: Place, block: int = cholesky.BLOCK) -> Factor:
    """Return what factorises a C-contiguous float32 or float64 matrix where it is."""
    return HostFactor(matrix) if place is HOST else BlockedFactor(matrix, place, block=block)


def _one_norm(matrix: Any, xp: Any) -> float:
    return max(
        float(xp.abs(matrix[start : start + _ROWS]).sum(axis=1).max())
        for start in range(0, len(matrix), _ROWS)
    )
