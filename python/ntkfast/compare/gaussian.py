"""Outputs of random networks beside the Gaussian process of the infinite network."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import finite
from ..errors import SingularKernelError
from ..network import Network
from .checks import check_network, fingerprint, rows
from .runs import collect
from .sweep import Slope

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["GaussianLimit", "gaussian_limit"]

Array = NDArray[np.float64]


def gaussian_limit(
    net: Network,
    X: Any,
    *,
    widths: Iterable[int] = (8, 16, 32, 64, 128, 256),
    seeds: int | Iterable[int] = 2000,
    path: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
) -> GaussianLimit:
    """Test whether outputs of random networks are distributed as the Gaussian process says.

    At infinite width the outputs at samples X are N(0, K) with the NNGP kernel K (Neal 1996 for one
    hidden layer, Lee et al. 2018 for any number).

    Parameters
    ----------
    net : Network
    X : array, shape (n, d)
        Samples, of which K is positive definite. The more there are, the fewer networks show a
        difference.
    widths, seeds, path, jobs
        As in `kernel_deviation`; a distribution takes hundreds of networks and more.

    Returns
    -------
    GaussianLimit

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.
    SingularKernelError
        If K is not positive definite.

    References
    ----------
    R. Neal, "Bayesian Learning for Neural Networks", 1996. K. Mardia, "Measures of multivariate
    skewness and kurtosis with applications", Biometrika 1970.

    Examples
    --------
    >>> import ntkfast as nk
    >>> limit = nk.compare.gaussian_limit(nk.models.arora(1), [[0.6, 0.8]], widths=[4, 64])
    >>> narrow, wide = limit.kurtosis()[0]  # 5 / width for one hidden layer of ReLU
    >>> bool(narrow > 0.5 > wide)
    True
    """
    check_network(net)
    x = rows("X", X).astype(np.float64)
    try:
        factor = np.linalg.cholesky(np.asarray(net.nngp(x)))
    except np.linalg.LinAlgError as error:
        raise SingularKernelError(
            "the NNGP kernel of X is not positive definite: take fewer rows, or rows in general "
            "position"
        ) from error

    def task(width: int, seed: int) -> dict[str, list[float]]:
        outputs = finite.init(net, width, seed, outputs=1)(x)[:, 0]
        return {"standardized": np.linalg.solve(factor, outputs).tolist()}

    runs = collect(
        "Outputs of random networks",
        task,
        widths,
        seeds,
        path=path,
        jobs=jobs,
        settings={"net": fingerprint(net), "X": fingerprint(x)},
    )
    outputs = [[runs.found[w, s]["standardized"] for s in runs.seeds] for w in runs.widths]
    return GaussianLimit(runs.widths, runs.seeds, np.array(outputs))


@dataclass(frozen=True)
class GaussianLimit:
    """Outputs of random networks in coordinates in which the Gaussian process is N(0, 1).

    Attributes
    ----------
    widths : tuple of int
        Ascending.
    seeds : tuple of int
        Seeds of the networks of every width.
    standardized : array, shape (widths, seeds, n)
        ``C^-1 f(X)`` with the Cholesky factor C of the NNGP kernel: independent N(0, 1) in the
        limit.
    """

    widths: tuple[int, ...]
    seeds: tuple[int, ...]
    standardized: Array

    def kurtosis(self) -> tuple[Array, Array]:
        """Return Mardia's joint kurtosis over that of a Gaussian, less 1, and standard errors.

        With the squared Mahalanobis distance D of the n outputs of a network it is the mean of
        ``D**2 / (n (n + 2))``, less 1: 0 for the Gaussian process, and like 1 / width for finite
        networks.

        Returns
        -------
        excess, error : array, shape (widths,)
        """
        n = self.standardized.shape[2]
        ratios = self._distances() ** 2 / (n * (n + 2))
        count = ratios.shape[1]
        error = ratios.std(1, ddof=1) / count**0.5 if count > 1 else np.full(len(ratios), np.inf)
        return ratios.mean(1) - 1, error

    def tests(self) -> tuple[Array, Array]:
        """Return p-values of Kolmogorov-Smirnov tests against the Gaussian process.

        Returns
        -------
        marginal : array, shape (widths,)
            All standardized outputs against N(0, 1).
        joint : array, shape (widths,)
            Squared Mahalanobis distances against chi-squared with n degrees of freedom.
        """
        from scipy.stats import chi2, kstest, norm

        n = self.standardized.shape[2]
        marginal = [kstest(values.ravel(), norm.cdf).pvalue for values in self.standardized]
        joint = [kstest(values, chi2(n).cdf).pvalue for values in self._distances()]
        return np.array(marginal), np.array(joint)

    def slope(self) -> Slope:
        """Return how the excess kurtosis depends on width; theory: -1.

        Returns
        -------
        Slope
            Weighted least squares of ``c * width**value``, so that widths at which nothing is left
            to see count as much as they tell.

        Raises
        ------
        ValueError
            If there are fewer than three widths, or the excess is not seen at any of them.
        """
        from scipy.optimize import curve_fit
        from scipy.stats import norm

        excess, error = self.kurtosis()
        if len(self.widths) < 3 or not np.any(excess > 3 * error):
            raise ValueError(
                "a slope needs three widths and an excess kurtosis beyond three standard errors at "
                f"one of them, got {np.array2string(excess, precision=3)} +- "
                f"{np.array2string(error, precision=3)}"
            )
        k = int(np.argmax(excess / error))
        relative = np.array(self.widths) / self.widths[k]
        (_, value), covariance = curve_fit(
            lambda w, c, s: c * w**s,
            relative,
            excess,
            p0=(excess[k], -1.0),
            sigma=error,
            absolute_sigma=True,
        )
        half = float(norm.ppf(0.975) * covariance[1, 1] ** 0.5)
        return Slope(float(value), float(value) - half, float(value) + half, -1.0)

    def table(self) -> str:
        """Return kurtosis and tests for every width, and the slope, in Markdown.

        Returns
        -------
        str
        """
        n = self.standardized.shape[2]
        lines = [
            f"**Outputs beside the Gaussian process**; {len(self.seeds)} networks per width, "
            f"{n} samples\n",
            "| width | excess kurtosis (standard error) | p, marginal | p, joint |",
            "|---" * 4 + "|",
        ]
        columns = zip(self.widths, *self.kurtosis(), *self.tests(), strict=True)
        for width, excess, error, marginal, joint in columns:
            kurtosis = f"{excess:.3g} ({error:.2g})"
            lines.append(f"| {width} | {kurtosis} | {marginal:.2g} | {joint:.2g} |")
        slope = self._slope()
        if slope is not None:
            interval = f"{slope.low:.2f} to {slope.high:.2f}"
            lines.append(f"| slope | {slope.value:.2f} ({interval}), theory -1 | | |")
        return "\n".join(lines)

    def to_json(self) -> str:
        """Return widths, seeds and statistics as JSON, without the outputs themselves.

        Returns
        -------
        str
        """
        excess, error = self.kurtosis()
        marginal, joint = self.tests()
        slope = self._slope()
        return json.dumps(
            {
                "title": "Outputs beside the Gaussian process",
                "widths": list(self.widths),
                "seeds": list(self.seeds),
                "samples": self.standardized.shape[2],
                "excess_kurtosis": excess.tolist(),
                "standard_error": error.tolist(),
                "p_marginal": marginal.tolist(),
                "p_joint": joint.tolist(),
                "slope": None if slope is None else slope._asdict(),
            }
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the excess kurtosis against width, with two standard errors and theory's slope.

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
        excess, error = self.kurtosis()
        ax.errorbar(
            self.widths,
            excess,
            2 * error,
            color=plot.COLORS[0],
            marker="o",
            capsize=3,
            label="measured",
        )
        k = int(np.argmax(excess / error))
        theory = excess[k] * self.widths[k] / np.array(self.widths)
        ax.plot(self.widths, theory, ":", color=plot.COLORS[0], lw=1, label="like 1 / width")
        plot.width_axis(ax, self.widths)
        ax.set_yscale("symlog", linthresh=max(1e-3, float(error.min())))
        ax.set(title="Joint kurtosis of the outputs over a Gaussian's, less 1")
        plot.finish(ax)
        ax.legend(frameon=False, fontsize="small")
        return ax

    def plot_density(self, ax: Axes | None = None) -> Axes:
        """Draw the density of the standardized outputs at the extreme widths over N(0, 1).

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
        from scipy.stats import norm

        from .. import plot

        ax = plot.new_axes(ax)
        grid = np.linspace(-5, 5, 201)
        for k in sorted({0, len(self.widths) - 1}):
            color = plot.COLORS[k % len(plot.COLORS)]
            ax.hist(
                self.standardized[k].ravel(),
                bins=np.linspace(-5, 5, 61).tolist(),
                density=True,
                histtype="step",
                color=color,
                label=f"width {self.widths[k]}",
            )
        ax.plot(grid, norm.pdf(grid), color="black", lw=1, label="N(0, 1)")
        ax.set_yscale("log")
        ax.set_ylim(1e-5, 2)
        ax.set(xlabel="standardized output", ylabel="density", title="Outputs at initialization")
        plot.finish(ax)
        ax.legend(frameon=False, fontsize="small")
        return ax

    def _distances(self) -> Array:
        squares: Array = np.square(self.standardized).sum(2)
        return squares

    def _slope(self) -> Slope | None:
        try:
            return self.slope()
        except ValueError:
            return None
