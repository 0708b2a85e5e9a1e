"""The command ``ntkfast``: ``demo``, ``compare`` and ``info``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from ntkfast._demo.tables import Table

__all__ = ["main"]


class InputError(click.ClickException):
    """Something is wrong with what the user gave: one line on standard error, exit code 2."""

    exit_code = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ntkfast")
def main() -> None:
    """Fast and accurate neural tangent kernels."""


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def info(as_json: bool) -> None:
    """Show version, build, instruction sets, threads, devices and memory."""
    from rich.text import Text

    from ntkfast import _info

    found = _info.collect()
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    console = _console()
    lines = _info.lines(found)
    width = max(len(name) for name, _ in lines) + 2
    for name, value in lines:
        console.print(Text.assemble((name.ljust(width), "bold"), value), soft_wrap=True)


@main.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Your own table: CSV with a header line, or NPZ with X and y. "
    "Default: scikit-learn's digits and diabetes.",
)
@click.option("--target", metavar="COL", help="Target column (CSV) or array (NPZ, default y).")
@click.option(
    "--task",
    type=click.Choice(["classification", "regression"]),
    help="Default: decided by the target, and said.",
)
@click.option(
    "--max-rows",
    type=click.IntRange(min=30),
    metavar="N",
    help="Use N rows of a larger table, drawn at random. [default: 3000]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    default=Path("ntkfast-demo"),
    show_default=True,
    help="Folder for demo.png and demo.json.",
)
@click.option("--splits", type=click.IntRange(2, 100), default=5, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), help="Default: all usable cores.")
@click.option("--quick", is_flag=True, help="2 splits, smaller grids, fewer epochs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.pass_context
def demo(
    context: click.Context,
    data: Path | None,
    target: str | None,
    task: Literal["classification", "regression"] | None,
    max_rows: int | None,
    out: Path,
    splits: int,
    seed: int,
    threads: int | None,
    quick: bool,
    as_json: bool,
) -> None:
    """Compare NTK and NNGP with common methods, on real data.

    Every method sees the same random 80/20 splits. Scores, timings, a learning curve and the
    kernels' spectra go to the screen, to demo.json and to demo.png. The exit code is 0 when all
    checks pass, 1 when one fails and 2 when the input cannot be used.
    """
    from ntkfast._demo.session import Options, run_demo
    from ntkfast.plot import require_matplotlib

    if data is None:
        for option, value in (("--target", target), ("--task", task), ("--max-rows", max_rows)):
            if value is not None:
                raise InputError(f"{option} needs --data FILE")
    if quick and context.get_parameter_source("splits") is click.core.ParameterSource.DEFAULT:
        splits = 2
    try:
        require_matplotlib()
        out.mkdir(parents=True, exist_ok=True)
    except (ImportError, OSError) as error:
        raise InputError(str(error)) from error
    if not os.access(out, os.W_OK):
        raise InputError(f"--out {out}: the folder is not writable")
    tables = _tables(data, target, task, max_rows, seed)
    console = None if as_json else _console()
    options = Options(splits=splits, seed=seed, threads=threads, quick=quick)
    result = run_demo(tables, out, options, console)
    if as_json:
        click.echo(json.dumps(result, indent=2))
    sys.exit(0 if result["verdict"]["passed"] else 1)


@main.command()
@click.option(
    "--budget",
    type=click.Choice(["1min", "10min", "1h"]),
    default="1min",
    show_default=True,
    help="Time to take: more of it goes to wider networks, then to more of them.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    default=Path("ntkfast-compare"),
    show_default=True,
    help="Folder for report.html and report.json. A run that was stopped goes on from it.",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Networks at a time. Default: all cores.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def compare(budget: str, out: Path, jobs: int | None, as_json: bool) -> None:
    """Measure what theory says of wide networks, and write a report.

    Random and trained networks of many widths, on real data that come along, beside their kernels
    and the infinite network's: one HTML page with all pictures and tables, and the same as JSON.
    Stopped with Ctrl-C, it keeps every finished network; the same command goes on.
    """
    from ntkfast._report.session import run
    from ntkfast.plot import require_matplotlib

    console = _console()
    try:
        require_matplotlib()
        out.mkdir(parents=True, exist_ok=True)
        record = run(
            budget,
            out,
            jobs,
            " ".join(["ntkfast", *sys.argv[1:]]),
            (lambda text: None) if as_json else (lambda text: console.print(text, soft_wrap=True)),
        )
    except (ImportError, OSError, ValueError) as error:
        raise InputError(str(error)) from error
    except KeyboardInterrupt:
        click.echo(f"stopped; finished networks are in {out}, the same command goes on", err=True)
        sys.stderr.flush()
        os._exit(130)  # networks that have begun would be waited for
    if as_json:
        click.echo(json.dumps(record, indent=2))


def _tables(
    data: Path | None,
    target: str | None,
    task: Literal["classification", "regression"] | None,
    max_rows: int | None,
    seed: int,
) -> list[Table]:
    from ntkfast._demo.reading import DataError
    from ntkfast._demo.tables import bundled_tables, user_table

    if data is None:
        return bundled_tables()
    try:
        return [user_table(data, target, task, max_rows, seed)]
    except DataError as error:
        raise InputError(str(error)) from error


def _console() -> Any:
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        # A pipe has no width: do not fold lines at the 80 columns that rich assumes.
        console.width = 160
    return console
