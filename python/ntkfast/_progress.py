"""A progress bar that appears on a terminal and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(total: int, *, enabled: bool | None = None) -> Iterator[Callable[[str], None]]:
    """Show a bar on standard error while the block runs.

    Parameters
    ----------
    total
        Number of steps.
    enabled
        True and False force the bar on and off; None shows it on a terminal only, so that
        logs and pipes stay clean.

    Yields
    ------
    step : callable
        ``step(text)`` ends the current step and names the next one. The first call, made before
        any work, only names: ``total + 1`` calls fill the bar.

    Examples
    --------
    >>> with progress_bar(2) as step:
    ...     for name in ("first", "second", ""):
    ...         step(name)
    """
    console = Console(file=sys.stderr, force_terminal=enabled)
    if not console.is_terminal:
        yield lambda text: None
        return
    columns = (
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        started = False

        def step(text: str) -> None:
            nonlocal started
            bar.update(task, advance=int(started), description=text)
            started = True

        yield step
