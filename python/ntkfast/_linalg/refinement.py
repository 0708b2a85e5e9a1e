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
        self._place, self._block = place, block
        self._kernel = K
        self._ridge = place.asarray(np.broadcast_to(ridge, len(K)), np.float64)
        diagonal = K.diagonal().astype(np.float64) + self._ridge
        if not bool((diagonal > 0).all()):
            raise RefinementError("the diagonal is not positive")
        self._scale = xp.exp2(-xp.rint(0.5 * xp.log2(diagonal)))
        self._factor = xp.empty(K.shape, dtype=np.float32)
        norm = 0.0
        for rows in self._strips():
            strip = self._strip(rows)
            norm = max(norm, float(xp.abs(strip).sum(axis=1).max()))
            self._factor[rows] = strip
        self._norm = norm
        try:
            cholesky.factorise(self._factor, place, block)
        except np.linalg.LinAlgError as error:
            raise RefinementError("the kernel is not positive definite in float32") from error

    def _strips(self) -> list[slice]:
        n = len(self._kernel)
        return [slice(start, min(n, start + _ROWS)) for start in range(0, n, _ROWS)]

    def _strip(self, rows: slice) -> Any:
        """Return rows of the scaled system in float64."""
        strip = self._kernel[rows].astype(np.float64)
        self._place.xp.fill_diagonal(strip[:, rows], strip[:, rows].diagonal() + self._ridge[rows])
        return strip * self._scale[rows, None] * self._scale

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
            bound = self._norm * xp.abs(solution).max(axis=0) + size
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
        found = cholesky.solve(self._factor, small, self._place, self._block)
        return found.astype(np.float64) * size

    def _product(self, columns: Any) -> Any:
        xp = self._place.xp
        result = xp.empty_like(columns)
        for rows in self._strips():
            result[rows] = self._strip(rows) @ columns
        return result
