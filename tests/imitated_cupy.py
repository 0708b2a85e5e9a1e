"""A small CuPy over host memory, as strict as the real one about what lies where.

Its arrays refuse to become NumPy arrays by themselves and to meet NumPy arrays in an operation, as
CuPy's do, so that code which forgets where its data are fails here, too. `install` puts it in the
place of CuPy and of the CUDA extension; kernels are then computed by the CPU engine.
"""

from __future__ import annotations

import sys
import types
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import scipy.linalg

from ntkfast import _core, _device, _gram, cuda


class OutOfMemoryError(MemoryError):
    """As CuPy has it."""


class State:
    """What the imitated device does and sees."""

    def __init__(self) -> None:
        self.free = 1 << 40
        self.linalg: list[str | None] = [None]
        self.current: list[int] = [0]
        self.synchronised = 0
        self.fail: Exception | None = None  # raised by the next factorisation or product
        self.calls: list[str] = []
        self.largest_copy = 0  # elements of an array that went to the host


STATE = State()


def _own(values: Any) -> Any:
    """Unwrap arguments; a NumPy array among them is the error that CuPy makes of it."""
    if isinstance(values, ndarray):
        return values._a
    if isinstance(values, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(values, (tuple, list)):
        return type(values)(_own(each) for each in values)
    return values


def _wrapped(values: Any) -> Any:
    if isinstance(values, (np.ndarray, np.generic)):
        return ndarray(np.asarray(values))
    if isinstance(values, tuple):
        return tuple(_wrapped(each) for each in values)
    return values


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):  # noqa: N801 - CuPy's name
    __module__ = "cupy"

    def __init__(self, array: np.ndarray, index: int | None = None) -> None:
        self._a = array
        self.device = Device(STATE.current[-1] if index is None else index)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if STATE.fail is not None and ufunc is np.matmul:
            raise STATE.fail
        if "out" in kwargs:
            kwargs["out"] = _own(kwargs["out"])
            getattr(ufunc, method)(*_own(inputs), **kwargs)
            return inputs[0]
        return _wrapped(getattr(ufunc, method)(*_own(inputs), **kwargs))

    def __array_function__(self, function: Any, *args: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} of a CuPy array: say cupy.{function.__name__}")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(self._a, name)
        if callable(found):
            return lambda *args, **kwargs: _wrapped(found(*_own(args), **kwargs))
        return found if name in ("flags", "dtype") else _wrapped(found)

    def __getitem__(self, key: Any) -> Any:
        return ndarray(np.asarray(self._a[_own(key)]), self.device.id)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._a[_own(key)] = _own(value)

    def __len__(self) -> int:
        return len(self._a)

    def __float__(self) -> float:
        return float(self._a)

    def __bool__(self) -> bool:
        return bool(self._a)

    def get(self) -> np.ndarray:
        STATE.largest_copy = max(STATE.largest_copy, self._a.size)
        return self._a.copy()

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self._a.__array_interface__, "version": 3, "stream": 1}

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.device.id

    def __dlpack__(self, *, stream: Any = None, **kwargs: Any) -> Any:
        return self._a.__dlpack__()


class Device:
    def __init__(self, index: int) -> None:
        self.id = index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return self.id

    @property
    def mem_info(self) -> tuple[int, int]:
        return STATE.free, 1 << 40

    def __enter__(self) -> Device:
        STATE.current.append(self.id)
        return self

    def __exit__(self, *_: Any) -> None:
        STATE.current.pop()


class Matrix:
    """What the CUDA extension returns: memory with the interface, and nothing else."""

    def __init__(self, array: np.ndarray, device: int) -> None:
        self.array, self.device = array, device

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self.array.__array_interface__, "version": 3, "stream": None}

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.device

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self.array.__dlpack__()


def over(owner: Any) -> np.ndarray:
    """Return a NumPy array over the memory that an owner's interface names, which keeps it."""
    interface = owner.__cuda_array_interface__
    return np.asarray(types.SimpleNamespace(__array_interface__=interface, owner=owner))


def _array(values: Any, dtype: Any = None, copy: Any = None, order: str = "K") -> ndarray:
    if isinstance(values, ndarray):
        array = values._a
    elif hasattr(values, "__cuda_array_interface__"):
        array = over(values)
    else:
        array = np.asarray(values)
        copy = True  # the host's memory is not the device's
    if copy or (dtype is not None and array.dtype != dtype):
        array = np.array(array, dtype=dtype, order=order)  # type: ignore[call-overload]
    return ndarray(array)


def _from_dlpack(value: Any) -> ndarray:
    STATE.calls.append("from_dlpack")
    return ndarray(
        np.from_dlpack(
            types.SimpleNamespace(
                __dlpack__=lambda **_: value.__dlpack__(stream=1), __dlpack_device__=lambda: (1, 0)
            )
        ),
        value.__dlpack_device__()[1],
    )


def _cholesky(block: ndarray) -> ndarray:
    if STATE.fail is not None:
        raise STATE.fail
    try:
        return ndarray(np.linalg.cholesky(block._a))
    except np.linalg.LinAlgError:
        if STATE.linalg[-1] == "raise":
            raise
        return ndarray(np.tril(block._a))  # what cuSOLVER leaves, without a word


def _solve_triangular(
    a: ndarray, b: ndarray, trans: str = "N", lower: bool = False, **kwargs: Any
) -> ndarray:
    return ndarray(scipy.linalg.solve_triangular(a._a, b._a, trans=trans, lower=lower))


@contextmanager
def _errstate(*, linalg: str) -> Any:
    STATE.linalg.append(linalg)
    yield
    STATE.linalg.pop()


def _asnumpy(values: Any) -> np.ndarray:
    return values.get() if isinstance(values, ndarray) else np.asarray(values)


def _made(function: Any) -> Any:
    return lambda *args, **kwargs: _wrapped(function(*_own(args), **kwargs))


def _modules() -> dict[str, types.ModuleType]:
    cupy, cupyx = types.ModuleType("cupy"), types.ModuleType("cupyx")
    scipy_, linalg = types.ModuleType("cupyx.scipy"), types.ModuleType("cupyx.scipy.linalg")
    cupy.__getattr__ = lambda name: _made(getattr(np, name))  # type: ignore[method-assign]
    cupy.ndarray, cupy.asnumpy, cupy.from_dlpack = ndarray, _asnumpy, _from_dlpack  # type: ignore[attr-defined]
    cupy.array = lambda values, **options: _array(values, copy=True, **options)  # type: ignore[attr-defined]
    cupy.asarray = _array  # type: ignore[attr-defined]
    cupy.fill_diagonal = lambda a, value: np.fill_diagonal(a._a, _own(value))  # type: ignore[attr-defined]
    pool = types.SimpleNamespace(free_bytes=lambda: 0, free_all_blocks=lambda: None)
    cupy.get_default_memory_pool = lambda: pool  # type: ignore[attr-defined]
    cupy.linalg = types.SimpleNamespace(  # type: ignore[attr-defined]
        cholesky=_cholesky, eigh=lambda a: tuple(ndarray(each) for each in np.linalg.eigh(a._a))
    )

    def synchronise() -> None:
        STATE.synchronised += 1

    stream = types.SimpleNamespace(synchronize=synchronise, ptr=0)
    cupy.cuda = types.SimpleNamespace(  # type: ignore[attr-defined]
        Device=Device,
        get_current_stream=lambda: stream,
        memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    )
    linalg.solve_triangular = _solve_triangular  # type: ignore[attr-defined]
    cupyx.errstate = _errstate  # type: ignore[attr-defined]
    return {"cupy": cupy, "cupyx": cupyx, "cupyx.scipy": scipy_, "cupyx.scipy.linalg": linalg}


def install(monkeypatch: pytest.MonkeyPatch, *, cupy: bool = True) -> State:
    """Imitate two CUDA devices, and CuPy on them unless told not to; return what they see."""
    STATE.__init__()  # type: ignore[misc]
    fake = types.SimpleNamespace(
        unavailable_reason=lambda: "", device_count=lambda: 2, OutOfMemoryError=OutOfMemoryError
    )
    monkeypatch.setattr(cuda, "_cuda", fake)
    monkeypatch.setattr(_device, "_extension", lambda: fake)

    def kernels_on(
        index: Any,
        program: Any,
        data: Any,
        nngp: bool,
        ntk: bool,
        threads: int,
        isa: str,
        *_: Any,
        **_options: Any,
    ) -> Any:
        index = index if isinstance(index, int) else index[0]
        STATE.calls.append(f"gram on {index}")
        found = _core.gram(program, data.x, data.z, nngp, ntk, threads, isa, False, None)
        if data.device is None:
            return found
        return tuple(
            [None if a is None else Matrix(a, index) for a in matrices] for matrices in found
        )

    monkeypatch.setattr(_gram, "kernels_on", kernels_on)
    for name, module in _modules().items():
        monkeypatch.setitem(sys.modules, name, module if cupy else None)  # type: ignore[arg-type]
    return STATE


def on_device(array: Any, index: int = 0) -> ndarray:
    """Return a copy of a NumPy array in memory of the imitated device."""
    return ndarray(np.array(array), index)
