"""How many threads to use.

In order: the ``threads`` argument; else ``config.threads``, ``NTKFAST_NUM_THREADS`` or what the
process may use, whichever is given first, capped by threadpoolctl's limit.
"""

from __future__ import annotations

import math
import os
from functools import lru_cache

from threadpoolctl import LibController, register

from . import _cgroup, _core
from ._validate import whole_number
from .config import config

__all__ = ["resolve_threads"]


def resolve_threads(threads: int | None = None) -> int:
    """Return the number of threads for one call; the argument overrides everything else."""
    if threads is not None:
        return whole_number("threads", threads, minimum=1)
    limit = _core.thread_limit()
    return min(_wanted(), limit) if limit > 0 else _wanted()


def _wanted() -> int:
    if config.threads is not None:
        return config.threads
    if setting := os.environ.get("NTKFAST_NUM_THREADS"):
        if not setting.strip().isdecimal() or int(setting) < 1:
            raise ValueError(f"NTKFAST_NUM_THREADS must be an integer >= 1, got {setting!r}")
        return int(setting)
    # OMP_NUM_THREADS may list one number per nesting level. joblib sets it in its workers.
    omp = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    omp_limit = int(omp) if omp.isdecimal() and int(omp) > 0 else math.inf
    return int(min(_affinity(), _quota(), omp_limit))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@lru_cache(maxsize=1)
def _quota() -> float:
    quota = _cgroup.cpu_quota()
    return max(1, math.ceil(quota)) if math.isfinite(quota) else quota


class _Controller(LibController):  # type: ignore[misc]
    """Lets ``threadpool_limits`` find and limit the core."""

    user_api = "ntkfast"
    internal_api = "ntkfast"
    filename_prefixes = ("_core",)
    check_symbols = ("ntkfast_get_num_threads",)

    def get_num_threads(self) -> int:
        return resolve_threads()

    def set_num_threads(self, num_threads: int) -> None:
        # threadpoolctl lifts a limit by setting what it read before: that must not stay behind as a
        # limit when config.threads is raised later.
        limit = 0 if num_threads == _wanted() else num_threads
        self.dynlib.ntkfast_set_num_threads(limit)

    def get_version(self) -> None:
        return None


register(_Controller)
