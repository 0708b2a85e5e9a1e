"""The eigendecomposition of a training kernel, made once, and what it cannot resolve."""

from __future__ import annotations

import math
import warnings

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import LinAlgWarning, eigh

from .. import _memory
from .._kernel_matrix import BLOCK, FloatArray
from .._validate import finite_number
from ..errors import SingularKernelError
from .laws import Descent, Law

__all__ = ["Spectrum", "absolute_ridge"]

# Eigenvalues of exactly singular kernels were seen up to 2.4 epsilon times the largest one.
_NOISE = 8.0
# Rounding in a direction without an eigenvalue grows in proportion to time; it may reach about a
# tenth of this part of the residual, and no more.
_TOLERATED = 1e-6
_PAIRS_SHOWN = 3
# The kernel, which becomes the eigenvectors, two of LAPACK's workspace, and blocks of rows.
_MATRICES = 4


def absolute_ridge(diagonal: FloatArray, diag_reg: object, absolute: bool) -> float:
    """Return the number that is added to the diagonal."""
    ridge = finite_number("diag_reg", diag_reg, minimum=0.0)
    return ridge if absolute else ridge * float(diagonal.mean())


class Spectrum:
    """Eigenvalues (ascending, not negative) and eigenvectors of ``K + ridge``.

    `kernel` is a float64 matrix whose memory is used up; `epsilon` is that of the dtype in which
    its entries were computed.
    """

    def __init__(
        self, kernel: FloatArray, diag_reg: float, absolute: bool, epsilon: float, limit: bool
    ) -> None:
        self.n = len(kernel)
        diagonal = kernel.diagonal().copy()
        self.unit = 1.0 if absolute else float(diagonal.mean())
        self.absolute = absolute
        self.ridge = absolute_ridge(diagonal, diag_reg, absolute)
        self.limit = limit
        self._equal = _equal_rows(kernel, diagonal, epsilon)
        np.fill_diagonal(kernel, diagonal + self.ridge)
        # The transpose of a symmetric C-ordered matrix is itself, Fortran-ordered: no copy.
        values, self.vectors = eigh(kernel.T, overwrite_a=True, check_finite=False, driver="evd")
        self.threshold = _NOISE * epsilon * float(np.abs(values).max())
        if values[0] < -self.threshold:
            warnings.warn(
                f"the training kernel is not positive semi-definite: its smallest eigenvalue is "
                f"{values[0]:.3g}, the largest {values[-1]:.3g}. Negative ones are taken as zero",
                LinAlgWarning,
                stacklevel=4,
            )
        self.values: FloatArray = np.maximum(values, 0.0)
        self.rank = int((self.values > self.threshold).sum())

    @staticmethod
    def require_memory(n: int) -> None:
        """Raise `MemoryBudgetError` unless a decomposition of n rows fits, the kernel included."""
        _memory.require(
            0,
            8 * n * n * _MATRICES,
            f"the eigendecomposition of the training kernel of n = {n}",
            "use fewer samples",
        )

    def factors(self, law: Law, t: float) -> tuple[FloatArray, FloatArray]:
        """Return decay and gain of every direction at time t.

        Raises `SingularKernelError` where t is so late that rounding matters in directions which
        floating point cannot tell from those of eigenvalue zero, unless the limit is asked for:
        they stay as they were.
        """
        if isinstance(law, Descent) and math.isinf(t) and not law.stable(float(self.values[-1])):
            raise ValueError(
                f"gradient descent diverges at learning rates above 2 (1 + momentum) N / "
                f"lambda_max, and t is infinite: the learning rate is "
                f"{law.rate * float(self.values[-1]) / (2.0 * (1.0 + law.momentum)):.4g} times "
                "that, see max_learning_rate"
            )
        hidden = self.n - self.rank
        if hidden and not law.duration(t) * self.threshold <= _TOLERATED:
            if not self.limit:
                raise self._singular(t)
            decay, gain = np.ones(self.n), np.zeros(self.n)
            decay[hidden:], gain[hidden:] = law.factors(self.values[hidden:], t)
            return decay, gain
        with np.errstate(over="ignore", invalid="ignore"):
            decay, gain = law.factors(self.values, t)
        if not (np.isfinite(decay).all() and np.isfinite(gain).all()):
            raise ValueError(
                f"gradient descent diverges: its outputs overflow at t = {t:g}. Take a smaller "
                "learning_rate, see max_learning_rate"
            )
        return decay, gain

    def _singular(self, t: float) -> SingularKernelError:
        """Build the error, with a ridge that lifts all eigenvalues over what is resolved."""
        needed = 100.0 * self.threshold or 1e-12
        scale = self.unit if self.unit > 0 else 1.0
        ridge = 10.0 ** math.ceil(math.log10((needed + self.ridge) / scale))
        why = f"its rank is {self.rank} of {self.n} in floating point"
        if self._equal:
            shown = ", ".join(f"{i} and {j}" for i, j in self._equal[:_PAIRS_SHOWN])
            more = " and others" if len(self._equal) > _PAIRS_SHOWN else ""
            why += f": rows {shown}{more} are equal. Drop one of each pair"
        else:
            why += ": there are more rows than it can tell apart. Use fewer of them"
        units = (
            ", diag_reg_absolute_scale=True"
            if self.absolute
            else " (relative to its mean diagonal)"
        )
        return SingularKernelError(
            f"the training kernel is singular, {why}, add a ridge such as diag_reg={ridge:.0e}"
            f"{units}, stop earlier than t = {t:g}, or pass singular='limit', which leaves "
            "directions without an eigenvalue as they were"
        )


def _equal_rows(kernel: FloatArray, diagonal: FloatArray, epsilon: float) -> list[tuple[int, int]]:
    """Return the first pairs i < j of rows at distance zero, as far as the kernel can tell."""
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(kernel), BLOCK):
        rows = slice(start, start + BLOCK)
        sums = diagonal[rows, None] + diagonal
        equal = np.triu(sums - 2.0 * kernel[rows] <= _NOISE * epsilon * sums, start + 1)
        pairs += [(int(i) + start, int(j)) for i, j in np.argwhere(equal)[: _PAIRS_SHOWN + 1]]
        if len(pairs) > _PAIRS_SHOWN:
            break
    return pairs


def largest_eigenvalue(kernel: ArrayLike) -> float:
    """Return the largest eigenvalue of a symmetric matrix."""
    matrix = np.asarray(kernel, dtype=np.float64)
    last = len(matrix) - 1
    return float(eigh(matrix, eigvals_only=True, subset_by_index=(last, last))[0])
