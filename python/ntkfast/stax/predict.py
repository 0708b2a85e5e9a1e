"""The interface of the archived library neural_tangents.predict, computed by ntkfast.

>>> import numpy as np
>>> from ntkfast import stax
>>> from ntkfast.stax import predict  # instead of: from neural_tangents import predict
>>> _, _, kernel_fn = stax.serial(stax.Dense(64), stax.Relu(), stax.Dense(1))
>>> x, y = np.eye(2), np.array([[1.0], [-1.0]])
>>> predict_fn = predict.gradient_descent_mse_ensemble(kernel_fn, x, y, diag_reg=1e-3)
>>> x_test = np.array([[0.6, 0.8]])
>>> mean, covariance = predict_fn(t=10.0, x_test=x_test, get="ntk", compute_cov=True)
>>> mean.shape, covariance.shape
((1, 1), (1, 1))

Where the original returns NaN, as for equal rows without a ridge at ``t=None``, an error names the
rows and a ridge; the migration page of the documents says what else differs. `ntkfast.predict` is
the same in the interface of ntkfast.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable
from functools import cache
from typing import Any

from .._gram import Kernels
from ..predict import Gaussian, GradientFlow
from ..predict import max_learning_rate as _max_learning_rate
from ._predict_layout import KINDS, Layout, Predict, kinds, matrix
from ._predict_ode import ODEState, gradient_descent

__all__ = [
    "Gaussian",
    "ODEState",
    "gp_inference",
    "gradient_descent",
    "gradient_descent_mse",
    "gradient_descent_mse_ensemble",
    "max_learning_rate",
]


def gradient_descent_mse(
    k_train_train: Any,
    y_train: Any,
    learning_rate: float = 1.0,
    diag_reg: float = 0.0,
    diag_reg_absolute_scale: bool = False,
    trace_axes: Any = (-1,),
) -> Predict:
    """Return a function that predicts outputs in the course of training on squared error.

    Parameters
    ----------
    k_train_train : array, shape (n, n) or (n, n, o, o)
        Training kernel.
    y_train : array, shape (n, o)
        Targets.
    learning_rate, diag_reg, diag_reg_absolute_scale
        As in `ntkfast.predict.GradientFlow`.
    trace_axes : (-1,) or (), default (-1,)
        Whether the kernel lacks axes for the outputs.

    Returns
    -------
    callable
        ``predict_fn(t=None, fx_train_0=0.0, fx_test_0=None, k_test_train=None)``: outputs at the
        training rows, at the test rows where `fx_train_0` is None, or both where `fx_test_0` is
        given, too.

    Raises
    ------
    TypeError, ValueError
        As `ntkfast.predict.GradientFlow` says.
    """
    layout = Layout(y_train, trace_axes)
    settings = _settings(learning_rate, diag_reg, diag_reg_absolute_scale)

    @cache
    def flow() -> GradientFlow:
        return GradientFlow.from_kernels(matrix(k_train_train), layout.targets, **settings)

    def predict_fn(
        t: Any = None, fx_train_0: Any = 0.0, fx_test_0: Any = None, k_test_train: Any = None
    ) -> Any:
        if fx_train_0 is None and fx_test_0 is None:
            raise ValueError("fx_train_0 and fx_test_0 are both None: nothing to predict")
        if fx_test_0 is not None and k_test_train is None:
            raise ValueError("fx_test_0 needs k_test_train, the kernel of test and training rows")
        start = layout.start(0.0 if fx_train_0 is None else fx_train_0, layout.y.shape)
        found = []
        if fx_train_0 is not None:
            found.append(layout.restore(flow().predict(t=t, f0=start), layout.y.shape))
        if fx_test_0 is not None:
            shape = layout.shape(k_test_train)
            outputs = flow().predict_from_kernels(
                matrix(k_test_train), t, f0=start, f0_Z=layout.start(fx_test_0, shape)
            )
            found.append(layout.restore(outputs, shape))
        return found[0] if len(found) == 1 else tuple(found)

    return predict_fn


def gp_inference(
    k_train_train: Any,
    y_train: Any,
    diag_reg: float = 0.0,
    diag_reg_absolute_scale: bool = False,
    trace_axes: Any = (-1,),
) -> Predict:
    """Return a function that gives the distribution of outputs at the end of training.

    Parameters
    ----------
    k_train_train : array, or kernels with ``nngp`` and ``ntk``
        Training kernel or kernels.
    y_train, diag_reg, diag_reg_absolute_scale, trace_axes
        As in `gradient_descent_mse`.

    Returns
    -------
    callable
        ``predict_fn(get=None, k_test_train=None, k_test_test=None)`` with `get` among "nngp", "ntk"
        and "ntkgp": a mean, or a `Gaussian` where `k_test_test` is given.

    Raises
    ------
    TypeError, ValueError, SingularKernelError
        As `ntkfast.predict.GradientFlow` says.
    """
    layout = Layout(y_train, trace_axes)
    settings = _settings(1.0, diag_reg, diag_reg_absolute_scale)

    @cache
    def flow(kind: str) -> GradientFlow:
        kernels = _matrices(k_train_train, kind)
        return GradientFlow.from_kernels(kernels, layout.targets, kind=kind, **settings)

    def predict_fn(
        get: str | Iterable[str] | None = None, k_test_train: Any = None, k_test_test: Any = None
    ) -> Any:
        names = kinds(get, (*KINDS, "ntkgp"))
        found = {}
        for kind in names:
            if k_test_train is None:
                covariance = k_test_test is not None
                found[kind] = _train(flow(kind), None, covariance, layout)
                continue
            cross = _matrices(k_test_train, kind)
            prior = k_test_test
            if prior is not None:
                prior = matrix(getattr(prior, "ntk" if kind == "ntkgp" else "nngp", prior))
            outputs = flow(kind).predict_from_kernels(cross, k_test_test=prior)
            shape = layout.shape(_first(k_test_train))
            found[kind] = _restored(outputs, layout, shape)
        return _by_name(found, get)

    return predict_fn


def gradient_descent_mse_ensemble(
    kernel_fn: Any,
    x_train: Any,
    y_train: Any,
    learning_rate: float = 1.0,
    diag_reg: float = 0.0,
    diag_reg_absolute_scale: bool = False,
    trace_axes: Any = (-1,),
    **kernel_fn_train_train_kwargs: Any,
) -> Predict:
    """Return a function that gives the distribution of outputs in the course of training.

    Parameters
    ----------
    kernel_fn : callable
        ``kernel_fn(x1, x2, get)`` as of `ntkfast.stax.serial`.
    x_train : array, shape (n, d)
        Training rows.
    y_train, learning_rate, diag_reg, diag_reg_absolute_scale, trace_axes
        As in `gradient_descent_mse`.
    **kernel_fn_train_train_kwargs
        Passed to `kernel_fn`.

    Returns
    -------
    callable
        ``predict_fn(t=None, x_test=None, get=None, compute_cov=False)`` with `get` among "nngp" and
        "ntk": a mean, or a `Gaussian` with `compute_cov`.

    Raises
    ------
    TypeError, ValueError, SingularKernelError
        As `ntkfast.predict.GradientFlow` says.
    """
    layout = Layout(y_train, trace_axes)
    settings = _settings(learning_rate, diag_reg, diag_reg_absolute_scale)

    @cache
    def train_kernels() -> Any:
        found = kernel_fn(x_train, None, KINDS, **kernel_fn_train_train_kwargs)
        return _matrices(found, "ntk")

    @cache
    def flow(kind: str) -> GradientFlow:
        return GradientFlow.from_kernels(train_kernels(), layout.targets, kind=kind, **settings)

    def predict_fn(
        t: Any = None,
        x_test: Any = None,
        get: str | Iterable[str] | None = None,
        compute_cov: bool = False,
        **kernel_fn_test_test_kwargs: Any,
    ) -> Any:
        names = kinds(get, KINDS)
        keywords = {**kernel_fn_train_train_kwargs, **kernel_fn_test_test_kwargs}
        found = {}
        if x_test is None:
            found = {kind: _train(flow(kind), t, compute_cov, layout) for kind in names}
            return _by_name(found, get)
        cross = kernel_fn(x_test, x_train, KINDS, **keywords)
        prior = matrix(kernel_fn(x_test, None, "nngp", **keywords)) if compute_cov else None
        shape = layout.shape(cross.nngp)
        for kind in names:
            outputs = flow(kind).predict_from_kernels(_matrices(cross, kind), t, k_test_test=prior)
            found[kind] = _restored(outputs, layout, shape)
        return _by_name(found, get)

    return predict_fn


def max_learning_rate(
    ntk_train_train: Any,
    y_train_size: int | None = None,
    momentum: float = 0.0,
    eps: float = 1e-12,
) -> float:
    """Return the largest stable learning rate, see `ntkfast.predict.max_learning_rate`."""
    return _max_learning_rate(matrix(ntk_train_train), y_train_size, momentum, eps)


def _settings(learning_rate: float, diag_reg: float, absolute: bool) -> dict[str, Any]:
    return {
        "learning_rate": learning_rate,
        "diag_reg": diag_reg,
        "diag_reg_absolute_scale": absolute,
    }


def _first(kernels: Any) -> Any:
    """Return the array itself, or the first kernel that there is."""
    parts = [getattr(kernels, kind, None) for kind in KINDS]
    return next((part for part in parts if part is not None), kernels)


def _matrices(kernels: Any, kind: str) -> Any:
    """Return kernels, or one array, as matrices."""
    if hasattr(kernels, "nngp") or hasattr(kernels, "ntk"):
        parts = (getattr(kernels, name, None) for name in KINDS)
        return Kernels(*(None if part is None else matrix(part) for part in parts))
    return matrix(kernels)


def _train(flow: GradientFlow, t: Any, covariance: bool, layout: Layout) -> Any:
    return _restored(flow.predict(t=t, cov=bool(covariance)), layout, layout.y.shape)


def _restored(outputs: Any, layout: Layout, shape: tuple[int, ...]) -> Any:
    if not isinstance(outputs, Gaussian):
        return layout.restore(outputs, shape)
    mean = layout.restore(outputs.mean, shape)
    return Gaussian(mean, layout.covariance(outputs.covariance, shape))


def _by_name(found: dict[str, Any], get: str | Iterable[str] | None) -> Any:
    """Return the one that is asked for by a string, or a named tuple of several."""
    if isinstance(get, str):
        return next(iter(found.values()))
    return namedtuple("Gaussians", found)(**found)
