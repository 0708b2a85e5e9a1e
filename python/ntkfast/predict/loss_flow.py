"""Gradient flow on losses that have no closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._validate import choice, finite_number, flag, got
from ..network import Network
from .arguments import Targets, called, times
from .losses import Gradient, gradient_of
from .ode import METHODS, Problem
from .sources import ArrayRows, ArraySource, NetSource, Rows, Source
from .spectrum import absolute_ridge

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LossFlow"]


class LossFlow:
    """An infinitely wide network trained by gradient flow on any differentiable loss.

    Solves ``df/dt = -learning_rate Theta grad_f L(f(X), y)`` numerically, from one given initial
    function. There is no ensemble here: with a loss that is not quadratic, the mean of trained
    networks is not what training makes of their mean.

    Parameters
    ----------
    net : Network
        The network.
    X : array, shape (n, d)
        Training rows.
    y : array_like, shape (n,) or (n, ...)
        Targets.
    loss : {"cross_entropy", "logistic", "squared_error"} or callable
        The loss. A callable is its gradient: ``gradient(f, y)`` takes two float64 arrays of shape
        (n, outputs), (n, 1) where y has one axis, and returns the derivative of the *mean* loss
        with respect to f, of the same shape. It must be continuous, and pure: solvers call it as
        often and at whatever f they like. "cross_entropy" is that of a softmax with
        probabilities y, averaged over rows; "logistic" takes y = -1 or 1.
    kind : {"ntk", "nngp"}, default "ntk"
        Whether all layers are trained, or the readout alone.
    learning_rate : float, default 1.0
        Factor of the time, >= 0.
    momentum : float, optional
        Solves ``f'' = -(1 - momentum) f' - learning_rate Theta grad_f L`` instead, f' = 0 at the
        start: what heavy-ball steps become for small learning rates, t counting steps. From 0 to 1.
    diag_reg, diag_reg_absolute_scale
        Ridge, as in `GradientFlow`.
    method : str, default "LSODA"
        Method of `scipy.integrate.solve_ivp`. LSODA is right for late times, at which the smallest
        eigenvalues matter and the equation is stiff; it keeps a matrix of (n outputs)**2 numbers.
        "DOP853" keeps none.
    rtol, atol : float, default 1e-8 and 1e-10
        Relative and absolute error that the solver aims at per step, in units of the outputs.
    threads : int, optional
        Number of threads for kernels.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong shape or type, or is not finite.

    References
    ----------
    J. Lee et al., "Wide neural networks of any depth evolve as linear models under gradient
    descent", NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np, ntkfast as nk
    >>> X, classes = np.array([[0.0, 1.0], [1.0, 0.0]]), np.eye(2)
    >>> flow = nk.predict.LossFlow(nk.mlp(1), X, classes, "cross_entropy")
    >>> flow.predict(t=[0, 10])[:, :, 0].round(3)
    array([[ 0.   ,  0.   ],
           [ 1.001, -1.001]])
    """

    def __init__(
        self,
        net: Network,
        X: Any,
        y: Any,
        loss: Any,
        *,
        kind: str = "ntk",
        learning_rate: float = 1.0,
        momentum: float | None = None,
        diag_reg: float = 0.0,
        diag_reg_absolute_scale: bool = False,
        method: str = "LSODA",
        rtol: float = 1e-8,
        atol: float = 1e-10,
        threads: int | None = None,
    ) -> None:
        choice("kind", kind, ("ntk", "nngp"))
        self._source: Source = NetSource.of(net, X, threads)
        self._set_up(
            y,
            gradient_of(loss),
            kind=kind,
            learning_rate=learning_rate,
            momentum=momentum,
            diag_reg=diag_reg,
            diag_reg_absolute_scale=diag_reg_absolute_scale,
            method=method,
            rtol=rtol,
            atol=atol,
        )

    @classmethod
    def from_kernels(
        cls, k_train_train: Any, y: Any, loss: Any, *, kind: str = "ntk", **settings: Any
    ) -> Self:
        """Return the training on rows that are known through their kernel alone.

        Parameters
        ----------
        k_train_train : array of shape (n, n), or Kernels
            Training kernel.
        y, loss, kind, **settings
            As in the class; no ``threads``.

        Returns
        -------
        LossFlow
            An object whose `predict_from_kernels` predicts for other rows.
        """
        choice("kind", kind, ("ntk", "nngp"))
        flow = cls.__new__(cls)
        flow._source = ArraySource.of(k_train_train, kind)
        flow._set_up(y, gradient_of(loss), kind=kind, **settings)
        return flow

    def _set_up(
        self,
        y: Any,
        gradient: Gradient,
        *,
        kind: str,
        learning_rate: float = 1.0,
        momentum: float | None = None,
        diag_reg: float = 0.0,
        diag_reg_absolute_scale: bool = False,
        method: str = "LSODA",
        rtol: float = 1e-8,
        atol: float = 1e-10,
    ) -> None:
        damping = None
        if momentum is not None:
            damping = 1.0 - finite_number("momentum", momentum, minimum=0.0)
            if damping < 0.0:
                raise ValueError(f"momentum must be from 0 to 1, {got(momentum)}")
        rate = finite_number("learning_rate", learning_rate, minimum=0.0)
        for name, value in (("rtol", rtol), ("atol", atol)):
            if finite_number(name, value, minimum=0.0) == 0.0:
                raise ValueError(f"{name} must be positive, {got(value)}")
        choice("method", method, METHODS)
        absolute = flag("diag_reg_absolute_scale", diag_reg_absolute_scale)
        self._kind = kind
        self._targets = Targets(y, self._source.count)
        kernel = self._source.train(kind)
        diagonal = kernel.diagonal().copy()
        np.fill_diagonal(kernel, diagonal + absolute_ridge(diagonal, diag_reg, absolute))
        columns = self._targets.columns
        self._problem = Problem(kernel, columns, gradient, rate, damping, method, rtol, atol)

    def predict(self, Z: Any = None, t: Any = 1.0, *, f0: Any = 0.0, f0_Z: Any = None) -> Any:
        """Return the outputs of the network at times t.

        Parameters
        ----------
        Z : array, shape (m, d), optional
            Rows to predict for; without it, the training rows (see `GradientFlow.predict` on a
            ridge there).
        t : number or array of any shape, default 1.0
            Finite times >= 0, in units of steps. The end of training need not exist: under
            cross-entropy outputs grow for ever.
        f0 : callable or array of the shape of y, default 0
            Initial function, as in `GradientFlow.predict`.
        f0_Z : array of shape (m, ...), optional
            Values of `f0` at Z, where `f0` is an array.

        Returns
        -------
        array of shape ``t.shape + (m,) + y.shape[1:]``
            Same kind of array and dtype as kernels of Z with X have.

        Raises
        ------
        ToleranceError
            If the solver cannot reach the tolerance.
        MemoryBudgetError
            If the matrix of a stiff method would not fit in memory.
        TypeError, ValueError
            If an argument has the wrong shape or type, or is not finite.
        """
        source, targets = self._source, self._targets
        given = source.given if isinstance(source, NetSource) else None
        start = called(f0, given, targets)
        if Z is None:
            if f0_Z is not None:
                raise ValueError("f0_Z needs Z, the rows at which it has the initial function")
            return self._predict(None, t, start, None)
        if not isinstance(source, NetSource):
            raise ValueError(
                "Z needs a network: a training from kernels predicts with predict_from_kernels"
            )
        return self._predict(
            source.rows(Z), t, start, called(f0, Z, targets) if callable(f0) else f0_Z
        )

    def predict_from_kernels(
        self, k_test_train: Any, t: Any = 1.0, *, f0: Any = 0.0, f0_Z: Any = None
    ) -> Any:
        """Return the outputs at rows known through their kernel with the training rows.

        Parameters
        ----------
        k_test_train : array of shape (m, n), or Kernels
            Kernel of the rows to predict for with the training rows.
        t, f0, f0_Z
            As in `predict`; `f0` is an array.

        Returns
        -------
        array
            As in `predict`.
        """
        rows = ArrayRows.of(self._source.count, k_test_train, self._kind)
        return self._predict(rows, t, called(f0, None, self._targets), f0_Z)

    def _predict(self, rows: Rows | None, t: Any, f0: Any, f0_Z: Any) -> Any:
        when = times(t, whole=False)
        if not np.isfinite(when).all():
            raise ValueError(
                "t must be finite: the end of training need not exist for this loss. Squared error "
                "has one, see GradientFlow"
            )
        targets, problem = self._targets, self._problem
        start = targets.start(f0, self._source.count, "f0")
        if rows is None:
            start_Z, cross, dtype, wrap = (
                start,
                problem.kernel,
                self._source.dtype,
                self._source.wrap,
            )
        else:
            if f0_Z is None:
                if np.ndim(f0) > 0 or f0 != 0.0:
                    raise ValueError("f0 and f0_Z go together: the initial function at X and at Z")
                f0_Z = 0.0
            start_Z = targets.start(f0_Z, rows.count, "f0_Z")
            cross, dtype, wrap = rows.cross(self._kind, 0, rows.count), rows.dtype, rows.wrap
        total = problem.solve(lambda t: start, when.ravel()).total
        values = (start_Z - cross @ total).astype(dtype)
        return wrap(targets.restore(values, when.shape))
