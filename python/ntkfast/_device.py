"""Which device computes a kernel, what is missing where it cannot, and the call to it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ._validate import got
from .errors import DeviceError, MemoryBudgetError

if TYPE_CHECKING:
    from collections.abc import Callable

    from . import _core
    from ._arrays import Prepared

__all__ = ["device_name", "kernels_on", "missing", "require_cuda", "require_host", "resolve_device"]


def device_name(argument: str, value: object) -> str:
    """Return a device's name, refusing what is none and a CUDA device that cannot be used."""
    expected = f'{argument} must be "auto", "cpu", "cuda" or "cuda:<number>"'
    if not isinstance(value, str):
        raise TypeError(f"{expected}, {got(value)}")
    if value in ("auto", "cpu"):
        return value
    match = re.fullmatch(r"cuda(?::(\d+))?", value)
    if match is None:
        raise ValueError(f"{expected}, {got(value)}")
    require_cuda(f'{argument}="{value}"')
    from . import cuda

    if (index := int(match[1] or 0)) >= (count := cuda.device_count()):
        raise DeviceError(f'{argument}="{value}": there are {count} devices, index {index} is none')
    return value


def missing() -> str:
    """Say why no CUDA device can be used and what to do about it; empty where one can."""
    from . import cuda

    reason = cuda.reason()
    if not reason:
        return ""
    if not cuda.is_built():
        return f"{reason}: put nvcc on PATH and install ntkfast from source"
    if "driver" in reason:
        return f"{reason}: install NVIDIA's driver on a machine with a GPU"
    return reason


def require_cuda(what: str) -> None:
    """Raise `DeviceError` where no CUDA device can be used."""
    if why := missing():
        raise DeviceError(f'{what} is not available: {why}, or use device="cpu"')


def resolve_device(device: str | None, data: int | None) -> int | None:
    """Return the CUDA device to compute on, None being the CPU.

    ``device`` goes before ``config.device``; "auto" is where the data are (``data``: the number of
    their CUDA device, None in host memory).
    """
    from .config import config

    chosen = config.device if device is None else device_name("device", device)
    if chosen == "auto":
        return data
    if chosen == "cpu":
        if data is not None:
            raise DeviceError(f'device="cpu", but X is on cuda:{data}: copy it to the host first')
        return None
    index = int(chosen.partition(":")[2] or (data or 0))
    if data is not None and index != data:
        raise DeviceError(f"device={chosen!r}, but X is on cuda:{data}")
    return index


def require_host(name: str, data: Prepared, what: str) -> None:
    """Raise `DeviceError` where rows are on a device and `what` is computed on the CPU alone."""
    if data.device is not None:
        raise DeviceError(
            f"{name} is on cuda:{data.device}, and {what} are computed on the CPU: copy it to the "
            "host"
        )


def _extension() -> Any:
    from . import _cuda

    return _cuda


def kernels_on(
    index: int,
    program: _core.Program,
    data: Prepared,
    nngp: bool,
    ntk: bool,
    threads: int,
    isa: str,
    progress: Callable[[int, int], None] | None,
    *,
    block_edge: int = 0,
) -> tuple[list[Any], list[Any]]:
    """Return K and T of every output, in the memory that the data came from."""
    from . import _core

    cuda = _extension()
    job = _core.device_job(program, data.x, data.z, ntk, threads, isa)
    on_host = data.device is None
    try:
        K, T = cuda.gram(job, nngp, ntk, index, on_host, block_edge, progress)
    except cuda.OutOfMemoryError as error:
        remedy = "compute block by block (net.ntk(X[i:j], X)), in float32, or on the CPU"
        raise MemoryBudgetError(f"{error}: {remedy}") from error
    except RuntimeError as error:
        raise DeviceError(f"cuda:{index} failed: {error}") from error
    return K, T
