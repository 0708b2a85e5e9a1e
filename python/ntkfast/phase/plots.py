"""Pictures of the phase plane and of the NTK's conditioning, in the style of `ntkfast.plot`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from .. import plot
from ..layers import Activation
from .lines import critical_line, phase_diagram

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .conditioning import Conditioning


def plot_phase_diagram(
    activation: Activation | str,
    ax: Axes | None = None,
    *,
    W_std: ArrayLike | None = None,
    b_std: ArrayLike | None = None,
    title: str = "",
) -> Axes:
    """Draw chi_1 over weights and biases, and the line between order and chaos.

    Parameters
    ----------
    activation : Activation or str
        A layer, or its name in any case.
    ax
        Where to draw; a new figure by default.
    W_std, b_std : array_like, shape (k,) and (l,), optional
        Grid, ascending; by default 0.2 to 4 and 0 to 2.
    title
        Title of the panel; by default the activation.

    Returns
    -------
    Axes
        The panel.

    Raises
    ------
    ImportError
        matplotlib is missing.
    TypeError, ValueError
        As `phase_diagram` says.

    Examples
    --------
    >>> import ntkfast as nk
    >>> nk.phase.plot_phase_diagram("erf", W_std=[0.5, 1, 2], b_std=[0, 0.5, 1]).get_ylabel()
    'size of the biases, b_std'
    """
    weights = np.linspace(0.2, 4.0, 77) if W_std is None else W_std
    biases = np.linspace(0.0, 2.0, 61) if b_std is None else b_std
    found = phase_diagram(activation, weights, biases)
    ax = plot.new_axes(ax)
    strength = np.log2(np.clip(found.chi_1, 2.0**-3, 2.0**3))
    levels = np.linspace(-3, 3, 25)
    area = ax.contourf(found.W_std, found.b_std, strength, levels, cmap="RdBu_r")
    bar = ax.figure.colorbar(area, ax=ax, shrink=0.85, pad=0.02, ticks=[-3, -2, -1, 0, 1, 2, 3])
    bar.ax.set_yticklabels(["≤1/8", "1/4", "1/2", "1", "2", "4", "≥8"])
    bar.set_label(r"$\chi_1$")
    bar.outline.set_visible(False)
    line = critical_line(activation, b_std=np.linspace(found.b_std[0], found.b_std[-1], 201))
    ax.plot(line.W_std, line.b_std, color="black", lw=2.0, label=r"critical, $\chi_1 = 1$")
    if np.isfinite(line.W_std).sum() == 1:  # Relu: the line is one point
        ax.plot(line.W_std, line.b_std, "o", color="black", ms=7, clip_on=False)
    bounded = np.isfinite(found.q)
    regions = {
        "ordered": bounded & (found.chi_1 < 0.9),
        "chaotic": bounded & (found.chi_1 > 1.1),
        "unbounded": ~bounded,
    }
    for word, inside in regions.items():
        if inside.any():
            b, w = np.argwhere(inside).mean(axis=0).astype(int)
            ax.text(found.W_std[w], found.b_std[b], word, ha="center", va="center", size="large",
                    bbox={"facecolor": "white", "alpha": 0.7, "lw": 0, "pad": 2.5})  # fmt: skip
    ax.set(
        xlim=(found.W_std[0], found.W_std[-1]),
        ylim=(found.b_std[0], found.b_std[-1]),
        xlabel="size of the weights, W_std",
        ylabel="size of the biases, b_std",
        title=title or repr(activation),
    )
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="upper left", frameon=True, framealpha=0.9)
    return ax


def plot_conditioning(
    found: Mapping[str, Conditioning], ax: Axes | None = None, *, title: str = ""
) -> Axes:
    """Draw condition numbers of the NTK against depth: measured as marks, predicted as lines.

    Parameters
    ----------
    found
        Name to what `ntk_conditioning` returned.
    ax
        Where to draw; a new figure by default.
    title
        Title of the panel.

    Returns
    -------
    Axes
        The panel; both axes are logarithmic.

    Raises
    ------
    ImportError
        matplotlib is missing.

    Examples
    --------
    >>> import ntkfast as nk
    >>> found = nk.phase.ntk_conditioning("erf", 1.0, depths=[1, 2, 4])
    >>> nk.phase.plot_conditioning({"erf": found}).get_xlabel()
    'hidden layers'
    """
    ax = plot.new_axes(ax)
    looks = zip(found.items(), plot.COLORS, plot.MARKERS, strict=False)
    for (name, each), color, marker in looks:
        known = np.isfinite(each.measured)
        ax.loglog(each.depths[known], each.measured[known], marker, color=color, label=name)
        known = np.isfinite(each.predicted)
        ax.loglog(each.depths[known], each.predicted[known], color=color, lw=1.4)
        if np.isfinite(each.limit) and each.limit > 0:
            ax.axhline(each.limit, color=color, lw=0.9, ls=":")
    ax.set(xlabel="hidden layers", ylabel="condition number of the NTK", title=title)
    plot.finish(ax)
    ax.legend(frameon=False)
    return ax
