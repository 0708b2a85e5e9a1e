"""Tangent kernels of PyTorch modules: ntkfast against the two textbook ways of torch.func.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE \\
        python bench/empirical.py [--rounds 4] [--threads 2] [--cnn-rows 2000] [--budget 1GiB]

Needs PyTorch. Every contender lives in a process of its own; one is timed at a time, in rounds of
alternating order, and its answer is compared with the others'. "Jacobian contraction" is
vmap(jacrev) and an einsum, "NTK-vector products" vmap over J (J^T e) for every pair of samples, one
row of pairs at a time (all at once needs gigabytes). Memory is the growth of the peak of the
resident set over what the process had after a run on two samples.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import platform
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np

OURS, JACOBIAN, PRODUCTS = "ntkfast", "Jacobian contraction", "NTK-vector products"

# case -> (network, samples, mode, contenders)
CASES: dict[str, tuple[str, int, str, tuple[str, ...]]] = {
    "MLP 3 x 512, all pairs of 10 outputs": ("mlp", 64, "full", (OURS, JACOBIAN)),
    "MLP 3 x 512, all pairs of 10 outputs, few samples": (
        "mlp",
        16,
        "full",
        (OURS, JACOBIAN, PRODUCTS),
    ),
    "CNN, trace of 10 outputs": ("cnn", 128, "trace", (OURS, JACOBIAN)),
    "CNN, trace of 10 outputs, few samples": ("cnn", 16, "trace", (OURS, JACOBIAN, PRODUCTS)),
}


def network(name: str) -> tuple[Any, tuple[int, ...]]:
    import torch
    from torch import nn

    torch.manual_seed(0)
    if name == "mlp":
        sizes = (784, 512, 512, 512)
        layers: list[Any] = []
        for before, units in itertools.pairwise(sizes):
            layers += [nn.Linear(before, units), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(512, 10)), (784,)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    ), (3, 32, 32)


def data(shape: tuple[int, ...], n: int) -> Any:
    import torch

    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(1))


def by_jacobians(net: Any, x: Any, mode: str) -> Any:
    import torch
    from torch.func import functional_call, jacrev, vmap

    parameters = {name: p.detach() for name, p in net.named_parameters()}

    def one(own: Any, row: Any) -> Any:
        return functional_call(net, own, (row[None],))[0]

    found = vmap(jacrev(one), (None, 0))(parameters, x)
    pattern = "naf,mbf->nmab" if mode == "full" else "naf,maf->nm"
    parts = (torch.einsum(pattern, j.flatten(2), j.flatten(2)) for j in found.values())
    kernel = sum(parts)
    return kernel if mode == "full" else kernel / 10


def by_products(net: Any, x: Any, mode: str) -> Any:
    import torch
    from torch.func import functional_call, jvp, vjp, vmap

    parameters = {name: p.detach() for name, p in net.named_parameters()}

    def pair(row: Any, other: Any) -> Any:
        def at(own: Any, which: Any) -> Any:
            return functional_call(net, own, (which[None],))[0]

        out, pull = vjp(lambda own: at(own, row), parameters)

        def slice_of(vector: Any) -> Any:
            return jvp(lambda own: at(own, other), (parameters,), pull(vector))[1]

        return vmap(slice_of)(torch.eye(out.numel()))

    kernel = torch.stack([vmap(pair, (None, 0))(row, x) for row in x])
    return kernel if mode == "full" else torch.diagonal(kernel, dim1=2, dim2=3).mean(2)


def by_ntkfast(net: Any, x: Any, mode: str, **options: Any) -> Any:
    import ntkfast as nk

    return nk.empirical.ntk(net, x, outputs=mode, **options)


WAYS = {OURS: by_ntkfast, JACOBIAN: by_jacobians, PRODUCTS: by_products}


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def set_threads(threads: int) -> None:
    """Let PyTorch and ntkfast use so many."""
    import torch

    import ntkfast as nk

    torch.set_num_threads(threads)
    nk.config.threads = threads


def worker(connection: Any, contender: str, case: tuple[str, int, str, Any], threads: int) -> None:
    import warnings

    warnings.simplefilter("ignore")  # PyTorch on operations that it has no rule for
    set_threads(threads)
    net, shape = network(case[0])
    x = data(shape, case[1])
    way = WAYS[contender]
    way(net, x[:2], case[2])
    base = peak()
    connection.send("ready")
    while connection.recv() == "run":
        cpu, start = time.process_time(), time.perf_counter()
        kernel = way(net, x, case[2])
        seconds = time.perf_counter() - start
        cpu = time.process_time() - cpu
        connection.send((seconds, cpu, peak() - base, kernel.detach().numpy()))


def compare(name: str, rounds: int, threads: int) -> dict[str, Any]:
    case = CASES[name]
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for contender in case[3]:
        ours, theirs = context.Pipe()
        process = context.Process(
            target=worker, args=(theirs, contender, case, threads), daemon=True
        )
        process.start()
        pipes[contender] = ours
        processes.append(process)
        ours.recv()
    runs: dict[str, list[tuple[float, float, int]]] = {contender: [] for contender in case[3]}
    kernels: dict[str, Any] = {}
    for turn in range(rounds):
        for contender in case[3] if turn % 2 == 0 else reversed(case[3]):
            pipes[contender].send("run")
            *figures, kernels[contender] = pipes[contender].recv()
            runs[contender].append(tuple(figures))
    for contender, process in zip(case[3], processes, strict=True):
        pipes[contender].send("stop")
        process.join()
    scale = np.abs(kernels[OURS]).max()
    found: dict[str, Any] = {"samples": case[1], "mode": case[2], "contenders": {}}
    for contender, times in runs.items():
        wall = [each[0] for each in times]
        ratios = [a / b[0] for a, b in zip(wall, runs[OURS], strict=True)]
        found["contenders"][contender] = {
            "seconds": float(np.median(wall)),
            "cpu_seconds": float(np.median([each[1] for each in times])),
            "ratio": float(np.median(ratios)),
            "ratio_range": [min(ratios), max(ratios)],
            "peak_mib": max(each[2] for each in times) / 2**20,
            "difference": float(np.abs(kernels[contender] - kernels[OURS]).max() / scale),
        }
    return found


def bounded(connection: Any, rows: int, budget: str, threads: int) -> None:
    """The kernel of many samples within a budget, its peak, and its answer on some of them."""
    import ntkfast as nk

    set_threads(threads)
    net, shape = network("cnn")
    x = data(shape, rows)
    by_ntkfast(net, x[:2], "trace")
    base, start, cpu = peak(), time.perf_counter(), time.process_time()
    kernel, report = nk.empirical.ntk(net, x, memory_budget=budget, return_report=True)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    grown = peak() - base
    some = by_jacobians(net, x[:32], "trace")
    connection.send(
        {
            "rows": rows,
            "budget": budget,
            "seconds": seconds,
            "cpu_seconds": cpu,
            "peak_mib": grown / 2**20,
            "difference": float((kernel[:32, :32] - some).abs().max() / some.abs().max()),
            "report": str(report),
        }
    )


def separately(target: Any, *arguments: Any) -> Any:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
    process.start()
    found = ours.recv()
    process.join()
    return found


def table(results: dict[str, Any]) -> str:
    lines = [
        "# Tangent kernels of PyTorch modules, CPU",
        "",
        f"`python bench/empirical.py`, {results['rounds']} rounds in alternating order, float32,",
        f"PyTorch {results['torch']}, {results['machine']}, {results['cores']} cores, "
        f"{results['threads']} thread(s) for every contender, load average "
        f"{results['load'][0]:.1f} at the start and {results['load'][1]:.1f} at the end. Times are",
        "medians; ratios are those to ntkfast in the same round, with their range. ntkfast's time",
        "includes the choice of its method. Memory: growth of the peak over a run on two samples.",
        "",
        "| case | samples | contender | s | CPU s | ratio | peak MiB | difference |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, case in results["cases"].items():
        for contender, own in case["contenders"].items():
            low, high = own["ratio_range"]
            lines.append(
                f"| {name} | {case['samples']} | {contender} | {own['seconds']:.3g} | "
                f"{own['cpu_seconds']:.3g} | {own['ratio']:.3g} ({low:.3g} to {high:.3g}) | "
                f"{own['peak_mib']:.0f} | {own['difference']:.1e} |"
            )
    own = results["bounded"]
    lines += [
        "",
        f"The CNN's trace kernel of {own['rows']} samples with a budget of "
        f"{own['budget']} for the result and everything beside it: {own['seconds']:.3g} s "
        f"({own['cpu_seconds']:.3g} s of CPU time), peak {own['peak_mib']:.0f} MiB, difference "
        f"from the Jacobian contraction on 32 samples {own['difference']:.1e}.",
        "",
        "```",
        own["report"],
        "```",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cnn-rows", type=int, default=2000)
    parser.add_argument("--budget", default="1GiB")
    parser.add_argument("--output", default="bench/results/empirical-cpu")
    options = parser.parse_args()
    import torch

    load = [os.getloadavg()[0]]
    results: dict[str, Any] = {
        "rounds": options.rounds,
        "torch": torch.__version__,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "bounded": separately(bounded, options.cnn_rows, options.budget, options.threads),
        "cases": {name: compare(name, options.rounds, options.threads) for name in CASES},
    }
    results["load"] = [*load, os.getloadavg()[0]]
    prefix = Path(options.output)
    prefix.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    prefix.with_suffix(".md").write_text(table(results), encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
