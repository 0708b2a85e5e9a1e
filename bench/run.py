"""Time this library against its peers: `python bench/run.py --help`; README.md explains.

Every contender sits in a process of its own. A round lets each of them take one turn, and only
times of the same round are ever divided by each other. The order alternates, the number of rounds
is even.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cases
import contenders
import environment
import inputs
import oracle
import peer_env
import report
from cases import Case
from contenders import Entry
from worker import UNSET, Worker, WorkerError

SETTLE = 0.1  # seconds between turns: OpenBLAS's threads spin for a while after a call
CHECKED = 48  # rows (and columns) of the block whose answer is compared


class CaseRun:
    """One case in one dtype: its data, its workers, its rounds."""

    def __init__(self, case: Case, dtype: str, entries: list[Entry], threads: int) -> None:
        self.case, self.dtype, self.entries, self.threads = case, dtype, entries, threads
        self.workers: dict[str, Worker] = {}
        self.contenders: dict[str, dict[str, Any]] = {}
        self.rounds: list[dict[str, Any]] = []

    def run(self, rounds: int) -> dict[str, Any]:
        """Prepare, check, time; return what report.py reads."""
        x, z = inputs.make(self.case, self.dtype)
        probe = Worker(sys.executable, "probe", "Probe", self.threads)
        try:
            with tempfile.TemporaryDirectory() as folder:
                self._prepare(Path(folder), x, z)
            for index in range(rounds):
                self._round(index, probe)
        finally:
            for worker in (probe, *self.workers.values()):
                worker.close()
        return {
            "case": self.case.to_dict(),
            "dtype": self.dtype,
            "contenders": self.contenders,
            "rounds": self.rounds,
        }

    def _prepare(self, folder: Path, x: NDArray[Any], z: NDArray[Any] | None) -> None:
        """Start every contender, let it answer once, and keep those that can."""
        np.save(folder / "x.npy", x)
        if z is not None:
            np.save(folder / "z.npy", z)
        files = {"x": str(folder / "x.npy"), "z": None if z is None else str(folder / "z.npy")}
        for entry in self.entries:
            worker = Worker(entry.python(), entry.module, entry.cls, self.threads)
            try:
                found = worker.ask("prepare", case=self.case.to_dict(), **files)
                if found.get("answers"):
                    found |= self._check(worker, folder, x, z)
            except WorkerError as error:
                found = {"failure": str(error)}
            self.contenders[entry.name] = found
            if "failure" in found or "refusal" in found:
                worker.close()
                _say(f"  {entry.name}: {found.get('failure', found.get('refusal'))}")
            else:
                self.workers[entry.name] = worker

    def _check(
        self, worker: Worker, folder: Path, x: NDArray[Any], z: NDArray[Any] | None
    ) -> dict[str, Any]:
        """Compare a block of the answer with the oracle."""
        rows = _spread(len(x))
        columns = rows if z is None else _spread(len(z))
        path = folder / "block.npz"
        found = worker.ask("check", rows=rows.tolist(), columns=columns.tolist(), path=str(path))
        reference = Case.from_dict(found.pop("reference"))
        truth = oracle.kernels(reference, x[rows], None if z is None else z[columns])
        with np.load(path) as blocks:
            found["differences"] = {n: truth[n].differences(blocks[n]) for n in blocks.files}
        return found

    def _round(self, index: int, probe: Worker) -> None:
        names = list(self.workers)
        order = names if index % 2 == 0 else names[::-1]
        time.sleep(SETTLE)
        before = probe.ask("turn")["gflops"]
        turns: dict[str, Any] = {}
        for name in order:
            time.sleep(SETTLE)
            try:
                turns[name] = self.workers[name].ask("turn")
            except WorkerError as error:
                self.contenders[name]["failure"] = str(error)
                self.workers.pop(name).close()
        time.sleep(SETTLE)
        after = probe.ask("turn")["gflops"]
        self.rounds.append({"probe": [before, after], "order": order, "turns": turns})
        times = "  ".join(f"{n} {1e3 * turns[n]['seconds']:.4g} ms" for n in names if n in turns)
        _say(f"  round {index + 1}: probe {before:.0f}/{after:.0f} GFLOP/s  {times}")


def _spread(count: int) -> NDArray[np.int64]:
    """Rows to check, spread over all of them."""
    return np.unique(np.linspace(0, count - 1, CHECKED).astype(np.int64))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    names = [case.name for case in cases.CASES]
    parser.add_argument("--case", action="append", choices=names, help="repeatable")
    known = [entry.name for entry in contenders.CONTENDERS]
    parser.add_argument("--contender", action="append", choices=known, help="repeatable")
    parser.add_argument(
        "--no-peer", action="store_true", help="leave scikit-ntk and neural-tangents out"
    )
    parser.add_argument(
        "--dtype", choices=("float32", "float64"), help="default: both, where a case has both"
    )
    parser.add_argument("--rounds", type=int, help="an even number (default 10; with --quick 2)")
    parser.add_argument("--threads", type=int, help="default: all cores this process may use")
    parser.add_argument(
        "--quick", action="store_true", help="at most 512 rows: a smoke test, not a result"
    )
    parser.add_argument(
        "--json", type=Path, metavar="OUT", help="write the measurements, for report.py"
    )
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (2 if arguments.quick else 10)
    if arguments.rounds < 2 or arguments.rounds % 2:
        parser.error(f"--rounds: expected an even number of at least 2, got {arguments.rounds}")
    available = environment.cores()
    arguments.threads = arguments.threads or available
    if not 1 <= arguments.threads <= available:
        parser.error(f"--threads: expected 1 to {available}, got {arguments.threads}")
    return arguments


def main() -> int:
    arguments = _arguments()
    chosen = cases.select(arguments.case)
    entries = contenders.select(arguments.contender, peers=not arguments.no_peer)
    if any(entry.peer for entry in entries):
        peer_env.ensure()
    present = [name for name in UNSET if name in os.environ]
    _say(
        f"Unset for every contender: {', '.join(UNSET)} (set here: {', '.join(present) or 'none'})"
    )
    results = environment.describe(arguments.threads) | {"quick": arguments.quick, "results": []}
    for case in chosen:
        for dtype in case.dtypes if arguments.dtype is None else (arguments.dtype,):
            sized = case.quick() if arguments.quick else case
            _say(f"{case.name}, {dtype}:")
            results["results"].append(
                CaseRun(sized, dtype, entries, arguments.threads).run(arguments.rounds)
            )
            if arguments.json is not None:  # after every case: an interrupted run keeps what it has
                arguments.json.parent.mkdir(parents=True, exist_ok=True)
                arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    print(report.markdown(results))
    failed = [n for r in results["results"] for n, c in r["contenders"].items() if "failure" in c]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
