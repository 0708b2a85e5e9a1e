"""Plain NumPy, written with care: what a user would reach without a library.

The textbook recursion in rho form. One BLAS product (NumPy takes syrk for X @ X.T); then every
layer is applied to a block while it is in the cache, in place, blocks shared out to threads; a
symmetric Gram computes one triangle of blocks and mirrors it. No memory beyond the outputs but a
few blocks per thread.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cases import Case
from contender import Array, Contender

BLOCK = 256  # two outputs and two scratch blocks of float32: 1 MiB


class PlainNumpy(Contender):
    def load(self, case: Case, x: Array, z: Array | None) -> dict[str, str]:
        self.x, self.z = x, z
        self._pool = ThreadPoolExecutor(self.threads)
        self._local = threading.local()
        return {"numpy": np.__version__}

    def call(self) -> tuple[Array, Array]:
        case, x, z = self.case, self.x, self.z
        other = x if z is None else z
        K = x @ other.T
        K /= x.dtype.type(case.features)
        T = np.empty_like(K)
        p = _row_variances(case, x)
        q = p if z is None else _row_variances(case, other)

        def block(corner: tuple[slice, slice]) -> None:
            self._layers(K, T, p, q, *corner)

        list(self._pool.map(block, _blocks(len(x), len(other), z is None)))
        return K, T

    def _layers(self, K: Array, T: Array, p: Array, q: Array, rows: slice, cols: slice) -> None:
        """Apply every layer to one block of K and T."""
        k, t, case = K[rows, cols], T[rows, cols], self.case
        w2, b2 = case.w_std**2, case.b_std**2
        step = _relu if case.activation == "relu" else _erf
        scratch = self._scratch(k)
        t[:] = 0
        for layer in range(case.depth + 1):
            k *= w2
            k += b2
            t *= w2
            t += k
            if layer < case.depth:
                step(k, t, p[layer, rows], q[layer, cols], *scratch)
        if self.z is None and rows != cols:
            K[cols, rows] = k.T
            T[cols, rows] = t.T

    def _scratch(self, like: Array) -> tuple[Array, Array]:
        if not hasattr(self._local, "blocks"):
            self._local.blocks = np.empty((2, BLOCK, BLOCK), like.dtype)
        a, b = self._local.blocks[:, : like.shape[0], : like.shape[1]]
        return a, b


def _blocks(n: int, m: int, symmetric: bool) -> Iterator[tuple[slice, slice]]:
    for i in range(0, n, BLOCK):
        for j in range(i if symmetric else 0, m, BLOCK):
            yield slice(i, min(i + BLOCK, n)), slice(j, min(j + BLOCK, m))


def _row_variances(case: Case, x: Array) -> Array:
    """Return k(x, x) after the Dense of each hidden layer, shape (depth, n)."""
    q = np.einsum("ij,ij->i", x, x) / case.features
    table = np.empty((case.depth, len(x)), x.dtype)
    for layer in range(case.depth):
        q = q * case.w_std**2 + case.b_std**2
        table[layer] = q
        q = q / 2 if case.activation == "relu" else 2 / np.pi * np.arcsin(2 * q / (1 + 2 * q))
    return table


def _relu(k: Array, t: Array, p: Array, q: Array, norm: Array, angle: Array) -> None:
    np.multiply.outer(np.sqrt(p), np.sqrt(q), out=norm)
    k /= norm  # the correlation rho
    np.clip(k, -1, 1, out=k)
    np.arccos(k, out=angle)
    np.subtract(np.pi, angle, out=angle)
    angle *= 1 / (2 * np.pi)
    t *= angle
    # norm * (sqrt(1 - rho^2) / (2 pi) + rho (pi - angle) / (2 pi)), with rho no longer needed
    angle *= k
    k *= k
    np.subtract(1, k, out=k)
    np.sqrt(k, out=k)
    k *= 1 / (2 * np.pi)
    k += angle
    k *= norm


def _erf(k: Array, t: Array, p: Array, q: Array, norm: Array, other: Array) -> None:
    np.multiply.outer(1 + 2 * p, 1 + 2 * q, out=norm)
    k *= 2
    np.multiply(k, k, out=other)
    np.subtract(norm, other, out=other)
    np.sqrt(other, out=other)
    t *= 4 / np.pi
    t /= other
    np.sqrt(norm, out=norm)
    k /= norm
    np.arcsin(k, out=k)
    k *= 2 / np.pi
