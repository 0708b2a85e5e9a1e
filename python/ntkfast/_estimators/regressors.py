"""Regression with the kernels of infinitely wide networks, and two kinds of uncertainty."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.metrics import r2_score

from .._kernel_matrix import FloatArray, host_values
from .._linalg.place import Place
from ..solvers import KernelSystem
from .base import KernelRidgeBase, Scored, checked_weights
from .ridge import Problem, RidgeFit


class RegressorBase(Scored, MultiOutputMixin, RegressorMixin, KernelRidgeBase):
    """Fit and predict one or several targets, with a standard deviation."""

    output_scale: Any

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Fit the regressor.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Training samples.
        y : array_like of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        sample_weight : array_like of shape (n_samples,), default=None
            Copies of each sample, not negative; zero is the same as no sample.

        Returns
        -------
        object
            This estimator.

        Raises
        ------
        ValueError, TypeError
            If an argument has the wrong shape or kind of values.
        ntkfast.errors.SingularKernelError
            If alpha is too small; the message names one that works.
        """
        rows, y = self._read(X, fitted=False), host_values(y, "y")
        X, y = self._validated(rows, y, multi_output=True, y_numeric=True)
        weights, keep = checked_weights(host_values(sample_weight, "sample_weight"), X)
        X, y = X[keep], np.asarray(y[keep], dtype=np.float64)
        targets = y.reshape(len(y), -1)
        spread = np.average((targets - np.average(targets, 0, weights)) ** 2, 0, weights)
        spread[spread == 0] = 1.0

        def criterion(values: FloatArray) -> float:
            return float(np.average((values - targets) ** 2, 0, weights) @ (1.0 / spread))

        problem = Problem(targets, weights, self.center, self.relative, criterion)
        self._check_output_scale()
        place = self._place(rows)
        fit = self._fit_ridge(place, X, problem, keep, loo=self.output_scale == "loo")
        single = y.ndim == 1
        self.dual_coef_ = rows.wrap(fit.dual[:, 0] if single else fit.dual)
        self.intercept_ = float(fit.mean[0]) if single else fit.mean
        scale = self._fitted_scale(problem, fit)
        self.output_scale_ = float(scale[0]) if single else scale
        if fit.left_out is not None:
            predictions = fit.left_out.predictions
            self.loo_score_ = float(r2_score(targets, predictions, sample_weight=weights))
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict the targets.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Samples.
        return_std : bool, default=False
            Whether to return a standard deviation as well; the class says of what. It costs a
            kernel of the training samples and its factorisation at every call: the model keeps
            no n x n matrix.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Predictions.
        std : ndarray of the same shape
            Only if `return_std`.
        """
        rows, X = self._checked_samples(X)
        place = self._place(rows, fitted=True)
        values = self._values(place, X)
        mean = rows.wrap(values[:, 0] if self.dual_coef_.ndim == 1 else values)
        if not return_std:
            return mean
        with place.working("standard deviation"):
            variance = self._variance(place, X)
        # Rounding can take the variance of a training sample below zero.
        deviation = np.sqrt(np.maximum(variance, 0.0))
        return mean, rows.wrap(np.multiply.outer(deviation, self.output_scale_))

    def _variance(self, place: Place, X: FloatArray) -> FloatArray:
        """Return the variance at each sample, in units of the kernel."""
        raise NotImplementedError

    def _check_output_scale(self) -> None:
        scale = self.output_scale
        if isinstance(scale, Real) and not isinstance(scale, bool):
            known = 0.0 < float(scale) < np.inf
        else:
            known = scale in self._named_scales
        if not known:
            names = " or ".join(f'"{name}"' for name in self._named_scales)
            raise ValueError(f"output_scale must be a positive number or {names}, got {scale!r}.")

    _named_scales: tuple[str, ...] = ("std",)

    def _fitted_scale(self, problem: Problem, fit: RidgeFit) -> FloatArray:
        """Return the factor of the standard deviation for each target."""
        if self.output_scale == "std":
            square = np.average((problem.targets - fit.mean) ** 2, 0, problem.weights)
        elif self.output_scale == "loo":
            assert fit.left_out is not None
            errors = (problem.targets - fit.left_out.predictions) ** 2 * fit.left_out.precision
            square = np.average(errors, 0, problem.weights)
        else:
            square = np.full(problem.targets.shape[1], float(self.output_scale) ** 2)
        return np.asarray(np.sqrt(square))


class NTKRegressor(RegressorBase):
    """Kernel ridge regression with the neural tangent kernel.

    The prediction is the mean of infinitely wide networks trained on the data with squared loss.

    Parameters
    ----------
    net : Network, None, "auto" or list of Network, default=None
        The network. None is ``mlp(3, b_std=1.0)``, which needs standardised inputs. ``"auto"``
        chooses the depth (1 to 5), the bias and the number of fixed first layers by
        leave-one-out, a list among its networks; each network costs a kernel and an
        eigendecomposition.
        Networks with `Conv` or pools take images, X of shape (n_samples, height, width, channels),
        or sequences, (n_samples, width, channels).
    alpha : float, array_like of shape (n_samples,) or "loo", default="loo"
        Ridge, one for all samples or one per sample. ``"loo"`` takes the one of `alphas` whose
        leave-one-out predictions are best: an exact computation from one eigendecomposition.
    alphas : array_like, default=None
        Grid for ``alpha="loo"``. None is half decades from 1e-6 to 1e2.
    kind : {"ntk", "nngp"}, default="ntk"
        Which kernel: all layers trained, or the readout only.
    relative : bool, default=True
        Whether alpha is in units of the mean diagonal of the kernel.
    center : bool, default=True
        Whether the mean of the targets is subtracted before the fit and added to predictions.
    output_scale : float or "std", default="std"
        What the outputs of the networks are multiplied by; the predictions do not depend on it,
        the standard deviation is proportional to it. ``"std"`` is the root mean square of the
        (centred) targets: networks that start with outputs of the size of the targets.
    threads : int, default=None
        Threads for kernels; None is the package's default.
    device : {"auto", "cpu", "cuda", "cuda:<number>"}, default=None
        Where kernels are computed and solved; None is the package's default, "auto" is where the
        samples are. On a CUDA device kernel, factor and eigenvectors stay there; this needs CuPy.

    Attributes
    ----------
    net_ : Network
        The network in use.
    alpha_ : float or ndarray
        The ridge in use, in the units of `alpha`.
    ridge_ : float or ndarray
        The same, absolute.
    noise_ridge_ : ndarray of shape (n_fit,)
        What stands on the diagonal beside the kernel: `ridge_` over the sample weights.
    dual_coef_ : ndarray of shape (n_fit,) or (n_fit, n_targets)
        Coefficients of the training samples.
    intercept_ : float or ndarray of shape (n_targets,)
        Mean of the targets.
    X_fit_ : ndarray of shape (n_fit, n_features)
        Training samples of positive weight.
    output_scale_ : float or ndarray of shape (n_targets,)
        The output scale in use.
    loo_score_ : float
        Leave-one-out R^2 of the model in use; only if alpha or the network were chosen. Slightly
        optimistic, as the choice used it.
    candidates_ : list of (Network, alpha, loss)
        What was tried, one entry per network, with its best alpha.
    device_ : str
        Where the fit was computed.
    n_features_in_, feature_names_in_
        As everywhere in scikit-learn.

    Notes
    -----
    ``predict(X, return_std=True)`` gives the spread over networks. Let every network start from
    its own random parameters and be trained to the end with the penalty ``ridge_`` on the squared
    distance from them. With f0 the network at its start, it becomes
    ``f0(x) + T(x, X) inv(T + ridge) (y - f0(X))``: over all starts, a Gaussian with the prediction
    as its mean (Lee et al. 2019, eq. 16, for ridge 0). It shows where the data leave the network
    undetermined; it is neither a posterior nor does it hold the noise of the targets, see
    :class:`NNGPRegressor` for these.

    Inputs are used as given: put a ``StandardScaler`` before. Kernels and solves are float64;
    fitting needs about four n x n matrices of 8 n^2 bytes with ``alpha="loo"``, one with a given
    alpha.

    `sample_weight` counts copies of a sample, and leave-one-out leaves out one copy. Scale weights
    that are importances rather than counts to a maximum of one: then it leaves out the sample.

    References
    ----------
    Lee et al. 2019, Wide neural networks of any depth evolve as linear models.
    Rasmussen and Williams 2006, Gaussian processes for machine learning, section 5.4.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkfast.sklearn import NTKRegressor
    >>> X = np.linspace(-1.0, 1.0, 40)[:, None]
    >>> model = NTKRegressor().fit(X, np.sin(3.0 * X[:, 0]))
    >>> bool(abs(model.predict([[0.5]])[0] - np.sin(1.5)) < 0.01)
    True
    """

    def __init__(
        self,
        net: Any = None,
        *,
        alpha: Any = "loo",
        alphas: Any = None,
        kind: str = "ntk",
        relative: bool = True,
        center: bool = True,
        output_scale: Any = "std",
        threads: int | None = None,
        device: str | None = None,
    ) -> None:
        self.net = net
        self.alpha = alpha
        self.alphas = alphas
        self.kind = kind
        self.relative = relative
        self.center = center
        self.output_scale = output_scale
        self.threads = threads
        self.device = device

    def _variance(self, place: Place, X: FloatArray) -> FloatArray:
        tangent = self._gram(place, self.net_, self.X_fit_)
        system = KernelSystem(tangent, self.noise_ridge_, relative=False, overwrite=True)
        start = self._gram(place, self.net_, self.X_fit_, kind="nngp")
        variance = np.array(self.net_.diag(X, kind="nngp"), dtype=np.float64)
        for rows in self._batches(place, X):
            cross = self._gram(place, self.net_, X[rows], self.X_fit_, kind="nngp")
            # Row i is T(x, X) inv(T + ridge): how the start at X enters the prediction at x.
            effect = system.solve(self._gram(place, self.net_, X[rows], self.X_fit_).T).T
            change = place.xp.einsum("ij,ij->i", effect, effect @ start - 2.0 * cross)
            variance[rows] += place.to_host(change)
        return variance


class NNGPRegressor(RegressorBase):
    """Gaussian process regression whose prior is an infinitely wide network at its start.

    It is also what training the readout alone, with a penalty, converges to.

    Parameters
    ----------
    net : Network, None, "auto" or list of Network, default=None
        The network. None is ``mlp(3, b_std=1.0)``, which needs standardised inputs. ``"auto"``
        chooses among networks of depth 1 to 5 with and without bias by leave-one-out, a list among
        its networks; each network costs a kernel and an eigendecomposition.
        Networks with `Conv` or pools take images, X of shape (n_samples, height, width, channels),
        or sequences, (n_samples, width, channels).
    alpha : float, array_like of shape (n_samples,) or "loo", default="loo"
        Variance of the noise of the targets over that of the prior, one for all samples or one per
        sample. ``"loo"`` takes the one of `alphas` whose leave-one-out predictions are best.
    alphas : array_like, default=None
        Grid for ``alpha="loo"``. None is half decades from 1e-6 to 1e2.
    relative : bool, default=True
        Whether alpha is in units of the mean diagonal of the kernel.
    center : bool, default=True
        Whether the mean of the targets is subtracted before the fit and added to predictions.
    output_scale : float, "std" or "loo", default="loo"
        Standard deviation of the prior is that of the network times this factor; only the standard
        deviation of predictions depends on it. 1.0 takes the network at its word. ``"loo"`` makes
        the leave-one-out errors, each over its own standard deviation (noise included), have mean
        square one. ``"std"`` is the root mean square of the (centred) targets.
    threads : int, default=None
        Threads for kernels; None is the package's default.
    device : {"auto", "cpu", "cuda", "cuda:<number>"}, default=None
        Where kernels are computed and solved; None is the package's default, "auto" is where the
        samples are. On a CUDA device kernel, factor and eigenvectors stay there; this needs CuPy.

    Attributes
    ----------
    net_, alpha_, ridge_, noise_ridge_, dual_coef_, intercept_, X_fit_, candidates_
        As in :class:`NTKRegressor`.
    output_scale_ : float or ndarray of shape (n_targets,)
        The factor in use.
    noise_variance_ : float or ndarray
        Variance of the noise of the targets, ``output_scale_**2 * ridge_``: one number, or one per
        target, with one row per sample for an array alpha.
    loo_score_ : float
        Leave-one-out R^2 of the model in use, where leave-one-out was computed.
    device_ : str
        Where the fit was computed.
    n_features_in_, feature_names_in_
        As everywhere in scikit-learn.

    Notes
    -----
    ``predict(X, return_std=True)`` gives the posterior standard deviation of the function, without
    the noise of a new observation: that one has variance ``std**2 + noise_variance_``. The mean of
    the targets counts as known. With ``output_scale=1.0`` and ``center=False`` this is
    scikit-learn's ``GaussianProcessRegressor`` with the network's kernel.

    On inputs, memory and `sample_weight` see the notes of :class:`NTKRegressor`.

    References
    ----------
    Lee et al. 2018, Deep neural networks as Gaussian processes.
    Bachoc 2013, Cross validation and maximum likelihood estimations of hyper-parameters of
    Gaussian processes with model misspecification.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkfast.sklearn import NNGPRegressor
    >>> X = np.linspace(-1.0, 1.0, 40)[:, None]
    >>> model = NNGPRegressor(alpha=1e-4).fit(X, np.sin(3.0 * X[:, 0]))
    >>> mean, std = model.predict([[0.0], [3.0]], return_std=True)
    >>> bool(std[0] < std[1])
    True
    """

    _named_scales = ("std", "loo")

    def __init__(
        self,
        net: Any = None,
        *,
        alpha: Any = "loo",
        alphas: Any = None,
        relative: bool = True,
        center: bool = True,
        output_scale: Any = "loo",
        threads: int | None = None,
        device: str | None = None,
    ) -> None:
        self.net = net
        self.alpha = alpha
        self.alphas = alphas
        self.relative = relative
        self.center = center
        self.output_scale = output_scale
        self.threads = threads
        self.device = device

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NNGPRegressor:
        """Fit the Gaussian process; see :meth:`NTKRegressor.fit`."""
        super().fit(X, y, sample_weight)
        self.noise_variance_ = np.multiply.outer(self.ridge_, np.square(self.output_scale_))[()]
        return self

    def _variance(self, place: Place, X: FloatArray) -> FloatArray:
        kernel = self._gram(place, self.net_, self.X_fit_)
        system = KernelSystem(kernel, self.noise_ridge_, relative=False, overwrite=True)
        variance = np.array(self.net_.diag(X, kind="nngp"), dtype=np.float64)
        for rows in self._batches(place, X):
            cross = self._gram(place, self.net_, X[rows], self.X_fit_)
            variance[rows] -= place.to_host(system.quadratic_form(cross.T))
        return variance
