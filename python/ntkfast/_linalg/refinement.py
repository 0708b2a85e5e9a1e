"""Solve in float64 accuracy with a factor in float32: half the memory and time of a factor.

Classical iterative refinement (Higham 2002, Accuracy and stability of numerical algorithms,
chapter 12; LAPACK's dsposv): the residual is formed in float64, its correction solved in float32.
Each step gains a factor of about ``cond * 6e-8``, so it ends where the condition number nears 1e7;
the caller learns that and factorises in float64.

The matrix is first scaled to unit diagonal, by powers of two, which changes no digit: rows of very
different size then cost no accuracy, no overflow and no underflow (van der Sluis 1969).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from . import cholesky
from .factor import factor_of
from .place import Place

__all__ = ["Refined", "RefinedFactor", "RefinementError", "workspace_bytes"]

_ROWS = 1024  # of the matrix that are widened to float64 at a time
_MOST_STEPS = 30  # as LAPACK's dsposv
_EPS = float(np.finfo(np.float64).eps)


class RefinementError(ArithmeticError):
    """No solution in float64 accuracy comes from a factor in float32; the message says why."""


class Refined(NamedTuple):
    """A solution, the number of corrections and the backward error reached.

    The backward error is ``|r| / (|A| |x| + |b|)`` in the maximum norm, of the scaled system, the
    largest of all columns.
    """

    solution: Any
    iterations: int
    residual: float


def workspace_bytes(n: int) -> int:
    """Return what a `RefinedFactor` holds beside the matrix."""
    return 4 * n * n + cholesky.workspace_bytes(n, 4) + 8 * n * min(n, _ROWS)


class RefinedFactor:
    """A Cholesky factor in float32 of ``K + diag(ridge)``, beside K itself, which stays as it is.

    Parameters
    ----------
    K : array of shape (n, n)
        Kernel, float32 or float64, where `place` is. Read again at every solve.
    ridge : float or ndarray of shape (n,)
        Absolute ridge.
    place : Place
    block : int
        Columns of the factorisation at a time.

    Raises
    ------
    RefinementError
        If the matrix is not positive definite in float32.
    """

    def __init__(self, K: Any, ridge: Any, place: Place, *, block: int = cholesky.BLOCK) -> None:
        xp = place.xp
        self._place = place
        self._kernel = K
        self._ridge = place.asarray(np.broadcast_to(ridge, len(K)), np.float64)
        diagonal = K.diagonal().astype(np.float64) + self._ridge
        if not bool((diagonal > 0).all()):
            raise RefinementError("the diagonal is not positive")
        self._scale = xp.exp2(-xp.rint(0.5 * xp.log2(diagonal)))
        matrix = xp.empty(K.shape, dtype=np.float32)
        with np.errstate(over="ignore"):  # of what is no kernel; then there is no factor
            for rows in self._strips():
                matrix[rows] = K[rows] * self._scale[rows, None] * self._scale
        self._factor = factor_of(matrix, place, block)
        unit = place.to_host(diagonal * self._scale**2).astype(np.float32)
        if self._factor.factorise(unit) is None:
            raise RefinementError("the kernel is not positive definite in float32")

    def _strips(self) -> list[slice]:
        n = len(self._kernel)
        return [slice(start, min(n, start + _ROWS)) for start in range(0, n, _ROWS)]

    def solve(self, y: Any) -> Refined:
        """Return ``inv(K + diag(ridge)) @ y`` for y of shape (n, t) in float64.

        Raises
        ------
        RefinementError
            If corrections stop shrinking before the backward error is ``sqrt(n)`` times the
            rounding of float64, which is what a factor in float64 would give.
        """
        xp = self._place.xp
        if y.shape[1] == 0:
            return Refined(y, 0, 0.0)
        right = y * self._scale[:, None]
        size = xp.abs(right).max(axis=0)
        goal = float(np.sqrt(len(right))) * _EPS
        solution = xp.zeros_like(right)
        residual, last = right, np.inf
        for step in range(_MOST_STEPS + 1):
            solution = solution + self._correction(residual)
            residual = right - self._product(solution)
            bound = self._factor.norm * xp.abs(solution).max(axis=0) + size
            bound = xp.where(bound > 0, bound, 1.0)  # a column of zeros is solved by zeros
            error = float((xp.abs(residual).max(axis=0) / bound).max())
            if error <= goal:
                return Refined(solution * self._scale[:, None], step, error)
            # Not NaN <= anything: what overflowed in float32 ends here, too.
            if not error <= 0.5 * last:
                break
            last = error
        raise RefinementError(
            f"the backward error stayed at {min(last, error):.1e} after {step + 1} solves in "
            f"float32, {goal:.1e} is wanted: the condition number is too large for float32"
        )

    def _correction(self, residual: Any) -> Any:
        """Return what the factor makes of residuals, each brought to size one for float32."""
        xp = self._place.xp
        size = xp.abs(residual).max(axis=0)
        size = xp.where(size > 0, size, 1.0)
        small = (residual / size).astype(np.float32)
        found = self._factor.solve(small)
        return found.astype(np.float64) * size

    def _product(self, columns: Any) -> Any:
        """Return the scaled system times columns, without scaling the matrix once more."""
        xp = self._place.xp
        small = self._scale[:, None] * columns
        result = xp.empty_like(columns)
        for rows in self._strips():
            result[rows] = self._kernel[rows].astype(np.float64, copy=False) @ small
        return self._scale[:, None] * (result + self._ridge[:, None] * small)
