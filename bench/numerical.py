"""Time and check tanh, which has no closed form: `python bench/numerical.py --json OUT.json`.

Three hidden tanh layers on 4096 x 784 rows in float32, both kernels, beside neural-tangents'
quadrature layer (40 nodes per axis). That one keeps 1600 numbers per entry, so it is timed on
fewer rows and its time is scaled by the number of entries. On rows of equal norm tanh is timed
beside relu. Errors are those on tests/reference/mlp_num_tanh_*.npz, which hold 60-digit values.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import environment
import peer_env
from worker import Worker

ROWS, FEATURES, DEPTH = 4096, 784, 3
PEER_ROWS = 256
NODES = 40
SETTLE = 0.1
DENSE = {"W_std": 1.4, "b_std": 0.1}
TANH = {"type": "Tanh"}
QUADRATURE = {"type": "ElementwiseNumerical", "fn": "tanh", "deg": NODES}
REFERENCE = environment.ROOT / "tests" / "reference"
CASES = ("mlp_num_tanh_d1", "mlp_num_tanh_d3")
#: label -> class, activation, rows, whether the rows have unit norm
CONTENDERS: dict[str, tuple[str, dict[str, Any], int, bool]] = {
    "ntkfast, tanh": ("Ntkfast", TANH, ROWS, False),
    "neural-tangents, tanh": ("NeuralTangents", QUADRATURE, PEER_ROWS, False),
    "ntkfast, tanh, unit norm": ("Ntkfast", TANH, ROWS, True),
    "ntkfast, relu, unit norm": ("Ntkfast", {"type": "Relu"}, ROWS, True),
}


def start(cls: str, threads: int) -> Worker:
    """Start a contender of layer_contenders.py in its Python."""
    python = sys.executable if cls == "Ntkfast" else str(peer_env.PYTHON)
    return Worker(python, "layer_contenders", cls, threads)


def times(rounds: int, threads: int, quick: bool) -> list[dict[str, float]]:
    """Return the seconds of every contender, round by round, in alternating order."""
    workers: dict[str, Worker] = {}
    found: list[dict[str, float]] = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            for label, (cls, activation, rows, unit) in CONTENDERS.items():
                count = min(rows, 256) if quick else rows
                path = Path(folder) / f"{len(workers)}.npy"
                np.save(path, make_rows(count, unit))
                workers[label] = start(cls, threads)
                _prepare(workers[label], activation, DEPTH, DENSE, path, None)
        for index in range(rounds):
            turns = {}
            for label in list(workers) if index % 2 == 0 else list(workers)[::-1]:
                time.sleep(SETTLE)
                turns[label] = workers[label].ask("turn")["seconds"][str(DEPTH)]
            found.append(turns)
    finally:
        for worker in workers.values():
            worker.close()
    return found


def make_rows(count: int, unit: bool) -> NDArray[np.float32]:
    """Normal rows; with `unit` all of the norm at which K = x.x'/d is 1 on the diagonal."""
    rows = np.random.default_rng(0).standard_normal((count, FEATURES))
    if unit:
        rows *= FEATURES**0.5 / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32)


def errors(threads: int) -> list[dict[str, Any]]:
    """Return the largest errors of both libraries, over the entries and over their scale.

    The scale is sqrt(k(x, x) k(z, z)). In float32 rows are rounded before they are given to
    anybody; the truth is then this library in float64 on the rounded rows, whose own error is the
    one found in float64.
    """
    found = []
    for case in CASES:
        with np.load(REFERENCE / f"{case}.npz", allow_pickle=False) as file:
            reference = dict(file)
        layers = json.loads(str(reference["arch"]))["layers"]
        dense = {key: value for key, value in layers[0].items() if key != "type"}
        depth = len(layers) // 2
        for dtype in ("float32", "float64"):
            x1, x2 = (reference[name].astype(dtype) for name in ("x1", "x2"))
            pairs = ((x1, None), (x1, x2), (x2, None))
            truth = [
                _answer("Ntkfast", TANH, depth, dense, "float64", threads, *rows) for rows in pairs
            ]
            if dtype == "float64":
                for block, part in zip(truth, ("11", "12"), strict=False):
                    block.update({k: reference[f"{k}_{part}_hp"] for k in ("nngp", "ntk")})
            for cls, activation in (("Ntkfast", TANH), ("NeuralTangents", QUADRATURE)):
                got = [
                    _answer(cls, activation, depth, dense, dtype, threads, *rows)
                    for rows in pairs[:2]
                ]
                figures = {}
                for kernel in ("nngp", "ntk"):
                    own, other = (np.diag(truth[k][kernel]) for k in (0, 2))
                    scales = [np.sqrt(np.outer(own, right)) for right in (own, other)]
                    gaps = [abs(g[kernel] - t[kernel]) for g, t in zip(got, truth, strict=False)]
                    figures[kernel] = {
                        "entry": max(
                            float((gap / abs(t[kernel])).max())
                            for gap, t in zip(gaps, truth, strict=False)
                        ),
                        "scale": max(
                            float((gap / scale).max())
                            for gap, scale in zip(gaps, scales, strict=True)
                        ),
                    }
                found.append({"case": case, "dtype": dtype, "library": cls, **figures})
    return found


def _answer(
    cls: str,
    activation: dict[str, Any],
    depth: int,
    dense: dict[str, float],
    dtype: str,
    threads: int,
    x: NDArray[Any],
    z: NDArray[Any] | None,
) -> dict[str, NDArray[Any]]:
    worker = start(cls, threads)
    try:
        with tempfile.TemporaryDirectory() as folder:
            first, second, out = (Path(folder) / name for name in ("x.npy", "z.npy", "out.npz"))
            np.save(first, x.astype(dtype))
            if z is not None:
                np.save(second, z.astype(dtype))
            _prepare(worker, activation, depth, dense, first, None if z is None else second)
            worker.ask("answer", path=str(out))
            with np.load(out) as file:
                return {name: file[name].astype(np.float64) for name in file.files}
    finally:
        worker.close()


def _prepare(
    worker: Worker,
    activation: dict[str, Any],
    depth: int,
    dense: dict[str, float],
    x: Path,
    z: Path | None,
) -> None:
    files = {"x": str(x), "z": None if z is None else str(z)}
    worker.ask("prepare", activation=activation, depths=[depth], dense=dense, calls=3, **files)


def markdown(run: dict[str, Any]) -> str:
    """Return the figures as two tables and two sentences."""
    own, peer, unit, relu = ([r[label] for r in run["rounds"]] for label in CONTENDERS)
    count, peer_count = run["rows"], run["peer_rows"]
    scale = (count / peer_count) ** 2
    speed = [scale * b / a for a, b in zip(own, peer, strict=True)]
    share = [a / b for a, b in zip(unit, relu, strict=True)]
    machine = run["machine"]
    lines = [
        f"# Tanh, {run['date'][:10]}, commit {run['commit']}\n",
        *(["**A quick run: a smoke test, not a result.**\n"] if run["quick"] else []),
        f"{machine['cpu']}, {run['threads']} threads. {DEPTH} hidden tanh layers, d = {FEATURES}, "
        f"float32, both kernels; {len(own)} rounds, median (extremes).\n",
        "| library | rows | time |",
        "|---|---|---|",
        f"| ntkfast | {count} | {_middle(own)} s |",
        f"| neural-tangents, {NODES} x {NODES} nodes | {peer_count} | {_middle(peer)} s |",
        "",
        f"Per entry of the matrix ntkfast is faster by {_middle(speed)} (neural-tangents' time "
        f"times {scale:g}, for {count} rows). On rows of unit norm tanh takes {_middle(share)} "
        f"times as long as relu ({_middle(unit)} s, {_middle(relu)} s).\n",
        "| reference case | dtype | library | error of K, T / scale | error of K, T / entry |",
        "|---|---|---|---|---|",
    ]
    for found in run["errors"]:
        figures = " | ".join(
            ", ".join(f"{found[kernel][over]:.1e}" for kernel in ("nngp", "ntk"))
            for over in ("scale", "entry")
        )
        lines.append(f"| {found['case']} | {found['dtype']} | {found['library']} | {figures} |")
    note = (
        "Errors are the largest ones. The scale of an entry is sqrt(k(x, x) k(z, z)); a float64 "
        "error is one against 60 digits, a float32 error one against float64 on the rounded rows."
    )
    return "\n".join([*lines, "", note])


def _middle(values: list[float]) -> str:
    return f"{np.median(values):.3g} ({min(values):.3g}-{max(values):.3g})"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=6, help="default 6")
    parser.add_argument("--threads", type=int, default=environment.cores(), help="default: all")
    parser.add_argument("--quick", action="store_true", help="a smoke test, not a result")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the measurements")
    arguments = parser.parse_args()
    peer_env.ensure()
    rounds = 2 if arguments.quick else arguments.rounds
    results = environment.describe(arguments.threads) | {
        "quick": arguments.quick,
        "rows": min(ROWS, 256) if arguments.quick else ROWS,
        "peer_rows": PEER_ROWS,
        "rounds": times(rounds, arguments.threads, arguments.quick),
        "errors": errors(arguments.threads),
    }
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    print(markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
