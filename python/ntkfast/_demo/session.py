"""One run of the demonstration from tables to files and verdict."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import joblib
from rich.console import Console
from rich.text import Text
from threadpoolctl import threadpool_limits

import ntkfast
from ntkfast import _info
from ntkfast._demo.contest import Contest, run, steps
from ntkfast._demo.figure import draw
from ntkfast._demo.report import as_json, print_contest, verdict
from ntkfast._demo.tables import Table
from ntkfast._progress import progress_bar

__all__ = ["Options", "run_demo"]


@dataclass(frozen=True)
class Options:
    """What the command line sets for all tables; `threads` None means all usable cores."""

    splits: int
    seed: int
    threads: int | None
    quick: bool


def run_demo(
    tables: list[Table], out: Path, options: Options, console: Console | None
) -> dict[str, Any]:
    """Run the contest on every table, write ``demo.png`` and ``demo.json`` into `out`.

    Parameters
    ----------
    tables
        What to compete on.
    out
        An existing folder.
    options
        Splits, seed, threads, quick.
    console
        Where to print; None prints nothing.

    Returns
    -------
    dict
        What ``demo.json`` holds.
    """
    start = perf_counter()
    engine = _info.engine(options.threads)
    if console is not None:
        console.print(Text(_headline(engine)))
    contests = _contests(tables, options, engine["threads"])
    picture, record = out / "demo.png", out / "demo.json"
    draw(contests, picture)
    seconds = perf_counter() - start
    passed, text = verdict(contests, seconds)
    result = {
        "version": ntkfast.__version__,
        "engine": engine,
        "options": asdict(options),
        "seconds": seconds,
        "tables": [as_json(contest) for contest in contests],
        "verdict": {"passed": passed, "text": text},
        "files": {"figure": str(picture), "record": str(record)},
    }
    record.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if console is not None:
        for contest in contests:
            console.print()
            print_contest(console, contest)
        console.print(Text(f"\nwritten: {picture}, {record}"))
        console.print(Text(text, style="bold green" if passed else "bold red"), soft_wrap=True)
    return result


def _contests(tables: list[Table], options: Options, threads: int) -> list[Contest]:
    # This also imports every method, so that the limits below see all libraries.
    total = sum(steps(table, options.splits, quick=options.quick) for table in tables)
    with ExitStack() as stack:
        # One number of threads for all: this library, joblib and OpenMP. BLAS gets one: at these
        # sizes a second one gains little, and on a busy machine it costs up to thirtyfold (MLP).
        stack.enter_context(threadpool_limits({"blas": 1, "openmp": threads}))
        stack.enter_context(ntkfast.config(threads=threads))
        stack.enter_context(joblib.parallel_backend("threading", n_jobs=threads))
        step = stack.enter_context(progress_bar(total))
        contests = [
            run(
                table,
                splits=options.splits,
                seed=options.seed,
                threads=threads,
                quick=options.quick,
                step=step,
            )
            for table in tables
        ]
        step("")
    return contests


def _headline(engine: dict[str, Any]) -> str:
    threads = "1 thread" if engine["threads"] == 1 else f"{engine['threads']} threads (BLAS 1)"
    return (
        f"ntkfast {ntkfast.__version__} on {engine['device']}, {engine['isa']}, {threads}, "
        "float64; exact kernels, kernel ridge regression, ridge by leave-one-out"
    )
