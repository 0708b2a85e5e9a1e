"""Check the arguments of kernel systems: a matrix, its ridge, targets and weights."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _memory

FloatArray: TypeAlias = NDArray[np.float64]

BLOCK = 512  # rows handled at a time in passes over the matrix: 512 x n doubles stay small

# Kernels that were computed in float32 and widened are symmetric to about 1e-6; a cross kernel
# that was passed by mistake is not symmetric at all.
_SYMMETRY_TOLERANCE = 1e-5


def kernel_matrix(K: ArrayLike, overwrite: bool) -> FloatArray:
    """Return K as a C-contiguous float64 matrix that may be written to."""
    given = real_array(K, "K")
    if given.ndim != 2 or given.shape[0] != given.shape[1]:
        raise ValueError(f"K must be a square matrix (n, n), got shape {given.shape}.")
    if len(given) == 0:
        raise ValueError("K must hold at least one sample, got shape (0, 0).")
    reusable = given.flags.writeable and given.flags.c_contiguous and given.dtype == np.float64
    if overwrite and reusable:
        matrix = given.view(np.ndarray)
    else:
        require_memory(len(given), 1)
        matrix = np.array(given, dtype=np.float64, order="C")
    _require_finite_symmetric(matrix)
    return matrix


def require_memory(n: int, matrices: int) -> None:
    """Raise `MemoryBudgetError` unless so many n x n float64 matrices can be allocated."""
    _memory.require(
        0,
        8 * n * n * matrices,
        f"solving with K of n = {n}",
        "use fewer samples, a given ridge instead of a grid, or a writable C-contiguous float64 K "
        "with overwrite=True",
    )


def _require_finite_symmetric(matrix: FloatArray) -> None:
    scale = 0.0
    asymmetry = 0.0
    for start in range(0, len(matrix), BLOCK):
        rows = matrix[start : start + BLOCK, start:]
        columns = matrix[start:, start : start + BLOCK].T
        # NumPy's maximum hands a NaN on; Python's may not.
        scale = float(np.maximum(scale, np.maximum(np.abs(rows).max(), np.abs(columns).max())))
        if not np.isfinite(scale):
            raise ValueError("K must be finite, got NaN or infinity.")
        asymmetry = max(asymmetry, float(np.abs(rows - columns).max()))
    if asymmetry > _SYMMETRY_TOLERANCE * scale:
        raise ValueError(
            f"K must be symmetric, got entries that differ from their mirror image by up to "
            f"{asymmetry:.3g} (largest entry {scale:.3g}). Is it a cross kernel?"
        )


def absolute_ridge(ridge: float | ArrayLike, unit: float, n: int) -> float | FloatArray:
    """Return `ridge` times `unit`, checked to be one number or n numbers, finite, >= 0."""
    values = real_array(ridge, "ridge")
    if values.ndim not in (0, 1) or (values.ndim == 1 and len(values) != n):
        raise ValueError(f"ridge must be a number or have shape ({n},), got shape {values.shape}.")
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(f"ridge must be finite and not negative, got {ridge!r}.")
    scaled = values.astype(np.float64) * unit
    return float(scaled) if values.ndim == 0 else scaled


def target_array(y: ArrayLike, n: int) -> FloatArray:
    """Return y as float64 of shape (n,) or (n, t)."""
    values = real_array(y, "y")
    if values.ndim not in (1, 2) or len(values) != n:
        raise ValueError(f"y must have shape ({n},) or ({n}, t), got {values.shape}.")
    if not np.isfinite(values).all():
        raise ValueError("y must be finite, got NaN or infinity.")
    return values.astype(np.float64)


def weight_array(weights: ArrayLike | None, n: int) -> FloatArray:
    """Return positive sample weights of shape (n,), ones for None."""
    if weights is None:
        return np.ones(n)
    values = real_array(weights, "weights")
    if values.shape != (n,):
        raise ValueError(f"weights must have shape ({n},), got {values.shape}.")
    if not np.isfinite(values).all() or (values <= 0).any():
        raise ValueError("weights must be finite and positive: leave samples of weight 0 out.")
    return values.astype(np.float64)


def real_array(values: ArrayLike, name: str) -> NDArray[Any]:
    """Return `values` as an array of real numbers, else raise a TypeError that names it."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}.")
    return array
