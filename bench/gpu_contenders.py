"""Time both kernels of three ReLU layers beside PyTorch on one CUDA device; see gpu_check.sh.

All contenders find their rows on the device and leave their results there; they take turns in
rounds of alternating order. PyTorch computes the textbook recursion, eagerly and compiled; floors
are the library's product of the rows and the writes of two results. neural-tangents takes part
where it can be imported.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

ROUNDS = 6
LAYERS, W_STD, B_STD = 3, 2**0.5, 0.1


def recursion(torch: Any, x: Any) -> tuple[Any, Any]:
    """Return K and T of all rows as textbooks write them: ReLU, on the device of x."""
    K = x @ x.T / x.shape[1]
    T = torch.zeros_like(K)
    for _ in range(LAYERS):
        K, T = _dense(K, T)
        size = torch.sqrt(torch.diagonal(K))
        scale = size[:, None] * size
        rho = torch.clamp(K / scale, -1.0, 1.0)
        theta = torch.arccos(rho)
        T = T * (math.pi - theta) / (2 * math.pi)
        K = scale * (torch.sin(theta) + (math.pi - theta) * rho) / (2 * math.pi)
    return _dense(K, T)


def _dense(K: Any, T: Any) -> tuple[Any, Any]:
    K = W_STD**2 * K + B_STD**2
    return K, K + W_STD**2 * T


def network() -> Any:
    """Return the same network for ntkfast."""
    import ntkfast as nk

    dense = nk.Dense(W_STD, B_STD)
    return nk.serial(nk.repeat([dense, nk.Relu()], LAYERS), dense)


class Turns:
    """Contenders by name: each makes its answer and is timed around a wait for the device."""

    def __init__(self) -> None:
        self.calls: dict[str, Callable[[], float]] = {}
        self.absent: dict[str, str] = {}

    def add(self, name: str, make: Callable[[], Callable[[], float]]) -> None:
        """Prepare a contender, or write down why it is absent."""
        try:
            call = make()
            call()  # compilation, workspaces
            self.calls[name] = call
        except Exception as error:
            self.absent[name] = f"{type(error).__name__}: {error}"[:300]

    def run(self, rounds: int) -> dict[str, Any]:
        """Return seconds of each, median ratios to ntkfast formed within rounds."""
        seconds: dict[str, list[float]] = {name: [] for name in self.calls}
        for k in range(rounds):
            for name in list(self.calls)[:: 1 if k % 2 == 0 else -1]:
                if name not in self.calls:
                    continue
                try:
                    seconds[name].append(self.calls[name]())
                except Exception as error:
                    self.absent[name] = f"{type(error).__name__}: {error}"[:300]
                    del self.calls[name], seconds[name]
        found: dict[str, Any] = {
            name: {"seconds": median(times), "all_seconds": times}
            for name, times in seconds.items()
        }
        ours = seconds.get("ntkfast", [])
        for name, times in seconds.items():
            if ours and name != "ntkfast":
                pairs = zip(times, ours, strict=True)
                found[name]["times_ntkfast"] = median(a / b for a, b in pairs)
        return found | {name: {"absent": why} for name, why in self.absent.items()}


def ours(x: np.ndarray) -> Callable[[], float]:
    """Return a call that times the kernels with everything on the device."""
    from ntkfast import _core, _cuda
    from ntkfast._resolution import program_for

    program = program_for([network().layers], x, None, 16, "")
    job = _core.device_job(program, x, None, True, 16, "")
    return lambda: float(_cuda.time_gram(job, True, True, 0, 1)[0])


def with_torch(x: np.ndarray, function: str, device: str = "cuda") -> Callable[[], float]:
    """Return a call that times PyTorch: eager or compiled recursion, product or writes alone."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    rows = torch.from_numpy(x).to(device)
    shape = (len(x), len(x))

    def product() -> Any:
        return torch.matmul(rows, rows.T, out=results[0])

    def writes() -> None:
        for each in results:
            each.fill_(1.0)

    def eager() -> Any:
        return recursion(torch, rows)

    whole = torch.compile(lambda y: recursion(torch, y)) if function == "compiled" else None

    def compiled() -> Any:
        assert whole is not None
        return whole(rows)

    run = {"product": product, "writes": writes, "eager": eager, "compiled": compiled}[function]
    results: list[Any] = []

    def synchronise() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    def call() -> float:
        if function in ("product", "writes"):
            results.extend(torch.empty(shape, device=device, dtype=rows.dtype) for _ in range(2))
        run()  # PyTorch's pool has the memory from here on
        synchronise()
        start = time.perf_counter()
        answer = run()
        synchronise()
        seconds = time.perf_counter() - start
        del answer
        results.clear()
        if device == "cuda":
            torch.cuda.empty_cache()  # the next contender needs it
        return seconds

    return call


def with_neural_tangents(x: np.ndarray) -> Callable[[], float]:
    """Return a call that times neural-tangents, jitted, where it and a JAX for the device exist."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    jax: Any = importlib.import_module("jax")
    stax: Any = importlib.import_module("neural_tangents.stax")
    if jax.devices()[0].platform == "cpu":
        raise RuntimeError("this JAX has no CUDA device")
    layers: list[Any] = []
    for _ in range(LAYERS):
        layers += [stax.Dense(512, W_std=W_STD, b_std=B_STD), stax.Relu()]
    _, _, kernel_fn = stax.serial(*layers, stax.Dense(1, W_std=W_STD, b_std=B_STD))
    jitted = jax.jit(lambda a: tuple(kernel_fn(a, None, get=("nngp", "ntk"))))
    rows = jax.device_put(x)

    def call() -> float:
        start = time.perf_counter()
        jax.block_until_ready(jitted(rows))
        return time.perf_counter() - start

    return call


def difference(x: np.ndarray) -> dict[str, float]:
    """Return how far the recursion of PyTorch is from ntkfast on the CPU, over the scale."""
    import torch

    found = {}
    expected = network().kernels(x.astype(np.float64), device="cpu")
    K, T = recursion(torch, torch.from_numpy(x))
    for name, got, true in (("nngp", K, expected.nngp), ("ntk", T, expected.ntk)):
        scale = np.sqrt(np.outer(np.diag(true), np.diag(true)))
        found[name] = float(np.max(np.abs(got.numpy() - true) / scale))
    return found


def main() -> None:
    """Run the sizes that fit into the time and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=70, help="start no size after so long")
    parser.add_argument("--sizes", type=int, nargs="+", default=[4096, 16384, 32768, 65536])
    options = parser.parse_args()
    began = time.perf_counter()
    report: dict[str, Any] = {"layers": LAYERS, "rounds": ROUNDS, "d": 784, "cases": []}
    for n in options.sizes:
        if time.perf_counter() - began > options.seconds:
            report["cases"].append({"n": n, "dtype": "float32", "result": {"absent": "no time"}})
            continue
        x = np.random.default_rng(0).standard_normal((n, 784), dtype=np.float32)
        turns = Turns()
        turns.add("ntkfast", lambda x=x: ours(x))  # type: ignore[misc]
        for name, function in (
            ("PyTorch", "eager"),
            ("torch.compile", "compiled"),
            ("product alone", "product"),
            ("writes alone", "writes"),
        ):
            turns.add(name, lambda x=x, f=function: with_torch(x, f))  # type: ignore[misc]
        if n <= 32768:
            turns.add("neural-tangents", lambda x=x: with_neural_tangents(x))  # type: ignore[misc]
        report["cases"].append({"n": n, "dtype": "float32", "result": turns.run(ROUNDS)})
        options.json.write_text(json.dumps(report, indent=1))
    try:
        x = np.random.default_rng(0).standard_normal((1000, 784), dtype=np.float32)
        report["error of PyTorch's recursion in float32"] = difference(x)
    except Exception as error:
        report["error of PyTorch's recursion in float32"] = f"{type(error).__name__}: {error}"
    options.json.write_text(json.dumps(report, indent=1))
    if not any("seconds" in case["result"].get("ntkfast", {}) for case in report["cases"]):
        sys.exit("ntkfast was not timed at any size")


if __name__ == "__main__":
    main()
