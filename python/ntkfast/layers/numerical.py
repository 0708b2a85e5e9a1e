"""Activations without closed form, computed from tables that are fitted to the rows they meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._dual_tables import Parts, TableBuilder, split
from .._validate import got
from .base import Activation

if TYPE_CHECKING:
    from .._core import Builder
    from .._dual_tables.parts import Vector

__all__ = ["Elementwise", "Elu", "Selu", "Sigmoid", "Silu", "Softplus", "Tanh"]


class Numerical(Activation):
    """Base of the activations that are given by their function alone."""

    def parts(self) -> Parts:
        """Return the function, split by parity."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its function is")

    def phi(self, x: NDArray[Any]) -> NDArray[Any]:
        parts, r = self.parts(), np.abs(x)
        value = np.full_like(x, parts.at_zero)
        if parts.odd is not None:
            value += np.sign(x) * parts.odd(r)
        if parts.even is not None:
            value += parts.even(r)
        return value

    def slope(self, x: NDArray[Any]) -> NDArray[Any]:
        parts, r = self.parts(), np.abs(x)
        value = np.zeros_like(x)
        if parts.odd_slope is not None:
            value += parts.odd_slope(r)
        if parts.even_slope is not None:
            value += np.sign(x) * parts.even_slope(r)
        return value

    def lower(self, builder: Builder, value: int, width: int) -> int:
        assert isinstance(builder, TableBuilder)
        return builder.tabulated(self, value)


def _sech2(x: Vector) -> Vector:
    return np.asarray(1 - np.tanh(x) ** 2)


def _log_cosh(x: Vector) -> Vector:
    """log(cosh(x)) for x >= 0, with its relative accuracy."""
    near = np.log1p(2 * np.sinh(np.minimum(x, 1.0) / 2) ** 2)
    far = x - np.log(2) + np.log1p(np.exp(-2 * x))
    return np.asarray(np.where(x < 1, near, far))


@dataclass(frozen=True, repr=False)
class Tanh(Numerical):
    """phi(x) = tanh(x).

    Examples
    --------
    >>> import ntkfast as nk
    >>> nk.mlp(2, nk.Tanh(), W_std=1.0).ntk([[1.0, 1.0]]).round(6)
    array([[0.78305]])
    """

    def parts(self) -> Parts:  # noqa: D102
        return Parts(0.0, np.tanh, None, _sech2, None)

    def _mean_squared_slope(self) -> float:
        return 1.0


@dataclass(frozen=True, repr=False)
class Sigmoid(Numerical):
    """phi(x) = 1 / (1 + exp(-x)).

    Examples
    --------
    >>> import ntkfast as nk
    >>> nk.serial(nk.Dense(), nk.Sigmoid()).nngp([[0.0]])
    array([[0.25]])
    """

    def parts(self) -> Parts:  # noqa: D102
        return Parts(
            0.5, lambda x: 0.5 * np.tanh(x / 2), None, lambda x: 0.25 * _sech2(x / 2), None
        )

    def _mean_squared_slope(self) -> float:
        return 1 / 16


@dataclass(frozen=True, repr=False)
class Softplus(Numerical):
    """phi(x) = log(1 + exp(x)).

    Examples
    --------
    >>> from ntkfast import Softplus
    >>> Softplus()
    Softplus()
    """

    def parts(self) -> Parts:  # noqa: D102
        return Parts(
            float(np.log(2)),
            lambda x: 0.5 * x,
            lambda x: _log_cosh(x / 2),
            lambda x: np.full_like(x, 0.5),
            lambda x: 0.5 * np.tanh(x / 2),
        )

    def _mean_squared_slope(self) -> float:
        return 1 / 4


@dataclass(frozen=True, repr=False)
class Silu(Numerical):
    """phi(x) = x / (1 + exp(-x)), also called swish.

    Examples
    --------
    >>> from ntkfast import Silu
    >>> Silu()
    Silu()
    """

    def parts(self) -> Parts:  # noqa: D102
        return Parts(
            0.0,
            lambda x: 0.5 * x,
            lambda x: 0.5 * x * np.tanh(x / 2),
            lambda x: np.full_like(x, 0.5),
            lambda x: 0.5 * np.tanh(x / 2) + 0.25 * x * _sech2(x / 2),
        )

    def _mean_squared_slope(self) -> float:
        return 1 / 4


def _elu(alpha: float, scale: float) -> Parts:
    """Return the parts of scale (x for x > 0, alpha (exp(x) - 1) for x < 0)."""
    half = 0.5 * scale
    return Parts(
        0.0,
        lambda x: half * (x - alpha * np.expm1(-x)),
        lambda x: half * (x + alpha * np.expm1(-x)),
        lambda x: half * (1 + alpha * np.exp(-x)),
        lambda x: half * (1 - alpha * np.exp(-x)),
    )


@dataclass(frozen=True, repr=False)
class Elu(Numerical):
    """phi(x) = x for x > 0, alpha (exp(x) - 1) for x < 0 (Clevert et al. 2015).

    Parameters
    ----------
    alpha : float, default 1.0
        Minus the limit at -infinity, any finite number.

    Examples
    --------
    >>> from ntkfast import Elu
    >>> Elu(0.5)
    Elu(alpha=0.5)
    """

    alpha: float = 1.0

    def parts(self) -> Parts:  # noqa: D102
        return _elu(self.alpha, 1.0)

    def _mean_squared_slope(self) -> float:
        return (1 + self.alpha**2) / 2


@dataclass(frozen=True, repr=False)
class Selu(Numerical):
    """phi(x) = 1.0507 (x for x > 0, 1.6733 (exp(x) - 1) for x < 0) (Klambauer et al. 2017).

    Examples
    --------
    >>> from ntkfast import Selu
    >>> Selu()
    Selu()
    """

    def parts(self) -> Parts:  # noqa: D102
        return _elu(1.6732632423543772, 1.0507009873554805)

    def _mean_squared_slope(self) -> float:
        return 1.0507009873554805**2 * (1 + 1.6732632423543772**2) / 2


@dataclass(frozen=True, repr=False)
class Elementwise(Numerical):
    """phi(x) = fn(x) for any continuous function.

    Parameters
    ----------
    fn : callable
        Takes a float64 array and returns one of the same shape; finite for finite arguments.
    derivative : callable, optional
        phi', in the same manner. The kernels do not need it; the error of the NTK is then bounded
        by it rather than estimated from the decay of the series.

    Notes
    -----
    Equal and hashed by the identity of its functions; it pickles where they do. A file cannot hold
    it: `Network.to_dict` refuses it.

    Examples
    --------
    >>> import numpy as np
    >>> import ntkfast as nk
    >>> net = nk.serial(nk.Dense(), nk.Elementwise(np.arctan), nk.Dense())
    >>> net.nngp([[1.0, 2.0]]).round(6)
    array([[0.708235]])
    """

    fn: Callable[[Any], Any]
    derivative: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        if not callable(self.fn):
            raise TypeError(f"Elementwise(fn=...) must be callable, {got(self.fn)}")
        if self.derivative is not None and not callable(self.derivative):
            raise TypeError(
                f"Elementwise(derivative=...) must be callable or None, {got(self.derivative)}"
            )
        parts = self.parts()  # a function of another shape, or not finite, fails here
        if parts.at_zero == 0 and parts.odd is None and parts.even is None:
            raise ValueError("Elementwise(fn=...) must not be zero everywhere: it has no kernel")

    def phi(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.asarray(self.fn(x), x.dtype)

    def slope(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        if self.derivative is None:
            raise NotImplementedError(f"{self!r} has no derivative: give derivative=...")
        return np.asarray(self.derivative(x), x.dtype)

    def parts(self) -> Parts:  # noqa: D102
        derivative = self.derivative
        return split(
            _checked("fn", self.fn),
            None if derivative is None else _checked("derivative", derivative),
        )

    def _mean_squared_slope(self) -> float:
        step = 1e-5  # phi'(0)^2, to the square of the step
        values = np.asarray(self.fn(np.array([-step, step])), dtype=float)
        return float((values[1] - values[0]) / (2 * step)) ** 2


def _checked(name: str, fn: Callable[[Any], Any]) -> Callable[[Vector], Vector]:
    def call(x: Vector) -> Vector:
        values = np.asarray(fn(x))
        where = f"Elementwise({name}=...)"
        if values.shape != x.shape:
            raise ValueError(
                f"{where} must return an array of the shape of its argument, {x.shape}, "
                f"got {values.shape}: it is called with NumPy arrays, see np.vectorize"
            )
        if values.dtype.kind not in "fiub":
            raise TypeError(f"{where} must return real numbers, got dtype {values.dtype}")
        values = values.astype(float)
        if not np.isfinite(values).all():
            at = float(x[~np.isfinite(values)].ravel()[0])
            raise ValueError(f"{where} must be finite, got {fn(np.array([at]))} at x = {at:.6g}")
        return values

    return call
