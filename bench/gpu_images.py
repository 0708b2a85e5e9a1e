"""Kernels of images on a CUDA device: errors beside the CPU, pairs per second, projected hours.

Images are normal, 32 x 32 of three channels, float32; networks are 3 x 3 convolutions with ReLU
("SAME", no pools in between) and a readout. Errors are the largest differences from the CPU's
float64 kernel over its largest entry. Hours are for the train and test kernels of CIFAR-10 (50,000
images with each other and 10,000 against 50,000), from the rate of the measured blocks alone.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import ntkfast as nk
from ntkfast import cuda

CIFAR_PAIRS = 50_000 * 50_001 // 2 + 10_000 * 50_000
TARGET_PAIRS_PER_SECOND = 38_000  # 10 nonlinearities, global pooling, H200


def network(depth: int, readout: str) -> nk.Network:
    """Return a chain of convolutions with ReLU."""
    block = [nk.Conv((3, 3), padding="SAME", W_std=2**0.5, b_std=0.1), nk.Relu()]
    last = nk.GlobalAvgPool() if readout == "pool" else nk.Flatten()
    return nk.serial(nk.repeat(block, depth), last, nk.Dense())


def images(n: int, dtype: str = "float32") -> np.ndarray:
    """Return normal images; the second is nearly the first, the third has a black half."""
    x = np.random.default_rng(0).standard_normal((n, 32, 32, 3))
    x[1] = x[0] * (1 + 1e-3 * x[1])
    x[2, :16] = 0
    return x.astype(dtype)


def errors(depth: int, readout: str, dtype: str) -> dict[str, float]:
    """Return the largest differences of both kernels of four images."""
    net, x = network(depth, readout), images(4, dtype)
    got = net.kernels(x, device="cuda")
    true = net.kernels(x.astype(np.float64), device="cpu")
    return {
        kind: float(abs(getattr(got, kind) - getattr(true, kind)).max() / getattr(true, kind).max())
        for kind in ("nngp", "ntk")
    }


def rate(depth: int, readout: str, budget: float) -> dict[str, Any]:
    """Time blocks off the diagonal, twice as large until one takes a second."""
    net, n = network(depth, readout), 16
    end = time.monotonic() + budget
    net.ntk(images(4), device="cuda")  # loads the kernel
    while True:
        x = images(2 * n)
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            net.ntk(x[:n], x[n:], device="cuda")
            seconds.append(time.perf_counter() - start)
        taken = median(seconds)
        if taken > 1 or time.monotonic() + 8 * taken * 4 > end or n >= 4096:
            break
        n *= 2
    pairs = n * n / taken
    return {
        "block": n,
        "seconds": taken,
        "all_seconds": seconds,
        "pairs_per_second": pairs,
        "projected_hours_of_CIFAR_10": CIFAR_PAIRS / pairs / 3600,
    }


def attempt(function: Any, *arguments: Any) -> Any:
    """Return the result, or the error as text: one failure must not hide the other figures."""
    try:
        return function(*arguments)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the results")
    parser.add_argument("--seconds", type=float, default=40, help="time for all rates together")
    options = parser.parse_args()
    if why := cuda.reason():
        raise SystemExit(f"no CUDA device: {why}")
    report: dict[str, Any] = {"device": cuda.devices()[0].name, "cases": []}
    report["target_pairs_per_second"] = TARGET_PAIRS_PER_SECOND
    for readout in ("pool", "flatten"):
        for dtype in ("float32", "float64"):
            case = {"what": "error", "depth": 3, "readout": readout, "dtype": dtype}
            report["cases"].append(case | {"result": attempt(errors, 3, readout, dtype)})
    cases = ((10, "pool"), (3, "pool"), (20, "pool"), (10, "flatten"))
    for depth, readout in cases:
        case = {"what": "rate", "depth": depth, "readout": readout, "dtype": "float32"}
        measured = attempt(rate, depth, readout, options.seconds / len(cases))
        report["cases"].append(case | {"result": measured})
    for case in report["cases"]:
        print(json.dumps(case))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
