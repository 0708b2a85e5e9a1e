"""Markdown of what activations.py measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from activation_catalogue import describe
from report import UNSTEADY

Result = dict[str, Any]


def slopes(result: Result, name: str) -> list[float]:
    """Return the nanoseconds per entry and layer of a contender, one figure per round."""
    low, high = result["subject"]["depths"]
    rows = result["contenders"].get(name, {}).get("rows", 1)
    scale = 1e9 / ((high - low) * rows**2)
    turns = [r["turns"][name] for r in result["rounds"] if name in r["turns"]]
    return [scale * (turn[str(high)] - turn[str(low)]) for turn in turns]


def ratios(result: Result) -> list[float]:
    """Return neural-tangents' slope over ntkfast's, one per round."""
    pairs = zip(slopes(result, "neural-tangents"), slopes(result, "ntkfast"), strict=False)
    return [above / below for above, below in pairs if below > 0]


def line(result: Result) -> str:
    """Return one result as one line of text."""
    cells = [describe(result["subject"]), result["dtype"], f"{result['threads']} threads"]
    for name, contender in result["contenders"].items():
        reason = contender.get("failure") or contender.get("refusal")
        cells.append(f"{name} {reason or _spread(slopes(result, name)) + ' ns'}")
    return "  ".join(cells)


def markdown(run: dict[str, Any]) -> str:
    """Return a whole run: one table per dtype, one line per activation."""
    machine = run["machine"]
    warning = "\n**A quick run: a smoke test, not a result.**\n" if run["quick"] else ""
    probes = np.array([r["probe"] for result in run["results"] for r in result["rounds"]])
    disturbed = int((probes.max(axis=1) / probes.min(axis=1) > UNSTEADY).sum())
    lines = [
        f"# Cost of one layer, {run['date'][:10]}, commit {run['commit']}\n{warning}",
        f"{machine['cpu']}, {machine['cores']} cores; Python {run['python']}. "
        f"{len(probes)} rounds, {disturbed} of them disturbed.\n",
        "Nanoseconds of wall-clock time per entry and layer (Dense and activation), both kernels: "
        "**median** (quartiles) [extremes] over the rounds. Where neural-tangents integrates "
        "numerically (40 x 40 nodes) its figure is from 96 x 96 entries, for its memory.\n",
    ]
    for dtype in ("float32", "float64"):
        results = [result for result in run["results"] if result["dtype"] == dtype]
        if results:
            lines += [f"## {dtype}\n", *_table(results), ""]
    return "\n".join(lines)


def _table(results: list[Result]) -> Iterator[str]:
    yield "| layer | threads | ntkfast, ns | neural-tangents, ns | ntkfast is faster by |"
    yield "|---|---|---|---|---|"
    for result in results:
        cells = [describe(result["subject"]), str(result["threads"])]
        for name in ("ntkfast", "neural-tangents"):
            contender = result["contenders"].get(name, {"refusal": "not asked for"})
            reason = contender.get("failure") or contender.get("refusal")
            note = "" if contender.get("finite", True) else ", NaN"
            cells.append(reason or _spread(slopes(result, name)) + note)
        cells.append(_spread(ratios(result)))
        yield "| " + " | ".join(cells) + " |"


def _spread(values: list[float]) -> str:
    if not values:
        return ""
    low, first, median, third, high = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    return f"**{median:.3g}** ({first:.3g}-{third:.3g}) [{low:.3g}-{high:.3g}]"
