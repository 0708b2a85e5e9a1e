"""Turn the results of gpu_check.sh into one Markdown page."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def number(value: Any) -> str:
    """Return three significant digits."""
    return f"{value:.3g}" if isinstance(value, (int, float)) else str(value)


def steps(folder: Path) -> list[str]:
    """Return the table of all steps: name, exit status, seconds."""
    lines = ["| step | status | seconds |", "| --- | --- | --- |"]
    for line in (folder / "steps.tsv").read_text().splitlines():
        name, status, seconds = line.split("\t")
        lines.append(f"| {name} | {'ok' if status == '0' else f'FAILED ({status})'} | {seconds} |")
    return lines


def cases(report: dict[str, Any]) -> list[str]:
    """Return the table of the measured cases, with the floor that each is held against."""
    floors = report["floors"]
    lines = [f"Device: {report['device']}, compute capability {report['compute_capability']}.", ""]
    lines += [f"- memory, {name}: {json.dumps(floor)}" for name, floor in floors.items()]
    lines += [
        "",
        "| case | n | d | dtype | net | figures |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    write = floors.get("write", {}).get("gb_per_s")
    product: dict[tuple[int, str], float] = {}
    for case in report["cases"]:
        result, key = case["result"], (case["n"], case["dtype"])
        figures = {k: v for k, v in result.items() if not isinstance(v, list)}
        if case["what"] == "product floor" and "half_seconds" in result:
            product[key] = result["half_seconds"]
        if case["what"] == "on the device" and "seconds" in result and write and key in product:
            size = 4 if case["dtype"] == "float32" else 8
            writes = case["kernels"] * case["n"] ** 2 * size / (write * 1e9)
            figures["slower_floor_seconds"] = max(product[key], writes)
            figures["part_of_floor"] = figures["slower_floor_seconds"] / result["seconds"]
        text = ", ".join(f"{name} {number(value)}" for name, value in figures.items())
        place = (case["what"], case["n"], case.get("d", ""), case["dtype"], case.get("net", ""))
        lines.append(f"| {' | '.join(str(part) for part in place)} | {text} |")
    return lines


def main() -> None:
    """Print the page for the folder that is named."""
    folder = Path(sys.argv[1])
    print("# GPU check\n")
    print((folder / "environment.txt").read_text().strip(), "\n")
    print("\n".join(steps(folder)), "\n")
    if (folder / "gpu_gram.json").exists():
        print("\n".join(cases(json.loads((folder / "gpu_gram.json").read_text()))))


if __name__ == "__main__":
    main()
