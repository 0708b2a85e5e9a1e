"""Turn the measurements of run.py into Markdown: `python bench/report.py [--brief] FILE.json ...`.

`--brief` gives the one table that the README shows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from contenders import CONTENDERS, FLOOR, NEW_MEMORY, SUBJECT

Result = dict[str, Any]
UNSTEADY = 1.25  # a round whose two probes differ by more than this factor is counted as disturbed
HEAD = (
    "| contender | median time | time / floor | ntkfast is faster by | first call "
    "| error of K, T / scale | error of K, T / entry | memory beyond outputs |"
    "\n|---|---|---|---|---|---|---|---|"
)


def markdown(run: dict[str, Any]) -> str:
    """Return a whole run as a heading, a line on the machine, and one table per case."""
    return "\n".join(
        [_preamble(run), *(_section(result) for result in run["results"]), _legend(), ""]
    )


def brief(run: dict[str, Any]) -> str:
    """Return one table: a line per case, the library beside the floor and two peers."""
    machine = run["machine"]
    # Only what was asked for.
    columns = [
        (heading, above, below)
        for heading, above, below in (
            ("time / floor", SUBJECT, FLOOR),
            ("... with new memory", NEW_MEMORY, FLOOR),
            ("against NumPy", "numpy", SUBJECT),
            ("against neural-tangents", "neural-tangents", SUBJECT),
        )
        if any(ratios(result, above, below) for result in run["results"])
    ]
    headings = ["rows", "layers", "dtype", "time", *(heading for heading, _, _ in columns)]
    lines = [
        f"{machine['cpu']}, {run['threads']} threads, {run['date'][:10]}, commit {run['commit']}:",
        "",
        "| " + " | ".join(headings) + " |",
        "|---" * len(headings) + "|",
    ]
    for result in run["results"]:
        case = result["case"]
        seconds = [r["turns"][SUBJECT]["seconds"] for r in result["rounds"]]
        cells = [
            f"{case['rows']} x {case['features']} {case['data']}",
            str(case["depth"]),
            result["dtype"],
            _time(float(np.median(seconds))),
            *(_spread(ratios(result, above, below)) for _, above, below in columns),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    legend = (
        "Within rounds: **median** (quartiles) [extremes]. With new memory: without "
        "`config.reuse_memory`, as in a first call."
    )
    return "\n".join([*lines, "", legend])


def ratios(result: Result, above: str, below: str) -> list[float]:
    """Return time(above) / time(below), one per round that has both."""
    turns = [r["turns"] for r in result["rounds"]]
    return [t[above]["seconds"] / t[below]["seconds"] for t in turns if above in t and below in t]


def _preamble(run: dict[str, Any]) -> str:
    machine = run["machine"]
    unset = ", ".join(f"{k} (was {v})" if v else k for k, v in run["unset"].items())
    warning = "\n**A quick run: a smoke test, not a result.**\n" if run["quick"] else ""
    return (
        f"# Benchmark of {run['date'][:10]}, commit {run['commit']}\n{warning}\n"
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']:.0f} GiB, "
        f"{machine['system']}; {run['threads']} threads; Python {run['python']}.\n"
        f"Unset for every contender: {unset}.\n\nVersions: {_versions(run)}.\n"
    )


def _versions(run: dict[str, Any]) -> str:
    found: dict[str, str] = {}
    for result in run["results"]:
        for name, contender in result["contenders"].items():
            if "versions" in contender:
                versions = ", ".join(f"{k} {v}" for k, v in contender["versions"].items())
                found[name] = f"{name} ({versions})"
    return "; ".join(found.values()) or "none"


def _section(result: Result) -> str:
    case, rounds = result["case"], result["rounds"]
    shape = f"n = {case['rows']}" + (
        f", m = {case['columns']}" if case["columns"] else ", symmetric"
    )
    probes = np.array([r["probe"] for r in rounds])
    steps = probes.max(axis=1) / probes.min(axis=1)
    lines = [
        f"\n## {case['name']}, {result['dtype']}\n",
        f"{shape}, d = {case['features']}, {case['depth']} hidden {case['activation']} layers, "
        f"W_std = {case['w_std']:.4g}, b_std = {case['b_std']:.4g}, {case['data']} rows. "
        f"{len(rounds)} rounds; probe {probes.min():.0f}-{probes.max():.0f} GFLOP/s "
        f"(median {np.median(probes):.0f}); disturbed rounds: {int((steps > UNSTEADY).sum())}.\n",
        _floor(result),
        HEAD,
    ]
    return "\n".join([*lines, *(_row(result, entry.name) for entry in CONTENDERS)])


def _floor(result: Result) -> str:
    """Return the parts of the floor: medians over the rounds of each round's best."""
    turns = [r["turns"][FLOOR] for r in result["rounds"] if FLOOR in r["turns"]]
    if not turns:
        return ""
    case = result["case"]
    product = float(np.median([min(turn["products"].values()) for turn in turns]))
    writing = float(np.median([min(turn["writings"].values()) for turn in turns]))
    ways = [min(turn["products"], key=turn["products"].__getitem__) for turn in turns]
    way = max(set(ways), key=ways.count)
    flops = 2 * case["rows"] * (case["columns"] or case["rows"]) * case["features"]
    return (
        f"Floor: {'' if case['columns'] else 'half of '}the full product, {_time(product)} "
        f"({flops / product / 1e9:.0f} GFLOP/s; most often by {way}), and writing, "
        f"{_time(writing)}.\n"
    )


def _row(result: Result, name: str) -> str:
    contender = result["contenders"].get(name, {"refusal": "not asked for"})
    if reason := contender.get("refusal") or contender.get("failure"):
        return f"| {name} | {reason} | | | | | | |"
    seconds = [r["turns"][name]["seconds"] for r in result["rounds"]]
    cells = [
        name,
        _time(float(np.median(seconds))),
        _spread(ratios(result, name, FLOOR)) if name != FLOOR else "1",
        _spread(ratios(result, name, SUBJECT)) if name not in (SUBJECT, NEW_MEMORY, FLOOR) else "",
        _time(contender["first_call"]) if contender["answers"] else "",
        _differences(contender, "scale"),
        _differences(contender, "entry"),
        _memory(contender),
    ]
    return "| " + " | ".join(cells) + " |"


def _spread(values: list[float]) -> str:
    """Median, quartiles in parentheses, extremes in brackets."""
    if not values:
        return ""
    low, first, median, third, high = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    return f"**{median:.3g}** ({first:.3g}-{third:.3g}) [{low:.3g}-{high:.3g}]"


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def _differences(contender: dict[str, Any], relative_to: str) -> str:
    found = contender.get("differences", {})
    cells = [f"{found[k][relative_to]:.1e}" if k in found else "-" for k in ("nngp", "ntk")]
    return ", ".join(cells) if found else ""


def _memory(contender: dict[str, Any]) -> str:
    if "over_baseline" not in contender:
        return ""
    return f"{(contender['over_baseline'] - contender['outputs']) / 2**20:.0f} MiB"


def _legend() -> str:
    return (
        "\nRatios are taken within a round: **median** (quartiles) [extremes]. First call: with "
        "compilation and lazy set-up. Error: the largest difference from an extended-precision "
        "recursion on a 48 x 48 block, over sqrt(k(x, x) k(z, z)) and over the entry. Memory: the "
        "peak during one call, less the process before its first call, less the outputs. "
        "scikit-ntk computes the NTK alone."
    )


def main() -> int:
    files = [argument for argument in sys.argv[1:] if argument != "--brief"]
    if not files or {"-h", "--help"} & set(files):
        print("usage: report.py [--brief] FILE.json ...   (files written by run.py --json)")
        return 2
    table = brief if "--brief" in sys.argv else markdown
    for path in files:
        print(table(json.loads(Path(path).read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
