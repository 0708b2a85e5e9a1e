"""The probe: a float32 product of fixed size with all threads, timed before and after each round.

Some machines (virtual ones above all) switch between a fast and a slow regime. The probe shows in
which one a round ran; a round whose two probes differ much was disturbed. Run alone, it prints the
speed of the machine: `python bench/probe.py`.
"""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from worker import Worker

SIDE = 2048


class Probe:
    """Answers `on_turn` with the speed of the product, in GFLOP/s."""

    def __init__(self, threads: int) -> None:
        del threads  # set for the BLAS by the environment that Worker gives
        self._a = np.random.default_rng(0).standard_normal((SIDE, SIDE), dtype=np.float32)
        self._out = self._a @ self._a

    def on_turn(self) -> dict[str, Any]:
        start = time.perf_counter()
        np.matmul(self._a, self._a, out=self._out)
        seconds = time.perf_counter() - start
        return {"gflops": 2 * SIDE**3 / seconds / 1e9}


def main() -> None:
    import sys

    threads = len(os.sched_getaffinity(0))
    worker = Worker(sys.executable, "probe", "Probe", threads)
    try:
        for _ in range(10):
            speed = worker.ask("turn")["gflops"]
            print(f"{threads} threads, float32 {SIDE}^3: {speed:.0f} GFLOP/s")
    finally:
        worker.close()


if __name__ == "__main__":
    main()
