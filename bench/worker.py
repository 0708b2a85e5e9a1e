"""A contender in a process of its own, driven by lines of JSON.

Child side: `python worker.py MODULE CLASS` reads one request a line on standard input and answers
one line on standard output, until the end of its input. Requests: `prepare` (load the rows, import,
first call), `check` (one call: its peak memory and a block of its answer), `turn` (timed calls).
Parent side: `Worker`. Only the standard library is imported here: this file also runs in the
peers' environment.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import IO, Any

# They change OpenBLAS's kernels or blocking: no contender sees them. See README.md.
UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
TURN_BUDGET = 1.0  # seconds: a slow contender stops repeating after this much
HERE = Path(__file__).resolve().parent


class WorkerError(RuntimeError):
    """A contender failed; the message is its own."""


class Worker:
    """The parent's end of one contender's process."""

    def __init__(self, python: str, module: str, cls: str, threads: int) -> None:
        env = {k: v for k, v in os.environ.items() if k not in UNSET}
        for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            env[name] = str(threads)
        self._process = subprocess.Popen(
            [python, str(HERE / "worker.py"), module, cls, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
            text=True,
        )

    def ask(self, request: str, **fields: Any) -> dict[str, Any]:
        """Send one request and wait for its answer; raise WorkerError if it failed."""
        if self._process.stdin is None or self._process.stdout is None:
            raise WorkerError("the worker has no pipes")
        try:
            self._process.stdin.write(json.dumps({"request": request, **fields}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(f"the process ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def timed_calls(call: Any, calls: int) -> list[float]:
    """Time up to `calls` calls within the budget, each answer dropped outside the clock."""
    seconds: list[float] = []
    while len(seconds) < calls and (not seconds or sum(seconds) < TURN_BUDGET):
        start = time.perf_counter()
        answer = call()
        seconds.append(time.perf_counter() - start)
        del answer
    return seconds


def _serve(module: str, cls: str, threads: int, requests: IO[str], answers: IO[str]) -> None:
    contender: Any = None
    for line in requests:
        fields = json.loads(line)
        request = fields.pop("request")
        try:
            if contender is None:
                contender = getattr(importlib.import_module(module), cls)(threads)
            answer = getattr(contender, "on_" + request)(**fields)
        except Exception as error:  # told to the parent, which goes on without this contender
            answer = {"error": f"{type(error).__name__}: {error}"}
            if not isinstance(error, ImportError):
                traceback.print_exc()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    module, cls, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    # Standard output belongs to the protocol: what a library prints goes to standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if hasattr(os, "sched_setaffinity"):
        # A library that counts the cores by itself counts these.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    _serve(module, cls, threads, sys.stdin, answers)


if __name__ == "__main__":
    main()
