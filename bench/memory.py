"""Resident memory of this process, in bytes (Linux: /proc/self)."""

from __future__ import annotations

from pathlib import Path


def resident() -> int:
    """Return the memory that is resident now."""
    return _status("VmRSS")


def peak() -> int:
    """Return the most memory that was resident since the last `reset_peak`."""
    return _status("VmHWM")


def reset_peak() -> None:
    """Start a new measurement of the peak."""
    Path("/proc/self/clear_refs").write_text("5")


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no line {field}")
