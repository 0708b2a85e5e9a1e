"""Gradient flow and gradient descent on squared error."""

from __future__ import annotations

from typing import Any

from ..network import Network
from .sources import NetSource
from .training import Settings, Training

__all__ = ["GradientDescent", "GradientFlow"]


class GradientFlow(Training):
    """Networks trained by gradient flow on squared error, in closed form at every time.

    The outputs of an infinitely wide network follow ``df/dt = -learning_rate Theta grad_f L`` with
    the constant kernel Theta (Jacot et al. 2018), so that ``f_t(X) = y + exp(-learning_rate Theta
    t / y.size) (f_0(X) - y)`` (Lee et al. 2019). One eigendecomposition serves all rows, times and
    outputs.

    Parameters
    ----------
    net : Network
        The network. Rows in float32 get float64 kernels, and answers in float32.
    X : array, shape (n, d)
        Training rows.
    y : array_like, shape (n,) or (n, ...)
        Targets.
    kind : {"ntk", "nngp", "ntkgp"}, default "ntk"
        Whether all layers are trained ("ntk") or the readout alone ("nngp"); the latter ends at the
        posterior of the NNGP, and a ridge is the variance of noise on the targets. "ntkgp": all
        layers, from initial functions whose covariance is the NTK, so that the end is the posterior
        of a Gaussian process with that kernel (He et al. 2020).
    learning_rate : float, default 1.0
        Factor of the time, >= 0.
    diag_reg : float, default 0.0
        Ridge: added to the training kernel, and to nothing else; >= 0.
    diag_reg_absolute_scale : bool, default False
        Whether `diag_reg` is absolute; by default it is in units of the kernel's mean diagonal.
    loss_scale : {"mean", "sample", "sum"} or float, default "mean"
        The loss is half the mean of ``(f - y)**2`` over all outputs; "sample" is half the mean over
        the rows of ``|f - y|**2``, "sum" half the sum; a number multiplies "mean".
    singular : {"error", "limit"}, default "error"
        What to do about a singular training kernel at late times: raise, or take the limit, in
        which directions without an eigenvalue stay as they were (least squares of minimal norm).
    threads : int, optional
        Number of threads for kernels.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong shape or type, or is not finite.
    MemoryBudgetError
        If the eigendecomposition would not fit in memory.

    Warns
    -----
    scipy.linalg.LinAlgWarning
        If the kernel has eigenvalues below zero by more than rounding; they are taken as zero.

    References
    ----------
    A. Jacot, F. Gabriel, C. Hongler, "Neural tangent kernel: convergence and generalization in
    neural networks", NeurIPS 2018.
    J. Lee et al., "Wide neural networks of any depth evolve as linear models under gradient
    descent", NeurIPS 2019.
    B. He, B. Lakshminarayanan, Y. W. Teh, "Bayesian deep ensembles via the neural tangent kernel",
    NeurIPS 2020.

    Examples
    --------
    >>> import numpy as np, ntkfast as nk
    >>> X, y = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([1.0, -1.0])
    >>> flow = nk.predict.GradientFlow(nk.mlp(2, b_std=0.5), X, y)
    >>> flow.predict(t=[0, 1, np.inf]).round(3)
    array([[ 0.  ,  0.  ],
           [ 0.49, -0.49],
           [ 1.  , -1.  ]])
    >>> mean, variance = flow.predict([[0.5, 0.5]], cov="diag")
    >>> mean.shape, variance.shape
    ((1,), (1,))
    """

    _descends = False

    def __init__(
        self,
        net: Network,
        X: Any,
        y: Any,
        *,
        kind: str = "ntk",
        learning_rate: float = 1.0,
        diag_reg: float = 0.0,
        diag_reg_absolute_scale: bool = False,
        loss_scale: float | str = "mean",
        singular: str = "error",
        threads: int | None = None,
    ) -> None:
        settings = Settings(
            kind=kind,
            learning_rate=learning_rate,
            diag_reg=diag_reg,
            diag_reg_absolute_scale=diag_reg_absolute_scale,
            loss_scale=loss_scale,
            singular=singular,
        )
        super().__init__(NetSource.of(net, X, threads), y, settings)


class GradientDescent(Training):
    """Networks trained by gradient descent in whole steps on squared error, with momentum.

    The weights follow ``v <- momentum v + gradient``, ``theta <- theta - learning_rate v`` with v =
    0 at the start (heavy ball), as optimizers of PyTorch do. The outputs of an infinitely wide
    network then are ``f[k+1] = f[k] + momentum (f[k] - f[k-1]) - learning_rate Theta grad_f L``:
    powers of a two-by-two matrix per eigenvalue, in O(log k).

    Parameters
    ----------
    momentum : float, default 0.0
        From 0 up to, not including, 1.
    learning_rate : float, default 1.0
        Length of a step. Training converges below `max_learning_rate`; above, finite times have
        answers as long as these are finite.
    net, X, y, kind, diag_reg, diag_reg_absolute_scale, loss_scale, singular, threads
        As in `GradientFlow`.

    Raises
    ------
    TypeError, ValueError, MemoryBudgetError
        As in `GradientFlow`.

    Warns
    -----
    scipy.linalg.LinAlgWarning
        As in `GradientFlow`.

    References
    ----------
    B. T. Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.

    Examples
    --------
    >>> import numpy as np, ntkfast as nk
    >>> X, y = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([1.0, -1.0])
    >>> descent = nk.predict.GradientDescent(nk.mlp(1), X, y, learning_rate=0.5, momentum=0.9)
    >>> descent.predict(t=[0, 1, 10, 1000]).round(3)
    array([[ 0.   ,  0.   ],
           [ 0.21 , -0.21 ],
           [ 0.919, -0.919],
           [ 1.   , -1.   ]])
    """

    _descends = True

    def __init__(
        self,
        net: Network,
        X: Any,
        y: Any,
        *,
        kind: str = "ntk",
        learning_rate: float = 1.0,
        momentum: float = 0.0,
        diag_reg: float = 0.0,
        diag_reg_absolute_scale: bool = False,
        loss_scale: float | str = "mean",
        singular: str = "error",
        threads: int | None = None,
    ) -> None:
        settings = Settings(
            kind=kind,
            learning_rate=learning_rate,
            momentum=momentum,
            diag_reg=diag_reg,
            diag_reg_absolute_scale=diag_reg_absolute_scale,
            loss_scale=loss_scale,
            singular=singular,
        )
        super().__init__(NetSource.of(net, X, threads), y, settings)
