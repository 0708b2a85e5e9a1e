"""Which devices compute a kernel, what is missing where they cannot, and the calls to them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ._validate import got
from .errors import DeviceError, MemoryBudgetError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from . import _core
    from ._arrays import Prepared

__all__ = [
    "DeviceOperator",
    "contract_on",
    "device_choice",
    "device_name",
    "kernels_on",
    "missing",
    "require_cuda",
    "require_host",
    "resolve_device",
    "resolve_devices",
]

# How rows of float32 are multiplied on a device, as the core counts.
_KINDS = {"ieee": 0, "tf32x3": 2, "tf32": 3}
# float64 on tensor cores: IEEE arithmetic, too.
_FLOAT64_KIND = 1


def device_choice(argument: str, value: object) -> str | tuple[str, ...]:
    """Return a device's name or those of several CUDA devices, refusing what is none."""
    if value == "cuda:all":
        require_cuda(f'{argument}="cuda:all"')
        from . import cuda

        return tuple(f"cuda:{index}" for index in range(cuda.device_count()))
    if not isinstance(value, (tuple, list)):
        return device_name(argument, value)
    names = [f"cuda:{device_name(argument, each).partition(':')[2] or 0}" for each in value]
    if not names or len(set(names)) < len(names) or {"auto", "cpu"} & {*value}:
        raise ValueError(f"{argument} must name different CUDA devices, {got(value)}")
    return tuple(names)


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


def resolve_devices(
    device: str | tuple[str, ...] | list[str] | None, data: int | None
) -> tuple[int, ...] | None:
    """Return the CUDA devices to compute on, None being the CPU.

    ``device`` goes before ``config.device``; "auto" is where the data are (``data``: the number of
    their CUDA device, None in host memory).
    """
    from .config import config

    chosen = config.device if device is None else device_choice("device", device)
    if chosen == "auto":
        return None if data is None else (data,)
    if chosen == "cpu":
        if data is not None:
            raise DeviceError(f'device="cpu", but X is on cuda:{data}: copy it to the host first')
        return None
    if chosen == "cuda":
        return (data or 0,)
    names = (chosen,) if isinstance(chosen, str) else chosen
    indices = tuple(int(name.partition(":")[2]) for name in names)
    if data is not None and indices != (data,):
        raise DeviceError(f"device={chosen!r}, but X is on cuda:{data}")
    return indices


def resolve_device(device: str | None, data: int | None) -> int | None:
    """Return the one CUDA device to compute on, None being the CPU."""
    devices = resolve_devices(device, data)
    if devices is not None and len(devices) > 1:
        raise DeviceError(f"several devices were chosen ({devices}) for what one computes")
    return None if devices is None else devices[0]


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


@contextmanager
def _translated(device: str, remedy: str) -> Iterator[None]:
    """Turn errors of the extension into ours."""
    try:
        yield
    except _extension().OutOfMemoryError as error:
        raise MemoryBudgetError(f"{error}: {remedy}") from error
    except RuntimeError as error:
        raise DeviceError(f"{device} failed: {error}") from error


def _text(devices: tuple[int, ...]) -> str:
    return " or ".join(f"cuda:{index}" for index in devices)


def _job(
    program: _core.Program, data: Prepared, ntk: bool, threads: int, isa: str, precision: str | None
) -> object:
    from . import _core
    from .config import resolve_precision

    chosen = resolve_precision(precision)
    kind = _FLOAT64_KIND if data.x.dtype.itemsize == 8 else _KINDS[chosen]
    return _core.device_job(program, data.x, data.z, ntk, threads, isa, kind)


def kernels_on(
    index: int | tuple[int, ...],
    program: _core.Program,
    data: Prepared,
    nngp: bool,
    ntk: bool,
    threads: int,
    isa: str,
    progress: Callable[[int, int], None] | None,
    *,
    block_edge: int = 0,
    precision: str | None = None,
) -> tuple[list[Any], list[Any]]:
    """Return K and T of every output, in the memory that the data came from.

    Those of images are in host memory: the layers behind a readout are computed there.
    """
    devices = (index,) if isinstance(index, int) else index
    if data.x.ndim == 4:
        return _kernels_of_images(devices, program, data, nngp, ntk, threads, isa, progress)
    job = _job(program, data, ntk, threads, isa, precision)
    on_host = data.device is None
    device = devices[0] if len(devices) == 1 else list(devices)
    remedy = "compute block by block (net.ntk(X[i:j], X)), in float32, or on the CPU"
    with _translated(_text(devices), remedy):
        K, T = _extension().gram(job, nngp, ntk, device, on_host, block_edge, progress)
    return K, T


def contract_on(
    device: int,
    left: list[tuple[Any, Any]],
    right: list[tuple[Any, Any]] | None,
    scales: list[tuple[float, float]],
    mode: str,
    progress: Callable[[int, int], None] | None,
    *,
    block_edge: int = 0,
) -> NDArray[Any]:
    """Return the tangent kernel of weights from their inputs and signals, all in host memory.

    Arguments and shape of the result are those of `_core.contract_uses`; the device adds up all
    pairs of uses. Both halves of a symmetric kernel are there, bit for bit the same.
    """
    remedy = "contract fewer samples at a time, in float32, or on the CPU"
    with _translated(_text((device,)), remedy):
        found: NDArray[Any] = _extension().contract_uses(
            left, right, scales, mode, device, block_edge, progress
        )
    axes = {"full": (0, 2, 1, 3), "trace": (0, 1), "diagonal": (1, 2, 0)}
    return np.transpose(found, axes[mode])


def _kernels_of_images(
    devices: tuple[int, ...],
    program: _core.Program,
    data: Prepared,
    nngp: bool,
    ntk: bool,
    threads: int,
    isa: str,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[Any], list[Any]]:
    from . import _core
    from .config import config

    reuse = config.reuse_memory
    job, K, T = _core.image_job(program, data.x, data.z, nngp, ntk, threads, isa, reuse)
    with _translated(_text(devices), "compute in float32, or on the CPU"):
        _extension().images(job, list(devices), progress)
    return K, T


class DeviceOperator:
    """Products of one kernel with vectors in host memory, on one or several devices."""

    def __init__(
        self,
        program: _core.Program,
        data: Prepared,
        ntk: bool,
        threads: int,
        isa: str,
        devices: tuple[int, ...],
        precision: str | None,
    ) -> None:
        self._devices = devices
        job = _job(program, data, ntk, threads, isa, precision)
        with self._translated():
            self._operator = _extension().Operator(job, ntk, list(devices), 0)

    def multiply(
        self, v: NDArray[Any], transposed: bool, progress: Callable[[int, int], None] | None
    ) -> NDArray[Any]:
        """Return the product; both arrays of float64 and rank 2."""
        with self._translated():
            result: NDArray[Any] = self._operator.multiply(v, transposed, progress)
        return result

    def _translated(self) -> Any:
        return _translated(_text(self._devices), "fewer vectors at a time, float32, or the CPU")
