"""Time one layer of every activation, with neural-tangents beside it.

`python bench/activations.py --json OUT.json` measures, and prints what
`python bench/activations.py --report OUT.json` prints again.

A layer is (Dense, activation), in both kernels. Its cost is a slope: the time of a deep network
less that of a shallow one, over the layers between them and the entries. What does not grow with
depth (the product of the rows, allocation, validation) drops out. The kernels are cross kernels, so
that every library computes every entry. Rounds and workers are those of run.py; a slope is formed
within a turn, a ratio within a round.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import activation_report
import environment
import peer_env
from activation_catalogue import Subject, catalogue
from worker import UNSET, Worker, WorkerError

SETTLE = 0.1  # seconds between turns: OpenBLAS's threads spin for a while after a call
FEATURES = 32
B_STD = 0.1
CONTENDERS = {
    "ntkfast": (sys.executable, "Ntkfast"),
    "neural-tangents": (str(peer_env.PYTHON), "NeuralTangents"),
}


@dataclass(frozen=True)
class Run:
    """One activation in one dtype with so many threads."""

    subject: Subject
    dtype: str
    threads: int
    rows: int

    def measure(self, rounds: int, peer: bool) -> dict[str, Any]:
        """Prepare the contenders and let them take turns; return what the report reads."""
        found: dict[str, Any] = {}
        turns: list[dict[str, Any]] = []
        workers: dict[str, Worker] = {}
        probe = Worker(sys.executable, "probe", "Probe", self.threads)
        try:
            with tempfile.TemporaryDirectory() as folder:
                for name in CONTENDERS if peer else ["ntkfast"]:
                    self._prepare(name, Path(folder), found, workers)
            for index in range(rounds):
                turns.append(self._round(index, probe, workers, found))
        finally:
            for worker in (probe, *workers.values()):
                worker.close()
        return {
            "subject": self.subject.to_dict(),
            "dtype": self.dtype,
            "threads": self.threads,
            "contenders": found,
            "rounds": turns,
        }

    def _prepare(
        self, name: str, folder: Path, found: dict[str, Any], workers: dict[str, Worker]
    ) -> None:
        subject = self.subject
        activation = subject.activation if name == "ntkfast" else subject.peer
        if activation is None:
            found[name] = {"refusal": "has no such layer"}
            return
        rows = self.rows if name == "ntkfast" else min(self.rows, subject.peer_rows)
        files = {}
        for seed, which in enumerate("xz"):
            files[which] = str(folder / f"{name}_{which}.npy")
            np.save(files[which], make_rows(rows, subject.spread, seed).astype(self.dtype))
        python, cls = CONTENDERS[name]
        worker = Worker(python, "layer_contenders", cls, self.threads)
        dense = {"W_std": subject.w_std(B_STD), "b_std": B_STD}
        try:
            found[name] = worker.ask(
                "prepare",
                activation=activation,
                depths=list(subject.depths),
                dense=dense,
                calls=3,
                **files,
            ) | {"rows": rows}
            workers[name] = worker
        except WorkerError as error:
            found[name] = {"failure": str(error)}
            worker.close()

    def _round(
        self, index: int, probe: Worker, workers: dict[str, Worker], found: dict[str, Any]
    ) -> dict[str, Any]:
        names = list(workers)
        time.sleep(SETTLE)
        before = probe.ask("turn")["gflops"]
        turns: dict[str, Any] = {}
        for name in names if index % 2 == 0 else names[::-1]:
            time.sleep(SETTLE)
            try:
                turns[name] = workers[name].ask("turn")["seconds"]
            except WorkerError as error:
                found[name]["failure"] = str(error)
                workers.pop(name).close()
        time.sleep(SETTLE)
        return {"probe": [before, probe.ask("turn")["gflops"]], "turns": turns}


def make_rows(count: int, spread: float, seed: int) -> NDArray[np.float64]:
    """Rows of norm sqrt(FEATURES) (so q = 1), times factors from 1 - spread to 1 + spread."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, FEATURES))
    rows *= FEATURES**0.5 / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows * rng.uniform(1 - spread, 1 + spread, (count, 1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    labels = [subject.label for subject in catalogue()]
    parser.add_argument("--activation", action="append", choices=labels, help="repeatable")
    parser.add_argument("--dtype", choices=("float32", "float64"), help="default: both")
    parser.add_argument("--threads", type=int, action="append", help="default: 1 and all")
    parser.add_argument("--rows", type=int, default=1024, help="of each side (default 1024)")
    parser.add_argument("--rounds", type=int, default=6, help="an even number (default 6)")
    parser.add_argument("--no-peer", action="store_true", help="leave neural-tangents out")
    parser.add_argument("--quick", action="store_true", help="a smoke test, not a result")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the measurements")
    parser.add_argument("--report", type=Path, metavar="FILE", help="print those of a file")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rows, arguments.rounds = min(arguments.rows, 256), 2
    if arguments.rounds < 2 or arguments.rounds % 2:
        parser.error(f"--rounds: expected an even number of at least 2, got {arguments.rounds}")
    available = environment.cores()
    arguments.threads = arguments.threads or sorted({1, available})
    if not all(1 <= count <= available for count in arguments.threads):
        parser.error(f"--threads: expected 1 to {available}, got {arguments.threads}")
    return arguments


def main() -> int:
    arguments = _arguments()
    if arguments.report is not None:
        print(activation_report.markdown(json.loads(arguments.report.read_text())))
        return 0
    if not arguments.no_peer:
        peer_env.ensure()
    present = [name for name in UNSET if name in os.environ]
    _say(f"Unset for every contender: {', '.join(UNSET)} (set here: {', '.join(present)})")
    results = environment.describe(max(arguments.threads)) | {
        "quick": arguments.quick,
        "rows": arguments.rows,
        "results": [],
    }
    chosen = [s for s in catalogue() if s.label in (arguments.activation or [s.label])]
    for subject in chosen:
        for dtype in (arguments.dtype,) if arguments.dtype else ("float32", "float64"):
            for threads in arguments.threads:
                run = Run(subject, dtype, threads, arguments.rows)
                result = run.measure(arguments.rounds, peer=not arguments.no_peer)
                results["results"].append(result)
                _say(activation_report.line(result))
                if arguments.json is not None:  # after each: an interrupted run keeps what it has
                    arguments.json.parent.mkdir(parents=True, exist_ok=True)
                    arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    print(activation_report.markdown(results))
    failed = [c for r in results["results"] for c in r["contenders"].values() if "failure" in c]
    return 1 if failed else 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
