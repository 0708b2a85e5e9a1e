"""Progress of one long kernel computation, as ``config.progress`` asks for it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ._duration import duration
from .config import config

__all__ = ["gram_progress"]

_PATIENCE = 0.5  # seconds before a bar appears: shorter work needs none


@contextmanager
def gram_progress(
    estimate: Callable[[], float | None] | None = None,
) -> Iterator[Callable[[int, int], None] | None]:
    """Yield what the core is to call with (done, total), or None.

    `estimate` gives the seconds of a long computation; it is asked where a bar can be seen.
    """
    setting = config.progress
    if setting is None:
        setting = sys.stderr is not None and sys.stderr.isatty()
    if callable(setting):
        yield setting
    elif not setting:
        yield None
    else:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(file=sys.stderr, force_terminal=True)
        with Progress(console=console, transient=True, disable=True) as bar:
            seconds = None if estimate is None else estimate()
            text = "kernel" if seconds is None else f"kernel, about {duration(seconds)}"
            task = bar.add_task(text)
            start = time.monotonic()

            def update(done: int, total: int) -> None:
                if bar.disable and time.monotonic() - start > _PATIENCE:
                    bar.disable = False
                    bar.start()
                bar.update(task, completed=done, total=total)

            yield update
