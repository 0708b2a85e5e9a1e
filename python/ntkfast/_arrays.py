"""From any supported array to what the core reads, and back to the same kind of array.

The core reads C-contiguous, aligned float32 or float64 of rank 2, and refuses what is not finite
while it takes the norms. Nothing is detached, densified or moved between devices behind the
user's back: such input is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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
    wrap: Callable[[NDArray[Any] | None], Any]


def prepare(X: Any, Z: Any = None) -> Prepared:
    """Check X and Z and convert them to one dtype; Z None stays None."""
    kind = _kind(X)
    if Z is not None and (other := _kind(Z)) != kind:
        raise TypeError(
            f"X and Z must be arrays of one kind, got {_type_name(X)} ({kind}) for X "
            f"and {_type_name(Z)} ({other}) for Z"
        )
    x, dtype = _read("X", X)
    if Z is None:
        return Prepared(_converted(x, dtype), None, _WRITERS[kind])
    z, z_dtype = _read("Z", Z)
    dtype = np.result_type(dtype, z_dtype)
    if x.shape[1] != z.shape[1]:
        raise ValueError(
            f"X and Z must have the same number of columns, got X of shape {x.shape} "
            f"and Z of shape {z.shape}"
        )
    return Prepared(_converted(x, dtype), _converted(z, dtype), _WRITERS[kind])


# --- Which library an object belongs to, without importing any -------------------------------


def _roots(value: Any) -> set[str]:
    """Top-level packages of the value's class and its bases, so that subclasses are recognised."""
    return {cls.__module__.partition(".")[0] for cls in type(value).__mro__}


def _kind(value: Any) -> str:
    roots = _roots(value)
    if "torch" in roots:
        return "torch"
    return "jax" if roots & {"jax", "jaxlib"} else "numpy"


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


# --- Reading ---------------------------------------------------------------------------------


def _read(name: str, value: Any) -> tuple[NDArray[Any], np.dtype[Any]]:
    """Return the value as a NumPy array of rank 2, and the dtype to compute in."""
    kind = _kind(value)
    if kind == "torch":
        array = _read_torch(name, value)
    elif kind == "jax":
        array = _read_jax(name, value)
    else:
        array = _read_host(name, value)
    dtype = _promoted(name, array)
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


def _read_host(name: str, value: Any) -> NDArray[Any]:
    roots = _roots(value)
    if "cupy" in roots or "cupyx" in roots or hasattr(value, "__cuda_array_interface__"):
        raise _gpu_error(name, value, "copy it to the host, e.g. with cupy.asnumpy")
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
        raise _gpu_error(name, value, f"pass {name}.cpu()", device=str(value.device))
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
            raise _gpu_error(name, value, "pass jax.device_get of it", device=str(device))
    return np.asarray(value)


def _gpu_error(name: str, value: Any, remedy: str, device: str = "a GPU") -> DeviceError:
    return DeviceError(
        f"{name} ({_type_name(value)}) is on {device}, and this version of ntkfast computes on the "
        f"CPU only: {remedy}"
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


_WRITERS = {"numpy": _to_numpy, "torch": _to_torch, "jax": _to_jax}
