"""What every contender has in common: it answers the requests of worker.py."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

import memory
from cases import Case
from worker import timed_calls

Array = NDArray[Any]


class Contender(ABC):
    """One way to compute the kernels of a case. Subclasses define `load` and `call`."""

    answers: ClassVar[bool] = True  # False for what is timed but computes no kernel

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.case: Case
        self._baseline = 0

    @abstractmethod
    def load(self, case: Case, x: Array, z: Array | None) -> dict[str, str]:
        """Import what is needed, keep the rows; return the versions of what runs."""

    @abstractmethod
    def call(self) -> tuple[Any, Any]:
        """Compute (K, T), complete when this returns; None for a kernel that is not offered."""

    def reference(self, case: Case) -> tuple[Case, float]:
        """Return the case this contender really computes, and what to multiply its NTK by."""
        return case, 1.0

    def refusal(self, case: Case) -> str | None:
        """Return why this contender has no part in a case, or None."""
        del case
        return None

    def on_prepare(self, case: dict[str, Any], x: str, z: str | None) -> dict[str, Any]:
        """Load and call once: the first call holds compilation and lazy set-up."""
        self.case = Case.from_dict(case)
        if reason := self.refusal(self.case):
            return {"refusal": reason}
        versions = self.load(self.case, np.load(x), np.load(z) if z else None)
        self._baseline = memory.resident()
        start = time.perf_counter()
        answer = self.call()
        seconds = time.perf_counter() - start
        del answer
        return {"versions": versions, "first_call": seconds, "answers": self.answers}

    def on_check(self, rows: list[int], columns: list[int], path: str) -> dict[str, Any]:
        """Call once; save the block rows x columns of each kernel; report memory."""
        memory.reset_peak()
        kernels = self.call()
        peak = memory.peak()
        blocks = {
            name: np.asarray(kernel)[np.ix_(rows, columns)]
            for name, kernel in zip(("nngp", "ntk"), kernels, strict=True)
            if kernel is not None
        }
        reference, factor = self.reference(self.case)
        blocks["ntk"] = blocks["ntk"] * factor
        np.savez(path, **blocks)  # type: ignore[arg-type]  # numpy's stub wants allow_pickle there
        output = sum(np.asarray(kernel).nbytes for kernel in kernels if kernel is not None)
        return {
            "reference": reference.to_dict(),
            "over_baseline": peak - self._baseline,
            "outputs": output,
        }

    def on_turn(self) -> dict[str, Any]:
        """Time the calls of one turn."""
        seconds = timed_calls(self.call, self.case.calls)
        return {"seconds": float(np.median(seconds)), "calls": len(seconds)}
