"""The data: one array, or a tuple of them, as the inputs of a module, read row by row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .._validate import got
from ._torch import torch

__all__ = ["Samples"]


class Samples:
    """Inputs of a module with samples along the first axis of each.

    Rows are converted when they are asked for, so that a memory map larger than the memory is read
    block by block.

    Parameters
    ----------
    name : str
        What errors call the data.
    value : array, tensor or tuple of them
    device, dtype
        Of the computation; integers and bools keep their dtype.
    """

    def __init__(self, name: str, value: Any, device: Any, dtype: Any) -> None:
        several = isinstance(value, tuple)
        parts = value if several else (value,)
        if not parts:
            raise ValueError(f"{name} must hold at least one input of the module, got ()")
        names = [f"{name}[{i}]" if several else name for i in range(len(parts))]
        self.parts = tuple(_checked(*each) for each in zip(names, parts, strict=True))
        self.name, self._names = name, names
        self._device, self._dtype = device, dtype
        self.is_torch = isinstance(self.parts[0], torch.Tensor)
        for each, part in zip(names, self.parts, strict=True):
            if isinstance(part, torch.Tensor) != self.is_torch:
                raise TypeError(f"{name} must hold arrays of one kind, {got(type(part))}: {each}")
            if len(part) != len(self.parts[0]):
                raise ValueError(
                    f"{each} must have as many samples as {names[0]}, got {len(part)} and "
                    f"{len(self.parts[0])}"
                )
        self.home = self.parts[0].device if self.is_torch else None

    def __len__(self) -> int:
        return len(self.parts[0])

    def rows(self, start: int, stop: int) -> tuple[Any, ...]:
        """Return some samples as tensors, checked to be finite."""
        named = zip(self._names, self.parts, strict=True)
        return tuple(self._tensor(name, part[start:stop]) for name, part in named)

    def bytes(self) -> Iterator[Any]:
        """Yield the shapes and all numbers, for a fingerprint."""
        for part in self.parts:
            yield f"{tuple(part.shape)} {part.dtype}".encode()
            for start in range(0, len(part), 1024):
                rows = part[start : start + 1024]
                yield np.ascontiguousarray(rows.cpu().numpy() if self.is_torch else rows)

    def _tensor(self, name: str, rows: Any) -> Any:
        if not self.is_torch:
            rows = torch.from_numpy(_native(rows))
        if not rows.is_floating_point():
            return rows.to(self._device)
        rows = rows.to(self._device, self._dtype)
        if not bool(torch.isfinite(rows).all()):
            raise ValueError(f"{name} must be finite, got NaN or infinity")
        return rows


def _native(rows: Any) -> Any:
    """Return a copy in a dtype that PyTorch has."""
    if rows.dtype.kind in "iu":
        return rows.astype(np.int64)
    if rows.dtype.kind == "f":
        return rows.astype(np.float64 if rows.dtype.itemsize >= 8 else np.float32)
    return np.array(rows)


def _checked(name: str, value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        if value.requires_grad:
            raise TypeError(
                f"{name} requires gradients, which ntkfast would drop: pass {name}.detach()"
            )
        if value.layout != torch.strided:
            raise TypeError(
                f"{name} is sparse ({value.layout}), which is not supported: pass {name}.to_dense()"
            )
        if value.is_complex():
            raise TypeError(f"{name} must hold real numbers, got dtype {value.dtype}")
    else:
        if hasattr(value, "__cuda_array_interface__") or hasattr(value, "devices"):
            kind = f"{type(value).__module__}.{type(value).__qualname__}"
            raise TypeError(
                f"{name} must be a PyTorch tensor or a NumPy array, got {kind}: pass "
                f"torch.from_dlpack({name})"
            )
        if type(value).__module__.startswith("scipy.sparse"):
            raise TypeError(f"{name} is sparse, which is not supported: pass {name}.toarray()")
        value = np.asarray(value)
        if value.dtype.kind not in "fiub":
            raise TypeError(f"{name} must hold real numbers, got dtype {value.dtype}")
    if value.ndim == 0:
        raise ValueError(f"{name} must have samples along its first axis, got a single number")
    return value
