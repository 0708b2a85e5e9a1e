"""Solve regularised kernel systems: on the CPU with SciPy's LAPACK, on a CUDA device with CuPy.

Everything here works on an explicit (n, n) kernel matrix, where it lies, and gives float64:
kernels of deep networks have condition numbers beyond 1e7, where a float32 factorisation has no
digits left. A float32 kernel is therefore widened once. Where the condition number is smaller,
``solve(..., refine=True)`` factorises in float32 and corrects the solution in float64.

Memory beside the caller's kernel, in matrices of 8 n^2 bytes: one for :func:`solve` and
:class:`KernelSystem` (none with ``overwrite=True``), one more while the diagonal of the inverse is
computed, and about four for :func:`loo_grid`.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import LinAlgWarning

from ntkfast._kernel_matrix import (
    FloatArray,
    Located,
    absolute_ridge,
    host_values,
    located,
    own_matrix,
    require_bytes,
    require_finite_symmetric,
    require_square,
    target_array,
    weight_array,
)
from ntkfast._linalg import cholesky, refinement
from ntkfast._linalg.factor import Factor, factor_of
from ntkfast._linalg.place import HOST
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
    method : str
        ``"cholesky"``, or ``"cholesky in float32, refined"``; then `rcond` and `logdet` are NaN.
    device : str
        ``"cpu"`` or ``"cuda:<number>"``: where it was solved.
    iterations : int
        Corrections of the first solution; 0 without refinement.
    residual : float
        Backward error ``|r| / (|A| |x| + |y|)`` (maximum norm, of the system scaled to unit
        diagonal) that refinement reached; NaN without it.
    """

    ridge: float | FloatArray
    rcond: float
    logdet: float
    method: str = "cholesky"
    device: str = "cpu"
    iterations: int = 0
    residual: float = math.nan


class KernelSystem:
    """A factorised system ``K + diag(ridge)``, to be used for several right-hand sides.

    Parameters
    ----------
    K : array_like of shape (n, n)
        Symmetric positive semi-definite kernel, float32 or float64. A CuPy array, a CUDA tensor of
        PyTorch, or another array of a CUDA device is factorised there, with CuPy.
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
    ntkfast.errors.DeviceError, ntkfast.errors.MemoryBudgetError
        If K is on a device where nothing can be solved, or too large for its memory.

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
        self._given = given = located(K, "K")
        with given.place.working("Cholesky factorisation"):
            self._factorise(given, ridge, relative, overwrite)

    def _factorise(
        self, given: Located, ridge: float | ArrayLike, relative: bool, overwrite: bool
    ) -> None:
        matrix = own_matrix(given, overwrite)
        self.n = n = len(matrix)
        place = given.place
        if place is not HOST:
            require_bytes(n, cholesky.workspace_bytes(n, 8), place)
        factor = factor_of(matrix, place)
        diagonal = place.to_host(matrix.diagonal()).copy()
        unit = float(diagonal.mean()) if relative else 1.0
        self.ridge = absolute_ridge(ridge, unit, n)
        rcond = factor.factorise(diagonal + self.ridge)
        if rcond is None:
            raise _singular(factor, diagonal, self.ridge, unit if relative else None)
        if rcond < _EPS:
            warnings.warn(
                f"The kernel is singular to working precision (reciprocal condition {rcond:.1e}): "
                "the solution may have no correct digit. Use a larger ridge.",
                LinAlgWarning,
                stacklevel=3,
            )
        self.rcond = rcond
        self._factor = factor

    @property
    def device(self) -> str:
        """Where the factor is: ``"cpu"`` or ``"cuda:<number>"``."""
        return self._given.place.name

    def solve(self, y: Any) -> Any:
        """Return ``inv(K + diag(ridge)) @ y``.

        Parameters
        ----------
        y : array_like of shape (n,) or (n, t)
            Targets, one column each.

        Returns
        -------
        array of float64, same shape as y
            NumPy's, or of K's kind where K is on a CUDA device.
        """
        given = self._given
        with given.place.working("solve"):
            targets = target_array(y, self.n, given.place)
            return given.wrap(self._solve(targets))

    def _solve(self, targets: Any) -> Any:
        return self._factor.solve(targets.reshape(self.n, -1)).reshape(targets.shape)

    def _solve_to_host(self, targets: FloatArray) -> FloatArray:
        place = self._given.place
        return place.to_host(self._solve(place.asarray(targets)))

    def quadratic_form(self, B: Any) -> Any:
        """Return the diagonal of ``B.T @ inv(K + diag(ridge)) @ B``.

        Parameters
        ----------
        B : array_like of shape (n, m)
            For the posterior variance of a Gaussian process, ``K(train, new)``.

        Returns
        -------
        array of shape (m,)
            Never negative; NumPy's, or of K's kind where K is on a CUDA device.
        """
        given = self._given
        with given.place.working("solve"):
            columns = target_array(B, self.n, given.place).reshape(self.n, -1)
            half = self._factor.solve_lower(columns)
            return given.wrap(given.place.xp.einsum("ij,ij->j", half, half))

    @property
    def logdet(self) -> float:
        """Natural logarithm of ``det(K + diag(ridge))``."""
        diagonal = self._given.place.to_host(self._factor.matrix.diagonal())
        return 2.0 * float(np.log(diagonal).sum())

    def inverse_diagonal(self) -> FloatArray:
        """Return the diagonal of ``inv(K + diag(ridge))``, shape (n,); n^3/3 operations."""
        place = self._given.place
        with place.working("diagonal of the inverse"):
            return place.to_host(self._factor.inverse_diagonal())

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
            NumPy's, wherever the kernel is.
        """
        targets = target_array(host_values(y, "y"), self.n)
        deletion = Deletion(targets.reshape(self.n, -1), center, weight_array(weights, self.n))
        denominators = deletion.denominators(self.inverse_diagonal(), self.ridge)
        with self._given.place.working("solve"):
            residuals = deletion.residuals(
                self._solve_to_host(deletion.targets),
                self._solve_to_host(np.ones(self.n)),
                denominators,
            )
        return np.asarray(targets - residuals.reshape(targets.shape))


@overload
def solve(
    K: Any,
    y: Any,
    ridge: float | ArrayLike = ...,
    *,
    relative: bool = ...,
    overwrite: bool = ...,
    refine: bool = ...,
    return_info: Literal[False] = ...,
) -> Any: ...


@overload
def solve(
    K: Any,
    y: Any,
    ridge: float | ArrayLike = ...,
    *,
    relative: bool = ...,
    overwrite: bool = ...,
    refine: bool = ...,
    return_info: Literal[True],
) -> tuple[Any, SolveInfo]: ...


def solve(
    K: Any,
    y: Any,
    ridge: float | ArrayLike = 0.0,
    *,
    relative: bool = True,
    overwrite: bool = False,
    refine: bool = False,
    return_info: bool = False,
) -> Any:
    """Solve the kernel ridge system ``(K + diag(ridge)) a = y`` by Cholesky factorisation.

    Parameters
    ----------
    K : array_like of shape (n, n)
        Symmetric positive semi-definite kernel, float32 or float64. Never changed unless
        `overwrite` is true. An array of a CUDA device is solved there, with CuPy.
    y : array_like of shape (n,) or (n, t)
        Targets, one column each; in host memory or where K is.
    ridge : float or array_like of shape (n,), default=0.0
        Regularisation, one number or one per sample; not negative.
    relative : bool, default=True
        Whether `ridge` is in units of the mean diagonal of K.
    overwrite : bool, default=False
        Whether the memory of K may be used for the factor, see :class:`KernelSystem`.
    refine : bool, default=False
        Whether to factorise in float32, which takes half the memory and time, and to correct the
        solution in float64 until its backward error is that of a factor in float64. This works
        for condition numbers up to about 1e6. Where it does not, a `LinAlgWarning` says so and
        the factor is made in float64.
    return_info : bool, default=False
        Whether to return a :class:`SolveInfo` as well.

    Returns
    -------
    a : array of float64, same shape as y
        The predictions for new samples are ``K(new, train) @ a``. NumPy's, or of K's kind where K
        is on a CUDA device.
    info : SolveInfo
        Only if `return_info`: which method, on which device, with what accuracy.

    Raises
    ------
    ntkfast.errors.SingularKernelError
        If the regularised kernel is not positive definite to working precision. The message
        names a ridge that was tried and works.
    ValueError, TypeError
        If an argument has the wrong shape or kind of numbers, or is not finite.
    ntkfast.errors.DeviceError, ntkfast.errors.MemoryBudgetError
        If K is on a device where nothing can be solved, y on another one than K, or the memory too
        small.

    Warns
    -----
    scipy.linalg.LinAlgWarning
        If refinement fails, or if the kernel is singular to working precision.

    References
    ----------
    Higham 2002, Accuracy and stability of numerical algorithms, chapters 10 and 12.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkfast.solvers import solve
    >>> K = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> solve(K, [3.0, 3.0])
    array([1., 1.])
    >>> solve(K, [3.0, 3.0], ridge=0.5)  # half of the mean diagonal, so 1.0 on the diagonal
    array([0.75, 0.75])
    >>> solution, info = solve(K, [1.0, 0.0], refine=True, return_info=True)
    >>> info.method, info.device
    ('cholesky in float32, refined', 'cpu')
    """
    if refine:
        try:
            refined, info = _refined(K, y, ridge, relative)
        except refinement.RefinementError as error:
            warnings.warn(
                f"refine=True: {error}. The factor is made in float64 instead.",
                LinAlgWarning,
                stacklevel=2,
            )
        else:
            return (refined, info) if return_info else refined
    system = KernelSystem(K, ridge, relative=relative, overwrite=overwrite)
    solution = system.solve(y)
    if return_info:
        return solution, SolveInfo(system.ridge, system.rcond, system.logdet, device=system.device)
    return solution


def _refined(K: Any, y: Any, ridge: float | ArrayLike, relative: bool) -> tuple[Any, SolveInfo]:
    """Solve with a factor in float32; K is read and stays as it is."""
    given = located(K, "K")
    place, matrix = given.place, given.array
    with place.working("solve"):
        require_square(matrix)
        n = len(matrix)
        require_finite_symmetric(matrix, place)
        targets = target_array(y, n, place)
        unit = float(matrix.diagonal().mean(dtype=np.float64)) if relative else 1.0
        absolute = absolute_ridge(ridge, unit, n)
        require_bytes(n, refinement.workspace_bytes(n), place)
        factor = refinement.RefinedFactor(matrix, absolute, place)
        found = factor.solve(targets.reshape(n, -1))
        info = SolveInfo(
            absolute,
            math.nan,
            math.nan,
            "cholesky in float32, refined",
            place.name,
            found.iterations,
            found.residual,
        )
        return given.wrap(found.solution.reshape(targets.shape)), info


def _singular(
    factor: Factor, diagonal: FloatArray, ridge: float | FloatArray, unit: float | None
) -> SingularKernelError:
    """Build the error for a failed factorisation, with a larger ridge that was tried and works.

    `unit` is the mean diagonal if the caller's ridge is relative to it, else None.
    """
    factor.restore(diagonal)
    relative = unit is not None and unit > 0
    scale = unit if unit is not None and unit > 0 else 1.0
    start = max(float(np.max(ridge)), _EPS * float(np.abs(diagonal).max())) / scale or _EPS
    exponent = math.floor(math.log10(start))
    base = ridge if isinstance(ridge, np.ndarray) else 0.0
    # A large enough ridge makes any symmetric matrix diagonally dominant, so this ends.
    rcond = None
    while rcond is None or rcond <= _EPS:
        exponent += 1
        rcond = factor.factorise(diagonal + base + 10.0**exponent * scale)
        factor.restore(diagonal)
    units = "relative to the mean diagonal" if relative else "absolute"
    used = f"{'' if isinstance(ridge, float) else 'at most '}{float(np.max(ridge)) / scale:.3g}"
    advice = f"ridge=1e{exponent:+03d}" if isinstance(ridge, float) else f"adding 1e{exponent:+03d}"
    return SingularKernelError(
        f"K with a ridge of {used} ({units}) is not positive definite in float64, for n = "
        f"{len(diagonal)}. Equal rows without a ridge, or a matrix that is no kernel, are the "
        f"usual reasons. {advice} ({units}{'' if relative else ', relative=False'}) was tried "
        "and works."
    )
