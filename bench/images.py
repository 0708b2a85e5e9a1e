"""Time kernels of convolutional networks, with neural-tangents beside them.

`python bench/images.py --json OUT.json` measures, and prints what
`python bench/images.py --report OUT.json` prints again. Three 3 x 3 convolutions (SAME, bias) with
ReLU, a readout and Dense, both kernels, symmetric, float32. Rounds, workers and probe are those of
run.py; ratios are formed within a round, from medians of the calls of a turn: 40 of them, or as
many as begin within a second. The answers are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import environment
import peer_env
from worker import UNSET, Worker, WorkerError

SETTLE = 0.1  # seconds between turns: OpenBLAS's threads spin for a while after a call
DEPTH = 3
DENSE = {"W_std": 2.0**0.5, "b_std": 0.1}
SUBJECT, PEER = "ntkfast", "neural-tangents"
CONTENDERS = {
    SUBJECT: (sys.executable, "ImageNtkfast"),
    PEER: (str(peer_env.PYTHON), "ImageNeuralTangents"),
}


@dataclass(frozen=True)
class Case:
    """So many square images of three channels."""

    readout: str
    images: int
    size: int

    def layer_entries(self) -> int:
        """Pairs of positions of all pairs of images that have to be computed, times layers."""
        pairs = self.images * (self.images + 1) // 2
        positions = self.size**2
        return pairs * DEPTH * (positions if self.readout == "Flatten" else positions**2)


CASES = (
    Case("GlobalAvgPool", 4, 32),
    Case("GlobalAvgPool", 16, 16),
    Case("Flatten", 32, 32),
    Case("Flatten", 256, 32),
)


def measure(case: Case, rounds: int, threads: int, peer: bool) -> dict[str, Any]:
    """Let the contenders take turns; return what the report reads."""
    found: dict[str, Any] = {}
    turns: list[dict[str, Any]] = []
    workers: dict[str, Worker] = {}
    probe = Worker(sys.executable, "probe", "Probe", threads)
    rng = np.random.default_rng(0)
    images = rng.standard_normal((case.images, case.size, case.size, 3)).astype(np.float32)
    answers = {}
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            np.save(folder / "x.npy", images)
            for who in CONTENDERS if peer else [SUBJECT]:
                python, cls = CONTENDERS[who]
                worker = Worker(python, "image_contenders", cls, threads)
                try:
                    found[who] = worker.ask(
                        "prepare",
                        activation={"type": case.readout},
                        depths=[DEPTH],
                        dense=DENSE,
                        x=str(folder / "x.npy"),
                        z=None,
                        calls=40,
                    )
                    worker.ask("answer", path=str(folder / f"{who}.npz"))
                    with np.load(folder / f"{who}.npz") as saved:
                        answers[who] = {key: saved[key] for key in saved}
                    workers[who] = worker
                except WorkerError as error:
                    found[who] = {"failure": str(error)}
                    worker.close()
        for index in range(rounds):
            time.sleep(SETTLE)
            before = probe.ask("turn")["gflops"]
            seconds = {}
            for who in list(workers) if index % 2 == 0 else list(workers)[::-1]:
                time.sleep(SETTLE)
                seconds[who] = workers[who].ask("turn")["seconds"][str(DEPTH)]
            time.sleep(SETTLE)
            turns.append({"probe": [before, probe.ask("turn")["gflops"]], "seconds": seconds})
    finally:
        for worker in (probe, *workers.values()):
            worker.close()
    return {
        "case": asdict(case),
        "entries": case.layer_entries(),
        "contenders": found,
        "difference": _difference(answers),
        "rounds": turns,
    }


def _difference(answers: dict[str, Any]) -> float | None:
    """Return the largest difference of either kernel over the largest entry."""
    if len(answers) < 2:
        return None
    ours, theirs = answers[SUBJECT], answers[PEER]
    return max(float(np.abs(ours[k] - theirs[k]).max() / theirs[k].max()) for k in ours)


def markdown(run: dict[str, Any]) -> str:
    """Return the table."""
    machine = run["machine"]
    lines = [
        f"# Kernels of images, {run['date'][:10]}, commit {run['commit']}",
        "",
        f"{machine['cpu']}, {run['threads']} threads, float32; {DEPTH} layers of 3 x 3 Conv (SAME, "
        "bias) and ReLU, both kernels, symmetric.",
        "",
        "| readout | images | time | ns per entry and layer and thread | neural-tangents "
        "| ntkfast is faster by | largest difference | probe, GFLOP/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in run["results"]:
        case = result["case"]
        times = {
            who: [r["seconds"][who] for r in result["rounds"] if who in r["seconds"]]
            for who in CONTENDERS
        }
        own, peer = np.array(times[SUBJECT]), np.array(times[PEER])
        probes = [value for r in result["rounds"] for value in r["probe"]]
        cost = 1e9 * float(np.median(own)) * run["threads"] / result["entries"]
        difference = result["difference"]
        cells = [
            case["readout"],
            f"{case['images']} of {case['size']} x {case['size']}",
            f"{1e3 * np.median(own):.3g} ms",
            f"{cost:.2f}",
            f"{1e3 * np.median(peer):.4g} ms" if len(peer) else "",
            _spread(peer / own) if len(peer) else "",
            "" if difference is None else f"{difference:.1e}",
            f"{min(probes):.0f}-{max(probes):.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", "Ratios within rounds: **median** (quartiles) [extremes]."])


def _spread(values: Any) -> str:
    low, first, median, third, high = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    return f"**{median:.3g}** ({first:.3g}-{third:.3g}) [{low:.3g}-{high:.3g}]"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=6, help="an even number (default 6)")
    parser.add_argument("--threads", type=int, default=environment.cores())
    parser.add_argument("--no-peer", action="store_true", help="leave neural-tangents out")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the measurements")
    parser.add_argument("--report", type=Path, metavar="FILE", help="print those of a file")
    arguments = parser.parse_args()
    if arguments.report is not None:
        print(markdown(json.loads(arguments.report.read_text())))
        return 0
    if arguments.rounds < 2 or arguments.rounds % 2:
        parser.error(f"--rounds: expected an even number of at least 2, got {arguments.rounds}")
    if not arguments.no_peer:
        peer_env.ensure()
    present = [name for name in UNSET if name in os.environ]
    print(f"Unset for every contender: {UNSET} (set here: {present})", file=sys.stderr, flush=True)
    run = environment.describe(arguments.threads) | {"results": []}
    for case in CASES:
        result = measure(case, arguments.rounds, arguments.threads, peer=not arguments.no_peer)
        run["results"].append(result)
        if arguments.json is not None:  # after each: an interrupted run keeps what it has
            arguments.json.write_text(json.dumps(run, indent=1) + "\n")
    print(markdown(run))
    failed = [c for r in run["results"] for c in r["contenders"].values() if "failure" in c]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
