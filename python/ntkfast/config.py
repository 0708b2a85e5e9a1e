"""Settings: defaults of the process, and overrides that hold inside a ``with`` block."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from . import _core
from ._device import device_choice
from ._validate import choice, flag, got, known, whole_number

__all__ = ["Config", "config", "resolve_isa", "resolve_precision"]

_UNITS = {"b": 1}
for _power, _letter in enumerate("kmgt", start=1):
    _UNITS[f"{_letter}b"] = 1000**_power
    _UNITS[f"{_letter}ib"] = 1024**_power


def _device(value: object) -> str | tuple[str, ...]:
    return device_choice("config.device", value)


def _precision_name(name: str, value: object) -> str:
    return choice(name, value, ("ieee", "tf32x3", "tf32", "float64"))


def _precision(value: object) -> str:
    return _precision_name("config.precision", value)


def _threads(value: object) -> int | None:
    return None if value is None else whole_number("config.threads", value, minimum=1)


def _memory_budget(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, str):
        return whole_number("config.memory_budget", value, minimum=1)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", value, re.IGNORECASE)
    unit = _UNITS.get(match[2].lower() or "b") if match else None
    if match is None or unit is None or (n_bytes := int(float(match[1]) * unit)) < 1:
        raise ValueError(
            'config.memory_budget must be a number of bytes >= 1, a string such as "8GiB" or '
            f'"500 MB", or None, {got(value)}'
        )
    return n_bytes


def _progress(value: object) -> bool | Callable[[int, int], None] | None:
    if value is None or isinstance(value, bool) or callable(value):
        return value
    raise TypeError(
        "config.progress must be True, False, None (a bar on terminals) or a function of "
        f"(done, total), {got(value)}"
    )


def _reuse_memory(value: object) -> bool:
    return flag("config.reuse_memory", value)


def _isa(value: object) -> str:
    return choice("config.isa", value, ("", *_core.isa_available()))


_CHECKS: dict[str, Callable[[object], Any]] = {
    "device": _device,
    "threads": _threads,
    "memory_budget": _memory_budget,
    "progress": _progress,
    "reuse_memory": _reuse_memory,
    "isa": _isa,
    "precision": _precision,
}
_DEFAULTS = {
    "device": "auto",
    "threads": None,
    "memory_budget": None,
    "progress": False,
    "reuse_memory": True,
    "isa": "",
    "precision": "ieee",
}

# Overrides of the running context: threads and asyncio tasks do not see each other's.
_NONE: Mapping[str, Any] = MappingProxyType({})
_overrides: ContextVar[Mapping[str, Any]] = ContextVar("ntkfast_config", default=_NONE)


class Config:
    """Settings of ntkfast; the one instance is ``ntkfast.config``.

    Assigning an attribute sets the default of the process. Calling gives a context manager whose
    settings hold inside its ``with`` block, for the current thread or asyncio task only, and take
    precedence there.

    Attributes
    ----------
    device : {"auto", "cpu", "cuda", "cuda:<number>", "cuda:all"} or tuple, default "auto"
        Where kernels are computed; "auto" is where the arrays are. "cuda:all", or a tuple such as
        ("cuda:0", "cuda:1"), shares the work among devices, of rows in host memory. A CUDA device
        that cannot be used raises `DeviceError`, which says why. The ``device`` argument of a call
        goes first.
    precision : {"ieee", "tf32x3", "tf32", "float64"}, default "ieee"
        How a CUDA device multiplies float32 rows: in float32, or on tensor cores with every number
        split in two, or rounded to 10 bits of mantissa; docs/cuda.md states the errors. The CPU,
        and float64, are always "ieee". With "float64", on all devices, kernels of float32 samples
        are computed in float64, and their entries are rounded to float32 at the end; arrays and
        files of ``out``, and operators of images, have float64 then.
    threads : int or None, default None
        None: ``NTKFAST_NUM_THREADS`` if set, else the cores this process may use (affinity,
        cgroup quota, ``OMP_NUM_THREADS``). The ``threads`` argument of a call goes first.
    memory_budget : int, str or None, default None
        Most bytes that one call may allocate, as a number or such as "8GiB", "500 MB"; reads back
        in bytes. Whatever it is, a call that exceeds the free memory is refused.
    progress : bool, None or callable, default False
        True shows a bar on standard error, None only where that is a terminal; a function is called
        with (done, total).
    reuse_memory : bool, default True
        Keep the memory of large kernels that were dropped, at most 1 GiB, for the next ones of the
        same size: the system then need not clear it again (Linux). It is marked as free, so the
        system takes it for whatever else wants memory; until then it counts as resident.
    isa : str, default ""
        Instruction set, one of those ``ntkfast info`` lists; "" is ``NTKFAST_ISA`` if set, else
        the best.

    Raises
    ------
    AttributeError, TypeError
        For an unknown setting.
    TypeError, ValueError, DeviceError
        For a value that it cannot take.

    Examples
    --------
    >>> import ntkfast as nk
    >>> with nk.config(threads=1, memory_budget="2GiB"):
    ...     print(nk.config.threads, nk.config.memory_budget)
    1 2147483648
    """

    if TYPE_CHECKING:
        device: str | tuple[str, ...]
        precision: str
        threads: int | None
        memory_budget: int | str | None
        progress: bool | Callable[[int, int], None] | None
        reuse_memory: bool
        isa: str

    def __init__(self) -> None:
        object.__setattr__(self, "_process", dict(_DEFAULTS))

    def __getattr__(self, name: str) -> Any:
        if name not in _CHECKS:
            raise AttributeError(f"config has no setting {name!r}; known are {known(_CHECKS)}")
        overrides = _overrides.get()
        return overrides[name] if name in overrides else self.__dict__["_process"][name]

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _CHECKS:
            raise AttributeError(f"config has no setting {name!r}; known are {known(_CHECKS)}")
        self.__dict__["_process"][name] = _CHECKS[name](value)

    def __call__(self, **settings: Any) -> AbstractContextManager[None]:
        """Return a context manager with the given settings, checked here and now."""
        if unknown := set(settings) - set(_CHECKS):
            raise TypeError(f"config has no setting {known(unknown)}; known are {known(_CHECKS)}")
        return _overriding({name: _CHECKS[name](value) for name, value in settings.items()})

    def __repr__(self) -> str:
        return f"config({', '.join(f'{name}={getattr(self, name)!r}' for name in _CHECKS)})"

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *_CHECKS]


@contextmanager
def _overriding(settings: Mapping[str, Any]) -> Iterator[None]:
    token = _overrides.set({**_overrides.get(), **settings})
    try:
        yield
    finally:
        _overrides.reset(token)


config = Config()


def resolve_precision(precision: object) -> str:
    """Return the precision of a call, which goes before that of config."""
    return config.precision if precision is None else _precision_name("precision", precision)


def resolve_isa() -> str:
    """Return the forced instruction set: of config, else of the environment, else ""."""
    if config.isa:
        return config.isa
    return choice("NTKFAST_ISA", os.environ.get("NTKFAST_ISA", ""), ("", *_core.isa_available()))
