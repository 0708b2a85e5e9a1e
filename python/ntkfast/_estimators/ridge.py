"""Fit kernel ridge regression to one kernel matrix, its ridge given or chosen by leave-one-out.

The kernel and its factor stay where they are, on the host or on a CUDA device; what has one row per
sample is on the host.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._kernel_matrix import FloatArray, host_values
from .._selection import Deletion, KernelSpectrum, loo_residuals
from ..errors import SingularKernelError
from ..solvers import KernelSystem

Criterion = Callable[[FloatArray], float]
"""From leave-one-out predictions (n, t) to a loss, the smaller the better."""


@dataclass(frozen=True)
class Problem:
    """What is to be fitted, whatever the kernel.

    Attributes
    ----------
    targets : ndarray of shape (n, t)
    weights : ndarray of shape (n,)
        Positive sample weights; a weight of k is k copies of the sample.
    center : bool
        Whether the weighted mean of the targets is subtracted before the fit.
    relative : bool
        Whether ridges are in units of the (weighted) mean diagonal of the kernel.
    criterion : Criterion
        How leave-one-out predictions are judged.
    """

    targets: FloatArray
    weights: FloatArray
    center: bool
    relative: bool
    criterion: Criterion

    def unit(self, K: Any) -> float:
        """Return what ridges are multiplied by."""
        if not self.relative:
            return 1.0
        diagonal = host_values(K.diagonal(), "K")
        # Rows of zeros and no bias: every ridge gives the mean, none is relative to anything.
        return float(np.average(diagonal, weights=self.weights)) or 1.0


@dataclass(frozen=True)
class LeftOut:
    """Leave-one-out predictions (n, t) and their precision (n, 1).

    The precision is the inverse variance of a left-out target under the Gaussian process with this
    kernel, noise included, in units of the kernel.
    """

    predictions: FloatArray
    precision: FloatArray


@dataclass(frozen=True)
class RidgeFit:
    """A fitted model: predictions are ``K(new, train) @ dual + mean``.

    Attributes
    ----------
    dual : ndarray of shape (n, t)
    mean : ndarray of shape (t,)
    alpha : float or ndarray of shape (n,)
        Ridge in the user's units.
    ridge : float or ndarray of shape (n,)
        The same, absolute, before it is divided by the sample weights.
    left_out : LeftOut or None
        None where it was not asked for.
    loss : float
        The criterion at the leave-one-out predictions; NaN without them.
    """

    dual: FloatArray
    mean: FloatArray
    alpha: float | FloatArray
    ridge: float | FloatArray
    left_out: LeftOut | None
    loss: float


def fit_given(K: Any, problem: Problem, alpha: float | FloatArray, *, loo: bool) -> RidgeFit:
    """Fit with a given ridge by Cholesky; K is destroyed."""
    ridge = alpha * problem.unit(K)
    noise = ridge / problem.weights
    try:
        system = KernelSystem(K, noise, relative=False, overwrite=True)
    except SingularKernelError as error:
        raise SingularKernelError(f"alpha is too small for this kernel. {error}") from error
    deletion = Deletion(problem.targets, problem.center, problem.weights)
    dual = host_values(system.solve(deletion.targets), "dual")
    if not loo:
        return RidgeFit(dual, deletion.mean, alpha, ridge, None, float("nan"))
    denominators = deletion.denominators(system.inverse_diagonal(), noise)
    dual_one = host_values(system.solve(np.ones(system.n)), "dual")
    predictions = problem.targets - deletion.residuals(dual, dual_one, denominators)
    left_out = LeftOut(predictions, deletion.share * denominators)
    return RidgeFit(dual, deletion.mean, alpha, ridge, left_out, problem.criterion(predictions))


def fit_loo(K: Any, problem: Problem, alphas: FloatArray) -> RidgeFit:
    """Fit with the ridge of a grid whose leave-one-out predictions are best; K is destroyed."""
    ridges = alphas * problem.unit(K)
    spectrum = KernelSpectrum(K, problem.weights, overwrite=True)
    deletion = Deletion(problem.targets, problem.center, problem.weights)
    mse, residuals = loo_residuals(spectrum, deletion, ridges)
    losses = [
        problem.criterion(problem.targets - residual) if np.isfinite(error) else np.inf
        for error, residual in zip(mse, residuals, strict=True)
    ]
    best = int(np.argmin(losses))
    ridge = float(ridges[best])
    if not np.isfinite(losses[best]):
        raise SingularKernelError(
            "The kernel is singular to working precision with every ridge that was tried, up to "
            f"alphas={alphas.max():.3g}: try larger ones."
        )
    diagonal = spectrum.inverse_diagonals(np.array([ridge]))[0]
    denominators = deletion.denominators(diagonal, ridge / problem.weights)
    return RidgeFit(
        dual=spectrum.solve(spectrum.project(deletion.targets), ridge),
        mean=deletion.mean,
        alpha=float(alphas[best]),
        ridge=ridge,
        left_out=LeftOut(problem.targets - residuals[best], deletion.share * denominators),
        loss=float(losses[best]),
    )
