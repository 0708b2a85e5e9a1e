"""Time Gram matrices on a CUDA device, with floors and the error of the answer; see gpu_check.sh.

Times are of the device alone: rows and tables are there, results stay there. `end to end` is the
call of the package on NumPy arrays, with the passes over the rows on the host and the copies.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import ntkfast as nk
from ntkfast import _core, _cuda, cuda
from ntkfast._resolution import program_for

sys.path.insert(0, str(Path(__file__).parent))

REPEATS = 5


def rows(n: int, d: int, dtype: str) -> np.ndarray:
    """Return normal rows of unit expected square."""
    x = np.random.default_rng(0).standard_normal((n, d), dtype=np.float32)
    return x.astype(dtype, copy=False)


def attempt(function: Any, *arguments: Any) -> Any:
    """Return the result, or the error as text: one failure must not hide the other figures."""
    try:
        return function(*arguments)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def device_case(net: nk.Network, x: np.ndarray, nngp: bool, ntk: bool) -> dict[str, Any]:
    """Time the kernels of one network on the device, and how long the host prepares them."""
    start = time.perf_counter()
    program = program_for([net.layers], x, None, 16, "")
    job = _core.device_job(program, x, None, ntk, 16, "")
    prepared = time.perf_counter() - start
    seconds = _cuda.time_gram(job, nngp, ntk, 0, REPEATS + 1)[1:]
    n, d = x.shape
    return {
        "seconds": median(seconds),
        "all_seconds": seconds,
        "prepare_seconds": prepared,
        "product_tflops": n * n * d / median(seconds) / 1e12,  # half of 2 n n d: one triangle
        "written_gb_per_s": (nngp + ntk) * n * n * x.itemsize / median(seconds) / 1e9,
    }


def product_floor(n: int, d: int, dtype: str) -> dict[str, Any]:
    """Time the library's product of all rows with themselves, whole matrix: cuBLAS, as it is here.

    PyTorch calls it, or CuPy where there is no PyTorch.
    """
    try:
        run, wait, library = torch_product(n, d, dtype)
    except ImportError:
        run, wait, library = cupy_product(n, d, dtype)
    seconds = []
    for _ in range(REPEATS + 1):
        wait()
        start = time.perf_counter()
        run()
        wait()
        seconds.append(time.perf_counter() - start)
    whole = median(seconds[1:])
    return {
        "whole_seconds": whole,
        "half_seconds": whole / 2,
        "tflops": 2 * n * n * d / whole / 1e12,
        "library": library,
    }


Product = tuple[Callable[[], Any], Callable[[], Any], str]


def torch_product(n: int, d: int, dtype: str) -> Product:
    """Return a product, what waits for it, and a name."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.cuda.empty_cache()
    x = torch.randn(n, d, device="cuda", dtype=getattr(torch, dtype))
    out = torch.empty(n, n, device="cuda", dtype=x.dtype)
    return partial(torch.matmul, x, x.T, out=out), torch.cuda.synchronize, "PyTorch"


def cupy_product(n: int, d: int, dtype: str) -> Product:
    """Return a product, what waits for it, and a name."""
    import cupy

    x = cupy.random.standard_normal((n, d), dtype=dtype)
    out = cupy.empty((n, n), dtype=dtype)
    wait = cupy.cuda.get_current_stream().synchronize
    return partial(cupy.matmul, x, x.T, out=out), wait, "CuPy"


def free_libraries() -> None:
    """Give back what PyTorch and CuPy keep for reuse."""
    if "torch" in sys.modules:
        sys.modules["torch"].cuda.empty_cache()
    if "cupy" in sys.modules:
        sys.modules["cupy"].get_default_memory_pool().free_all_blocks()


def end_to_end(net: nk.Network, x: np.ndarray) -> dict[str, Any]:
    """Time the call of the package on NumPy arrays, the second time."""
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        kernels = net.kernels(x, device="cuda")
        seconds.append(time.perf_counter() - start)
        del kernels
    return {"first_seconds": seconds[0], "seconds": seconds[1]}


def difference(net: nk.Network, x: np.ndarray) -> dict[str, float]:
    """Return the largest difference from the CPU, over the geometric mean of the diagonal."""
    got, expected = net.kernels(x, device="cuda"), net.kernels(x, device="cpu")
    found = {}
    for kind in ("nngp", "ntk"):
        a, b = (np.asarray(getattr(k, kind), dtype=np.float64) for k in (got, expected))
        scale = np.sqrt(np.outer(np.diag(b), np.diag(b)))
        found[kind] = float(np.max(np.abs(a - b) / scale))
    return found


def networks() -> dict[str, nk.Network]:
    """Return three hidden layers of several activations, and one Dense layer alone."""
    layers = {"Relu": nk.Relu(), "Erf": nk.Erf(), "Gelu": nk.Gelu(), "Tanh": nk.Tanh()}
    deep = {
        name: nk.serial(*(part for _ in range(3) for part in (nk.Dense(2**0.5), phi)), nk.Dense())
        for name, phi in layers.items()
    }
    return {"Dense only": nk.serial(nk.Dense()), **deep}


def main() -> None:
    """Run all cases that fit into the time and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=150, help="start no case after so long")
    parser.add_argument("--sizes", type=int, nargs="+", default=[65536, 4096, 16384, 32768])
    parser.add_argument("--columns", type=int, default=784)
    options = parser.parse_args()
    began = time.perf_counter()
    device = cuda.devices()[0]
    report: dict[str, Any] = {
        "device": device.name,
        "compute_capability": device.compute_capability,
        "build": dict(_core.build_info()),
        "floors": {},
        "cases": [],
    }
    n_bytes = min(8 << 30, device.free_memory // 4)
    for name, copy in (("write", False), ("copy", True)):
        seconds = attempt(_cuda.memory_seconds, 0, n_bytes, copy, REPEATS + 1)
        if isinstance(seconds, list):
            moved = n_bytes * (2 if copy else 1)
            report["floors"][name] = {"gb_per_s": moved / median(seconds[1:]) / 1e9}
        else:
            report["floors"][name] = seconds
    nets = networks()
    for dtype in ("float32", "float64"):
        for name, net in nets.items():
            case = {"what": "difference from CPU", "net": name, "dtype": dtype, "n": 2048}
            report["cases"].append(
                case | {"result": attempt(difference, net, rows(2048, 784, dtype))}
            )
    for n in options.sizes:
        for dtype in ("float32", "float64") if n < 60000 else ("float32",):
            if time.perf_counter() - began > options.seconds:
                continue
            x = rows(n, options.columns, dtype)
            floor = attempt(product_floor, n, options.columns, dtype)
            free_libraries()
            common = {"n": n, "d": options.columns, "dtype": dtype}
            report["cases"].append({"what": "product floor", **common, "result": floor})
            for name, net in nets.items():
                if time.perf_counter() - began > options.seconds or (n > 20000 and name == "Tanh"):
                    continue
                kinds = [(True, False)] if name == "Dense only" else [(True, True)]
                for nngp, ntk in kinds:
                    result = attempt(device_case, net, x, nngp, ntk)
                    case = {"what": "on the device", **common, "net": name, "kernels": nngp + ntk}
                    report["cases"].append(case | {"result": result})
            if n <= 16384:
                result = attempt(end_to_end, nets["Relu"], x)
                report["cases"].append(
                    {"what": "end to end", **common, "net": "Relu", "result": result}
                )
            options.json.write_text(json.dumps(report, indent=1))
    options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
