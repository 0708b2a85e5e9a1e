"""Time products with a kernel that is never formed against forming it and multiplying.

Every contender runs in a process of its own, in interleaved rounds of alternating order. Extra
memory is the peak of the resident set beyond the rows and the vectors, read from Linux's /proc.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python bench/products.py --json out.json
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import ntkfast as nk


def status(key: str) -> int:
    """Return a number of /proc/self/status in bytes."""
    text = Path("/proc/self/status").read_text()
    found = re.search(key + r":\s+(\d+) kB", text)
    return int(found[1]) * 1024 if found else 0


def network(name: str) -> nk.Network:
    """Return three hidden layers."""
    return nk.mlp(3, {"Relu": nk.Relu, "Erf": nk.Erf, "Tanh": nk.Tanh}[name](), b_std=0.1)


def measure(case: dict[str, Any], contender: str) -> dict[str, Any]:
    """Run one contender once in this process."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((case["n"], case["d"]), dtype=np.float32).astype(case["dtype"])
    V = rng.standard_normal((case["n"], case["k"]))
    net = network(case["net"])
    # Tables of the activation, BLAS, pages of the libraries.
    net.operator(x[:300]) @ np.ones(300)
    net.ntk(x[:300]) @ np.ones(300)
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    start, cpu = time.perf_counter(), time.process_time()
    if contender == "operator":
        A = net.operator(x)
        prepared = time.perf_counter()
        result = A @ V
    else:
        K = net.ntk(x)
        prepared = time.perf_counter()
        result = K @ V.astype(K.dtype)
    end = time.perf_counter()
    return {
        "seconds": end - start,
        "prepare_seconds": prepared - start,
        "product_seconds": end - prepared,
        "cpu_seconds": time.process_time() - cpu,
        "extra_bytes": status("VmHWM") - before - result.nbytes,
        "norm": float(np.linalg.norm(result[:, 0])),
    }


def main() -> None:
    """Run all cases and write them as JSON; --run is what the processes are started with."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--sizes", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument("--columns", type=int, default=784)
    parser.add_argument("--vectors", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--nets", nargs="+", default=["Relu", "Erf"])
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(measure(json.loads(options.run[0]), options.run[1])))
        return
    report = []
    for n in options.sizes:
        for dtype in ("float32", "float64"):
            for net in options.nets:
                for k in options.vectors:
                    case = {"n": n, "d": options.columns, "dtype": dtype, "net": net, "k": k}
                    report.append(compare(case, options.rounds))
                    if options.json:
                        options.json.write_text(json.dumps(report, indent=1))


def compare(case: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Run both contenders in turns, print a line and return all figures."""
    runs: dict[str, list[dict[str, Any]]] = {"operator": [], "matrix": []}
    for number in range(rounds):
        for contender in sorted(runs, reverse=number % 2 == 1):
            command = [sys.executable, __file__, "--run", json.dumps(case), contender]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            runs[contender].append(json.loads(out))
    norms = {run["norm"] for all_runs in runs.values() for run in all_runs}
    difference = (max(norms) - min(norms)) / max(norms)
    if difference > (1e-5 if case["dtype"] == "float32" else 1e-12):
        raise SystemExit(f"{case}: the products differ by {difference:.1e}")
    pairs = list(zip(runs["operator"], runs["matrix"], strict=True))
    ratios = sorted(a["seconds"] / b["seconds"] for a, b in pairs)
    work = median(a["cpu_seconds"] / b["cpu_seconds"] for a, b in pairs)
    extra = {name: median(run["extra_bytes"] for run in each) for name, each in runs.items()}
    print(
        f"n={case['n']} d={case['d']} {case['dtype']} {case['net']} k={case['k']}: operator "
        f"{median(a['seconds'] for a, _ in pairs):.3f} s, matrix "
        f"{median(b['seconds'] for _, b in pairs):.3f} s, ratio {median(ratios):.2f} "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f}), of CPU time {work:.2f}; extra "
        f"memory {extra['operator'] / 2**20:.0f} MiB "
        f"against {extra['matrix'] / 2**20:.0f} MiB",
        flush=True,
    )
    return case | {
        "ratio": median(ratios),
        "cpu_ratio": work,
        "ratios": ratios,
        "extra_bytes": extra,
        "runs": runs,
    }


if __name__ == "__main__":
    main()
