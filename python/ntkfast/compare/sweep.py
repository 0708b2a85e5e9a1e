"""Measurements over widths and seeds, and what they say about their dependence on width."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .runs import collect

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Slope", "Sweep", "measure"]


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
    scale : {"log", "linear"}
        Of pictures; slopes are those of logarithms, and tables have them for "log" alone.
    """

    title: str
    widths: tuple[int, ...]
    seeds: tuple[int, ...]
    values: Mapping[str, NDArray[np.float64]]
    theory: Mapping[str, float]
    scale: str = "log"

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
        several = len(self.widths) > 1 and len(self.widths) * len(self.seeds) > 2
        if several and self.scale == "log":
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
                "scale": self.scale,
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
        widths, seeds = (tuple(data[name]) for name in ("widths", "seeds"))
        return Sweep(data["title"], widths, seeds, values, data["theory"], data["scale"])

    def plot(self, ax: Axes | None = None, *, names: Iterable[str] | None = None) -> Axes:
        """Draw medians against width, with the range from 10 % to 90 %, and theory's slopes.

        Parameters
        ----------
        ax
            Where to draw; a new figure by default.
        names : sequence of str, optional
            Quantities to draw; all by default.

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
        for k, name in enumerate(self.values if names is None else names):
            color = plot.COLORS[k % len(plot.COLORS)]
            low, middle, high = self.quantiles(name).T
            marker = plot.MARKERS[k % len(plot.MARKERS)]
            ax.plot(self.widths, middle, color=color, marker=marker, label=name)
            ax.fill_between(self.widths, low, high, color=color, alpha=0.2, linewidth=0)
            if name in self.theory:
                line = middle[0] * (np.array(self.widths) / self.widths[0]) ** self.theory[name]
                ax.plot(self.widths, line, color=color, linestyle=":", linewidth=1)
        plot.width_axis(ax, self.widths)
        ax.set_yscale(self.scale)
        ax.set_title(self.title)
        plot.finish(ax)
        ax.legend(frameon=False, fontsize="small")
        return ax


def measure(
    title: str,
    task: Callable[[int, int], Mapping[str, float]],
    widths: Iterable[int],
    seeds: int | Iterable[int],
    theory: Mapping[str, float],
    *,
    path: str | os.PathLike[str] | None,
    jobs: int | None,
    settings: Mapping[str, Any],
    scale: str = "log",
) -> Sweep:
    """Run ``task(width, seed)`` for all widths and seeds, as `runs.collect` says."""
    runs = collect(title, task, widths, seeds, path=path, jobs=jobs, settings=settings)
    names = list(runs.found[runs.widths[0], runs.seeds[0]])
    values = {
        name: np.array([[runs.found[w, s][name] for s in runs.seeds] for w in runs.widths])
        for name in names
    }
    return Sweep(title, runs.widths, runs.seeds, values, dict(theory), scale)
