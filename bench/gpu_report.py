"""Turn the results of gpu_check.sh into one Markdown page, which begins with the verdict.

Exit status: 0 all well; 1 something failed; 2 no GPU; 3 something was not available.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

Report = dict[str, Any]


class Step(NamedTuple):
    """One line of steps.tsv."""

    name: str
    status: str
    seconds: str

    @property
    def result(self) -> str:
        """Return what the table shows."""
        if self.status == "0":
            return "ok"
        if self.status in ("124", "137"):
            return "FAILED (out of time)"
        if self.status in ("not available", "skipped", "none"):
            return self.status
        return f"FAILED ({self.status})"


class Claim(NamedTuple):
    """Something that a run on a GPU has to show."""

    what: str
    figure: str
    shown: bool | None  # None: not measured


def number(value: Any) -> str:
    """Return three significant digits."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:.3g}"


def read_steps(folder: Path) -> list[Step]:
    """Return the steps that were run; what is missing in a line stays empty."""
    path = folder / "steps.tsv"
    lines = path.read_text().splitlines() if path.exists() else []
    return [Step(*([*line.split("\t"), "", ""])[:3]) for line in lines if line.strip()]


def read(folder: Path, name: str) -> Report:
    """Return the results of a benchmark, empty where there are none or half a file."""
    try:
        found = json.loads((folder / f"{name}.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def status(steps: list[Step], claims: list[Claim]) -> int:
    """Return the exit status."""
    if any(step.status == "none" for step in steps):
        return 2
    if not steps or any(step.result.startswith("FAILED") for step in steps):
        return 1
    if any(claim.shown is False for claim in claims):
        return 1
    complete = all(step.result == "ok" for step in steps)
    return 0 if complete and all(claim.shown for claim in claims) else 3


def verdict(steps: list[Step], claims: list[Claim]) -> str:
    """Return one line."""
    found = status(steps, claims)
    if found == 2:
        why = next(step.seconds for step in steps if step.status == "none")
        return f"NO GPU: {why}. Nothing here was seen on a device."
    failed = [step.name for step in steps if step.result.startswith("FAILED")]
    failed += [claim.what for claim in claims if claim.shown is False]
    if found == 1:
        return f"FAILED: {', '.join(failed) or 'no step was run'}."
    absent = [step.name for step in steps if step.result != "ok"]
    absent += [claim.what for claim in claims if claim.shown is None]
    return f"INCOMPLETE, without a failure; not seen: {', '.join(absent)}." if absent else "PASSED."


# --- what has to be shown ----------------------------------------------------------------------


def held_against_floor(gram: Report) -> list[dict[str, Any]]:
    """Return the timed cases with the slower of product and writes, and their part of it."""
    write = gram.get("floors", {}).get("write", {}).get("gb_per_s")
    product: dict[tuple[int, str], float] = {}
    found = []
    for case in gram.get("cases", []):
        result = case.get("result")
        if not isinstance(result, dict):
            continue
        key = (case["n"], case["dtype"])
        if case["what"] == "product floor" and "half_seconds" in result:
            product[key] = result["half_seconds"]
        figures = {k: v for k, v in result.items() if not isinstance(v, list)}
        if case["what"] == "on the device" and "seconds" in result and write and key in product:
            size = 4 if case["dtype"] == "float32" else 8
            writes = case["kernels"] * case["n"] ** 2 * size / (write * 1e9)
            figures["slower_floor_seconds"] = max(product[key], writes)
            figures["part_of_floor"] = figures["slower_floor_seconds"] / result["seconds"]
        found.append(case | {"figures": figures})
    return found


def _seconds(report: Report, what: str, n: int) -> float | None:
    for case in report.get("cases", []):
        if case["what"] == what and case["n"] == n and "seconds" in case["result"]:
            return float(case["result"]["seconds"])
    return None


def _pairs_per_second(images: Report) -> float | None:
    """Return the rate with ten nonlinearities and a global pool."""
    for case in images.get("cases", []):
        wanted = (case["what"], case.get("depth"), case.get("readout")) == ("rate", 10, "pool")
        if wanted and "pairs_per_second" in case["result"]:
            return float(case["result"]["pairs_per_second"])
    return None


def claims(steps: list[Step], gram: Report, solves: Report, images: Report) -> list[Claim]:
    """Return what must be shown, and whether it was."""
    found = []
    parts = [
        case["figures"]["part_of_floor"]
        for case in held_against_floor(gram)
        if (case["n"], case["dtype"], case.get("net")) == (65536, "float32", "Relu")
        and "part_of_floor" in case["figures"]
    ]
    part = parts[0] if parts else None
    found.append(
        Claim(
            "both kernels of n = 65,536, d = 784, three layers, float32, at 70% of the floor",
            "not measured" if part is None else f"{part:.0%}",
            None if part is None else part >= 0.7,
        )
    )
    product, floor = (_seconds(solves, what, 262_144) for what in ("operator", "product"))
    ratio = product / floor if product is not None and floor else None
    found.append(
        Claim(
            "product without the matrix, n = 262,144, 10 columns, within 1.3 x the product's time",
            "not measured" if ratio is None else f"{ratio:.2f} x",
            None if ratio is None else ratio <= 1.3,
        )
    )
    fit = _seconds(solves, "fit", 50_000)
    found.append(
        Claim(
            "fit of n = 50,000 in float64 under 15 s",
            "not measured" if fit is None else f"{fit:.1f} s",
            None if fit is None else fit < 15,
        )
    )
    pairs = _pairs_per_second(images)
    found.append(
        Claim(
            "pairs of images of 32 x 32, ten nonlinearities, global pool: 38,000 a second",
            "not measured" if pairs is None else f"{pairs:,.0f} a second",
            None if pairs is None else pairs >= 38_000,
        )
    )
    checks = {step.name: step.result for step in steps if step.name in ("memcheck", "racecheck")}
    known = len(checks) == 2 and not {"not available", "skipped"} & set(checks.values())
    found.append(
        Claim(
            "compute-sanitizer clean",
            ", ".join(f"{name} {result}" for name, result in checks.items()) or "not run",
            set(checks.values()) == {"ok"} if known else None,
        )
    )
    return found


# --- tables ------------------------------------------------------------------------------------


def table(header: str, rows: list[list[Any]]) -> list[str]:
    """Return a Markdown table."""
    columns = header.split(" | ")
    lines = [f"| {header} |", f"|{' --- |' * len(columns)}"]
    texts = [[str(cell).replace("|", "/").replace("\n", " ") for cell in row] for row in rows]
    return [*lines, *(f"| {' | '.join(row)} |" for row in texts)]


def figures_text(figures: Any) -> str:
    """Return named figures in one line."""
    if not isinstance(figures, dict):
        return str(figures)
    return ", ".join(
        f"{name} {number(value)}" for name, value in figures.items() if not isinstance(value, list)
    )


def gram_page(gram: Report) -> list[str]:
    """Return the tables of Gram matrices."""
    if not gram:
        return ["Not measured."]
    lines = [
        f"Device: {gram.get('device')}, compute capability {gram.get('compute_capability')}.",
        "",
    ]
    lines += [f"- memory, {name}: {json.dumps(x)}" for name, x in gram.get("floors", {}).items()]
    rows = []
    for case in held_against_floor(gram):
        place = [case["what"], case["n"], case.get("d", ""), case["dtype"], case.get("net", "")]
        rows.append([*place, figures_text(case["figures"])])
    return [*lines, "", *table("case | n | d | dtype | net | figures", rows)]


def solves_page(solves: Report) -> list[str]:
    """Return the table of fits, factors and products."""
    rows = [[c["what"], c["n"], figures_text(c["result"])] for c in solves.get("cases", [])]
    return table("case | n | figures", rows) if rows else ["Not measured."]


def images_page(images: Report) -> list[str]:
    """Return the table of errors and rates of images."""
    rows = [
        [c["what"], c["depth"], c["readout"], c["dtype"], figures_text(c["result"])]
        for c in images.get("cases", [])
    ]
    header = "case | depth | readout | dtype | figures"
    return table(header, rows) if rows else ["Not measured."]


def contenders_page(report: Report) -> list[str]:
    """Return the table of all contenders."""
    rows = [
        [case["n"], case["dtype"], name, figures_text(result)]
        for case in report.get("cases", [])
        for name, result in case["result"].items()
    ]
    error = report.get("error of PyTorch's recursion in float32")
    lines = table("n | dtype | contender | figures", rows) if rows else ["Not measured."]
    return [*lines, "", f"Error of PyTorch's recursion in float32: {figures_text(error)}."]


def tangent_page(report: Report) -> list[str]:
    """Return the table of tangent kernels."""
    rows = [[name, figures_text(figures)] for name, figures in report.items()]
    return table("kernel | figures", rows) if rows else ["Not measured."]


def page(folder: Path) -> tuple[str, int]:
    """Return the page and the exit status."""
    steps, gram, solves = read_steps(folder), read(folder, "gpu_gram"), read(folder, "gpu_solves")
    images = read(folder, "gpu_images")
    claimed = claims(steps, gram, solves, images)
    shown = {True: "yes", False: "NO", None: "not measured"}
    environment = folder / "environment.txt"
    lines = [
        "# GPU check",
        "",
        f"**{verdict(steps, claimed)}**",
        "",
        environment.read_text().strip() if environment.exists() else "- environment: unknown",
        "",
        *table("step | status | seconds", [[s.name, s.result, s.seconds] for s in steps]),
        "",
        *table("must show | figure | shown", [[c.what, c.figure, shown[c.shown]] for c in claimed]),
        "",
        "## Gram matrices",
        "",
        *gram_page(gram),
        "",
        "## Fits, factors, products",
        "",
        *solves_page(solves),
        "",
        "## Tangent kernels",
        "",
        *tangent_page(read(folder, "gpu_tangent")),
        "",
        "## Images",
        "",
        *images_page(images),
        "",
        "## Beside other programs",
        "",
        *contenders_page(read(folder, "gpu_contenders")),
    ]
    return "\n".join(lines), status(steps, claimed)


def main() -> None:
    """Print the page for the folder that is named."""
    text, found = page(Path(sys.argv[1]))
    print(text)
    sys.exit(found)


if __name__ == "__main__":
    main()
