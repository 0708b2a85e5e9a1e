"""A training of networks: made once, predictions for many rows and times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._validate import choice, finite_number, flag, got
from .arguments import Targets, called, loss_weight, times
from .ensemble import Ensemble, turned
from .laws import Descent, Flow, Law
from .sources import ArrayRows, ArraySource, NetSource, Rows, Source
from .spectrum import Spectrum

if TYPE_CHECKING:
    from typing_extensions import Self

    from .._kernel_matrix import FloatArray

__all__ = ["Gaussian", "Settings", "Training"]


class Gaussian(NamedTuple):
    """Distribution of the outputs of trained networks over their random initial weights.

    Attributes
    ----------
    mean : array, shape ``t.shape + (m, ...)``
        One value per time, row and output.
    covariance : array, shape ``t.shape + (m, m)`` or ``t.shape + (m,)``
        Between rows, the same for every output; outputs are independent.
    """

    mean: Any
    covariance: Any


@dataclass(frozen=True)
class Settings:
    """What `GradientFlow` and `GradientDescent` document, checked."""

    kind: str = "ntk"
    learning_rate: float = 1.0
    momentum: float = 0.0
    diag_reg: float = 0.0
    diag_reg_absolute_scale: bool = False
    loss_scale: float | str = "mean"
    singular: str = "error"

    @property
    def kernel(self) -> str:
        """The kernel of the dynamics."""
        return "nngp" if self.kind == "nngp" else "ntk"

    @property
    def initial(self) -> str:
        """The kernel of the initial functions."""
        return "ntk" if self.kind == "ntkgp" else "nngp"

    def __post_init__(self) -> None:
        choice("kind", self.kind, ("ntk", "nngp", "ntkgp"))
        choice("singular", self.singular, ("error", "limit"))
        flag("diag_reg_absolute_scale", self.diag_reg_absolute_scale)
        for name in ("learning_rate", "momentum", "diag_reg"):
            finite_number(name, getattr(self, name), minimum=0.0)
        if self.momentum >= 1.0:
            raise ValueError(f"momentum must be below 1, {got(self.momentum)}")


class Training:
    """What gradient flow and gradient descent share: all but the law of one eigendirection."""

    _descends: bool
    _prior: FloatArray | None = None

    def __init__(self, source: Source, y: Any, settings: Settings) -> None:
        self._source, self._settings = source, settings
        self._targets = Targets(y, source.count)
        self._weight = loss_weight(settings.loss_scale, self._targets.outputs, source.count)
        rate = float(settings.learning_rate) * self._weight
        self._law: Law = Descent(rate, float(settings.momentum)) if self._descends else Flow(rate)
        Spectrum.require_memory(source.count)
        self._spectrum = Spectrum(
            source.train(settings.kernel),
            settings.diag_reg,
            settings.diag_reg_absolute_scale,
            source.epsilon,
            limit=settings.singular == "limit",
        )

    @classmethod
    def from_kernels(cls, k_train_train: Any, y: Any, **settings: Any) -> Self:
        """Return the training on rows that are known through their kernels alone.

        Parameters
        ----------
        k_train_train : array of shape (n, n), or Kernels
            Training kernel, also an empirical one, of the kind that is trained with. Covariances of
            networks trained in all layers need a `Kernels` with ``nngp`` and ``ntk``.
        y : array_like, shape (n,) or (n, ...)
            Targets.
        **settings
            Keyword arguments of the class, other than ``threads``.

        Returns
        -------
        GradientFlow or GradientDescent
            An object whose `predict_from_kernels` predicts for other rows.

        Raises
        ------
        TypeError, ValueError, MemoryBudgetError
            As in the class.

        Examples
        --------
        >>> import numpy as np, ntkfast as nk
        >>> K = np.array([[2.0, 1.0], [1.0, 2.0]])
        >>> flow = nk.predict.GradientFlow.from_kernels(K, [1.0, 0.0])
        >>> flow.predict_from_kernels([[1.0, 1.0]]).round(3)
        array([0.333])
        """
        if "momentum" in settings and not cls._descends:
            raise TypeError("gradient flow has no momentum: GradientDescent does")
        checked = Settings(**settings)
        training = cls.__new__(cls)
        Training.__init__(training, ArraySource.of(k_train_train, checked.kernel), y, checked)
        return training

    @property
    def eigenvalues(self) -> FloatArray:
        """Eigenvalues of the training kernel plus ridge, ascending, (n,); negative ones are 0."""
        values: FloatArray = self._spectrum.values.copy()
        return values

    @property
    def ridge(self) -> float:
        """What was added to the diagonal of the training kernel."""
        return self._spectrum.ridge

    @property
    def rank(self) -> int:
        """Number of eigenvalues that rounding errors of the kernel do not reach."""
        return self._spectrum.rank

    @property
    def max_learning_rate(self) -> float:
        """Learning rate below which gradient descent converges; infinity for a kernel of zeros."""
        momentum = self._law.momentum if isinstance(self._law, Descent) else 0.0
        scale = self._weight * float(self._spectrum.values[-1])
        return 2.0 * (1.0 + momentum) / scale if scale > 0 else float("inf")

    def predict(
        self, Z: Any = None, t: Any = np.inf, *, cov: Any = False, f0: Any = None, f0_Z: Any = None
    ) -> Any:
        """Return the outputs of trained networks.

        Parameters
        ----------
        Z : array, shape (m, d), optional
            Rows to predict for, may be none (m = 0). Without it, the training rows. There a ridge
            acts as noise that training fits as well, so that ``f_t(X)`` goes to y; the function
            itself, which a ridge keeps from y, is had by passing X as Z.
        t : number or array of any shape, default infinity
            Times, >= 0, in units of steps: with gradient flow `t` and `learning_rate` count through
            their product, gradient descent takes whole numbers. Infinity, or None, is the end.
        cov : bool or "diag", default False
            Whether to return covariances too, or variances with "diag".
        f0 : callable or array of the shape of y, optional
            Initial function. Without it, networks with random weights: the mean of all of them,
            which starts at 0, and their covariance. A callable takes rows; an array has its values
            at the training rows, or is one number.
        f0_Z : array of shape (m, ...), optional
            Values of `f0` at Z, where `f0` is an array.

        Returns
        -------
        mean : array of shape ``t.shape + (m,) + y.shape[1:]``
            Where `cov` is False. Same kind of array and dtype as kernels of Z with X have.
        Gaussian
            Otherwise: ``(mean, covariance)``.

        Raises
        ------
        SingularKernelError
            If t is so late that directions without an eigenvalue matter, such as the difference
            of two equal rows without a ridge; the message names rows and a ridge. Not with
            ``singular="limit"``.
        MemoryBudgetError
            If the result and what it takes would not fit in memory, before anything is computed.
        TypeError, ValueError
            If an argument has the wrong shape or type, or is not finite.
        """
        source = self._source
        if Z is None:
            if f0_Z is not None:
                raise ValueError("f0_Z needs Z, the rows at which it has the initial function")
            start = source.given if isinstance(source, NetSource) else None
            return self._predict(None, t, cov, called(f0, start, self._targets), None)
        if not isinstance(source, NetSource):
            raise ValueError(
                "Z needs a network: a training from kernels predicts with predict_from_kernels"
            )
        if callable(f0):
            if f0_Z is not None:
                raise ValueError("f0_Z must be None where f0 is a function, which is called at Z")
            f0, f0_Z = (called(f0, rows, self._targets) for rows in (source.given, Z))
        return self._predict(source.rows(Z), t, cov, f0, f0_Z)

    def predict_from_kernels(
        self,
        k_test_train: Any,
        t: Any = np.inf,
        *,
        k_test_test: Any = None,
        f0: Any = None,
        f0_Z: Any = None,
    ) -> Any:
        """Return the outputs of trained networks at rows known through their kernels.

        Parameters
        ----------
        k_test_train : array of shape (m, n), or Kernels
            Kernel of the rows to predict for with the training rows; covariances of networks
            trained in all layers need both kernels.
        t, f0, f0_Z
            As in `predict`; `f0` is an array here.
        k_test_test : array of shape (m, m) or (m,), optional
            NNGP kernel of the rows to predict for (for kind="ntkgp", the NTK), or its diagonal:
            asks for covariances, or for variances.

        Returns
        -------
        array or Gaussian
            As in `predict`.

        Raises
        ------
        SingularKernelError, MemoryBudgetError, TypeError, ValueError
            As in `predict`.
        """
        rows = ArrayRows.of(
            self._spectrum.n,
            k_test_train,
            self._settings.kernel,
            k_test_test,
            self._settings.initial,
        )
        cov: Any = False
        if rows.prior_kernel is not None:
            cov = "diag" if rows.prior_kernel.ndim == 1 else True
        return self._predict(rows, t, cov, f0, f0_Z)

    def _turned_prior(self) -> FloatArray:
        """Return the initial functions' kernel of the training rows in the eigenbasis."""
        if self._prior is None:
            prior = self._source.train(self._settings.initial)
            self._prior = turned(prior, self._spectrum.vectors)
        return self._prior

    def _predict(self, rows: Rows | None, t: Any, cov: Any, f0: Any, f0_Z: Any) -> Any:
        if not (isinstance(cov, (bool, np.bool_)) or (isinstance(cov, str) and cov == "diag")):
            raise ValueError(f"cov must be True, False or 'diag', {got(cov)}")
        if f0 is not None and cov is not False:
            raise ValueError("cov must be False where f0 is given: one function has no covariance")
        if rows is not None and (f0 is None) != (f0_Z is None):
            raise ValueError("f0 and f0_Z go together: the initial function at X and at Z")
        when = times(t, self._descends)
        targets, n = self._targets, self._spectrum.n
        moments = [float(v) for v in when.ravel()]
        start = targets.start(0.0 if f0 is None else f0, n, "f0")
        kernel, initial = self._settings.kernel, self._settings.initial
        ensemble = Ensemble(
            self._source, kernel, initial, self._spectrum, self._law, moments, self._turned_prior
        )
        wrap = self._source.wrap if rows is None else rows.wrap
        covariance = None
        if cov is not False:
            diagonal = isinstance(cov, str)
            covariance = (
                ensemble.train_covariance(diagonal)
                if rows is None
                else ensemble.covariance(rows, diagonal)
            )
            covariance = wrap(covariance.reshape(when.shape + covariance.shape[1:]))
        if rows is None:
            mean = ensemble.train_mean(start, targets.columns - start)
        else:
            start_Z = targets.start(0.0 if f0_Z is None else f0_Z, rows.count, "f0_Z")
            mean = ensemble.mean(rows, start_Z, targets.columns - start)
        mean = wrap(targets.restore(mean, when.shape))
        return mean if cov is False else Gaussian(mean, covariance)
