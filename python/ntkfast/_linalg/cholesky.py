"""Cholesky factors of large matrices in place, block by block, on the CPU or on a CUDA device.

The factor takes the lower triangle of a row-major matrix; its strict upper triangle keeps the
matrix, so that a failure can be undone and nothing is copied. Of LAPACK and cuSOLVER only the
blocks on the diagonal are asked for: their 32-bit interfaces end at n = 46,340, where n * n leaves
the range of an int. Everything else is a matrix product. Left-looking (Golub and Van Loan 2013,
section 4.2.8): each block is written once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .place import Place

__all__ = [
    "BLOCK",
    "factorise",
    "inverse_diagonal",
    "restore",
    "solve",
    "solve_lower",
    "workspace_bytes",
]

BLOCK = 2048  # columns at a time: products of this width run at the speed of large ones


def workspace_bytes(n: int, itemsize: int, block: int = BLOCK) -> int:
    """Return what `factorise` and the solves hold beside the matrix."""
    # A panel, what is subtracted from it, its copy in the triangular solve; a strip of rows that
    # the product needs contiguous.
    return 4 * n * min(n, block) * itemsize


def factorise(matrix: Any, place: Place, block: int = BLOCK) -> None:
    """Put the Cholesky factor over the lower triangle.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the matrix is not positive definite to working precision; undo with `restore`.
    """
    xp = place.xp
    n = len(matrix)
    for start in range(0, n, block):
        stop = min(n, start + block)
        head = matrix[start:stop, :start]
        pivot = matrix[start:stop, start:stop]
        factor = place.cholesky(pivot - head @ head.T)  # reads the lower triangle
        if not bool(xp.isfinite(factor.diagonal()).all()):
            raise np.linalg.LinAlgError("a pivot is not finite")
        pivot[...] = xp.tril(factor) + xp.triu(pivot, 1)
        for low in range(stop, n, block):
            rows = slice(low, min(n, low + block))
            panel = matrix[rows, start:stop] - matrix[rows, :start] @ head.T
            matrix[rows, start:stop] = place.solve_lower(factor, panel.T).T


def restore(matrix: Any, diagonal: Any, place: Place, block: int = BLOCK) -> None:
    """Undo `factorise`, finished or not: mirror the strict upper triangle, set the diagonal."""
    xp = place.xp
    n = len(matrix)
    for start in range(0, n, block):
        stop = min(n, start + block)
        matrix[stop:, start:stop] = matrix[start:stop, stop:].T
        upper = xp.triu(matrix[start:stop, start:stop], 1)
        matrix[start:stop, start:stop] = upper + upper.T
    xp.fill_diagonal(matrix, diagonal)


def solve_lower(matrix: Any, columns: Any, place: Place, block: int = BLOCK, first: int = 0) -> Any:
    """Return ``inv(L) @ columns`` for the factor L in `matrix`.

    `first`: the columns are zero above this row, a multiple of the block.
    """
    xp = place.xp
    n = len(matrix)
    found = xp.array(columns, dtype=matrix.dtype)
    for start in range(first, n, block):
        stop = min(n, start + block)
        right = found[start:stop]
        if start > first:
            right = right - matrix[start:stop, first:start] @ found[first:start]
        factor = xp.tril(matrix[start:stop, start:stop])
        found[start:stop] = place.solve_lower(factor, right)
    return found


def solve(matrix: Any, columns: Any, place: Place, block: int = BLOCK) -> Any:
    """Return ``inv(L @ L.T) @ columns`` for the factor L in `matrix`."""
    xp = place.xp
    n = len(matrix)
    found = solve_lower(matrix, columns, place, block)
    for start in reversed(range(0, n, block)):
        stop = min(n, start + block)
        right = found[start:stop]
        if stop < n:
            right = right - matrix[stop:, start:stop].T @ found[stop:]
        factor = xp.tril(matrix[start:stop, start:stop])
        found[start:stop] = place.solve_lower(factor, right, transposed=True)
    return found


def inverse_diagonal(matrix: Any, place: Place, block: int = BLOCK) -> Any:
    """Return the diagonal of ``inv(L @ L.T)``: the squared columns of ``inv(L)``, n^3/3 flops."""
    xp = place.xp
    n = len(matrix)
    total = xp.empty(n, dtype=matrix.dtype)
    for start in range(0, n, block):
        stop = min(n, start + block)
        unit = xp.zeros((n, stop - start), dtype=matrix.dtype)
        unit[start:stop] = xp.eye(stop - start, dtype=matrix.dtype)
        half = solve_lower(matrix, unit, place, block, first=start)
        total[start:stop] = (half[start:] ** 2).sum(axis=0)
    return total
