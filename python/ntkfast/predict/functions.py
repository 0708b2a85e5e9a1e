"""One call from a network and its data to predictions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..network import Network
from .dynamics import GradientDescent, GradientFlow

__all__ = ["gradient_descent", "gradient_flow"]


def gradient_flow(
    net: Network,
    X: Any,
    y: Any,
    Z: Any = None,
    t: Any = np.inf,
    *,
    cov: bool | str = False,
    f0: Any = None,
    f0_Z: Any = None,
    **settings: Any,
) -> Any:
    """Predict with networks trained by gradient flow on squared error.

    ``GradientFlow(net, X, y, **settings).predict(Z, t, cov=cov, f0=f0, f0_Z=f0_Z)``: make the
    object yourself to predict several times from one eigendecomposition.

    Parameters
    ----------
    net : Network
        The network.
    X : array, shape (n, d)
        Training rows.
    y : array_like, shape (n,) or (n, ...)
        Targets.
    Z : array, shape (m, d), optional
        Rows to predict for; without it, the training rows.
    t : number or array of any shape, default infinity
        Times, >= 0; infinity, or None, is the end of training.
    cov : bool or "diag", default False
        Whether to return covariances too, or variances with "diag".
    f0, f0_Z : optional
        A given initial function instead of random weights, see `GradientFlow.predict`.
    **settings
        ``kind``, ``learning_rate``, ``diag_reg``, ``diag_reg_absolute_scale``, ``loss_scale``,
        ``singular``, ``threads``: see `GradientFlow`.

    Returns
    -------
    array of shape ``t.shape + (m,) + y.shape[1:]``, or Gaussian
        Mean, or ``(mean, covariance)`` where `cov` asks for it.

    Raises
    ------
    SingularKernelError, MemoryBudgetError, TypeError, ValueError
        As `GradientFlow` and its `predict` say.

    Examples
    --------
    >>> import numpy as np, ntkfast as nk
    >>> X, y = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([1.0, -1.0])
    >>> net = nk.mlp(2, b_std=0.5)
    >>> mean, cov = nk.predict.gradient_flow(net, X, y, [[0.6, 0.8]], t=[0, 1, np.inf], cov=True)
    >>> mean.round(3).tolist(), cov.shape
    ([[0.0], [0.102], [0.208]], (3, 1, 1))
    """
    return GradientFlow(net, X, y, **settings).predict(Z, t, cov=cov, f0=f0, f0_Z=f0_Z)


def gradient_descent(
    net: Network,
    X: Any,
    y: Any,
    Z: Any = None,
    t: Any = np.inf,
    *,
    cov: bool | str = False,
    f0: Any = None,
    f0_Z: Any = None,
    **settings: Any,
) -> Any:
    """Predict with networks trained by so many steps of gradient descent on squared error.

    ``GradientDescent(net, X, y, **settings).predict(Z, t, cov=cov, f0=f0, f0_Z=f0_Z)``.

    Parameters
    ----------
    net, X, y, Z, cov, f0, f0_Z
        As in `gradient_flow`.
    t : number or array of any shape, default infinity
        Numbers of steps; infinity, or None, is the end of training.
    **settings
        ``momentum``, and those of `gradient_flow`: see `GradientDescent`.

    Returns
    -------
    array of shape ``t.shape + (m,) + y.shape[1:]``, or Gaussian
        As in `gradient_flow`.

    Raises
    ------
    SingularKernelError, MemoryBudgetError, TypeError, ValueError
        As `GradientDescent` and its `predict` say.

    Examples
    --------
    >>> import numpy as np, ntkfast as nk
    >>> X, y = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([1.0, -1.0])
    >>> nk.predict.gradient_descent(nk.mlp(2), X, y, [[0.6, 0.8]], [0, 5, 50], momentum=0.5).shape
    (3, 1)
    """
    return GradientDescent(net, X, y, **settings).predict(Z, t, cov=cov, f0=f0, f0_Z=f0_Z)
