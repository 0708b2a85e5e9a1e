"""From any supported array to what the core reads, and back to the same kind of array.

The core reads C-contiguous, aligned float32 or float64 of rank 2, and refuses what is not finite
while it takes the norms. Nothing is detached or densified behind the user's back: such input is
refused by name. Rows on a CUDA device are read once on the host, which makes all numbers that
depend on one row; results, which are larger, stay on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._device import missing
from ._device_arrays import (
    device_index,
    foreign_root,
    no_place,
    read_device,
    roots,
    through_cupy,
    type_name,
    writer,
)
from .errors import DeviceError, KernelOverflowError

__all__ = [
    "DeviceVectors",
    "OnDevice",
    "Prepared",
    "as_given",
    "cuda_device",
    "device_vectors",
    "in_float64",
    "on_device",
    "prepare",
]

# The one promotion table: dtype by name -> dtype of the computation.
_PROMOTION: dict[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "float16": np.dtype(np.float32),
    "bfloat16": np.dtype(np.float32),
    "bool": np.dtype(np.float64),
    **{f"int{bits}": np.dtype(np.float64) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": np.dtype(np.float64) for bits in (8, 16, 32, 64)},
}


class Prepared(NamedTuple):
    """Checked inputs of the core, and the function that returns its results to the caller."""

    x: NDArray[Any]
    z: NDArray[Any] | None
    wrap: Callable[[Any], Any]
    device: int | None = None  # number of the CUDA device that the rows came from
    rounded: bool = False  # wrap() rounds results to float32: see in_float64


def prepare(X: Any, Z: Any = None, *, positions: tuple[int, ...] = ()) -> Prepared:
    """Check X and Z and convert them to one dtype; Z None stays None.

    `positions`: numbers of axes of positions that they may have, none for rows; 1 are sequences,
    (n, width, channels), which become images of height one, and 2 are images.
    """
    kind = _kind(X)
    if Z is not None and (other := _kind(Z)) != kind:
        raise TypeError(
            f"X and Z must be arrays of one kind, got {type_name(X)} ({kind}) for X "
            f"and {type_name(Z)} ({other}) for Z"
        )
    x, dtype, device = _read("X", X, positions)
    wrap = _WRITERS[kind] if device is None else writer("X", X, kind, device)
    if Z is None:
        return Prepared(_converted(x, dtype), None, wrap, device)
    z, z_dtype, other_device = _read("Z", Z, positions)
    if other_device != device:
        raise DeviceError(
            f"X and Z must be on one device, got {_place(device)} for X and {_place(other_device)} "
            "for Z"
        )
    dtype = np.result_type(dtype, z_dtype)
    if x.shape[1:] != z.shape[1:]:
        what = "samples of the same size" if positions else "the same number of columns"
        raise ValueError(
            f"X and Z must have {what}, got X of shape {x.shape} and Z of shape {z.shape}"
        )
    return Prepared(_converted(x, dtype), _converted(z, dtype), wrap, device)


def in_float64(data: Prepared) -> Prepared:
    """Return float32 samples as float64, and their results rounded to float32."""
    if data.x.dtype != np.float32:
        return data

    def wrap(result: Any) -> Any:
        if result is None:
            return data.wrap(None)
        with np.errstate(over="ignore"):
            rounded = result.astype("float32")
        if bool((abs(rounded) == float("inf")).any()):
            raise KernelOverflowError(
                "a kernel value is beyond the largest float32: scale the inputs down, or pass "
                "float64 samples"
            )
        return data.wrap(rounded)

    x, z = (None if each is None else each.astype(np.float64) for each in (data.x, data.z))
    assert x is not None
    return Prepared(x, z, wrap, data.device, rounded=True)


def as_given(array: NDArray[Any], positions: tuple[int, ...]) -> NDArray[Any]:
    """Return what `prepare` made of an array in the shape that networks take: sequences as such."""
    return array[:, 0] if positions == (1,) else array


class OnDevice(NamedTuple):
    """An array of a CUDA device as CuPy sees it, and what makes CuPy arrays into its kind."""

    array: Any
    device: int
    kind: str
    wrap: Callable[[Any], Any]


class DeviceVectors(NamedTuple):
    """Vectors of a CUDA device in host memory, and what makes products into their kind."""

    array: NDArray[Any]
    device: int
    wrap: Callable[[Any], Any]


def device_vectors(name: str, value: Any) -> DeviceVectors | None:
    """Return vectors of a CUDA device, read on the stream of their library; None for all else."""
    kind = _kind(value)
    if kind == "numpy" or (index := device_index(name, value, kind)) is None:
        return None
    wrap = writer(name, value, kind, index)  # refuses before anything is copied
    return DeviceVectors(_READERS.get(kind, read_device)(name, value), index, wrap)


def cuda_device(name: str, value: Any) -> int | None:
    """Return the number of the CUDA device that holds an array, None for all else."""
    return device_index(name, value, _kind(value))


def on_device(name: str, value: Any) -> OnDevice | None:
    """Return an array of a CUDA device for CuPy to work on, without a copy; None for all others."""
    kind = _kind(value)
    if kind in ("torch", "jax"):
        {"torch": _check_torch, "jax": _check_jax}[kind](name, value)
    if (index := device_index(name, value, kind)) is None:
        return None
    return OnDevice(through_cupy(name, value), index, kind, writer(name, value, kind, index))


# --- Which library an object belongs to, without importing any -------------------------------


def _kind(value: Any) -> str:
    packages = roots(value)
    for library in ("torch", "cupy"):
        if library in packages:
            return library
    if packages & {"jax", "jaxlib"}:
        return "jax"
    return foreign_root(value) or "numpy"


def _place(device: int | None) -> str:
    return "the CPU" if device is None else f"cuda:{device}"


# --- Reading ---------------------------------------------------------------------------------


def _read(
    name: str, value: Any, positions: tuple[int, ...]
) -> tuple[NDArray[Any], np.dtype[Any], int | None]:
    """Return the value as a NumPy array, the dtype to compute in, and its CUDA device."""
    kind = _kind(value)
    array = _READERS.get(kind, read_device)(name, value)
    device = device_index(name, value, kind)
    dtype = _promoted(name, array)
    if positions:
        return _read_positions(name, array, positions), dtype, device
    if array.ndim == 1:
        raise ValueError(
            f"{name} must be 2-D (samples in rows), got shape {array.shape}: use {name}.reshape"
            f"(-1, 1) for samples of one feature, {name}.reshape(1, -1) for one sample"
        )
    if array.ndim != 2:
        raise ValueError(
            f"{name} must be 2-D (samples in rows), got shape {array.shape}"
            + (f": flatten it with {name}.reshape(len({name}), -1)" if array.ndim > 2 else "")
        )
    if array.shape[1] == 0:
        raise ValueError(f"{name} must have at least one column, got shape {array.shape}")
    return array, dtype, device


_SHAPES = {1: "3-D (sequences, width, channels)", 2: "4-D (images, height, width, channels)"}


def _read_positions(name: str, array: NDArray[Any], positions: tuple[int, ...]) -> NDArray[Any]:
    axes = array.ndim - 2
    if axes not in positions:
        hint = ""
        if axes == 1:
            hint = f": use {name}[..., None] for images of one channel, Conv((k,)) for sequences"
        elif axes == 2:
            hint = ": use Conv((k, k)) for images"
        elif axes == 0 and 1 in positions:
            hint = f": use {name}[..., None] for sequences of one channel"
        raise ValueError(
            f"{name} must be {' or '.join(_SHAPES[k] for k in positions)} for a network with Conv "
            f"or pools, got shape {array.shape}{hint}"
        )
    if 0 in array.shape[1:]:
        raise ValueError(
            f"{name} must have at least one position and channel, got shape {array.shape}"
        )
    return array[:, None] if axes == 1 else array


def _read_host(name: str, value: Any) -> NDArray[Any]:
    packages = roots(value)
    if "cupyx" in packages:
        raise no_place(name, value, f"sparse arrays are not supported: pass {name}.toarray()")
    if _is_sparse(value):
        raise TypeError(
            f"{name} is sparse ({type_name(value)}), which is not supported: pass "
            f"{name}.toarray() if the dense array fits in memory"
        )
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(f"{name} is a masked array with masked entries: fill or drop them first")
    if "pandas" in packages and hasattr(value, "dtypes"):
        value = _read_pandas(name, value)
    try:
        return np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{name} must be a 2-D array of numbers: {error}") from error
    except RuntimeError as error:  # a list of tensors that require gradients
        raise TypeError(f"{name} cannot be read as a NumPy array: {error}") from error


def _is_sparse(value: Any) -> bool:
    return type(value).__module__.startswith("scipy.sparse") and hasattr(value, "toarray")


def _read_pandas(name: str, value: Any) -> Any:
    """Return a frame's values; columns of text, dates or sparse values are refused."""
    if value.ndim != 2:
        return value
    # Nullable dtypes carry the NumPy dtype they stand for; sparse ones would be densified.
    dtypes = [(c, getattr(t, "numpy_dtype", t)) for c, t in value.dtypes.items()]
    if bad := [(c, t) for c, t in dtypes if str(t) not in _PROMOTION]:
        column, refused = bad[0]
        raise TypeError(
            f"{name} must have numeric columns only, got dtype {refused} in column {column!r}"
            + (f" and {len(bad) - 1} more" if len(bad) > 1 else "")
        )
    dtype = np.result_type(*(_PROMOTION[str(t)] for _, t in dtypes)) if dtypes else np.float64
    # A missing value becomes NaN, to be reported with its place.
    return value.to_numpy(dtype=dtype, na_value=np.nan)


def _check_torch(name: str, value: Any) -> None:
    torch = import_module("torch")
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be a 2-D array, got {type_name(value)}")
    if value.requires_grad or torch.autograd.forward_ad.unpack_dual(value).tangent is not None:
        raise TypeError(
            f"{name} requires gradients, which ntkfast would drop: pass {name}.detach()"
        )
    if value.layout != torch.strided:
        raise TypeError(
            f"{name} is sparse ({value.layout}), which is not supported: pass {name}.to_dense()"
        )
    if value.device.type != "cpu":
        cuda = value.device.type == "cuda"
        if why := missing() if cuda else "only CPU and CUDA devices are known":
            raise no_place(name, value, f"{why}; or pass {name}.cpu()", device=str(value.device))


def _read_torch(name: str, value: Any) -> NDArray[Any]:
    torch = import_module("torch")
    _check_torch(name, value)
    value = value.cpu()  # queued on PyTorch's current stream, and waited for
    if value.dtype == torch.bfloat16:  # NumPy has no such dtype
        value = value.to(torch.float32)
    try:
        return np.asarray(value.resolve_neg().numpy())
    except (TypeError, RuntimeError) as error:  # float8, quantised, nested, inside vmap, ...
        raise TypeError(f"{name} cannot be read as a NumPy array: {error}") from error


def _check_jax(name: str, value: Any) -> None:
    if any(cls.__name__ == "Tracer" for cls in type(value).__mro__):
        raise TypeError(
            f"{name} is a JAX tracer ({type_name(value)}): ntkfast computes on concrete arrays "
            "and cannot be traced by jit, grad or vmap; call it outside of them"
        )
    if not hasattr(value, "devices"):
        raise TypeError(f"{name} must be a 2-D array, got {type_name(value)}")
    for device in value.devices():
        if device.platform != "cpu":
            cuda = device.platform in ("gpu", "cuda")
            if why := missing() if cuda else "only CPU and CUDA devices are known":
                remedy = f"{why}; or pass jax.device_get({name})"
                raise no_place(name, value, remedy, device=str(device))


def _read_jax(name: str, value: Any) -> NDArray[Any]:
    _check_jax(name, value)
    return np.asarray(value)


# What checks an array and reads it into host memory; all others are on a device.
_READERS: dict[str, Callable[[str, Any], NDArray[Any]]] = {
    "numpy": _read_host,
    "torch": _read_torch,
    "jax": _read_jax,
}


# --- Promotion, layout ------------------------------------------------------------------------


def _promoted(name: str, array: NDArray[Any]) -> np.dtype[Any]:
    dtype = _PROMOTION.get(array.dtype.name)
    if dtype is None:
        raise TypeError(
            f"{name} must hold floats (up to float64), integers or bools, got dtype {array.dtype}"
            + (f": convert with {name}.astype(float)" if array.dtype.kind in "OgS" else "")
        )
    return dtype


def _converted(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    # require() also realigns; it copies only where it must.
    return np.require(array, dtype=dtype, requirements=["C", "A"])


# --- Returning -------------------------------------------------------------------------------


def _to_numpy(result: NDArray[Any] | None) -> Any:
    return result


def _to_torch(result: NDArray[Any] | None) -> Any:
    return None if result is None else import_module("torch").from_numpy(result)


def _to_jax(result: NDArray[Any] | None) -> Any:
    if result is None:
        return None
    jax = import_module("jax")
    # JAX itself keeps float64 only where its switch jax_enable_x64 is on.
    return jax.device_put(result, jax.devices("cpu")[0])


_WRITERS = {"numpy": _to_numpy, "torch": _to_torch, "jax": _to_jax}
