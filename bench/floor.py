"""The floor: what no program of this kind can be much faster than, measured in the same round.

floor = product + writing, where

- product: the fastest of several ways to form X @ Z.T with all threads and memory already mapped,
  halved when the Gram is symmetric (half of the product is then enough);
- writing: the fastest way to write both outputs, once, to freshly allocated memory (page faults
  included) with the same threads.

The layers themselves count nothing. README.md says why each part is chosen as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import scipy
from scipy.linalg import get_blas_funcs
from threadpoolctl import ThreadpoolController

from cases import Case
from contender import Array, Contender
from worker import timed_calls

TILE = 512  # side of the output tiles of the tiled product


class Floor(Contender):
    answers = False

    def load(self, case: Case, x: Array, z: Array | None) -> dict[str, str]:
        self.x = x
        # A copy, for a symmetric Gram too: NumPy would take syrk for X @ X.T, half a product.
        self.z = x.copy() if z is None else z
        self._symmetric = z is None
        self._transposed = np.ascontiguousarray(self.z.T)
        self._out = np.empty((len(self.x), len(self.z)), x.dtype)
        self._gemm = get_blas_funcs("gemm", (self.x,))
        self._pool = ThreadPoolExecutor(self.threads)
        self._blas = ThreadpoolController()
        return {"numpy": np.__version__, "scipy": scipy.__version__, "blas": self._blas_name()}

    def call(self) -> tuple[Any, Any]:
        """Run every way once (the first, untimed call)."""
        for way in (*self._products().values(), *self._writings().values()):
            way()
        return None, None

    def on_turn(self) -> dict[str, Any]:
        calls = self.case.calls
        products = {n: float(np.median(timed_calls(f, calls))) for n, f in self._products().items()}
        writings = {n: float(np.median(timed_calls(f, calls))) for n, f in self._writings().items()}
        share = 0.5 if self._symmetric else 1.0
        seconds = share * min(products.values()) + min(writings.values())
        return {"seconds": seconds, "calls": calls, "products": products, "writings": writings}

    def _products(self) -> dict[str, Callable[[], Any]]:
        x, z, out = self.x, self.z, self._out
        return {
            "numpy X @ Z.T": lambda: np.matmul(x, z.T, out=out),
            "numpy X @ (Z.T copied)": lambda: np.matmul(x, self._transposed, out=out),
            # Fortran order, so that SciPy copies nothing: out.T = Z X.T
            "scipy gemm": lambda: self._gemm(
                1.0, z.T, x.T, trans_a=True, c=out.T, beta=0.0, overwrite_c=True
            ),
            "tiles, one thread each": self._tiled_product,
        }

    def _tiled_product(self) -> None:
        x, z, out = self.x, self.z, self._out
        tiles = [(i, j) for i in range(0, len(x), TILE) for j in range(0, len(z), TILE)]

        def tile(corner: tuple[int, int]) -> None:
            rows = slice(corner[0], corner[0] + TILE)
            cols = slice(corner[1], corner[1] + TILE)
            np.matmul(x[rows], z[cols].T, out=out[rows, cols])

        with self._blas.limit(limits=1, user_api="blas"):
            list(self._pool.map(tile, tiles))

    def _writings(self) -> dict[str, Callable[[], Any]]:
        counts = sorted({1, self.threads})
        return {f"{count} threads": partial(self._write, count) for count in counts}

    def _write(self, count: int) -> tuple[Array, Array]:
        """Write two new outputs, `count` threads each taking a part of each."""
        outputs = (np.empty_like(self._out), np.empty_like(self._out))
        parts = [part for array in outputs for part in np.array_split(array, count)]
        if count == 1:
            list(map(_fill, parts))
        else:
            list(self._pool.map(_fill, parts))
        return outputs

    def _blas_name(self) -> str:
        infos = [info for info in self._blas.info() if info["user_api"] == "blas"]
        names = {f"{i['internal_api']} {i['version']} {i.get('architecture', '')}" for i in infos}
        return ", ".join(sorted(names))


def _fill(part: Array) -> None:
    part[...] = 1.0
