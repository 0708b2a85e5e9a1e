"""Runs over widths and seeds: in parallel, kept in a file, continued where they were stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits

from .._progress import progress_bar
from .._threads import resolve_threads
from .._validate import got, whole_number

__all__ = ["Runs", "collect"]

#: Measurements of one network: name -> number, or list of numbers.
Measurement = Mapping[str, Any]
Task = Callable[[int, int], Measurement]


class Runs(NamedTuple):
    """Measurements of networks by (width, seed), with widths ascending."""

    widths: tuple[int, ...]
    seeds: tuple[int, ...]
    found: dict[tuple[int, int], Measurement]


def collect(
    title: str,
    task: Task,
    widths: Iterable[int],
    seeds: int | Iterable[int],
    *,
    path: str | os.PathLike[str] | None,
    jobs: int | None,
    settings: Mapping[str, Any],
) -> Runs:
    """Run ``task(width, seed)`` for all widths and seeds, the largest width first.

    Finished networks are appended to the file at ``path``, from which an interrupted run goes on;
    ``settings`` say what the file must have been made with.
    """
    widths = sorted({whole_number("widths", w, minimum=1) for w in widths})
    if not widths:
        raise ValueError("widths must hold at least one number, got none")
    chosen = _seeds(seeds)
    header = {"title": title, **settings}
    done = {} if path is None else _read(Path(path), header)
    pending = [(w, s) for w in reversed(widths) for s in chosen if (w, s) not in done]
    with progress_bar(len(pending)) as step:
        step(title)
        for key, found in _run(task, pending, resolve_threads(jobs)):
            done[key] = found
            if path is not None:
                _append(Path(path), header, *key, found)
            step(title)
    return Runs(tuple(widths), chosen, done)


def _run(
    task: Task, pending: list[tuple[int, int]], jobs: int
) -> Iterator[tuple[tuple[int, int], Measurement]]:
    """Yield networks as they are finished."""
    if jobs == 1:
        for key in pending:
            yield key, task(*key)
        return
    pool = ThreadPoolExecutor(jobs)
    # Networks side by side have one BLAS thread each.
    with threadpool_limits(1, user_api="blas"):
        try:
            running = {pool.submit(task, *key): key for key in pending}
            for future in as_completed(running):
                yield running[future], future.result()
        finally:  # when interrupted, networks that have begun end on their own
            pool.shutdown(wait=False, cancel_futures=True)


def _seeds(seeds: int | Iterable[int]) -> tuple[int, ...]:
    if isinstance(seeds, Iterable):
        chosen = tuple(whole_number("seeds", s, minimum=0) for s in seeds)
    else:
        chosen = tuple(range(whole_number("seeds", seeds, minimum=1)))
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"seeds must be a number or different seeds, {got(seeds)}")
    return chosen


def _read(path: Path, header: Mapping[str, Any]) -> dict[tuple[int, int], Measurement]:
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    # Compared as text: a header that was cut short is another one, too.
    if not lines or lines[0] != json.dumps(header):
        raise ValueError(
            f"path={str(path)!r} holds another run: take another file, or delete this one"
        )
    done = {}
    for line in lines[1:]:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue  # the run was stopped while it wrote
        done[entry["width"], entry["seed"]] = entry["values"]
    return done


def _append(
    path: Path, header: Mapping[str, Any], width: int, seed: int, values: Measurement
) -> None:
    new = not path.exists()
    with path.open("a", encoding="utf-8") as file:
        if new:
            file.write(json.dumps(header) + "\n")
        file.write("\n" * (not new and not _ends_with_newline(path)))
        file.write(json.dumps({"width": width, "seed": seed, "values": values}) + "\n")


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
