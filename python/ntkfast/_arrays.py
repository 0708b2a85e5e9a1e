"""From any supported array to what the core reads, and back to the same kind of array.

The core reads C-contiguous, aligned float32 or float64 of rank 2, and refuses what is not finite
while it takes the norms. Nothing is detached or densified behind the user's back: such input is
refused by name. Rows on a CUDA device are read once on the host, which makes all numbers that
depend on one row; results, which are larger, stay on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._device import missing
from .errors import DeviceError

__all__ = ["Prepared", "prepare"]

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


def prepare(X: Any, Z: Any = None, *, images: bool = False) -> Prepared:
    """Check X and Z and convert them to one dtype; Z None stays None."""
    kind = _kind(X)
    if Z is not None and (other := _kind(Z)) != kind:
        raise TypeError(
            f"X and Z must be arrays of one kind, got {_type_name(X)} ({kind}) for X "
            f"and {_type_name(Z)} ({other}) for Z"
        )
    x, dtype = _read("X", X, images)
    device = _cuda_index(X)
    wrap = _WRITERS[kind] if device is None else partial(_DEVICE_WRITERS[kind], device)
    if Z is None:
        return Prepared(_converted(x, dtype), None, wrap, device)
    if (other_device := _cuda_index(Z)) != device:
        raise ValueError(
            f"X and Z must be on one device, got {_place(device)} for X and {_place(other_device)} "
            "for Z"
        )
    z, z_dtype = _read("Z", Z, images)
    dtype = np.result_type(dtype, z_dtype)
    if x.shape[1:] != z.shape[1:]:
        what = "images of the same size" if images else "the same number of columns"
        raise ValueError(
            f"X and Z must have {what}, got X of shape {x.shape} and Z of shape {z.shape}"
        )
    return Prepared(_converted(x, dtype), _converted(z, dtype), wrap, device)


# --- Which library an object belongs to, without importing any -------------------------------


def _roots(value: Any) -> set[str]:
    """Top-level packages of the value's class and its bases, so that subclasses are recognised."""
    return {cls.__module__.partition(".")[0] for cls in type(value).__mro__}


def _kind(value: Any) -> str:
    roots = _roots(value)
    for library in ("torch", "cupy"):
        if library in roots:
            return library
    return "jax" if roots & {"jax", "jaxlib"} else "numpy"


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _cuda_index(value: Any) -> int | None:
    """Return the number of the CUDA device that holds a value, None in host memory."""
    kind = _kind(value)
    if kind == "cupy":
        return int(value.device.id)
    return int(value.device.index) if kind == "torch" and value.device.type == "cuda" else None


def _place(device: int | None) -> str:
    return "the CPU" if device is None else f"cuda:{device}"


# --- Reading ---------------------------------------------------------------------------------


def _read(name: str, value: Any, images: bool) -> tuple[NDArray[Any], np.dtype[Any]]:
    """Return the value as a NumPy array of rank 2, and the dtype to compute in."""
    kind = _kind(value)
    if kind == "torch":
        array = _read_torch(name, value)
    elif kind == "jax":
        array = _read_jax(name, value)
    elif kind == "cupy":
        if why := missing():
            raise _gpu_error(name, value, f"{why}; or copy it to the host with cupy.asnumpy")
        array = import_module("cupy").asnumpy(value)
    else:
        array = _read_host(name, value)
    dtype = _promoted(name, array)
    if images:
        _require_images(name, array)
        return array, dtype
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
    return array, dtype


def _require_images(name: str, array: NDArray[Any]) -> None:
    if array.ndim != 4:
        hint = f": use {name}[..., None] for one channel" if array.ndim == 3 else ""
        raise ValueError(
            f"{name} must be 4-D (images, height, width, channels) for a network with Conv or "
            f"pools, got shape {array.shape}{hint}"
        )
    if 0 in array.shape[1:]:
        raise ValueError(f"{name} must have at least one pixel and channel, got {array.shape}")


def _read_host(name: str, value: Any) -> NDArray[Any]:
    roots = _roots(value)
    if "cupyx" in roots or hasattr(value, "__cuda_array_interface__"):
        remedy = "pass a dense CuPy array or PyTorch tensor, or copy it to the host, e.g. with "
        raise _gpu_error(name, value, f"its kind is not known: {remedy}cupy.asnumpy")
    if _is_sparse(value):
        raise TypeError(
            f"{name} is sparse ({_type_name(value)}), which is not supported: pass "
            f"{name}.toarray() if the dense array fits in memory"
        )
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(f"{name} is a masked array with masked entries: fill or drop them first")
    if "pandas" in roots and hasattr(value, "dtypes"):
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


def _read_torch(name: str, value: Any) -> NDArray[Any]:
    torch = import_module("torch")
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be a 2-D array, got {_type_name(value)}")
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
            raise _gpu_error(name, value, f"{why}; or pass {name}.cpu()", device=str(value.device))
        value = value.cpu()
    if value.dtype == torch.bfloat16:  # NumPy has no such dtype
        value = value.to(torch.float32)
    try:
        return np.asarray(value.resolve_neg().numpy())
    except (TypeError, RuntimeError) as error:  # float8, quantised, nested, inside vmap, ...
        raise TypeError(f"{name} cannot be read as a NumPy array: {error}") from error


def _read_jax(name: str, value: Any) -> NDArray[Any]:
    if any(cls.__name__ == "Tracer" for cls in type(value).__mro__):
        raise TypeError(
            f"{name} is a JAX tracer ({_type_name(value)}): ntkfast computes on concrete arrays "
            "and cannot be traced by jit, grad or vmap; call it outside of them"
        )
    if not hasattr(value, "devices"):
        raise TypeError(f"{name} must be a 2-D array, got {_type_name(value)}")
    for device in value.devices():
        if device.platform != "cpu":
            remedy = "JAX arrays are read on the CPU only: pass jax.device_get of it"
            raise _gpu_error(name, value, remedy, device=str(device))
    return np.asarray(value)


def _gpu_error(name: str, value: Any, remedy: str, device: str = "a GPU") -> DeviceError:
    return DeviceError(
        f"{name} ({_type_name(value)}) is on {device}, where ntkfast cannot compute: {remedy}"
    )


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


def _to_cuda_torch(device: int, result: Any) -> Any:
    """Return a tensor on the device: over the same memory where the result lies there already."""
    if result is None:
        return None
    return import_module("torch").as_tensor(result, device=f"cuda:{device}")


def _to_cupy(device: int, result: Any) -> Any:
    if result is None:
        return None
    cupy = import_module("cupy")
    with cupy.cuda.Device(device):
        return cupy.asarray(result)


_WRITERS = {"numpy": _to_numpy, "torch": _to_torch, "jax": _to_jax}
_DEVICE_WRITERS = {"torch": _to_cuda_torch, "cupy": _to_cupy}
