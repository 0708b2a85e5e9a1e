"""What all estimators share: checked arguments, one fit per network, batched predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from .._arrays import prepare
from .._device import resolve_device
from .._gram import grams
from .._kernel_matrix import FloatArray, host_values
from .._linalg.place import HOST, Place, place_on
from ..config import config
from ..errors import MemoryBudgetError
from ..layers.spatial import positions
from ..network import Network
from .networks import candidates
from .ridge import Problem, RidgeFit, fit_given, fit_loo
from .rows import Rows, read_rows

DEFAULT_ALPHAS = 10.0 ** (np.arange(-12, 5) / 2)
"""Half decades from 1e-6 to 1e2, relative to the mean diagonal of the kernel."""

_BATCH_ENTRIES = 1 << 22  # of a cross kernel held at a time: 32 MiB
_DEVICE_BATCH_ENTRIES = 1 << 28  # on a CUDA device: 2 GiB, for products of a useful size
_PASS_ENTRIES = 1 << 25  # of the kernels of several networks from one pass: 256 MiB


class Scored:
    """Scores of scikit-learn, for targets on a device, too; stands first among the bases."""

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the score of the predictions, see scikit-learn's estimators of this kind.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Samples.
        y : array_like of shape (n_samples,) or (n_samples, n_targets)
            Their targets.
        sample_weight : array_like of shape (n_samples,), default=None
            Weights.

        Returns
        -------
        float
            R^2 of regressors, accuracy of classifiers.
        """
        weights = host_values(sample_weight, "sample_weight")
        rows, targets = self._read(X, fitted=True), host_values(y, "y")  # type: ignore[attr-defined]
        return float(
            super().score(  # type: ignore[misc]
                rows.X, targets, sample_weight=weights
            )
        )


class KernelRidgeBase(BaseEstimator):
    """Kernel ridge regression with the kernel of an infinitely wide network."""

    net: Any
    alpha: Any
    alphas: Any
    relative: bool
    center: bool
    threads: int | None
    device: str | None

    def _kind(self) -> str:
        """Return which kernel of the network is used: the name of its method."""
        kind = getattr(self, "kind", "nngp")
        if kind not in ("ntk", "nngp"):
            raise ValueError(f'kind must be "ntk" or "nngp", got {kind!r}.')
        return str(kind)

    def _place(self, rows: Rows, *, fitted: bool = False) -> Place:
        """Return where to compute: as `device` says, else where the rows are.

        Rows of the host that come after the fit go where it was.
        """
        given = rows.device
        automatic = (config.device if self.device is None else self.device) == "auto"
        if given is None and automatic and fitted and self.device_ != "cpu":
            given = int(self.device_.partition(":")[2])
        return place_on(resolve_device(self.device, given))

    def _gram(
        self,
        place: Place,
        net: Network,
        X: FloatArray,
        Z: FloatArray | None = None,
        kind: str | None = None,
    ) -> Any:
        """Return a kernel of host rows, which stays where it is computed."""
        return next(self._kernels(place, [net], X, Z, kind))

    def _kernels(
        self,
        place: Place,
        networks: list[Network],
        X: FloatArray,
        Z: FloatArray | None = None,
        kind: str | None = None,
    ) -> Iterator[Any]:
        kind = kind or self._kind()
        made = grams(
            networks,
            X,
            Z,
            nngp=kind == "nngp",
            ntk=kind == "ntk",
            threads=self.threads,
            device=place.name,
            resident=True,
        )
        while made:
            yield getattr(made.pop(0), kind)

    def _grams(self, place: Place, networks: list[Network], X: FloatArray) -> Iterator[Any]:
        """Yield the kernel of each network; a pass over the rows serves several of them."""
        at_once = max(1, _PASS_ENTRIES // max(1, len(X)) ** 2)
        for first in range(0, len(networks), at_once):
            group = networks[first : first + at_once]
            try:
                made = self._kernels(place, group, X)
                begun = next(made)
            except MemoryBudgetError:  # so many at once do not fit: one by one may
                yield from (self._gram(place, net, X) for net in group)
                continue
            yield begun
            del begun
            yield from made

    def _fit_ridge(
        self, place: Place, X: FloatArray, problem: Problem, keep: NDArray[np.bool_], *, loo: bool
    ) -> RidgeFit:
        """Fit every network that `net` stands for, keep the best by leave-one-out.

        `keep` marks the samples of positive weight among those that were passed to ``fit``.
        """
        networks = candidates(self.net, self._kind())
        fit = self._strategy(keep, loo=loo or len(networks) > 1)
        fits = [fit(K, problem) for K in self._grams(place, networks, X)]
        best = int(np.argmin([each.loss for each in fits])) if len(fits) > 1 else 0
        chosen = fits[best]
        self.net_ = networks[best]
        self.alpha_ = chosen.alpha
        self.ridge_ = chosen.ridge
        self.device_ = place.name
        self.X_fit_ = X.copy()
        self.noise_ridge_ = np.broadcast_to(chosen.ridge / problem.weights, len(X)).copy()
        self.candidates_ = [
            (net, each.alpha, each.loss) for net, each in zip(networks, fits, strict=True)
        ]
        return chosen

    def _strategy(
        self, keep: NDArray[np.bool_], *, loo: bool
    ) -> Callable[[Any, Problem], RidgeFit]:
        """Return how to fit one kernel, from `alpha` and `alphas`."""
        choose = isinstance(self.alpha, str) and self.alpha == "loo"
        if (loo or choose) and np.count_nonzero(keep) < 2:
            raise ValueError(
                "Leave-one-out needs at least two samples of positive weight, got n_samples = "
                f"{np.count_nonzero(keep)}. Give alpha as a number and net as one network."
            )
        if choose:
            return partial(fit_loo, alphas=_positive(self.alphas, "alphas", DEFAULT_ALPHAS))
        if isinstance(self.alpha, str) or self.alpha is None:
            raise ValueError(f'alpha must be numbers or "loo", got {self.alpha!r}.')
        alpha = _positive(self.alpha, "alpha")
        if isinstance(self.alpha, Real):
            return partial(fit_given, alpha=float(self.alpha), loo=loo)
        if alpha.shape != keep.shape:
            raise ValueError(
                f"alpha must be a number or have one entry per sample, shape {keep.shape}, got "
                f"shape {alpha.shape}."
            )
        return partial(fit_given, alpha=alpha[keep], loo=loo)

    def _positions(self, *, fitted: bool) -> tuple[int, ...]:
        """Return the numbers of axes of positions that samples may have, none for rows."""
        networks = [self.net_] if fitted else candidates(self.net, self._kind())
        return positions([net.layers for net in networks])

    def _read(self, X: Any, *, fitted: bool) -> Rows:
        if fitted:
            check_is_fitted(self)
        return read_rows(X, self._positions(fitted=fitted))

    def _validated(self, rows: Rows, y: Any, **options: Any) -> tuple[FloatArray, Any]:
        """Return samples for the fit, and their targets, checked by scikit-learn."""
        axes = self._positions(fitted=False)
        X, y = validate_data(self, rows.X, y, dtype=np.float64, **_of_any_rank(axes), **options)
        prepare(X[:1], positions=axes)  # the right rank
        return X, y

    def _checked_samples(self, X: Any) -> tuple[Rows, FloatArray]:
        """Return new samples, and their rows checked against those of the fit."""
        rows = self._read(X, fitted=True)
        options = _of_any_rank(self._positions(fitted=True))
        if options and np.shape(rows.X)[1:] != self.X_fit_.shape[1:]:
            raise ValueError(
                f"X must hold samples of the shape of those of the fit, {self.X_fit_.shape[1:]}, "
                f"got shape {np.shape(rows.X)}."
            )
        X = validate_data(self, rows.X, dtype=np.float64, reset=False, **options)
        return rows, np.asarray(X)

    def _batches(self, place: Place, X: FloatArray) -> Iterator[slice]:
        """Yield row ranges whose cross kernel with the training samples stays small."""
        entries = _BATCH_ENTRIES if place is HOST else _DEVICE_BATCH_ENTRIES
        rows = max(1, entries // len(self.X_fit_))
        for start in range(0, len(X), rows):
            yield slice(start, start + rows)

    def _values(self, place: Place, X: FloatArray) -> FloatArray:
        """Return the predictions (m, t) on the host."""
        dual = np.asarray(host_values(self.dual_coef_, "dual_coef_"))
        dual = dual.reshape(len(self.X_fit_), -1)
        values = np.empty((len(X), dual.shape[1]))
        with place.working("prediction"):
            there = place.asarray(dual)
            for rows in self._batches(place, X):
                cross = self._gram(place, self.net_, X[rows], self.X_fit_)
                values[rows] = place.to_host(cross @ there)
        return np.asarray(values + self.intercept_)


def _of_any_rank(positions: tuple[int, ...]) -> dict[str, bool]:
    """Return what scikit-learn's check has to be told of samples with positions."""
    return {"ensure_2d": False, "allow_nd": True} if positions else {}


def checked_weights(sample_weight: Any, X: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the positive weights, and the mask of the samples that have them.

    A sample of weight zero is the same as no sample.
    """
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
    if (weights < 0).any():
        raise ValueError(f"sample_weight must not be negative, got {weights.min():.3g}.")
    keep = np.asarray(weights > 0)
    if not keep.any():
        raise ValueError("sample_weight must be positive for at least one sample, got zeros.")
    return weights[keep], keep


def _positive(values: Any, name: str, default: FloatArray | None = None) -> FloatArray:
    """Return `values` as float64, at least one, finite and not negative."""
    if values is None and default is not None:
        return default
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold real numbers, got {values!r}.")
    if array.ndim > 1 or array.size == 0 or not np.isfinite(array).all() or (array < 0).any():
        raise ValueError(f"{name} must be finite and not negative, got {values!r}.")
    return np.atleast_1d(array).astype(np.float64)
