"""One run of ``ntkfast compare``: from a budget to files, continued where it was stopped."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from threadpoolctl import threadpool_limits

import ntkfast
from ntkfast import _info
from ntkfast._report.claims import CLAIMS
from ntkfast._report.page import page
from ntkfast._report.plan import BUDGETS, Part, parts, seeds_within
from ntkfast._threads import resolve_threads
from ntkfast.errors import DivergenceError

__all__ = ["Finished", "run"]

Say = Callable[[str], None]

#: Share of the budget for networks; the rest is for start and pictures.
FOR_NETWORKS = 0.93


@dataclass(frozen=True)
class Finished:
    """A part that was measured; without a result where a network exploded in training."""

    part: Part
    seeds: int
    seconds: float
    result: Any
    problem: str = ""


class _State:
    """What a run has decided and how long it took, kept in a file of its folder."""

    def __init__(self, out: Path, budget: str, jobs: int) -> None:
        self._path = out / "plan.json"
        kept = {"version": ntkfast.__version__, "budget": budget, "jobs": jobs}
        self.units: dict[str, float] = {}
        self.seeds: dict[str, int] = {}
        self.seconds: dict[str, float] = {}
        self._kept = kept
        if not self._path.exists():
            return
        data = json.loads(self._path.read_text(encoding="utf-8"))
        found = {name: data.get(name) for name in kept}
        if found != kept:
            raise ValueError(
                f"--out {out} holds another run: {_listed(found)}, and not {_listed(kept)}; take "
                "another folder, or delete this one"
            )
        self.units, self.seeds, self.seconds = data["units"], data["seeds"], data["seconds"]

    def save(self) -> None:
        """Write the file, in one step: it is whole whenever the run is stopped."""
        data = self._kept | {"units": self.units, "seeds": self.seeds, "seconds": self.seconds}
        draft = self._path.with_suffix(".part")
        draft.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        draft.replace(self._path)


def run(budget: str, out: Path, jobs: int | None, command: str, say: Say) -> dict[str, Any]:
    """Run all comparisons and write ``report.html`` and ``report.json``.

    Parameters
    ----------
    budget : str
        Key of `plan.BUDGETS`.
    out : Path
        An existing folder; a run that was stopped goes on from it.
    jobs : int, optional
        Networks at a time; by default the number of threads.
    command : str
        How it was called, for the report.
    say : callable
        Takes lines of text for the user.

    Returns
    -------
    dict
        What ``report.json`` holds.

    Raises
    ------
    ValueError
        If the folder holds a run with other settings.
    """
    jobs = resolve_threads(jobs)
    state = _State(out, budget, jobs)
    todo = parts(budget)
    runs = out / "runs"
    runs.mkdir(exist_ok=True)
    # Networks side by side have one BLAS thread each; one alone has the same, for even timings.
    with threadpool_limits(1, user_api="blas"):
        _time(todo, state, budget, runs, jobs, say)
        finished = _measure(todo, state, runs, jobs, say)
    record = {
        "version": ntkfast.__version__,
        "command": command,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "budget": {"name": budget, "seconds": BUDGETS[budget].seconds},
        "seconds": sum(state.seconds.values()),
        "jobs": jobs,
        "environment": _info.collect(),
        "claims": [
            {
                "claim": key,
                "heading": claim.heading,
                "parts": [_as_json(f) for f in finished if f.part.claim == key],
            }
            for key, claim in CLAIMS.items()
        ],
    }
    (out / "report.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (out / "report.html").write_text(page(record, finished), encoding="utf-8")
    say(f"\nwritten: {out / 'report.html'}, {out / 'report.json'}")
    return record


def _time(
    todo: Sequence[Part], state: _State, budget: str, runs: Path, jobs: int, say: Say
) -> None:
    """Measure one batch of every part and decide on the numbers of seeds."""
    if state.seeds:
        return
    say(
        f"budget {budget}, {jobs} networks at a time: first, networks of every kind and width are "
        "timed; these count, too"
    )
    for part in todo:
        if part.key in state.units:
            continue
        path = runs / f"{part.key}.jsonl"
        path.unlink(missing_ok=True)  # of a timing that was stopped
        seeds = min(part.most, jobs * part.batch)
        start = perf_counter()
        _measured(part, seeds, path, jobs)
        seconds = perf_counter() - start
        state.units[part.key] = max(seconds, 1e-3) / seeds
        state.seconds[part.key] = seconds
        state.save()
    within = FOR_NETWORKS * BUDGETS[budget].seconds
    state.seeds = seeds_within(within, state.units, todo, jobs)
    state.save()


def _measure(
    todo: Sequence[Part], state: _State, runs: Path, jobs: int, say: Say
) -> list[Finished]:
    """Measure everything, with the estimate before."""
    estimates = {part.key: state.units[part.key] * state.seeds[part.key] for part in todo}
    spent = sum(state.seconds.values())
    say(
        f"estimate: {_minutes(sum(estimates.values()))} in all, of which {_minutes(spent)} are done"
    )
    finished = []
    for part in todo:
        seeds = state.seeds[part.key]
        start = perf_counter()
        result, problem = _measured(part, seeds, runs / f"{part.key}.jsonl", jobs)
        state.seconds[part.key] += perf_counter() - start
        state.save()
        seconds = state.seconds[part.key]
        say(
            f"{CLAIMS[part.claim].heading}: {part.name}, {seeds} seeds, {_minutes(seconds)} "
            f"(estimate {_minutes(estimates[part.key])})"
        )
        if problem:
            say(f"  no result: {problem}")
        finished.append(Finished(part, seeds, seconds, result, problem))
    return finished


def _measured(part: Part, seeds: int, path: Path, jobs: int) -> tuple[Any, str]:
    """Return the result of a part, or None and why there is none."""
    try:
        return part.measure(seeds=seeds, path=path, jobs=jobs), ""
    except DivergenceError as error:  # one network must not cost the others' report
        return None, str(error)


def _as_json(finished: Finished) -> dict[str, Any]:
    part, result = finished.part, finished.result
    return {
        "key": part.key,
        "name": part.name,
        "seeds": finished.seeds,
        "seconds": finished.seconds,
        "note": part.note(result) if part.note and result else None,
        "result": json.loads(result.to_json()) if result else None,
        "problem": finished.problem,
    }


def _listed(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def _minutes(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min"
