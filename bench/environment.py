"""What a result must say about where it was measured."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from worker import UNSET

ROOT = Path(__file__).resolve().parent.parent


def cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe(threads: int) -> dict[str, Any]:
    """Return machine, date, commit, threads and the variables taken away."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": _commit(),
        "threads": threads,
        "unset": {name: os.environ.get(name) for name in UNSET},
        "python": platform.python_version(),
        "machine": {
            "cpu": _cpu(),
            "cores": cores(),
            "memory_gib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
            "system": f"{platform.system()} {platform.machine()}",
        },
    }


def _commit() -> str:
    """Return the short hash of HEAD, marked where the tree differs from it (results aside)."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    if head.returncode:
        return "no commit"
    status = [*git, "status", "--porcelain", "--", ".", ":!bench/results"]
    changes = subprocess.run(status, capture_output=True, text=True)
    return head.stdout.strip() + ("+changes" if changes.stdout.strip() else "")


def _cpu() -> str:
    """Return the processor's name and its widest vector set, as Linux tells them."""
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = fields.get("flags", "").split()
    vectors = next((f for f in ("avx512f", "avx2", "avx") if f in flags), "")
    family = f"family {fields.get('cpu family')} model {fields.get('model')}"
    return f"{fields.get('model name', platform.processor())} ({family}, {vectors})"
