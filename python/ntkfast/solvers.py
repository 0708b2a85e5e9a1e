"""Solve regularised kernel systems on the CPU, with SciPy's LAPACK.

Everything here works on an explicit (n, n) kernel matrix and in float64: kernels of deep networks
have condition numbers beyond 1e7, where a float32 factorisation has no digits left. A float32
kernel is therefore widened once; the solution comes back in float64.

Memory beside the caller's kernel, in matrices of 8 n^2 bytes: one for :func:`solve` and
:class:`KernelSystem` (none with ``overwrite=True``), one more while the diagonal of the inverse is
computed, and about four for :func:`loo_grid`.
"""

from __future__ import annotations

import math
import warnings
from typing import Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import LinAlgWarning, lapack

from ntkfast._kernel_matrix import (
    BLOCK,
    FloatArray,
    absolute_ridge,
    kernel_matrix,
    target_array,
    weight_array,
)
from ntkfast._selection import Deletion, LooGrid, loo_grid
from ntkfast.errors import SingularKernelError

__all__ = ["KernelSystem", "LooGrid", "SolveInfo", "loo_grid", "solve"]

_EPS = float(np.finfo(np.float64).eps)


class SolveInfo(NamedTuple):
    """What :func:`solve` found out about the system.

    Attributes
    ----------
    ridge : float or ndarray of shape (n,)
        The absolute ridge that was added to the diagonal.
    rcond : float
        LAPACK's estimate of the reciprocal condition number (1-norm) of the regularised kernel.
        About ``-log10(rcond)`` of the 16 digits of float64 are lost in the solution.
    logdet : float
        Natural logarithm of the determinant of the regularised kernel.
    """

    ridge: float | FloatArray
    rcond: float
    logdet: float


class KernelSystem:
    """A factorised system ``K + diag(ridge)``, to be used for several right-hand sides.

    Parameters
    ----------
    K : array_like of shape (n, n)
        Symmetric positive semi-definite kernel, float32 or float64.
    ridge : float or array_like of shape (n,), default=0.0
        Number that is added to the diagonal, one for all samples or one per sample; not negative.
    relative : bool, default=True
        Whether `ridge` is in units of the mean diagonal of K. A relative ridge means the same for
        every scale of the kernel.
    overwrite : bool, default=False
        Whether the memory of K may be used for the factor. Only a writable C-contiguous float64
        array can be overwritten; anything else is copied as usual.

    Attributes
    ----------
    n : int
        Number of samples.
    ridge : float or ndarray of shape (n,)
        Absolute ridge.
    rcond : float
        Estimated reciprocal condition number (1-norm).
    logdet : float
        Natural logarithm of ``det(K + diag(ridge))``.

    Raises
    ------
    ntkfast.errors.SingularKernelError
        If the Cholesky factorisation fails. The message names a ridge with which it was tried and
        succeeded. With ``overwrite=True`` K then holds its old values again.
    ValueError, TypeError
        If K is not a finite symmetric square matrix of real numbers, or `ridge` does not fit it.

    Warns
    -----
    scipy.linalg.LinAlgWarning
        If the factorisation succeeds although the kernel is singular to working precision.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkfast.solvers import KernelSystem
    >>> system = KernelSystem(np.array([[2.0, 1.0], [1.0, 2.0]]))
    >>> system.solve([3.0, 3.0])
    array([1., 1.])
    >>> round(float(np.exp(system.logdet)), 12)
    3.0
    """

    def __init__(
        self,
        K: ArrayLike,
        ridge: float | ArrayLike = 0.0,
        *,
        relative: bool = True,
        overwrite: bool = False,
    ) -> None:
        matrix = kernel_matrix(K, overwrite)
        self.n = len(matrix)
        diagonal = matrix.diagonal().copy()
        unit = float(diagonal.mean()) if relative else 1.0
        self.ridge = absolute_ridge(ridge, unit, self.n)
        rcond = _factorise(matrix, diagonal + self.ridge)
        if rcond is None:
            raise _singular(matrix, diagonal, self.ridge, unit if relative else None)
        if rcond < _EPS:
            warnings.warn(
                f"The kernel is singular to working precision (reciprocal condition {rcond:.1e}): "
                "the solution may have no correct digit. Use a larger ridge.",
                LinAlgWarning,
                stacklevel=2,
            )
        self.rcond = rcond
        self._factor = matrix

    def solve(self, y: ArrayLike) -> FloatArray:
        """Return ``inv(K + diag(ridge)) @ y``.

        Parameters
        ----------
        y : array_like of shape (n,) or (n, t)
            Targets, one column each.

        Returns
        -------
        ndarray of float64, same shape as y
        """
        targets = target_array(y, self.n)
        solution, _ = lapack.dpotrs(self._factor.T, targets.reshape(self.n, -1), lower=1)
        return np.ascontiguousarray(solution).reshape(targets.shape)

    def quadratic_form(self, B: ArrayLike) -> FloatArray:
        """Return the diagonal of ``B.T @ inv(K + diag(ridge)) @ B``.

        Parameters
        ----------
        B : array_like of shape (n, m)
            For the posterior variance of a Gaussian process, ``K(train, new)``.

        Returns
        -------
        ndarray of shape (m,)
            Never negative.
        """
        columns = target_array(B, self.n).reshape(self.n, -1)
        half, _ = lapack.dtrtrs(self._factor.T, columns, lower=1)
        return np.asarray(np.einsum("ij,ij->j", half, half))

    @property
    def logdet(self) -> float:
        """Natural logarithm of ``det(K + diag(ridge))``."""
        return 2.0 * float(np.log(self._factor.diagonal()).sum())

    def inverse_diagonal(self) -> FloatArray:
        """Return the diagonal of ``inv(K + diag(ridge))``, shape (n,); n^3/3 operations."""
        inverse, _ = lapack.dtrtri(self._factor.T, lower=1)
        total = np.zeros(self.n)
        for start in range(0, self.n, BLOCK):
            # LAPACK leaves the kernel in the other triangle: only L^-1 counts.
            rows = np.tril(inverse[start : start + BLOCK], start)
            total += np.einsum("ij,ij->j", rows, rows)
        return total

    def leave_one_out(
        self, y: ArrayLike, *, center: bool = False, weights: ArrayLike | None = None
    ) -> FloatArray:
        """Return exact leave-one-out predictions without refitting.

        Parameters
        ----------
        y : array_like of shape (n,) or (n, t)
            Targets.
        center : bool, default=False
            Whether the model subtracts the (weighted) mean of the targets before it solves and adds
            it back. The mean is recomputed without the sample that is left out.
        weights : array_like of shape (n,), optional
            Sample weights, positive; see :func:`loo_grid`. The ridge of this system must already be
            divided by them.

        Returns
        -------
        ndarray of float64, same shape as y
        """
        targets = target_array(y, self.n)
        deletion = Deletion(targets.reshape(self.n, -1), center, weight_array(weights, self.n))
        denominators = deletion.denominators(self.inverse_diagonal(), self.ridge)
        residuals = deletion.residuals(
            self.solve(deletion.targets), self.solve(np.ones(self.n)), denominators
        )
        return targets - residuals.reshape(targets.shape)


@overload
def solve(
    K: ArrayLike,
    y: ArrayLike,
    ridge: float | ArrayLike = ...,
    *,
    relative: bool = ...,
    overwrite: bool = ...,
    return_info: Literal[False] = ...,
) -> FloatArray: ...


@overload
def solve(
    K: ArrayLike,
    y: ArrayLike,
    ridge: float | ArrayLike = ...,
    *,
    relative: bool = ...,
    overwrite: bool = ...,
    return_info: Literal[True],
) -> tuple[FloatArray, SolveInfo]: ...


def solve(
    K: ArrayLike,
    y: ArrayLike,
    ridge: float | ArrayLike = 0.0,
    *,
    relative: bool = True,
    overwrite: bool = False,
    return_info: bool = False,
) -> FloatArray | tuple[FloatArray, SolveInfo]:
    """Solve the kernel ridge system ``(K + diag(ridge)) a = y`` by Cholesky factorisation.

    Parameters
    ----------
    K : array_like of shape (n, n)
        Symmetric positive semi-definite kernel, float32 or float64. Never changed unless
        `overwrite` is true.
    y : array_like of shape (n,) or (n, t)
        Targets, one column each.
    ridge : float or array_like of shape (n,), default=0.0
        Regularisation, one number or one per sample; not negative.
    relative : bool, default=True
        Whether `ridge` is in units of the mean diagonal of K.
    overwrite : bool, default=False
        Whether the memory of K may be used for the factor, see :class:`KernelSystem`.
    return_info : bool, default=False
        Whether to return a :class:`SolveInfo` as well.

    Returns
    -------
    a : ndarray of float64, same shape as y
        The predictions for new samples are ``K(new, train) @ a``.
    info : SolveInfo
        Only if `return_info`.

    Raises
    ------
    ntkfast.errors.SingularKernelError
        If the regularised kernel is not positive definite to working precision. The message
        names a ridge that was tried and works.
    ValueError, TypeError
        If an argument has the wrong shape or kind of numbers, or is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkfast.solvers import solve
    >>> K = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> solve(K, [3.0, 3.0])
    array([1., 1.])
    >>> solve(K, [3.0, 3.0], ridge=0.5)  # half of the mean diagonal, so 1.0 on the diagonal
    array([0.75, 0.75])
    """
    system = KernelSystem(K, ridge, relative=relative, overwrite=overwrite)
    solution = system.solve(y)
    if return_info:
        return solution, SolveInfo(system.ridge, system.rcond, system.logdet)
    return solution


def _factorise(matrix: FloatArray, diagonal: FloatArray) -> float | None:
    """Put the Cholesky factor over the upper triangle; return rcond, or None on failure.

    The strict lower triangle keeps the kernel, so that a failure can be undone.
    """
    np.fill_diagonal(matrix, diagonal)
    norm = max(
        float(np.abs(matrix[start : start + BLOCK]).sum(axis=1).max())
        for start in range(0, len(matrix), BLOCK)
    )
    # The transpose of a C-ordered matrix is Fortran-ordered: LAPACK works in place, and its lower
    # triangle is our upper one.
    _, info = lapack.dpotrf(matrix.T, lower=1, clean=0, overwrite_a=1)
    if info != 0:
        return None
    rcond, _ = lapack.dpocon(matrix.T, norm, uplo="L")
    return float(rcond)


def _restore(matrix: FloatArray, diagonal: FloatArray) -> None:
    """Undo :func:`_factorise` by mirroring the strict lower triangle."""
    for start in range(0, len(matrix), BLOCK):
        stop = start + BLOCK
        matrix[start:stop, stop:] = matrix[stop:, start:stop].T
        block = np.tril(matrix[start:stop, start:stop], -1)
        matrix[start:stop, start:stop] = block + block.T
    np.fill_diagonal(matrix, diagonal)


def _singular(
    matrix: FloatArray, diagonal: FloatArray, ridge: float | FloatArray, unit: float | None
) -> SingularKernelError:
    """Build the error for a failed factorisation, with a larger ridge that was tried and works.

    `unit` is the mean diagonal if the caller's ridge is relative to it, else None.
    """
    _restore(matrix, diagonal)
    relative = unit is not None and unit > 0
    scale = unit if unit is not None and unit > 0 else 1.0
    start = max(float(np.max(ridge)), _EPS * float(np.abs(diagonal).max())) / scale or _EPS
    exponent = math.floor(math.log10(start))
    base = ridge if isinstance(ridge, np.ndarray) else 0.0
    # A large enough ridge makes any symmetric matrix diagonally dominant, so this ends.
    rcond = None
    while rcond is None or rcond <= _EPS:
        exponent += 1
        rcond = _factorise(matrix, diagonal + base + 10.0**exponent * scale)
        _restore(matrix, diagonal)
    units = "relative to the mean diagonal" if relative else "absolute"
    used = f"{'' if isinstance(ridge, float) else 'at most '}{float(np.max(ridge)) / scale:.3g}"
    advice = f"ridge=1e{exponent:+03d}" if isinstance(ridge, float) else f"adding 1e{exponent:+03d}"
    return SingularKernelError(
        f"K with a ridge of {used} ({units}) is not positive definite in float64, for n = "
        f"{len(matrix)}. Equal rows without a ridge, or a matrix that is no kernel, are the usual "
        f"reasons. {advice} ({units}{'' if relative else ', relative=False'}) was tried and works."
    )
