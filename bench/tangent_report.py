"""Turn the measurements of tangent.py into Markdown."""

from __future__ import annotations

from typing import Any

import numpy as np

SUBJECT, FLOOR = "ntkfast", "products alone"
UNSTEADY = 1.25  # a round whose two probes differ by more than this factor is counted as disturbed


def markdown(run: dict[str, Any]) -> str:
    """Return a heading, the machine and the table."""
    problem, machine = run["problem"], run["machine"]
    mib = 2**20
    disturbed = sum(max(r["probe"]) > UNSTEADY * min(r["probe"]) for r in run["rounds"])
    probes = [speed for r in run["rounds"] for speed in r["probe"]]
    allowed = 2 * problem["output"] + problem["activations"]
    lines = [
        f"# Full tangent kernel, {run['date'][:10]}, commit {run['commit']}",
        "",
        f"{machine['cpu']}, {run['threads']} threads. ReLU network of {problem['hidden']} x "
        f"{problem['width']} hidden units and {problem['outputs']} outputs, {problem['rows']} x "
        f"{problem['features']} rows, {problem['dtype']}. {len(run['rounds'])} rounds, {disturbed} "
        f"of them disturbed; probe {min(probes):.0f} to {max(probes):.0f} GFLOP/s.",
        "",
        f"The kernel is {problem['output'] / mib:.1f} MiB, inputs and signals of all layers are "
        f"{problem['activations'] / mib:.1f} MiB; twice the one and the other are "
        f"{allowed / mib:.1f} MiB.",
        "",
        "| contender | median time | time / ntkfast | time / products alone | error | memory |"
        "\n|---|---|---|---|---|---|",
    ]
    for name, found in run["contenders"].items():
        lines.append("| " + " | ".join([name, *_cells(run, name, found, mib)]) + " |")
    notes = [
        "",
        'Ratios within rounds: **median** (extremes). "Once" is a single call before the rounds, '
        "over the medians of all rounds. Times of fewer rows are given times the number of pairs "
        "of rows. Products alone: forward and backward pass and half of each Gram matrix of "
        "signals, each in the fastest of a few ways. Errors are the largest ones over the scale "
        "sqrt(T_cc(x, x) T_c'c'(x', x')), against explicit derivatives in float64. Memory is the "
        "peak of resident memory during one call beyond what was held before the first, the kernel "
        "included.",
        "",
    ]
    return "\n".join(lines + notes)


def _cells(run: dict[str, Any], name: str, found: dict[str, Any], mib: int) -> list[str]:
    if "failure" in found:
        return [found["failure"].splitlines()[0], "", "", "", ""]
    factor = (run["problem"]["rows"] / found["rows"]) ** 2
    times = [factor * s for s in _seconds(run, name)] or [factor * found["first_call"]]
    once = " (once)" if not _seconds(run, name) else ""
    few = f" ({found['rows']} rows, scaled)" if factor != 1 else ""
    return [
        f"{np.median(times):.3g} s{once}{few}",
        *(_ratio(run, name, other, factor, found) for other in (SUBJECT, FLOOR)),
        f"{found['error']:.1e}" if "error" in found else "",
        f"{found['over_baseline'] / mib:.1f} MiB" if "error" in found and not few else "",
    ]


def _seconds(run: dict[str, Any], name: str) -> list[float]:
    return [r["turns"][name]["seconds"] for r in run["rounds"] if name in r["turns"]]


def _ratio(run: dict[str, Any], name: str, other: str, factor: float, found: dict[str, Any]) -> str:
    if name == other or other not in run["contenders"]:
        return ""
    ratios = [
        factor * r["turns"][name]["seconds"] / r["turns"][other]["seconds"]
        for r in run["rounds"]
        if name in r["turns"]
    ]
    if not ratios:
        return f"{factor * found['first_call'] / np.median(_seconds(run, other)):.3g}"
    return f"**{np.median(ratios):.3g}** ({min(ratios):.3g}-{max(ratios):.3g})"
