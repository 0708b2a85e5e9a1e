"""Time full tangent kernels of finite networks: `python bench/tangent.py --json OUT.json`.

A ReLU network of 3 x 512 hidden units and 10 outputs, 256 x 784 rows, float32; beside the matrix
products alone, neural-tangents' implementations and, where PyTorch is installed, both ways of
torch.func. Rounds as in run.py. Contenders that take more than 3 s take their turn in the first two
rounds only; more than 30 s are called once, before the rounds. NTK-vector products of torch.func
are timed on fewer rows.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import environment
import peer_env
import tangent_report
from tangent_contenders import B_STD, W_STD
from worker import UNSET, Worker, WorkerError

SETTLE = 0.1  # seconds between turns: OpenBLAS's threads spin for a while after a call
SLOW = 3.0  # seconds of a call from which on it is repeated in two rounds only
ALONE = 30.0  # and from which on it takes no part in the rounds: minutes, and gigabytes
CALLS = 5
CHECKED = 4  # rows, spread over all of them, whose block of the answer is compared

Layers = list[tuple[NDArray[Any], NDArray[Any]]]


@dataclass(frozen=True)
class Problem:
    """What is computed."""

    rows: int = 256
    features: int = 784
    hidden: int = 3
    width: int = 512
    outputs: int = 10
    dtype: str = "float32"

    def layers(self) -> Layers:
        """Draw the parameters."""
        rng = np.random.default_rng(1)
        sizes = [self.features, *[self.width] * self.hidden, self.outputs]
        return [
            (
                rng.standard_normal((a, b)).astype(self.dtype),
                rng.standard_normal(b).astype(self.dtype),
            )
            for a, b in pairwise(sizes)
        ]

    def inputs(self) -> NDArray[Any]:
        """Return the rows."""
        shape = (self.rows, self.features)
        return np.random.default_rng(0).standard_normal(shape).astype(self.dtype)

    def sizes(self) -> dict[str, int]:
        """Bytes of the kernel, and of all inputs of layers and signals that come back to them."""
        itemsize = np.dtype(self.dtype).itemsize
        units = self.hidden * self.width + self.outputs
        values = self.features + 2 * self.hidden * self.width + self.outputs
        return {
            "output": itemsize * (self.rows * self.outputs) ** 2,
            "activations": itemsize * self.rows * (values + self.outputs * units),
        }


@dataclass(frozen=True)
class Entry:
    """A class of tangent_contenders.py, one of its ways, and on how many rows at most."""

    name: str
    cls: str
    way: str = ""
    rows: int | None = None
    answers: bool = True


SUBJECT, FLOOR = "ntkfast", "products alone"
PEERS = (
    Entry("neural-tangents, default", "NeuralTangents", "JACOBIAN_CONTRACTION"),
    *(
        Entry(f"neural-tangents, {way}", "NeuralTangents", f"{way}, vmap_axes=0")
        for way in ("JACOBIAN_CONTRACTION", "NTK_VECTOR_PRODUCTS", "STRUCTURED_DERIVATIVES")
    ),
)
TORCH = (
    Entry("torch.func, Jacobian contraction", "Torch", "jacobian"),
    Entry("torch.func, NTK-vector products", "Torch", "products", rows=16),
)
ENTRIES = (Entry(SUBJECT, "Ntkfast"), Entry(FLOOR, "Products", answers=False), *PEERS, *TORCH)


class Run:
    """Workers of one problem, and their rounds."""

    def __init__(self, problem: Problem, threads: int) -> None:
        self.problem, self.threads = problem, threads
        self.workers: dict[str, Worker] = {}
        self.found: dict[str, dict[str, Any]] = {}
        self.rounds: list[dict[str, Any]] = []

    def measure(self, entries: list[Entry], rounds: int) -> None:
        """Prepare, check and time all contenders."""
        probe = Worker(sys.executable, "probe", "Probe", self.threads)
        try:
            with tempfile.TemporaryDirectory() as folder:
                self._prepare(entries, Path(folder))
            for index in range(rounds):
                self._round(index, probe)
        finally:
            for worker in (probe, *self.workers.values()):
                worker.close()

    def _prepare(self, entries: list[Entry], folder: Path) -> None:
        layers, x = self.problem.layers(), self.problem.inputs()
        arrays = {f"w{i}": w for i, (w, _) in enumerate(layers)}
        arrays |= {f"b{i}": b for i, (_, b) in enumerate(layers)}
        np.savez(folder / "problem.npz", x=x, **arrays)  # type: ignore[arg-type]
        for entry in entries:
            rows = min(self.problem.rows, entry.rows or self.problem.rows)
            python = str(peer_env.PYTHON) if entry.cls == "NeuralTangents" else sys.executable
            worker = Worker(python, "tangent_contenders", entry.cls, self.threads)
            try:
                checked = np.unique(np.linspace(0, rows - 1, CHECKED).astype(int))
                block = folder / "block.npy"
                ask = {"checked": checked.tolist(), "block": str(block)}
                path = str(folder / "problem.npz")
                found = {"rows": rows} | worker.ask(
                    "prepare", path=path, way=entry.way, rows=rows, calls=CALLS, **ask
                )
                if found["first_call"] < ALONE:
                    found |= worker.ask("check", **ask)
                if entry.answers:
                    found |= differences(np.load(block), oracle(layers, x[checked]))
                self.workers[entry.name] = worker
            except WorkerError as error:
                found = {"failure": str(error)}
                worker.close()
            self.found[entry.name] = found
            _say(f"{entry.name}: {found.get('failure') or found['first_call']}")
            if found.get("first_call", 0.0) > ALONE:
                self.workers.pop(entry.name).close()

    def _round(self, index: int, probe: Worker) -> None:
        names = [name for name in self.workers if index < 2 or self.found[name]["seconds"] < SLOW]
        time.sleep(SETTLE)
        before = probe.ask("turn")["gflops"]
        turns: dict[str, Any] = {}
        for name in names if index % 2 == 0 else names[::-1]:
            time.sleep(SETTLE)
            turns[name] = self.workers[name].ask("turn")
        time.sleep(SETTLE)
        after = probe.ask("turn")["gflops"]
        self.rounds.append({"probe": [before, after], "turns": turns})
        _say("  ".join(f"{name} {1e3 * turns[name]['seconds']:.4g} ms" for name in names))


def oracle(layers: Layers, x: NDArray[Any]) -> NDArray[np.float64]:
    """Return the kernel from explicit derivatives by all weights, in float64."""
    values = [x.astype(np.float64)]
    exact = [(w.astype(np.float64), b.astype(np.float64)) for w, b in layers]
    for k, (w, b) in enumerate(exact):
        z = W_STD / len(w) ** 0.5 * values[-1] @ w + B_STD * b
        values.append(z if k + 1 == len(exact) else np.maximum(z, 0))
    n, outputs = values[-1].shape
    signal = np.broadcast_to(np.eye(outputs), (n, outputs, outputs))
    kernel = np.zeros((n, n, outputs, outputs))
    for k in reversed(range(len(exact))):
        w, a = exact[k][0], values[k]
        scale = W_STD / len(w) ** 0.5
        for block in (scale * a[:, None, :, None] * signal[:, :, None], B_STD * signal):
            j = block.reshape(n, outputs, -1)
            kernel += np.tensordot(j, j, (2, 2)).transpose(0, 2, 1, 3)
        signal = scale * (signal @ w.T) * (a > 0)[:, None]
    return kernel


def differences(got: NDArray[Any], truth: NDArray[np.float64]) -> dict[str, float]:
    """Return the largest difference over sqrt(Theta_cc(x, x) Theta_c'c'(x', x'))."""
    root = np.sqrt(np.einsum("iicc->ic", truth))
    scale = root[:, None, :, None] * root[None, :, None, :]
    return {"error": float((np.abs(got - truth) / scale).max())}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    names = [entry.name for entry in ENTRIES]
    parser.add_argument("--contender", action="append", choices=names, help="repeatable")
    parser.add_argument("--no-peer", action="store_true", help="leave neural-tangents out")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--rounds", type=int, default=10, help="an even number")
    parser.add_argument("--threads", type=int, default=environment.cores())
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the measurements")
    parser.add_argument("--report", type=Path, metavar="FILE", help="print the table of a file")
    arguments = parser.parse_args()
    if arguments.rounds < 2 or arguments.rounds % 2:
        parser.error(f"--rounds: expected an even number of at least 2, got {arguments.rounds}")
    if not 1 <= arguments.threads <= environment.cores():
        parser.error(f"--threads: expected 1 to {environment.cores()}, got {arguments.threads}")
    return arguments


def main() -> int:
    arguments = _arguments()
    if arguments.report is not None:
        print(tangent_report.markdown(json.loads(arguments.report.read_text())))
        return 0
    entries = [
        entry
        for entry in ENTRIES
        if entry.name in (arguments.contender or [entry.name])
        and not (arguments.no_peer and entry.cls == "NeuralTangents")
    ]
    if any(entry.cls == "NeuralTangents" for entry in entries):
        peer_env.ensure()
    _say(f"Unset for every contender: {', '.join(UNSET)}")
    problem = Problem(rows=arguments.rows, dtype=arguments.dtype)
    run = Run(problem, arguments.threads)
    results = environment.describe(arguments.threads)
    run.measure(entries, arguments.rounds)
    results |= {
        "problem": asdict(problem) | problem.sizes(),
        "contenders": run.found,
        "rounds": run.rounds,
    }
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
        arguments.json.with_suffix(".md").write_text(tangent_report.markdown(results))
    print(tangent_report.markdown(results))
    missing = "ImportError", "ModuleNotFoundError"
    failures = [found.get("failure", "") for found in run.found.values()]
    return int(any(text and not text.startswith(missing) for text in failures))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
