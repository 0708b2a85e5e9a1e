"""Small plots of kernels: the matrix, its spectrum, a learning curve.

Each function draws one panel into a matplotlib ``Axes`` and returns it, so panels can be put
together at will. matplotlib is imported when a function is called, not with this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_kernel", "plot_learning_curve", "plot_spectrum"]

#: Okabe and Ito's palette: told apart under every common kind of colour blindness.
COLORS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def require_matplotlib() -> None:
    """Raise an ImportError that says what to install when matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "plots need matplotlib, which is not installed: pip install 'ntkfast[plot]'"
        ) from error


def plot_kernel(
    K: ArrayLike,
    ax: Axes | None = None,
    *,
    labels: ArrayLike | None = None,
    normalize: bool = True,
    title: str = "",
) -> Axes:
    """Draw a kernel matrix with its rows sorted by class or by target value.

    Parameters
    ----------
    K : array_like, shape (n, n)
        Symmetric kernel matrix.
    ax
        Where to draw; a new figure by default.
    labels : array_like, shape (n,), optional
        Rows and columns are sorted by it. Up to 20 distinct values count as classes: they get ticks
        and lines between them.
    normalize
        Draw ``K_ij / sqrt(K_ii K_jj)``, which shows similarity rather than the rows' norms.
    title
        Title of the panel.

    Returns
    -------
    Axes
        The panel.

    Raises
    ------
    ImportError
        matplotlib is missing.
    ValueError
        `K` is not square or `labels` has another length.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkfast.plot import plot_kernel
    >>> K = np.array([[2.0, 1.0, 0.1], [1.0, 2.0, 0.1], [0.1, 0.1, 2.0]])
    >>> ax = plot_kernel(K, labels=["a", "a", "b"])
    >>> ax.get_ylabel()
    'rows sorted by class'
    """
    matrix = np.array(K, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"K: expected a square matrix, got shape {matrix.shape}")
    ax = new_axes(ax)
    if normalize:
        scale = np.sqrt(np.diag(matrix))
        scale[scale == 0.0] = 1.0
        matrix /= np.outer(scale, scale)
    if labels is not None:
        matrix = _sort_by(matrix, np.asarray(labels), ax)
    # The diagonal is 1 and a few pairs are far off: percentiles keep the contrast for the rest.
    low, high = np.percentile(matrix, [2.0, 99.0])
    image = ax.imshow(matrix, cmap="magma", vmin=low, vmax=high, interpolation="antialiased")
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.85, pad=0.02)
    bar.set_label("kernel correlation" if normalize else "kernel value")
    bar.outline.set_visible(False)
    ax.spines[:].set_visible(False)
    ax.set_title(title)
    return ax


def plot_spectrum(
    spectra: Mapping[str, ArrayLike], ax: Axes | None = None, *, title: str = ""
) -> Axes:
    """Draw eigenvalues in descending order, each spectrum divided by its largest, log-log.

    Parameters
    ----------
    spectra
        Name to eigenvalues, shape (n,), in any order. Values at or below zero (rounding) are left
        out of the drawing.
    ax
        Where to draw; a new figure by default.
    title
        Title of the panel.

    Returns
    -------
    Axes
        The panel.

    Raises
    ------
    ImportError
        matplotlib is missing.

    Examples
    --------
    >>> from ntkfast.plot import plot_spectrum
    >>> ax = plot_spectrum({"NTK": [4.0, 1.0, 0.25]})
    >>> ax.get_yscale()
    'log'
    """
    ax = new_axes(ax)
    for (name, values), color in zip(spectra.items(), COLORS, strict=False):
        falling = np.sort(np.asarray(values, dtype=np.float64))[::-1]
        falling = falling / falling[0]
        index = np.arange(1, falling.size + 1)
        kept = falling > 0.0
        ax.loglog(index[kept], falling[kept], color=color, label=name, lw=1.8)
    ax.set(xlabel="index $i$", ylabel=r"eigenvalue $\lambda_i / \lambda_1$", title=title)
    finish(ax)
    ax.legend(frameon=False)
    return ax


def plot_learning_curve(
    train_rows: Sequence[int],
    errors: Mapping[str, ArrayLike],
    ax: Axes | None = None,
    *,
    spread: Mapping[str, ArrayLike] | None = None,
    highlight: Sequence[str] = (),
    ylabel: str = "test error",
    title: str = "",
) -> Axes:
    """Draw error against the number of training rows, one line per method.

    Parameters
    ----------
    train_rows
        Numbers of training rows, length s.
    errors
        Name of the method to its errors, shape (s,).
    ax
        Where to draw; a new figure by default.
    spread
        Name of the method to the half-height of its band, shape (s,).
    highlight
        Names drawn with strong lines; the others are drawn thin.
    ylabel, title
        Texts.

    Returns
    -------
    Axes
        The panel; the error axis is logarithmic where errors differ by more than a factor of 3.

    Raises
    ------
    ImportError
        matplotlib is missing.

    Examples
    --------
    >>> from ntkfast.plot import plot_learning_curve
    >>> ax = plot_learning_curve([10, 20], {"NTK": [0.3, 0.2]})
    >>> ax.get_xlabel()
    'training rows'
    """
    ax = new_axes(ax)
    rows = np.asarray(train_rows)
    for (name, values), color, marker in zip(errors.items(), COLORS, MARKERS, strict=False):
        strong = not highlight or name in highlight
        error = np.asarray(values, dtype=np.float64)
        style: dict[str, Any] = {"lw": 2.2, "ms": 6.0} if strong else {"lw": 1.1, "ms": 4.0}
        order = 3 if strong else 2
        ax.plot(rows, error, marker=marker, color=color, label=name, zorder=order, **style)
        if spread is not None and strong and name in spread:
            band = np.asarray(spread[name], dtype=np.float64)
            ax.fill_between(rows, np.maximum(error - band, error / 2), error + band,
                            color=color, alpha=0.12, lw=0)  # fmt: skip
    everything = np.concatenate(
        [np.ravel(np.asarray(v, dtype=np.float64)) for v in errors.values()]
    )
    ax.set_xscale("log")
    if 0.0 < everything.min() < everything.max() / 3.0:
        ax.set_yscale("log")
    _plain_ticks(ax, rows)
    ax.set(xlabel="training rows", ylabel=ylabel, title=title)
    finish(ax)
    ax.legend(frameon=False, fontsize="small")
    return ax


def new_axes(ax: Axes | None) -> Axes:
    """Return the panel, or that of a new figure."""
    require_matplotlib()
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1]


def _sort_by(matrix: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], ax: Axes) -> Any:
    """Sort rows and columns by label; mark the classes, or the values' quantiles, on the axes."""
    if labels.shape != (len(matrix),):
        raise ValueError(f"labels: expected shape ({len(matrix)},), got {labels.shape}")
    order = np.argsort(labels, kind="stable")
    classes, counts = np.unique(labels, return_counts=True)
    if classes.size <= 20:
        ends = np.cumsum(counts)
        names = [str(name) if len(str(name)) <= 12 else f"{str(name)[:11]}…" for name in classes]
        ax.set_xticks([])
        ax.set_yticks(ends - counts / 2 - 0.5, names)
        for end in ends[:-1] - 0.5:
            ax.axhline(end, color="white", lw=0.4, alpha=0.6)
            ax.axvline(end, color="white", lw=0.4, alpha=0.6)
        ax.set_ylabel("rows sorted by class")
    else:
        places = np.linspace(0, len(order) - 1, 5).astype(int)
        ax.set_xticks([])
        ax.set_yticks(places, [f"{labels[order[place]]:.4g}" for place in places])
        ax.set_ylabel("rows sorted by target")
    ax.tick_params(length=0)
    return matrix[np.ix_(order, order)]


def _plain_ticks(ax: Axes, rows: np.ndarray[Any, Any]) -> None:
    """Label the sizes that were measured, and write errors as plain numbers."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    ax.set_xticks(rows, [f"{row:,}" for row in rows])
    ax.xaxis.set_minor_locator(NullLocator())
    if ax.get_yscale() == "log":
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.yaxis.set_minor_locator(NullLocator())


def finish(ax: Axes) -> None:
    """Give a panel with axes the look of all of them."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(which="major", color="0.88", lw=0.7)
    ax.set_axisbelow(True)


def width_axis(ax: Axes, widths: Sequence[int]) -> None:
    """Make the horizontal axis one of widths, in logarithms, with the widths as they are."""
    ax.set_xscale("log", base=2)
    ax.set_xticks(list(widths), [str(width) for width in widths])
    ax.minorticks_off()
    ax.set_xlabel("width")
