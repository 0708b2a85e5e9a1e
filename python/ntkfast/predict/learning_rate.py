"""The learning rate above which gradient descent diverges."""

from __future__ import annotations

from typing import Any

from .._kernel_matrix import kernel_matrix
from .._validate import finite_number, got, whole_number
from .spectrum import largest_eigenvalue

__all__ = ["max_learning_rate"]


def max_learning_rate(
    ntk_train_train: Any,
    y_train_size: int | None = None,
    momentum: float = 0.0,
    eps: float = 1e-12,
) -> float:
    """Return the largest stable learning rate of gradient descent on squared error.

    ``2 (1 + momentum) y_train_size / (lambda_max + eps)``, for the loss that is half the mean of
    ``(f - y)**2`` over all outputs. Heavy-ball momentum m lets a step be 1 + m times as long.

    Parameters
    ----------
    ntk_train_train : array_like, shape (n, n)
        Tangent kernel of the training rows (plus the ridge, if there is one).
    y_train_size : int, optional
        Number of all training outputs, ``y.size``; by default n, one output.
    momentum : float, default 0.0
        From 0 up to, not including, 1.
    eps : float, default 1e-12
        Added to the eigenvalue, so that a kernel of zeros has an answer; 0 leaves it out.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        If the kernel is not a finite symmetric matrix, or a number is out of range.

    References
    ----------
    G. Goh, "Why momentum really works", Distill 2017.

    Examples
    --------
    >>> import ntkfast as nk
    >>> round(nk.predict.max_learning_rate([[2.0, 1.0], [1.0, 2.0]]), 9)
    1.333333333
    """
    kernel = kernel_matrix(ntk_train_train, overwrite=False)
    size = len(kernel)
    if y_train_size is not None:
        size = whole_number("y_train_size", y_train_size, minimum=1)
    m = finite_number("momentum", momentum, minimum=0.0)
    if m >= 1.0:
        raise ValueError(f"momentum must be below 1, {got(momentum)}")
    largest = largest_eigenvalue(kernel) + finite_number("eps", eps, minimum=0.0)
    return 2.0 * (1.0 + m) * size / largest if largest > 0 else float("inf")
