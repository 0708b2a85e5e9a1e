"""Refuse a computation that would not fit before it starts, with figures."""

from __future__ import annotations

import math
import os
from pathlib import Path

from . import _cgroup
from .config import config
from .errors import MemoryBudgetError

__all__ = ["available_bytes", "require", "size_text"]

_MEMINFO = Path("/proc/meminfo")
# Below this nothing is read: the files take longer than a small kernel.
_ALWAYS_FITS = 64 * 1024**2


# What helps where a kernel is computed.
_BLOCKS = "compute block by block (net.ntk(X[i:j], X)), one kernel at a time, or in float32"


def require(outputs: int, workspace: int, what: str, remedy: str = _BLOCKS) -> None:
    """Raise `MemoryBudgetError` if outputs + workspace exceed the budget or the free memory."""
    needed = outputs + workspace
    budget = config.memory_budget
    if isinstance(budget, int) and needed > budget:
        limit, source, first = float(budget), "allowed by config.memory_budget", "raise it, "
    elif needed > _ALWAYS_FITS and needed > (free := available_bytes()):
        limit, source, first = free, "available", "free memory, "
    else:
        return
    raise MemoryBudgetError(
        f"{what}: {size_text(needed)} needed ({size_text(outputs)} for the result, "
        f"{size_text(workspace)} workspace), {size_text(limit)} {source}: {first}{remedy}"
    )


def size_text(n_bytes: float) -> str:
    """Return bytes as "3 GiB" or "20.5 MiB"."""
    unit, name = (2**30, "GiB") if n_bytes >= 2**29 else (2**20, "MiB")
    size = n_bytes / unit
    return f"{size:,.0f} {name}" if size >= 100 else f"{size:.3g} {name}"


def available_bytes() -> float:
    """Return the bytes that can be allocated now without swapping; infinity where unknown."""
    return min(_system_bytes(), _cgroup.free_memory())


def _system_bytes() -> float:
    try:
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux
    try:  # all physical memory: a weaker check than the free part, but never a false alarm
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # Windows
        return math.inf
