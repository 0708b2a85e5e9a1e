"""The line between order and chaos, and the plane around it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .._validate import got
from ..layers import Activation
from .fixed_points import NEUTRAL, flow
from .propagation import LARGEST, FloatArray, alone

_TINY = 1e-100  # stands for the limit of small signals


class CriticalLine(NamedTuple):
    """Points where signals neither converge nor diverge: chi_1 = 1 at the fixed point.

    Attributes
    ----------
    q : ndarray, shape (k,)
        Variance in front of the activation.
    W_std, b_std : ndarray, shape (k,)
        Standard deviations of weights and biases; NaN where the line has no such point.
    """

    q: FloatArray
    W_std: FloatArray
    b_std: FloatArray


class PhaseDiagram(NamedTuple):
    """Fixed point and expansion over a grid of weights and biases.

    Attributes
    ----------
    W_std : ndarray, shape (k,)
    b_std : ndarray, shape (l,)
    q : ndarray, shape (l, k)
        Fixed point of the variance.
    chi_1 : ndarray, shape (l, k)
        Below one ordered, above chaotic; NaN where it is not finite.
    """

    W_std: FloatArray
    b_std: FloatArray
    q: FloatArray
    chi_1: FloatArray


def critical_line(
    activation: Activation | str, *, b_std: ArrayLike | None = None, q: ArrayLike | None = None
) -> CriticalLine:
    """Return points of the line between order and chaos.

    At variance q, chi_1 = 1 asks for ``W_std**2 = 1/E[phi'**2]``, and q stays what it is with
    ``b_std**2 = q - W_std**2 E[phi**2]``: the line has q as its parameter, and is found from b_std
    by following it upwards from small q.

    Parameters
    ----------
    activation : Activation or str
        A layer, or its name in any case.
    b_std : array_like, shape (k,), optional
        Standard deviations of the biases.
    q : array_like, shape (k,), optional
        Variances, instead of `b_std`.

    Returns
    -------
    CriticalLine

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range, or if not one of `b_std` and `q` is
        given.

    References
    ----------
    S. Schoenholz et al., "Deep information propagation", ICLR 2017.

    Examples
    --------
    >>> import ntkfast as nk
    >>> line = nk.phase.critical_line("erf", b_std=[0.0, 0.1])
    >>> line.W_std.round(4).tolist()
    [0.8862, 1.0556]
    >>> line = nk.phase.critical_line("relu", q=[0.5, 3.0])
    >>> line.W_std.round(4).tolist(), line.b_std.tolist()
    ([1.4142, 1.4142], [0.0, 0.0])
    """
    phi = alone(activation)
    if (b_std is None) == (q is None):
        raise TypeError("critical_line() takes one of b_std and q")
    if b_std is not None:
        bias = _grid("b_std", b_std) ** 2

        def own(at: FloatArray) -> FloatArray:
            second, slope = phi.moments(at)
            with np.errstate(divide="ignore", invalid="ignore"):
                return second / slope

        # q >= b_std^2, and without bias the line may start from signals of no size.
        variance = flow(own, 1.0, bias, np.maximum(bias, _TINY))
        variance[np.isinf(variance)] = np.nan
    else:
        variance = _grid("q", q)
    at = np.where(np.isfinite(variance), np.maximum(variance, _TINY), 1.0)
    second, slope = phi.moments(at)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = 1 / slope
        rest = at - weight * second
    rest[np.abs(rest) <= NEUTRAL * at] = 0.0
    exists = np.isfinite(variance) & np.isfinite(weight) & (rest >= 0)
    variance = np.where(variance <= _TINY * (1 + NEUTRAL), 0.0, variance)
    columns = (variance, np.sqrt(weight), np.sqrt(np.maximum(rest, 0)))
    return CriticalLine(*(np.where(exists, column, np.nan) for column in columns))


def phase_diagram(
    activation: Activation | str, W_std: ArrayLike, b_std: ArrayLike, *, q0: float = 1.0
) -> PhaseDiagram:
    """Return fixed points and chi_1 over a grid.

    Parameters
    ----------
    activation : Activation or str
        A layer, or its name in any case.
    W_std : array_like, shape (k,)
        Standard deviations of the weights.
    b_std : array_like, shape (l,)
        Standard deviations of the biases.
    q0 : float, default 1.0
        Variance to start from, as for `fixed_point`.

    Returns
    -------
    PhaseDiagram

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.

    Examples
    --------
    >>> import ntkfast as nk
    >>> found = nk.phase.phase_diagram("erf", [0.5, 1.0, 2.0], [0.1, 0.2])
    >>> (found.chi_1 > 1).tolist()
    [[False, False, True], [False, False, True]]
    """
    phi = alone(activation)
    weights, biases = _grid("W_std", W_std), _grid("b_std", b_std)
    start = float(_grid("q0", [q0])[0])
    if not start > 0:
        raise ValueError(f"q0 must be > 0, {got(q0)}")
    q = flow(phi.second_moment, weights**2, biases[:, None] ** 2, start)
    slope = phi.moments(np.clip(q, _TINY, 1 / _TINY))[1]
    with np.errstate(invalid="ignore"):
        chi = weights**2 * np.where(np.isfinite(slope), slope, np.nan)
    return PhaseDiagram(weights, biases, q, chi)


def _grid(name: str, values: ArrayLike | None) -> FloatArray:
    try:
        grid = np.atleast_1d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be numbers >= 0, {got(values)}") from error
    if grid.ndim != 1 or not ((grid >= 0) & (grid <= LARGEST**0.5)).all():
        raise ValueError(f"{name} must be one row of finite numbers >= 0, {got(values)}")
    return grid
