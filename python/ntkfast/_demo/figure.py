"""Results of the demonstration as a picture: one row of panels per table."""

from __future__ import annotations

from pathlib import Path

from ntkfast._demo.contenders import OURS
from ntkfast._demo.contest import Contest
from ntkfast.plot import plot_kernel, plot_learning_curve, plot_spectrum

__all__ = ["draw"]


def draw(contests: list[Contest], path: Path) -> None:
    """Write a PNG with kernel matrix, spectra and learning curve of every table.

    Parameters
    ----------
    contests
        Results, one row of panels each.
    path
        File to write.

    Raises
    ------
    ImportError
        matplotlib is missing.
    """
    # Figure without pyplot: no window system, no global state.
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    figure = Figure(figsize=(16.0, 4.9 * len(contests)), dpi=110, layout=layout)
    panels = figure.subplots(len(contests), 3, squeeze=False)
    for contest, (left, middle, right) in zip(contests, panels, strict=True):
        name, view = contest.table.name, contest.view
        rows = f"{len(view.ntk):,} rows"
        plot_kernel(view.ntk, left, labels=view.labels, title=f"{name}: NTK of {rows}")
        plot_spectrum(view.spectra, middle, title=f"{name}: spectrum, {rows}")
        error = "test error rate" if contest.metric == "accuracy" else "test RMSE"
        plot_learning_curve(
            contest.curve.rows,
            contest.curve.mean,
            right,
            spread=contest.curve.spread,
            highlight=OURS,
            ylabel=error,
            title=f"{name}: learning curve, mean and spread over splits",
        )
    figure.savefig(path)
