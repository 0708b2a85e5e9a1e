"""Classification by ridge regression on class codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.multiclass import check_classification_targets

from .._kernel_matrix import FloatArray, host_values
from .base import KernelRidgeBase, Scored, checked_weights
from .ridge import Problem
from .rows import Rows


class NTKClassifier(Scored, ClassifierMixin, KernelRidgeBase):
    """Classifier by kernel ridge regression with the neural tangent kernel.

    Each class has a target of +1 for its samples and -1 for the others (one column for two
    classes); the kernel ridge regression of the targets is the prediction of an infinitely wide
    network trained on them with squared loss. The class of the largest value wins.

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
        Whether the mean of the targets (the class frequencies) is subtracted before the fit.
    threads : int, default=None
        Threads for kernels; None is the package's default.
    device : {"auto", "cpu", "cuda", "cuda:<number>"}, default=None
        Where kernels are computed and solved; None is the package's default, "auto" is where the
        samples are. On a CUDA device kernel, factor and eigenvectors stay there; this needs CuPy.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    net_ : Network
        The network in use.
    alpha_ : float or ndarray
        The ridge in use, in the units of `alpha`.
    ridge_ : float or ndarray
        The same, absolute.
    noise_ridge_ : ndarray of shape (n_fit,)
        What stands on the diagonal beside the kernel: `ridge_` over the sample weights.
    dual_coef_ : ndarray of shape (n_fit,) or (n_fit, n_classes)
        Coefficients of the training samples, one column for two classes.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Mean of the targets.
    X_fit_ : ndarray of shape (n_fit, n_features)
        Training samples of positive weight.
    temperature_ : float
        Factor on the decision values in :meth:`predict_proba`.
    loo_score_ : float
        Leave-one-out accuracy of the model in use. It is slightly optimistic where alpha or the
        network were chosen by leave-one-out.
    candidates_ : list of (Network, alpha, loss)
        What was tried, one entry per network, with its best alpha.
    device_ : str
        Where the fit was computed.
    n_features_in_, feature_names_in_
        As everywhere in scikit-learn.

    Notes
    -----
    Inputs are used as given: put a ``StandardScaler`` before. ``alpha="loo"`` minimises the
    log-loss of the leave-one-out probabilities. Kernels and solves are float64; fitting needs about
    four n x n matrices of 8 n^2 bytes with ``alpha="loo"``, two with a given alpha.

    `sample_weight` counts copies of a sample, and leave-one-out leaves out one copy. Scale weights
    that are importances rather than counts to a maximum of one: then it leaves out the sample.

    References
    ----------
    Arora et al. 2020, Harnessing the power of infinitely wide deep nets on small-data tasks.
    Rifkin and Klautau 2004, In defense of one-vs-all classification.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from ntkfast.sklearn import NTKClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), NTKClassifier()).fit(X[::2], y[::2])
    >>> model.score(X[1::2], y[1::2]) > 0.93
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
        threads: int | None = None,
        device: str | None = None,
    ) -> None:
        self.net = net
        self.alpha = alpha
        self.alphas = alphas
        self.kind = kind
        self.relative = relative
        self.center = center
        self.threads = threads
        self.device = device

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NTKClassifier:
        """Fit the classifier.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Training samples.
        y : array_like of shape (n_samples,)
            Class labels.
        sample_weight : array_like of shape (n_samples,), default=None
            Copies of each sample, not negative; zero is the same as no sample.

        Returns
        -------
        NTKClassifier
            This object.

        Raises
        ------
        ValueError, TypeError
            If an argument has the wrong shape or kind of values, or holds fewer than two classes.
        ntkfast.errors.SingularKernelError
            If alpha is too small; the message names one that works.
        """
        rows, y = self._read(X, fitted=False), host_values(y, "y")
        X, y = self._validated(rows, y)
        check_classification_targets(y)
        weights, keep = checked_weights(host_values(sample_weight, "sample_weight"), X)
        X, y = X[keep], y[keep]
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                "NTKClassifier needs samples of at least 2 classes, got one class only: "
                f"{self.classes_[0]!r}."
            )
        signs = np.where(codes[:, None] == np.arange(len(self.classes_)), 1.0, -1.0)
        problem = Problem(
            targets=signs[:, 1:] if len(self.classes_) == 2 else signs,
            weights=weights,
            center=self.center,
            relative=self.relative,
            criterion=lambda values: best_temperature(values, codes, weights)[1],
        )
        fit = self._fit_ridge(self._place(rows), X, problem, keep, loo=True)
        assert fit.left_out is not None
        values = fit.left_out.predictions
        self.dual_coef_ = rows.wrap(fit.dual if fit.dual.shape[1] > 1 else fit.dual[:, 0])
        self.intercept_ = fit.mean
        self.temperature_ = best_temperature(values, codes, weights)[0]
        predicted = _scores(values).argmax(axis=1)
        self.loo_score_ = float(accuracy_score(codes, predicted, sample_weight=weights))
        return self

    def decision_function(self, X: Any) -> Any:
        """Return the regressed class codes.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,) for two classes, else (n_samples, n_classes)
            For two classes, positive values speak for ``classes_[1]``.
        """
        rows, values = self._decisions(X)
        return rows.wrap(values[:, 0] if len(self.classes_) == 2 else values)

    def predict(self, X: Any) -> Any:
        """Return the class of each sample.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels out of `classes_`; NumPy's where they are text, even for samples on a device.
        """
        rows, values = self._decisions(X)
        labels = np.asarray(self.classes_[_scores(values).argmax(axis=1)])
        return rows.wrap(labels) if labels.dtype.kind in "biuf" else labels

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class.

        The probabilities are ``softmax(temperature_ * values)`` of the decision values (of
        ``[-value, value]`` for two classes). The temperature minimises the log-loss of the
        leave-one-out decision values of the training samples, which their labels had no part in,
        so the probabilities are calibrated as a whole, not per class.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows sum to one.
        """
        rows, values = self._decisions(X)
        return rows.wrap(np.asarray(softmax(self.temperature_ * _scores(values), axis=1)))

    def _decisions(self, X: Any) -> tuple[Rows, FloatArray]:
        rows, checked = self._checked_samples(X)
        return rows, self._values(self._place(rows, fitted=True), checked)


def _scores(values: FloatArray) -> FloatArray:
    """Return one column per class."""
    return np.column_stack([-values, values]) if values.shape[1] == 1 else values


def best_temperature(
    values: FloatArray, codes: NDArray[np.intp], weights: FloatArray
) -> tuple[float, float]:
    """Return the temperature with the smallest log-loss, and that loss.

    The loss counts one more sample, which is of every class alike (Laplace's rule): where every
    prediction is right it keeps the temperature finite.
    """
    scores = _scores(values)
    rows = np.arange(len(codes))
    total = weights.sum() + 1.0
    # Targets as weights of classes: each sample its own, the additional one spread over all.
    desired = np.repeat(weights[:, None] / weights.sum() / scores.shape[1], scores.shape[1], axis=1)
    desired[rows, codes] += weights
    mass = desired.sum(axis=1)

    def slope(log_temperature: float) -> float:
        expected = (softmax(np.exp(log_temperature) * scores, axis=1) * scores).sum(axis=1)
        return float(mass @ expected - (desired * scores).sum())

    low, high = -7.0, 7.0
    # The log-loss is convex in the temperature: its slope changes sign at most once.
    if slope(low) >= 0:
        root = low
    elif slope(high) <= 0:
        root = high
    else:
        root = brentq(slope, low, high, xtol=1e-10)
    temperature = float(np.exp(root))
    logs = log_softmax(temperature * scores, axis=1)
    return temperature, -float((desired * logs).sum() / total)
