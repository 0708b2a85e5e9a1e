"""Finite networks beside their limit, for many widths: `python bench/compare_width.py --help`.

Each part is one claim about wide networks. Finished networks are kept in --keep, from which an
interrupted run goes on; what is there already is not computed again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import environment
import ntkfast as nk
from ntkfast._report.textbook import textbook_ntk
from ntkfast.compare import Sweep

Array = NDArray[np.float64]
Keep = Callable[[str], Path]  # the file of a sweep by its name
Found = Iterator[tuple[str, Any]]  # names and results
RESULTS = environment.ROOT / "bench" / "results"
WIDTHS = tuple(2**k for k in range(6, 14))  # 64 ... 8192
TRAINED = WIDTHS[:5]  # ... 1024: of networks with several hidden layers in training
DEPTHS = (1, 3, 5)
ROWS, FEATURES = 8, 16
#: What the slope of the deviation may differ from -1/2.
TOLERANCE = 0.07


def rows(n: int = ROWS, seed: int = 0) -> Array:
    """Return random directions: samples of unit norm."""
    X = np.random.default_rng(seed).standard_normal((n, FEATURES))
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def network(phi: str, depth: int) -> nk.Network:
    """Return the theorems' ReLU network, or the critical erf network."""
    return nk.models.arora(depth) if phi == "relu" else nk.mlp(depth, phi)


def deviation(keep: Keep, jobs: int) -> Found:
    """Theorem 3.1: tangent kernels at initialization."""
    for depth in DEPTHS:
        for phi in ("relu", "erf"):
            name = f"{phi}, depth {depth}"
            sweep = nk.compare.kernel_deviation(
                network(phi, depth), rows(), widths=WIDTHS, seeds=20, path=keep(name), jobs=jobs
            )
            yield name, sweep


def misprint(keep: Keep, jobs: int) -> Found:
    """Against a formula without its dot: covariances in place of those of derivatives."""
    for phi, depth in (("erf", 1), ("erf", 3), ("relu", 3)):
        for wrong in (False, True):
            name = f"{phi}, depth {depth}, {'misprinted' if wrong else 'right'}"
            sweep = nk.compare.kernel_deviation(
                network(phi, depth),
                rows(),
                against=textbook_ntk(rows(), depth, phi, misprinted=wrong),
                widths=WIDTHS[:-2],
                seeds=10,
                path=keep(name),
                jobs=jobs,
            )
            yield name, sweep


def training(keep: Keep, jobs: int) -> Found:
    """In training: change of the kernel, distance to the Taylor model and to the closed form."""
    X = rows()
    y = np.sign(rows(ROWS, 1)[:, 0])
    for phi in ("relu", "erf"):
        # The kernels of narrow networks scatter, and with them the largest stable rate.
        shared: dict[str, Any] = {"widths": TRAINED, "seeds": 8, "rate": 0.25, "jobs": jobs}
        net, name = network(phi, 2), f"kernel change, {phi}"
        yield (
            name,
            nk.compare.kernel_change(net, X, y, steps=(10, 30, 100), path=keep(name), **shared),
        )
        name = f"linearization, {phi}"
        yield name, nk.compare.training(net, X, y, steps=100, path=keep(name), **shared)


def lazy(keep: Keep, jobs: int) -> Found:
    """Lazy training."""
    y = np.sign(rows(ROWS, 1)[:4, 0])
    for phi in ("relu", "erf"):
        sweep = nk.compare.lazy_training(
            network(phi, 2),
            rows()[:4],
            y,
            widths=TRAINED,
            seeds=6,
            steps=100,
            path=keep(phi),
            jobs=jobs,
        )
        yield phi, sweep


def equivalence(keep: Keep, jobs: int) -> Found:
    """Theorem 3.2: networks trained to convergence beside kernel regression."""
    y = np.sign(rows(ROWS, 1)[:, 0])
    for depth, widths in ((1, WIDTHS), (2, TRAINED)):
        name = f"depth {depth}"
        sweep = nk.compare.equivalence(
            depth,
            rows(),
            y,
            rows(ROWS, 2),
            output_scales=(1.0, 0.3, 0.1),
            widths=widths,
            seeds=10 if depth == 1 else 5,
            path=keep(name),
            jobs=jobs,
        )
        yield name, sweep


def gaussian(keep: Keep, jobs: int) -> Found:
    """Outputs at initialization beside the Gaussian process; one hidden layer is Neal's case."""
    # Deep networks are far from Gaussian where they are narrow: 1 / width holds for wider ones.
    for depth, widths in ((1, (8, 16, 32, 64, 128, 256)), (3, (32, 64, 128, 256, 512))):
        name = f"relu, depth {depth}"
        yield (
            name,
            nk.compare.gaussian_limit(
                network("relu", depth),
                rows(),
                widths=widths,
                seeds=10_000,
                path=keep(name),
                jobs=jobs,
            ),
        )


PARTS: dict[str, Callable[[Keep, int], Found]] = {
    "deviation": deviation,
    "misprint": misprint,
    "training": training,
    "lazy": lazy,
    "equivalence": equivalence,
    "gaussian": gaussian,
}


def page(part: str, found: dict[str, Any], where: dict[str, Any]) -> str:
    """Return tables of all that was measured, in Markdown."""
    lines = [
        f"# {PARTS[part].__doc__}\n",
        f"`python bench/compare_width.py {part}`, commit {where['commit']}, {where['date']}, "
        f"{where['machine']['cpu']}\n",
    ]
    for name, result in found.items():
        lines += [f"## {name}\n", result.table(), ""]
    if part == "deviation":
        lines += ["## Slopes\n", slopes(found), ""]
    return "\n".join(lines)


def slopes(found: dict[str, Sweep]) -> str:
    """Return the slope of every sweep's deviation and whether it is as near as asked."""
    lines = ["| network | slope of the largest deviation | theory | within |", "|---" * 4 + "|"]
    for name, sweep in found.items():
        slope = sweep.slope("ntk")
        near = "yes" if abs(slope.value - slope.theory) <= TOLERANCE else "NO"
        cell = f"{slope.value:.3f} ({slope.low:.3f} to {slope.high:.3f})"
        lines.append(f"| {name} | {cell} | {slope.theory:g} | {TOLERANCE}: {near} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--keep", type=Path, default=Path("build/compare"), help="folder")
    parser.add_argument("--jobs", type=int, default=1, help="networks at a time")
    options = parser.parse_args()
    for part in options.parts or PARTS:
        folder = options.keep / part
        folder.mkdir(parents=True, exist_ok=True)

        def keep(name: str, folder: Path = folder) -> Path:
            return folder / f"{name.replace(', ', '-').replace(' ', '-')}.jsonl"

        found = dict(PARTS[part](keep, options.jobs))
        where = environment.describe(options.jobs)
        record = {"environment": where} | {n: json.loads(s.to_json()) for n, s in found.items()}
        # One line for every result: lists of thousands of seeds would be as many lines.
        lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in record.items()]
        (RESULTS / f"compare-{part}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
        text = page(part, found, where)
        (RESULTS / f"compare-{part}.md").write_text(text)
        print(text)


if __name__ == "__main__":
    main()
