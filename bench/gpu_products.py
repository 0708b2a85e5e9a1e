"""Time every way of multiplying rows on a CUDA device and products with vectors, with errors.

Times are of the device alone: rows and tables are there, results stay there. Errors are the largest
differences from the CPU's float64 kernel of the same rows, over the root of the diagonal entries.
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
from ntkfast import _core, _cuda, cuda
from ntkfast._arrays import prepare
from ntkfast._device import kernels_on
from ntkfast._resolution import program_for

REPEATS = 5
# As the core counts them: (dtype, name, number, config.precision or None for a private choice).
CHOICES = (
    ("float32", "plain", 0, "ieee"),
    ("float32", "tf32x3", 2, "tf32x3"),
    ("float32", "tf32", 3, "tf32"),
    ("float64", "plain", 0, None),
    ("float64", "tensor cores", 1, "ieee"),
)


def attempt(function: Any, *arguments: Any) -> Any:
    """Return the result, or the error as text: one failure must not hide the other figures."""
    try:
        return function(*arguments)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def rows(n: int, d: int, dtype: str) -> np.ndarray:
    """Return normal rows of unit expected square."""
    x = np.random.default_rng(0).standard_normal((n, d), dtype=np.float32)
    return x.astype(dtype, copy=False)


def timed(net: nk.Network, x: np.ndarray, kind: int, vectors: list[int]) -> dict[str, Any]:
    """Time the Gram matrix of both kernels and products of the NTK with vectors."""
    program = program_for([net.layers], x, None, 16, "")
    job = _core.device_job(program, x, None, True, 16, "", kind)
    n, d = x.shape
    result: dict[str, Any] = {}
    if 2 * n * n * x.itemsize < cuda.devices()[0].free_memory * 0.8:
        seconds = median(_cuda.time_gram(job, True, True, 0, REPEATS + 1)[1:])
        result["gram"] = {"seconds": seconds, "product_tflops": n * n * d / seconds / 1e12}
    operator = _cuda.Operator(job, True, [0], 0)
    for k in vectors:
        seconds = median(operator.time(k, REPEATS + 1)[1:])
        result[f"{k} vectors"] = {"seconds": seconds, "product_tflops": n * n * d / seconds / 1e12}
    return result


def error(net: nk.Network, x: np.ndarray, precision: str) -> dict[str, float]:
    """Return the largest error of both kernels, and of a product with vectors."""
    exact = net.kernels(x.astype(np.float64), device="cpu")
    data = prepare(x)
    program = program_for([net.layers], x, None, 16, "")
    got = kernels_on(0, program, data, True, True, 16, "", None, precision=precision)
    found = {}
    for name, value, expected in zip(("nngp", "ntk"), got, exact, strict=True):
        scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
        found[name] = float(np.max(np.abs(value[0].astype(np.float64) - expected) / scale))
    V = np.random.default_rng(1).standard_normal((len(x), 10))
    product = net.operator(x, device="cuda", precision=precision) @ V
    difference = np.linalg.norm(product - exact.ntk @ V, axis=0)
    found["vectors"] = float(np.max(difference / np.linalg.norm(exact.ntk @ V, axis=0)))
    return found


def main() -> None:
    """Run all cases that fit into the time and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=100, help="start no case after so long")
    parser.add_argument("--sizes", type=int, nargs="+", default=[16384, 65536, 262144])
    parser.add_argument("--columns", type=int, default=784)
    parser.add_argument("--vectors", type=int, nargs="+", default=[1, 10, 32])
    options = parser.parse_args()
    began = time.perf_counter()
    nets = {"Dense only": nk.serial(nk.Dense()), "Relu": nk.mlp(3), "Erf": nk.mlp(3, nk.Erf())}
    cases: list[dict[str, Any]] = []
    for dtype, name, _, precision in CHOICES:
        if precision is not None:
            result = attempt(error, nets["Relu"], rows(2048, options.columns, dtype), precision)
            cases.append({"what": "error", "dtype": dtype, "product": name, "result": result})
    for n in options.sizes:
        for dtype, name, kind, _ in CHOICES:
            x = rows(n, options.columns, dtype)
            for net_name, net in nets.items():
                if time.perf_counter() - began > options.seconds:
                    continue
                result = attempt(timed, net, x, kind, options.vectors)
                case = {"what": "time", "n": n, "d": options.columns, "dtype": dtype}
                cases.append(case | {"product": name, "net": net_name, "result": result})
                print(json.dumps(cases[-1]), flush=True)
            options.json.write_text(json.dumps(cases, indent=1))


if __name__ == "__main__":
    main()
