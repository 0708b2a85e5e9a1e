"""Measurements over widths and seeds, and what they say about their dependence on width."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from .._progress import progress_bar
from .._threads import resolve_threads
from .._validate import got, whole_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Slope", "Sweep", "measure"]

#: Measurements of one network: name -> value.
Measurement = dict[str, float]


class Slope(NamedTuple):
    """How a quantity depends on width: it grows like ``width**value``.

    Attributes
    ----------
    value : float
        Least squares over all networks, in logarithms of both.
    low, high : float
        Ends of its 95 % confidence interval, for independent networks.
    theory : float
        What theory says of wide networks, or bounds it by; NaN where it says nothing.
    """

    value: float
    low: float
    high: float
    theory: float


@dataclass(frozen=True)
class Sweep:
    """Quantities of random networks of several widths.

    Attributes
    ----------
    title : str
        What was measured.
    widths : tuple of int
        Ascending.
    seeds : tuple of int
        Seeds of the networks of every width.
    values : dict of str to array, shape (widths, seeds)
        The quantities.
    theory : dict of str to float
        Exponent of the width that theory gives for a quantity, or for a bound on it.
    """

    title: str
    widths: tuple[int, ...]
    seeds: tuple[int, ...]
    values: Mapping[str, NDArray[np.float64]]
    theory: Mapping[str, float]

    def slope(self, name: str) -> Slope:
        """Return how a quantity depends on width.

        Parameters
        ----------
        name : str
            Key of `values`.

        Returns
        -------
        Slope

        Raises
        ------
        KeyError
            If there is no such quantity.
        ValueError
            If there are fewer than two widths or three networks, or a value is not positive.
        """
        from scipy.stats import linregress, t

        values = self.values[name]
        if len(self.widths) < 2 or values.size < 3:
            raise ValueError(
                f"a slope needs two widths and three networks, got {len(self.widths)} widths and "
                f"{values.size} networks"
            )
        if not np.all(values > 0):
            raise ValueError(f"{name} is not positive everywhere: it has no slope in logarithms")
        x = np.repeat(np.log(self.widths), len(self.seeds))
        fit = linregress(x, np.log(values).ravel())
        half = float(t.ppf(0.975, values.size - 2) * fit.stderr)
        value = float(fit.slope)
        return Slope(value, value - half, value + half, self.theory.get(name, float("nan")))

    def quantiles(self, name: str, q: float | Iterable[float] = (0.1, 0.5, 0.9)) -> Any:
        """Return quantiles over the seeds, shape (widths,) or (widths, quantiles).

        Parameters
        ----------
        name : str
            Key of `values`.
        q : float or several, default (0.1, 0.5, 0.9)
            Probabilities.

        Returns
        -------
        array
        """
        return np.quantile(self.values[name], np.asarray(q), axis=1).T

    def table(self) -> str:
        """Return medians (and tenths and nine tenths) for every width, and slopes, in Markdown.

        Returns
        -------
        str
        """
        names = list(self.values)
        lines = [
            f"**{self.title}**; {len(self.seeds)} networks per width: median (10 % - 90 %)\n",
            "| width | " + " | ".join(names) + " |",
            "|---" * (len(names) + 1) + "|",
        ]
        for i, width in enumerate(self.widths):
            cells = []
            for name in names:
                low, middle, high = self.quantiles(name)[i]
                cells.append(f"{middle:.3g} ({low:.3g} - {high:.3g})")
            lines.append(f"| {width} | " + " | ".join(cells) + " |")
        if len(self.widths) > 1 and len(self.widths) * len(self.seeds) > 2:
            lines.append("| slope | " + " | ".join(map(self._slope_cell, names)) + " |")
        return "\n".join(lines)

    def _slope_cell(self, name: str) -> str:
        if not np.all(self.values[name] > 0):
            return ""
        slope = self.slope(name)
        theory = "" if np.isnan(slope.theory) else f", theory {slope.theory:g}"
        return f"{slope.value:.2f} ({slope.low:.2f} to {slope.high:.2f}){theory}"

    def to_json(self) -> str:
        """Return everything as JSON; `Sweep.from_json` reads it.

        Returns
        -------
        str
        """
        return json.dumps(
            {
                "title": self.title,
                "widths": list(self.widths),
                "seeds": list(self.seeds),
                "values": {name: v.tolist() for name, v in self.values.items()},
                "theory": dict(self.theory),
            }
        )

    @staticmethod
    def from_json(text: str) -> Sweep:
        """Return what `to_json` wrote.

        Parameters
        ----------
        text : str

        Returns
        -------
        Sweep
        """
        data = json.loads(text)
        values = {name: np.array(v, dtype=np.float64) for name, v in data["values"].items()}
        return Sweep(
            data["title"], tuple(data["widths"]), tuple(data["seeds"]), values, data["theory"]
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw medians against width, with the range from 10 % to 90 %, and theory's slopes.

        Parameters
        ----------
        ax
            Where to draw; a new figure by default.

        Returns
        -------
        Axes
            The panel.

        Raises
        ------
        ImportError
            matplotlib is missing.
        """
        from .. import plot

        ax = plot.new_axes(ax)
        for k, name in enumerate(self.values):
            color = plot.COLORS[k % len(plot.COLORS)]
            low, middle, high = self.quantiles(name).T
            marker = plot.MARKERS[k % len(plot.MARKERS)]
            ax.plot(self.widths, middle, color=color, marker=marker, label=name)
            ax.fill_between(self.widths, low, high, color=color, alpha=0.2, linewidth=0)
            if name in self.theory:
                line = middle[0] * (np.array(self.widths) / self.widths[0]) ** self.theory[name]
                ax.plot(self.widths, line, color=color, linestyle=":", linewidth=1)
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xlabel("width")
        ax.set_title(self.title)
        ax.legend()
        return ax


def measure(
    title: str,
    task: Callable[[int, int], Measurement],
    widths: Iterable[int],
    seeds: int | Iterable[int],
    theory: Mapping[str, float],
    *,
    path: str | os.PathLike[str] | None,
    jobs: int | None,
    settings: Mapping[str, Any],
) -> Sweep:
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
    names = list(done[widths[0], chosen[0]])
    values = {
        name: np.array([[done[w, s][name] for s in chosen] for w in widths]) for name in names
    }
    return Sweep(title, tuple(widths), chosen, values, dict(theory))


def _run(
    task: Callable[[int, int], Measurement], pending: list[tuple[int, int]], jobs: int
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
    if not lines or json.loads(lines[0]) != json.loads(json.dumps(header)):
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
