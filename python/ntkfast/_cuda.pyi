"""Types of the optional CUDA extension (private: use :mod:`ntkfast.cuda`)."""

from collections.abc import Callable
from typing import Any

architectures: str

class OutOfMemoryError(MemoryError): ...

class DeviceArray:
    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...
    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> object: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def device(self) -> int: ...

def gram(
    job: object,
    nngp: bool,
    ntk: bool,
    device: int | list[int],
    host: bool,
    block_edge: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[Any], list[Any]]: ...
def images(
    job: object, devices: list[int], progress: Callable[[int, int], None] | None
) -> None: ...

class Operator:
    def __init__(self, job: object, ntk: bool, devices: list[int], block_edge: int) -> None: ...
    def multiply(
        self, v: Any, transposed: bool, progress: Callable[[int, int], None] | None
    ) -> Any: ...
    def time(self, count: int, repeats: int) -> list[float]: ...

def contract_uses(
    left: list[tuple[Any, Any]],
    right: list[tuple[Any, Any]] | None,
    scales: list[tuple[float, float]],
    mode: str,
    device: int,
    block_edge: int,
    progress: Callable[[int, int], None] | None,
) -> Any:
    """Return the kernel that `_core.contract_uses` adds, all pairs of uses, both halves.

    Stored as (n, O, m, O) in full, (n, m), or (O, n, m) of a diagonal kernel.
    """

def time_gram(job: object, nngp: bool, ntk: bool, device: int, repeats: int) -> list[float]: ...
def memory_seconds(device: int, n_bytes: int, copy: bool, repeats: int) -> list[float]: ...
def device_count() -> int: ...
def devices() -> list[tuple[int, str, tuple[int, int], int, int]]: ...
def unavailable_reason() -> str: ...
