"""Mean and covariance of trained networks at rows that they were not trained on.

With V and lam the eigenvectors and eigenvalues of the training kernel Theta plus its ridge, g and h
decay and gain at time t, and K the NNGP kernel, the covariance of all initial functions:

- mean: ``f0(Z) + Theta(Z, X) V h V' (y - f0(X))``
- covariance, all layers trained: ``K(Z, Z) - D N' - N D' + D (V' K(X, X) V) D'`` with
  ``D = Theta(Z, X) V h`` and ``N = K(Z, X) V``
- covariance where Theta is the covariance of initial functions, too (readout trained, K = Theta):
  the four terms are ``K(Z, Z) - N h (1 + g) N'``, the ridge being the variance of noise on the
  targets.

Rows come in blocks; nothing larger than results, the rotated cross kernels and matrices of the
training rows is ever in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _memory
from .._kernel_matrix import FloatArray
from .laws import Law
from .sources import Rows, Source
from .spectrum import Spectrum

__all__ = ["BLOCK", "Ensemble", "turned"]

BLOCK = 512  # rows handled at a time


class Ensemble(NamedTuple):
    """The trained networks of one training kernel, at several times.

    `turned_prior` returns `turned` of the initial functions' kernel, which is made at most once.
    """

    source: Source
    kernel: str  # that of the dynamics, "ntk" or "nngp"
    initial: str  # that of the initial functions
    spectrum: Spectrum
    law: Law
    moments: Sequence[float]
    turned_prior: Callable[[], FloatArray]

    def mean(self, rows: Rows, start: FloatArray, residual: FloatArray) -> NDArray[Any]:
        """Return (times, rows, outputs), `residual` being y - f0 at the training rows."""
        count, outputs, n = rows.count, residual.shape[1], self.spectrum.n
        self._require(
            len(self.moments) * count * outputs * rows.dtype.itemsize,
            8 * n * (min(BLOCK, count) + len(self.moments) * outputs),
            f"predictions for {count} rows at {len(self.moments)} times",
        )
        vectors = self.spectrum.vectors
        components = vectors.T @ residual
        weights = np.empty((n, len(self.moments), outputs))
        for i, t in enumerate(self.moments):
            weights[:, i] = vectors @ (self.spectrum.factors(self.law, t)[1][:, None] * components)
        result = np.empty((len(self.moments), count, outputs), dtype=rows.dtype)
        for a, b in _blocks(count):
            learned = rows.cross(self.kernel, a, b) @ weights.reshape(n, -1)
            moved = start[a:b, None] + learned.reshape(b - a, len(self.moments), outputs)
            result[:, a:b] = moved.swapaxes(0, 1)
        return result

    def train_mean(self, start: FloatArray, residual: FloatArray) -> NDArray[Any]:
        """Return (times, n, outputs) at the training rows: ``f0 + V lam h V' (y - f0)``."""
        spectrum = self.spectrum
        shape = (len(self.moments), *residual.shape)
        self._require(
            int(np.prod(shape)) * self.source.dtype.itemsize,
            8 * 3 * residual.size,
            f"predictions for {spectrum.n} training rows at {len(self.moments)} times",
        )
        components = spectrum.vectors.T @ residual
        result = np.empty(shape, dtype=self.source.dtype)
        for i, t in enumerate(self.moments):
            share = spectrum.values * spectrum.factors(self.law, t)[1]
            result[i] = start + spectrum.vectors @ (share[:, None] * components)
        return result

    def covariance(self, rows: Rows, diagonal: bool) -> NDArray[Any]:
        """Return (times, rows, rows), or the variances (times, rows)."""
        count, n, several = rows.count, self.spectrum.n, len(self.moments)
        block = min(BLOCK, count)
        both = self.kernel != self.initial
        kept = block if diagonal else count
        shape = (several, count) if diagonal else (several, count, count)
        workspace = n * kept * (4 if both else 2) + 2 * n * block
        workspace += 3 * n * n if both else 0
        workspace += count if diagonal else count * count + block * block
        what = "variances" if diagonal else "covariances"
        self._require(
            int(np.prod(shape)) * rows.dtype.itemsize,
            8 * workspace,
            f"{what} of {count} rows at {several} times, for {n} training rows",
        )
        rotated = self.turned_prior() if both else None
        prior = rows.prior(self.initial, diagonal)
        result = np.empty(shape, dtype=rows.dtype)
        parts = _blocks(count) if diagonal else [(0, count)]
        for a, b in parts:
            cross = self._rotated(rows, self.kernel, a, b)
            cross_prior = self._rotated(rows, self.initial, a, b) if both else cross
            for i, t in enumerate(self.moments):
                decay, gain = self.spectrum.factors(self.law, t)
                if rotated is None:
                    left, right = cross * (0.5 * gain * (1.0 + decay)), cross
                else:
                    left = cross * gain
                    right = cross_prior - 0.5 * _product(left, rotated)
                if diagonal:
                    learned = 2.0 * np.einsum("ij,ij->i", left, right)
                    result[i, a:b] = np.maximum(prior[a:b] - learned, 0.0)
                else:
                    _subtract_symmetric(result[i], prior, left, right)
        return result

    def train_covariance(self, diagonal: bool) -> NDArray[Any]:
        """Return the covariance at the training rows, (times, n, n) or (times, n).

        All layers trained: ``V g V' K V g V'``; readout trained: ``V lam g**2 V'``, in which the
        ridge is the variance of noise, as it is at t = 0.
        """
        source, spectrum = self.source, self.spectrum
        n, several = spectrum.n, len(self.moments)
        both = self.kernel != self.initial
        _memory.require(
            several * n * (1 if diagonal else n) * source.dtype.itemsize,
            8 * n * n * (5 if both else 3),
            f"covariances of {n} training rows at {several} times",
            "ask for fewer times at once, or use fewer samples",
        )
        rotated = self.turned_prior() if both else None
        result = np.empty((several, n) if diagonal else (several, n, n), dtype=source.dtype)
        for i, t in enumerate(self.moments):
            decay = spectrum.factors(self.law, t)[0]
            if rotated is None:
                shrunk = spectrum.vectors * (decay * np.sqrt(spectrum.values))
                left = right = shrunk
            else:
                left = spectrum.vectors * decay
                right = left @ rotated
            if diagonal:
                result[i] = np.maximum(np.einsum("ij,ij->i", left, right), 0.0)
            else:
                full = right @ left.T
                result[i] = 0.5 * (full + full.T)
        return result

    def _rotated(self, rows: Rows, kind: str, start: int, stop: int) -> FloatArray:
        """Return a cross kernel in the eigenbasis, for the rows from start to stop."""
        result = np.empty((stop - start, self.spectrum.n))
        for a, b in _blocks(stop - start):
            result[a:b] = rows.cross(kind, start + a, start + b) @ self.spectrum.vectors
        return result

    def _require(self, outputs: int, workspace: int, what: str) -> None:
        _memory.require(
            outputs,
            workspace,
            what,
            "ask for fewer times or rows at once; variances alone (cov='diag') take less",
        )


def turned(kernel: FloatArray, vectors: FloatArray) -> FloatArray:
    """Return V' K V, using up the memory of K."""
    for a, b in _blocks(len(kernel)):
        kernel[a:b] = kernel[a:b] @ vectors
    result: FloatArray = vectors.T @ kernel
    return result


def _blocks(count: int) -> list[tuple[int, int]]:
    return [(a, min(a + BLOCK, count)) for a in range(0, count, BLOCK)]


def _product(left: FloatArray, right: FloatArray) -> FloatArray:
    result = np.empty_like(left)
    for a, b in _blocks(len(left)):
        np.matmul(left[a:b], right, out=result[a:b])
    return result


def _subtract_symmetric(
    out: NDArray[Any], prior: FloatArray, left: FloatArray, right: FloatArray
) -> None:
    """Write ``prior - left right' - right left'``, one triangle computed and mirrored."""
    for a, b in _blocks(len(prior)):
        for c, d in _blocks(b):
            learned = left[a:b] @ right[c:d].T
            learned += right[a:b] @ left[c:d].T
            block = prior[a:b, c:d] - learned
            if a == c:  # symmetric to the last bit, not only up to rounding
                block = 0.5 * (block + block.T)
            out[a:b, c:d] = block
            out[c:d, a:b] = block.T
