"""Limits that a container sets on this process (Linux control groups, version 1 and 2)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

__all__ = ["cpu_quota", "free_memory"]

_MEMBERSHIP = Path("/proc/self/cgroup")
_ROOT = Path("/sys/fs/cgroup")


def cpu_quota() -> float:
    """Return how many cores' worth of time this process may use; infinity without a limit."""
    quotas = [math.inf]
    for group in _groups("cpu"):
        quota, _, period = _text(group / "cpu.max").partition(" ")  # version 2: "max 100000"
        if not period:
            quota = _text(group / "cpu.cfs_quota_us")  # version 1: -1 is no limit
            period = _text(group / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            quotas.append(int(quota) / int(period))
    return min(quotas)


def free_memory() -> float:
    """Return the bytes that this process may still allocate; infinity without a limit."""
    free = [math.inf]
    for group in _groups("memory"):
        limit = _text(group / "memory.max") or _text(group / "memory.limit_in_bytes")
        usage = _text(group / "memory.current") or _text(group / "memory.usage_in_bytes")
        if limit.isdigit() and usage.isdigit():
            free.append(max(0, int(limit) - int(usage) + _page_cache(group)))
    return min(free)


def _page_cache(group: Path) -> int:
    """Return the bytes of cached files, which the kernel drops when memory is asked for."""
    pairs = (line.split() for line in _text(group / "memory.stat").splitlines())
    values = {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}
    prefix = "total_" if "total_active_file" in values else ""  # version 1: with the descendants
    return sum(values.get(f"{prefix}{age}_file", 0) for age in ("active", "inactive"))


def _groups(controller: str) -> Iterator[Path]:
    """Yield the directories of this process's group and its ancestors, which limit it too."""
    for line in _text(_MEMBERSHIP).splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root = _ROOT
        elif controller in controllers.split(","):
            root = _ROOT / controllers
        else:
            continue
        group = root / path.strip().lstrip("/")
        yield from (g for g in (group, *group.parents) if g == root or root in g.parents)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # not Linux, or no such controller
        return ""
