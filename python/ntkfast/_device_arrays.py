"""Arrays in memory of a CUDA device: where they are, their rows on the host, results as their kind.

Rows are read with their own library, on its current stream, and waited for. Results are finished
when the call returns, in memory that nothing else holds: every stream may use them at once, and
they become arrays of the caller's kind over the same memory, without a copy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._device import missing
from .errors import DeviceError

__all__ = [
    "device_index",
    "foreign_root",
    "no_place",
    "read_device",
    "roots",
    "through_cupy",
    "to_cupy",
    "type_name",
    "writer",
]

# Device types of DLPack, https://dmlc.github.io/dlpack/latest/c_api.html.
_CUDA_TYPES = (2, 13)  # memory of a device, and managed memory
_HOST_TYPES = (1, 3)  # ordinary memory, and pinned memory


def roots(value: Any) -> set[str]:
    """Top-level packages of the value's class and its bases, so that subclasses are recognised."""
    return {cls.__module__.partition(".")[0] for cls in type(value).__mro__}


def type_name(value: Any) -> str:
    """Return the class of a value with its module."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def no_place(name: str, value: Any, remedy: str, device: str = "a GPU") -> DeviceError:
    """Return the error for an array where nothing can be computed."""
    return DeviceError(
        f"{name} ({type_name(value)}) is on {device}, where ntkfast cannot compute: {remedy}"
    )


def foreign_root(value: Any) -> str | None:
    """Return the package of an array on a device that is of no known library, None for others."""
    try:
        known = roots(value) & {"numpy", "cupyx", "scipy", "pandas"}
        if known or not (hasattr(value, "__cuda_array_interface__") or _dlpack_device(value)):
            return None
    except Exception:  # what cannot say where it is gets the errors of the host
        return None
    return type(value).__module__.partition(".")[0]


def _dlpack_device(value: Any) -> tuple[int, int] | None:
    """Return device type and number where DLPack says that the value is not on the host."""
    ask = getattr(value, "__dlpack_device__", None)
    if ask is None:
        return None
    kind, index = ask()
    return None if int(kind) in _HOST_TYPES else (int(kind), int(index))


def device_index(name: str, value: Any, kind: str) -> int | None:
    """Return the number of the CUDA device that holds a value, None in host memory.

    `kind` is its library: "numpy" for all of the host, else "torch", "cupy", "jax" or another.
    """
    if kind == "numpy":
        return None
    if kind == "cupy":
        return int(value.device.id)
    if kind == "torch":
        return int(value.device.index) if value.device.type == "cuda" else None
    if kind == "jax":
        devices = list(value.devices()) if hasattr(value, "devices") else []
        if all(device.platform == "cpu" for device in devices):
            return None
        if len(devices) > 1:
            places = ", ".join(sorted(str(device) for device in devices))
            remedy = "gather it on one device, e.g. with jax.device_put"
            raise no_place(name, value, remedy, device=f"several devices ({places})")
    index = _cuda_index(name, value)
    # The interface alone does not say it: CuPy knows the device of a pointer.
    return int(through_cupy(name, value).device.id) if index is None else index


def _cuda_index(name: str, value: Any) -> int | None:
    """Return the number of the device as DLPack gives it, None where it says nothing."""
    place = _dlpack_device(value)
    if place is None:
        return None
    if place[0] not in _CUDA_TYPES:
        remedy = "only CPU and CUDA devices are known: copy it to the host"
        raise no_place(name, value, remedy, device=f"a device of DLPack's type {place[0]}")
    return place[1]


def read_device(name: str, value: Any) -> NDArray[Any]:
    """Return a CuPy array, or one of a library that is not known, in host memory.

    Strides do not matter. The copy is queued on CuPy's current stream and waited for.
    """
    found = through_cupy(name, value)
    cupy = import_module("cupy")
    with cupy.cuda.Device(int(found.device.id)):
        return np.asarray(cupy.asnumpy(found))


def through_cupy(name: str, value: Any) -> Any:
    """Return a CuPy array over the memory of an array, itself where it is one.

    Work that is queued on the array is waited for: ``from_dlpack`` hands CuPy's current stream to
    the producer, which lets that stream wait for its own; ``cupy.asarray`` waits for the stream
    that the CUDA array interface names.
    """
    if why := missing():
        raise no_place(name, value, f"{why}; or copy it to the host, e.g. with cupy.asnumpy")
    if "cupy" in roots(value):
        return value
    index = _cuda_index(name, value)
    try:
        cupy = import_module("cupy")
    except ImportError as error:
        remedy = "this needs CuPy, which is missing: pip install 'ntkfast[cuda13]' (or [cuda12])"
        raise no_place(name, value, remedy) from error
    if index is None:
        return cupy.asarray(value)
    with cupy.cuda.Device(index):  # whose stream it is
        return cupy.from_dlpack(value)


# --- Returning -------------------------------------------------------------------------------


def writer(name: str, value: Any, kind: str, index: int) -> Callable[[Any], Any]:
    """Return what makes results into arrays like `value`.

    Results are matrices in memory of the device with DLPack and the CUDA array interface, over
    which no copy is made, or NumPy vectors, which are copied there; None stays None.
    """
    if kind == "jax":
        return partial(_to_jax, next(iter(value.devices())))
    if kind in ("torch", "cupy"):
        return partial(_to_torch if kind == "torch" else to_cupy, index)
    return partial(_to_foreign, _importer(name, value), index)


def _finish(result: Any) -> None:
    """Wait for a CuPy array, before a library gets it that does not know its stream."""
    if "cupy" in roots(result):
        cupy = import_module("cupy")
        with cupy.cuda.Device(int(result.device.id)):
            cupy.cuda.get_current_stream().synchronize()


def to_cupy(index: int, result: Any) -> Any:
    """Return a CuPy array: over the same memory where the result lies on the device already."""
    if result is None:
        return None
    cupy = import_module("cupy")
    with cupy.cuda.Device(index):
        return cupy.asarray(result)


def _to_torch(index: int, result: Any) -> Any:
    if result is None:
        return None
    _finish(result)
    return import_module("torch").as_tensor(result, device=f"cuda:{index}")


def _to_jax(device: Any, result: Any) -> Any:
    if result is None:
        return None
    if isinstance(result, np.ndarray):
        return import_module("jax").device_put(result, device)
    _finish(result)
    # JAX itself keeps float64 only where its switch jax_enable_x64 is on.
    return import_module("jax.dlpack").from_dlpack(result)


def _to_foreign(importer: Callable[[Any], Any], index: int, result: Any) -> Any:
    if result is None:
        return None
    found = to_cupy(index, result) if isinstance(result, np.ndarray) else result
    _finish(found)
    return importer(found)


def _importer(name: str, value: Any) -> Callable[[Any], Any]:
    """Return the function with which the library of an array takes memory of another one."""
    root = type(value).__module__.partition(".")[0]
    if root == "numba":
        found: Any = getattr(import_module("numba.cuda"), "as_cuda_array", None)
    else:
        namespace = getattr(value, "__array_namespace__", None)
        library = namespace() if namespace is not None else sys.modules.get(root)
        found = getattr(library, "from_dlpack", None)
    if not callable(found):
        remedy = (
            f"its library ({root}) has no from_dlpack to take the kernel back with: pass "
            f"cupy.asarray({name})"
        )
        raise no_place(name, value, remedy)
    return found  # type: ignore[no-any-return]
