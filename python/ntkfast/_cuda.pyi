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
    device: int,
    host: bool,
    block_edge: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[Any], list[Any]]: ...
def time_gram(job: object, nngp: bool, ntk: bool, device: int, repeats: int) -> list[float]: ...
def memory_seconds(device: int, n_bytes: int, copy: bool, repeats: int) -> list[float]: ...
def device_count() -> int: ...
def devices() -> list[tuple[int, str, tuple[int, int], int, int]]: ...
def unavailable_reason() -> str: ...
