"""Gradient descent on any loss, as neural_tangents.predict.gradient_descent has it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import prepare
from .._kernel_matrix import FloatArray, kernel_matrix
from .._validate import finite_number, got
from ..predict.arguments import times
from ..predict.losses import gradient_of
from ..predict.ode import Problem
from ._functions import double_precision
from ._predict_layout import Layout, Predict, matrix

__all__ = ["ODEState", "gradient_descent"]


@dataclass(frozen=True)
class ODEState:
    """Outputs, and with momentum their velocities, at some time of training.

    Attributes
    ----------
    fx_train, fx_test : array, optional
        Outputs at the training and the test rows.
    qx_train, qx_test : array, optional
        Derivatives of the outputs with respect to ``t * learning_rate**0.5``.
    """

    fx_train: Any = None
    fx_test: Any = None
    qx_train: Any = None
    qx_test: Any = None


def gradient_descent(
    loss: Callable[[Any, Any], Any],
    k_train_train: Any,
    y_train: Any,
    learning_rate: float = 1.0,
    momentum: float | None = None,
    trace_axes: Any = (-1,),
    *,
    gradient: Callable[[Any, Any], Any] | None = None,
    method: str = "LSODA",
    rtol: float = 1e-8,
    atol: float = 1e-10,
) -> Predict:
    """Return a function that predicts outputs in the course of training on any loss.

    Parameters
    ----------
    loss : callable
        ``loss(fx, y) -> number``, in operations of JAX, which differentiates it in double
        precision; it is not used where `gradient` is given.
    k_train_train : array, shape (n, n) or (n, n, o, o)
        Training kernel.
    y_train : array, shape (n, o)
        Targets.
    learning_rate : float, default 1.0
        Factor of the time.
    momentum : float, optional
        Solves ``f'' = -(1 - momentum) f' - learning_rate k grad`` in time counted in steps.
    trace_axes : (-1,) or (), default (-1,)
        Whether the kernel lacks axes for the outputs.
    gradient : callable, optional
        ``gradient(fx, y)``, the derivative of the loss with respect to fx. Not in the original.
    method, rtol, atol
        As in `ntkfast.predict.LossFlow`. Not in the original.

    Returns
    -------
    callable
        ``predict_fn(t, fx_train_or_state_0=0.0, fx_test_0=None, k_test_train=None)``, as in the
        original. `t` must be finite.

    Raises
    ------
    TypeError
        If there is no `gradient` and JAX is not loaded.
    ValueError
        If an argument does not fit.
    """
    layout = Layout(y_train, trace_axes)
    rate = finite_number("learning_rate", learning_rate, minimum=0.0)
    damping, root = None, 1.0
    if momentum is not None:
        damping, root = 1.0 - finite_number("momentum", momentum), rate**0.5
        if root == 0.0:
            raise ValueError("learning_rate must be positive where there is a momentum, got 0")
    slope = gradient_of(gradient if gradient is not None else _by_jax(loss))

    def gradient_of_columns(f: FloatArray, y: FloatArray) -> FloatArray:
        del y  # in the shape of the caller here
        return layout.columns(slope(f.reshape(layout.y.shape), layout.y.astype(np.float64)))

    given = prepare(matrix(k_train_train))
    kernel = kernel_matrix(given.x, overwrite=False)
    targets = layout.targets.astype(np.float64)
    problem = Problem(
        kernel, targets, gradient_of_columns, rate, damping, method, float(rtol), float(atol)
    )

    def finish(values: NDArray[Any]) -> Any:
        return given.wrap(values.astype(given.x.dtype))

    def predict_fn(
        t: Any = None,
        fx_train_or_state_0: Any = 0.0,
        fx_test_0: Any = None,
        k_test_train: Any = None,
    ) -> Any:
        as_state = isinstance(fx_train_or_state_0, ODEState)
        if as_state and fx_test_0 is not None:
            raise ValueError("fx_test_0 is part of the ODEState: it must be None")
        state = fx_train_or_state_0 if as_state else ODEState(fx_train_or_state_0, fx_test_0)
        if state.fx_train is None and state.fx_test is None:
            raise ValueError("fx_train_0 and fx_test_0 are both None: nothing to predict")
        if state.fx_test is not None and k_test_train is None:
            raise ValueError("fx_test_0 needs k_test_train, the kernel of test and training rows")
        if damping is None and (state.qx_train is not None or state.qx_test is not None):
            raise ValueError("qx_train and qx_test are velocities, and there is no momentum")
        when = times(np.inf if t is None else t, whole=False)
        if not np.isfinite(when).all():
            raise ValueError(f"t must be finite: the end of training need not exist, {got(t)}")
        moments = when.ravel()

        def start(shape: tuple[int, ...], f0: Any, q0: Any) -> Callable[[float], NDArray[Any]]:
            first = layout.start(0.0 if f0 is None else f0, shape).astype(np.float64)
            if q0 is None or damping is None:
                return lambda time: first
            speed = root * layout.start(q0, shape).astype(np.float64)
            return lambda time: first + _travelled(damping, time) * speed

        shape = layout.y.shape
        start_train = start(shape, state.fx_train, state.qx_train)
        path = problem.solve(start_train, moments)

        def at(cross: Any, shape: tuple[int, ...], f0: Any, q0: Any) -> tuple[Any, Any]:
            begin = start(shape, f0, q0)
            outputs = np.array([begin(time) for time in moments]).reshape(
                len(moments), len(cross), -1
            )
            f = (outputs - cross @ path.total).reshape(*when.shape, *shape)
            if damping is None:
                return finish(f), None
            speeds = -(cross @ path.speed) / root
            if q0 is not None:
                left = np.exp(-damping * moments)[:, None, None]
                speeds = speeds + left * layout.start(q0, shape).astype(np.float64)
            return finish(f), finish(speeds.reshape(*when.shape, *shape))

        train = at(kernel, shape, state.fx_train, state.qx_train)
        test: tuple[Any, Any] = (None, None)
        if state.fx_test is not None:
            cross = np.asarray(matrix(k_test_train), dtype=np.float64)
            test = at(cross, layout.shape(k_test_train), state.fx_test, state.qx_test)
        if as_state:
            return ODEState(train[0], test[0], train[1], test[1])
        if state.fx_train is None:
            return test[0]
        return train[0] if state.fx_test is None else (train[0], test[0])

    return predict_fn


def _travelled(damping: float, time: float) -> float:
    """Return how far a unit velocity has carried that is only damped."""
    return -float(np.expm1(-damping * time)) / damping if damping else time


def _by_jax(loss: Any) -> Callable[[Any, Any], Any]:
    """Return the gradient of a loss as JAX finds it, in double precision."""
    jax: Any = sys.modules.get("jax")
    if jax is None:
        raise TypeError(
            "loss cannot be differentiated: JAX, in whose operations it must be written, is not "
            f"loaded. Pass its derivative, gradient=..., {got(loss)}"
        )

    def gradient(f: Any, y: Any) -> Any:
        with double_precision():
            return np.asarray(jax.grad(lambda fx: loss(fx, jax.numpy.asarray(y)))(f))

    return gradient
