"""Closed-form leave-one-out: what a kernel model would have predicted for a sample it never saw.

With ``M = K + diag(noise)``, ``a = inv(M) y`` the residual of the model fitted without sample i is
``a_i / inv(M)_ii`` (Rasmussen and Williams 2006, eq. 5.12): no refit. One eigendecomposition of K
gives ``a`` and ``diag(inv(M))`` for every ridge of a grid. :class:`Deletion` extends this, exactly,
to targets that the model centres and to weighted samples.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ntkfast._kernel_matrix import (
    BLOCK,
    FloatArray,
    host_values,
    located,
    own_matrix,
    real_array,
    require_memory,
    target_array,
    weight_array,
)

_EPS = float(np.finfo(np.float64).eps)


class Deletion:
    """What leaving out a sample does to the targets and to the formula.

    A sample of weight w counts as w copies of itself, so one *copy* is left out: the share
    ``min(1, w) / w`` of the sample. Weights of at most one leave out the whole sample.

    Parameters
    ----------
    y : ndarray of shape (n, t)
        Targets.
    center : bool
        Whether the model subtracts the weighted mean of the targets it is fitted to.
    weights : ndarray of shape (n,)
        Positive sample weights.
    """

    def __init__(self, y: FloatArray, center: bool, weights: FloatArray) -> None:
        self.weights = weights
        self.share = (np.minimum(1.0, weights) / weights)[:, None]
        self.mean = (weights @ y) / weights.sum() if center else np.zeros(y.shape[1])
        self.targets = y - self.mean
        self._center = center

    def shift(self) -> FloatArray:
        """Return how far the mean of the targets moves when each sample is left out, (n, t)."""
        if not self._center:
            return np.zeros_like(self.targets)
        left_out = self.share * self.weights[:, None]
        remaining = self.weights.sum() - left_out
        if (remaining <= 0).any():
            raise ValueError(
                "Leave-one-out with centred targets needs at least two samples, "
                f"got n_samples = {len(self.targets)}."
            )
        return np.asarray(-left_out * self.targets / remaining)

    def denominators(self, inverse_diagonal: FloatArray, noise: float | FloatArray) -> FloatArray:
        """Return what the dual coefficients are divided by, shape (n, 1).

        For a share s of sample i with noise v it is ``(1 - s)/v_i + s inv(M)_ii``. Times s it is
        the precision of the left-out prediction.
        """
        whole = self.share * inverse_diagonal[:, None]
        kept = 1.0 - self.share
        if not kept.any():
            return whole
        # A copy that stays without noise is interpolated: infinite denominator, residual 0.
        noise = np.broadcast_to(noise, self.weights.shape)[:, None]
        with np.errstate(divide="ignore"):
            return np.asarray(whole + np.divide(kept, noise, where=kept > 0, out=kept.copy()))

    def residuals(
        self, dual: FloatArray, dual_one: FloatArray, denominators: FloatArray
    ) -> FloatArray:
        """Return the leave-one-out residuals (n, t).

        The moved mean enters through ``dual_one = inv(M) 1``, as a_i is linear in the targets.
        """
        return np.asarray((dual - self.shift() * dual_one[:, None]) / denominators)

    def mean_square(self, residuals: FloatArray) -> float:
        """Return the weighted mean over samples and targets of the squared residuals."""
        return float(np.average((residuals**2).mean(axis=1), weights=self.weights))


class KernelSpectrum:
    """Eigendecomposition of a kernel, to solve with many ridges at O(n^2) each.

    Parameters
    ----------
    K : array_like of shape (n, n)
        Symmetric positive semi-definite kernel; on a CUDA device it is decomposed there.
    weights : array_like of shape (n,), optional
        Sample weights: the ridge of sample i is divided by ``weights[i]``.
    overwrite : bool, default=False
        Whether the memory of K may be used.

    Notes
    -----
    With W = diag(weights), ``inv(K + r inv(W)) = S inv(S K S + r) S`` for ``S = sqrt(W)``, so it is
    ``S K S`` that is decomposed. Eigenvalues below zero are rounding and count as zero.
    """

    def __init__(
        self, K: ArrayLike, weights: ArrayLike | None = None, *, overwrite: bool = False
    ) -> None:
        given = located(K, "K")
        self.place = place = given.place
        with place.working("eigendecomposition"):
            matrix = own_matrix(given, overwrite)
            n = len(matrix)
            self.weights = weight_array(weights, n)
            self._root = np.sqrt(self.weights)
            if (self.weights != 1.0).any():
                root = place.asarray(self._root)
                matrix *= root[:, None]
                matrix *= root
            require_memory(n, place.eigh_matrices, place)
            values, self._vectors = place.eigh(matrix)
            self._values = np.maximum(place.to_host(values), 0.0)

    def is_singular(self, ridge: float) -> bool:
        """Whether the kernel with this absolute ridge is singular to working precision."""
        smallest = float(self._values[0]) + ridge
        return smallest <= len(self._values) * _EPS * (float(self._values[-1]) + ridge)

    def project(self, y: FloatArray) -> Any:
        """Return the coordinates of y (n, t) in the eigenbasis, for :meth:`solve`."""
        with self.place.working("projection"):
            return self._vectors.T @ self.place.asarray(self._root[:, None] * y)

    def solve(self, projected: Any, ridge: float) -> FloatArray:
        """Return ``inv(K + ridge inv(W)) y`` for targets that went through :meth:`project`."""
        with self.place.working("solve"):
            values = self.place.asarray(self._values + ridge)
            dual = self.place.to_host(self._vectors @ (projected / values[:, None]))
        return np.asarray(self._root[:, None] * dual)

    def inverse_diagonals(self, ridges: FloatArray) -> FloatArray:
        """Return the diagonals of ``inv(K + r inv(W))`` for every r, shape (g, n)."""
        result = np.empty((len(ridges), len(self._values)))
        with self.place.working("diagonal of the inverse"):
            inverse = self.place.asarray(1.0 / (self._values[:, None] + ridges))
            for start in range(0, len(self._values), BLOCK):
                rows = slice(start, start + BLOCK)
                found = self.place.to_host(self._vectors[rows] ** 2 @ inverse)
                result[:, rows] = found.T * self.weights[rows]
        return result


class LooGrid(NamedTuple):
    """Leave-one-out predictions for every ridge of a grid, see :func:`loo_grid`.

    Attributes
    ----------
    ridges : ndarray of shape (g,)
        The ridges, in the caller's units.
    mse : ndarray of shape (g,)
        Weighted mean over samples and targets of the squared leave-one-out residuals; infinite
        where the regularised kernel is singular to working precision.
    predictions : ndarray of shape (g, n) or (g, n, t)
        ``predictions[k, i]`` is what the model fitted without sample i predicts for sample i; NaN
        where `mse` is infinite.
    """

    ridges: FloatArray
    mse: FloatArray
    predictions: FloatArray


def loo_grid(
    K: ArrayLike,
    y: ArrayLike,
    ridges: ArrayLike,
    *,
    relative: bool = True,
    center: bool = False,
    weights: ArrayLike | None = None,
    overwrite: bool = False,
) -> LooGrid:
    """Exact leave-one-out predictions of kernel ridge regression for a grid of ridges.

    One eigendecomposition (about 10 n^3 operations) serves the whole grid; nothing is refitted and
    nothing is approximated.

    Parameters
    ----------
    K : array_like of shape (n, n)
        Symmetric positive semi-definite kernel, float32 or float64; on a CUDA device it is
        decomposed there, with CuPy.
    y : array_like of shape (n,) or (n, t)
        Targets.
    ridges : array_like of shape (g,)
        Ridges to try, not negative.
    relative : bool, default=True
        Whether the ridges are in units of the mean diagonal of K.
    center : bool, default=False
        Whether the model subtracts the weighted mean of its targets and adds it to its predictions.
        The mean is recomputed without the sample that is left out.
    weights : array_like of shape (n,), optional
        Sample weights, positive. A weight divides the ridge of its sample and counts as that many
        copies of it, of which one is left out; weights of at most one leave out the whole sample.
        Scale weights that are importances rather than counts to a maximum of one.
    overwrite : bool, default=False
        Whether the memory of K may be used.

    Returns
    -------
    LooGrid
        ``ridges``, ``mse`` and ``predictions``, NumPy's wherever the kernel is.

    Raises
    ------
    ValueError, TypeError
        If an argument has the wrong shape or kind of numbers, or if a centred model would be
        left without a sample.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkfast.solvers import loo_grid
    >>> x = np.linspace(0.0, 1.0, 20)
    >>> K = np.exp(-((x[:, None] - x) ** 2) / 0.1)
    >>> grid = loo_grid(K, np.sin(6 * x), [1e-6, 1e-3, 1.0])
    >>> float(grid.ridges[grid.mse.argmin()])
    1e-06
    """
    tried = np.atleast_1d(real_array(ridges, "ridges")).astype(np.float64)
    if tried.ndim != 1 or not len(tried) or not np.isfinite(tried).all() or (tried < 0).any():
        raise ValueError(f"ridges must be one or more finite numbers >= 0, got {ridges!r}.")
    unit = float(located(K, "K").array.diagonal().mean()) if relative else 1.0
    spectrum = KernelSpectrum(K, weights, overwrite=overwrite)
    targets = target_array(host_values(y, "y"), len(spectrum.weights))
    deletion = Deletion(targets.reshape(len(targets), -1), center, spectrum.weights)
    mse, residuals = loo_residuals(spectrum, deletion, tried * unit)
    predictions = targets - residuals.reshape(len(tried), *targets.shape)
    return LooGrid(tried, mse, predictions)


def loo_residuals(
    spectrum: KernelSpectrum, deletion: Deletion, ridges: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the mean squares (g,) and residuals (g, n, t) for absolute ridges."""
    n, outputs = deletion.targets.shape
    mse = np.full(len(ridges), np.inf)
    residuals = np.full((len(ridges), n, outputs), np.nan)
    projected = spectrum.project(np.column_stack([deletion.targets, np.ones(n)]))
    usable = np.array([not spectrum.is_singular(float(ridge)) for ridge in ridges], dtype=bool)
    diagonals = spectrum.inverse_diagonals(ridges[usable])
    for k, diagonal in zip(np.flatnonzero(usable), diagonals, strict=True):
        dual = spectrum.solve(projected, float(ridges[k]))
        noise = float(ridges[k]) / spectrum.weights
        denominators = deletion.denominators(diagonal, noise)
        residuals[k] = deletion.residuals(dual[:, :-1], dual[:, -1], denominators)
        mse[k] = deletion.mean_square(residuals[k])
    return mse, residuals
