"""Products of a kernel with vectors, block by block."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ._blocks import Blocks

__all__ = ["BlockProduct"]


class BlockProduct:
    """What `KernelOperator` multiplies with where the core has no product of its own.

    Entries are those of the kernel, products and sums are in float64, and blocks are added in one
    order: the same bits for every number of threads.
    """

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks

    def multiply(
        self,
        v: NDArray[np.float64],
        transposed: bool,
        progress: Callable[[int, int], None] | None,
    ) -> NDArray[np.float64]:
        """Return the product; both arrays of float64 and rank 2."""
        blocks = self._blocks
        result = np.zeros((blocks.shape[1 if transposed else 0], v.shape[1]))
        for _, (rows, columns), (part,) in blocks.walk(progress):
            entries = part.astype(np.float64)
            if transposed:
                rows, columns, entries = columns, rows, entries.T
            result[rows] += entries @ v[columns]
            if blocks.z is None and rows != columns:
                result[columns] += entries.T @ v[rows]
        return result

    def workspace(self, count: int) -> int:
        """Return the bytes of a product with so many vectors, beside them and the result."""
        blocks = self._blocks
        n, m = (min(blocks.edge, side) for side in blocks.shape)
        block = n * m * (8 + blocks.dtype.itemsize) + (n + m) * count * 8
        return block + blocks.workspace(n, m, blocks.threads)
