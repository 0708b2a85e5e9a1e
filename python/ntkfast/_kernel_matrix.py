"""Check the arguments of kernel systems: a matrix, its ridge, targets and weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._arrays import OnDevice, on_device
from ._linalg.place import HOST, CudaPlace, Place
from .errors import DeviceError

FloatArray: TypeAlias = NDArray[np.float64]

BLOCK = 512  # rows handled at a time in passes over the matrix: 512 x n doubles stay small

# Kernels that were computed in float32 and widened are symmetric to about 1e-6; a cross kernel
# that was passed by mistake is not symmetric at all.
_SYMMETRY_TOLERANCE = 1e-5


class Located(NamedTuple):
    """An array where it lies, and what makes arrays of that place into the caller's kind."""

    array: Any
    place: Place
    wrap: Callable[[Any], Any]
    writable: bool  # as far as its library tells


def located(values: Any, name: str) -> Located:
    """Return an array of real numbers with its place, NumPy's or CuPy's."""
    found = on_device(name, values)
    if found is None:
        array = real_array(values, name)
        return Located(array, HOST, _unchanged, array.flags.writeable)
    _require_real(found.array, name)
    wrap = _unchanged if found.kind == "cupy" else found.wrap
    # JAX arrays never change.
    return Located(found.array, CudaPlace(found.device), wrap, found.kind != "jax")


def _unchanged(array: Any) -> Any:
    return array


def kernel_matrix(K: ArrayLike, overwrite: bool) -> FloatArray:
    """Return K of the CPU as a C-contiguous float64 matrix that may be written to."""
    given = Located(real_array(K, "K"), HOST, _unchanged, True)
    return np.asarray(own_matrix(given, overwrite))


def require_square(given: Any) -> None:
    """Raise ValueError unless K is (n, n) with n > 0."""
    if given.ndim != 2 or given.shape[0] != given.shape[1]:
        raise ValueError(f"K must be a square matrix (n, n), got shape {given.shape}.")
    if len(given) == 0:
        raise ValueError("K must hold at least one sample, got shape (0, 0).")


def own_matrix(K: Located, overwrite: bool) -> Any:
    """Return K as a C-contiguous float64 matrix that may be written to, where K is."""
    given, place = K.array, K.place
    require_square(given)
    writable = K.writable and getattr(given.flags, "writeable", True)
    if overwrite and writable and given.flags.c_contiguous and given.dtype == np.float64:
        matrix = given.view(np.ndarray) if place is HOST else given
    else:
        require_memory(len(given), 1, place)
        matrix = place.xp.array(given, dtype=np.float64, order="C")
    require_finite_symmetric(matrix, place)
    return matrix


def require_memory(n: int, matrices: int, place: Place = HOST) -> None:
    """Raise `MemoryBudgetError` unless so many n x n float64 matrices can be allocated."""
    require_bytes(n, 8 * n * n * matrices, place)


def require_bytes(n: int, n_bytes: int, place: Place) -> None:
    """Raise `MemoryBudgetError` unless so many bytes can be allocated to solve with n samples."""
    place.require_memory(
        n_bytes,
        f"solving with K of n = {n}",
        "use fewer samples, a given ridge instead of a grid, or a writable C-contiguous float64 K "
        "with overwrite=True",
    )


def require_finite_symmetric(matrix: Any, place: Place) -> None:
    """Raise ValueError for NaN, infinity and what is no symmetric matrix."""
    xp = place.xp
    scale = 0.0
    asymmetry = 0.0
    for start in range(0, len(matrix), BLOCK):
        rows = matrix[start : start + BLOCK, start:]
        columns = matrix[start:, start : start + BLOCK].T
        # A NaN makes a maximum NaN; Python's may lose it.
        largest = float(xp.maximum(xp.abs(rows).max(), xp.abs(columns).max()))
        if not np.isfinite(largest):
            raise ValueError("K must be finite, got NaN or infinity.")
        scale = max(scale, largest)
        asymmetry = max(asymmetry, float(xp.abs(rows - columns).max()))
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


def target_array(y: Any, n: int, place: Place = HOST) -> Any:
    """Return y as float64 of shape (n,) or (n, t), moved to where the kernel is."""
    found: OnDevice | None = on_device("y", y)
    if found is not None and f"cuda:{found.device}" != place.name:
        raise DeviceError(f"y is on cuda:{found.device} and K on {place.name}: copy one of them")
    values = place.asarray(real_array(y, "y") if found is None else found.array)
    _require_real(values, "y")
    if values.ndim not in (1, 2) or len(values) != n:
        raise ValueError(f"y must have shape ({n},) or ({n}, t), got {values.shape}.")
    if not bool(place.xp.isfinite(values).all()):
        raise ValueError("y must be finite, got NaN or infinity.")
    return values.astype(np.float64)


def host_values(values: Any, name: str) -> Any:
    """Return what has one row per sample in host memory; what is there stays as it is."""
    found = None if values is None else on_device(name, values)
    return values if found is None else CudaPlace(found.device).to_host(found.array)


def weight_array(weights: ArrayLike | None, n: int) -> FloatArray:
    """Return positive sample weights of shape (n,), ones for None."""
    if weights is None:
        return np.ones(n)
    values = real_array(host_values(weights, "weights"), "weights")
    if values.shape != (n,):
        raise ValueError(f"weights must have shape ({n},), got {values.shape}.")
    if not np.isfinite(values).all() or (values <= 0).any():
        raise ValueError("weights must be finite and positive: leave samples of weight 0 out.")
    return values.astype(np.float64)


def real_array(values: ArrayLike, name: str) -> NDArray[Any]:
    """Return `values` as an array of real numbers, else raise a TypeError that names it."""
    array = np.asarray(values)
    _require_real(array, name)
    return array


def _require_real(array: Any, name: str) -> None:
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}.")
