"""Fixed points of the variance and of the correlation, and how fast they are reached."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from .._validate import finite_number, got
from ..errors import KernelOverflowError
from ..layers import Activation
from ..network import Network
from .propagation import (
    LARGEST,
    SMALLEST,
    FloatArray,
    Propagation,
    log_derivative,
    propagation,
)

IndexArray: TypeAlias = NDArray[np.integer[Any]]

NEUTRAL = 1e-11
"""Relative change below which a map counts as the identity: the error budget of a kernel."""

_SMALL = math.log(1e-30)  # the scale of an activation itself is larger
_AT_CRITICALITY = 1e-9  # chi closer to one than this is called critical


@dataclass(frozen=True)
class FixedPoint:
    """Where signals of a deep network end, and how fast they get there.

    Attributes
    ----------
    q : float
        Variance in front of the activation. 0: signals die. Infinity: they grow for ever.
    q_slope : float
        Slope ``V'(q)`` of the map of variances there: below one in size, q is stable; one, every
        nearby variance is kept or left more slowly than by any exponential.
    chi_1 : float
        ``W_std**2 E[phi'(u)**2]``: what a layer multiplies small squared distances by.
    c : float
        Correlation that all pairs of inputs go to; NaN where every correlation is kept.
    c_slope : float
        Slope of the map of correlations there, ``W_std**2 E[phi'(u) phi'(v)]``.

    Examples
    --------
    >>> import ntkfast as nk
    >>> print(nk.phase.fixed_point("erf", W_std=0.8, b_std=0.3))
    ordered: q = 0.214, chi_1 = 0.5981, c = 1, depth scales xi_q = 1.15, xi_c = 1.95
    """

    q: float
    q_slope: float
    chi_1: float
    c: float
    c_slope: float

    @property
    def phase(self) -> str:
        """One of "ordered", "critical", "chaotic" and, where q is infinite, "unbounded"."""
        if math.isinf(self.q):
            return "unbounded"
        if abs(self.chi_1 - 1) <= _AT_CRITICALITY:
            return "critical"
        return "ordered" if self.chi_1 < 1 else "chaotic"

    @property
    def stable(self) -> bool:
        """Whether variances close to q go to it exponentially fast."""
        return math.isfinite(self.q) and abs(self.q_slope) < 1 - _AT_CRITICALITY

    @property
    def xi_q(self) -> float:
        """Depth scale of the variance: ``|q_l - q| ~ exp(-l/xi_q)``; infinite if not at all so."""
        return depth_scale(self.q_slope)

    @property
    def xi_c(self) -> float:
        """Depth scale of the correlation: ``|c_l - c| ~ exp(-l/xi_c)``; infinite at criticality."""
        return depth_scale(self.c_slope)

    def __str__(self) -> str:
        return (
            f"{self.phase}: q = {self.q:.4g}, chi_1 = {self.chi_1:.4g}, c = {self.c:.4g}, "
            f"depth scales xi_q = {self.xi_q:.3g}, xi_c = {self.xi_c:.3g}"
        )


def depth_scale(slope: float) -> float:
    """Return the number of layers in which a distance falls to 1/e."""
    size = abs(slope)
    if math.isnan(size):
        return math.nan
    if size >= 1 - _AT_CRITICALITY:
        return math.inf
    return -1 / math.log(size) if size > 0 else 0.0


def fixed_point(
    net: Activation | str | Network,
    W_std: float | None = None,
    b_std: float | None = None,
    *,
    q0: float = 1.0,
) -> FixedPoint:
    """Return where signals go in a network that repeats a layer for ever.

    Parameters
    ----------
    net : Activation, str or Network
        An activation, or its name in any case, with ``W_std`` and ``b_std`` of the Dense layers
        between; or a network: what it repeats is taken, such as (Dense, Relu) of ``nk.mlp(3,
        W_std=1.5)``, whose readout does not count, or a block of several layers.
    W_std : float, optional
        Standard deviation of the weights; required with an activation.
    b_std : float, optional
        Standard deviation of the biases; none by default.
    q0 : float, default 1.0
        Variance > 0 to start from. The fixed point is the first one on the way that the map of
        variances points to from there. It matters where there are several, and for activations
        such as Relu at ``W_std**2 = 2``, where every variance is kept.

    Returns
    -------
    FixedPoint
        With ``q = 0`` or infinity where signals die or grow without limit; the correlation is then
        the one approached on the way, where there is one.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.
    ArchitectureError
        If what the network repeats cannot follow itself.

    References
    ----------
    B. Poole et al., "Exponential expressivity in deep neural networks through transient chaos",
    NeurIPS 2016. S. Schoenholz et al., "Deep information propagation", ICLR 2017.

    Examples
    --------
    >>> import ntkfast as nk
    >>> nk.phase.fixed_point(nk.Relu(), W_std=1.0, b_std=1.0).q
    2.0
    >>> nk.phase.fixed_point(nk.mlp(3, "relu", W_std=1.5)).phase
    'unbounded'
    """
    block = propagation(net, W_std, b_std)
    start = _start(q0)
    q = float(flow(block.second_moment, block.weight, block.bias, start))
    # A limit is approached from within: there the maps have their asymptotic form.
    at = 1e-100 if q == 0 else block.far if math.isinf(q) else q
    try:
        return _describe(block, q, at)
    except KernelOverflowError:
        return FixedPoint(q, math.inf, math.inf, math.nan, math.nan)


def chi_1(
    net: Activation | str | Network,
    W_std: float | None = None,
    b_std: float | None = None,
    *,
    q0: float = 1.0,
) -> float:
    """Return ``chi_1 = W_std**2 E[phi'(u)**2]`` at the fixed point of the variance.

    Below one the network is ordered, at one critical, above one chaotic.

    Parameters
    ----------
    net, W_std, b_std, q0
        As for `fixed_point`.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.

    Examples
    --------
    >>> import ntkfast as nk
    >>> round(nk.phase.chi_1("relu", W_std=1.0, b_std=0.3), 12)
    0.5
    """
    return fixed_point(net, W_std, b_std, q0=q0).chi_1


def flow(
    second_moment: Callable[[FloatArray], FloatArray],
    weight: ArrayLike,
    bias: ArrayLike,
    start: ArrayLike,
) -> FloatArray:
    """Return where ``V(q) = weight m(q) + bias`` sends variances, all arguments broadcast.

    From the start it walks the way that V points, in growing steps of log q, to the first place
    where V points back, and closes in on it by bisection.
    """
    given = (np.asarray(a, dtype=np.float64) for a in (weight, bias, start))
    w, b, q = (a.ravel() for a in np.broadcast_arrays(*given))
    shape = np.broadcast_shapes(*map(np.shape, (weight, bias, start)))

    def excess(log_q: FloatArray, which: IndexArray) -> FloatArray:
        at = np.exp(log_q)
        growth: FloatArray = (w[which] * second_moment(at) + b[which]) / at - 1
        return growth

    def clear(values: FloatArray) -> FloatArray:
        return np.where(np.abs(values) <= NEUTRAL, 0.0, np.sign(values))

    result, near = q.copy(), np.log(q)  # near: the last point from which V clearly points onward
    far = near.copy()
    last = excess(near, np.arange(len(q)))
    way = clear(last)
    walking = np.flatnonzero(way)
    step, turned = 0.1, [walking[:0]]
    while len(walking):
        ahead = far[walking] + step * way[walking]
        far[walking] = ahead
        now = excess(ahead, walking)
        # Tiny signals that shrink by a constant factor do so for ever.
        settled = (way[walking] < 0) & (ahead < _SMALL) & (b[walking] == 0)
        settled &= np.isclose(now, last[walking], 1e-13, 0)
        last[walking] = now
        here = clear(now) * way[walking]
        near[walking[here > 0]] = ahead[here > 0]
        turned.append(walking[here < 0])
        gone = (here >= 0) & (settled | (np.abs(ahead) >= math.log(LARGEST)))
        result[walking[gone]] = np.where(way[walking[gone]] > 0, np.inf, 0.0)
        walking = walking[(here >= 0) & ~gone]
        step = min(1.25 * step, 5.0)
    found = np.concatenate(turned)
    for _ in range(64):
        middle = (near[found] + far[found]) / 2
        onward = excess(middle, found) * way[found] > 0
        near[found[onward]] = middle[onward]
        far[found[~onward]] = middle[~onward]
    result[found] = np.exp((near[found] + far[found]) / 2)
    return np.asarray(result.reshape(shape))


def _describe(block: Propagation, q: float, at: float) -> FixedPoint:
    behind, chi = block.pair(at, 0.0)
    if not math.isfinite(behind) or not math.isfinite(chi):
        raise KernelOverflowError("the maps at the fixed point are beyond the range of float64")
    growth = float(block.variance(at)) / at  # one, unless signals die or grow
    slope = block.weight * log_derivative(block.second_moment, at) / at
    c = _correlation(block, at, growth * at, chi / growth)
    c_slope = chi / growth
    if not math.isnan(c) and c < 1:
        c_slope = block.pair(at, 1.0 - c)[1] / growth
    return FixedPoint(q, slope, chi, c, c_slope)


def _correlation(block: Propagation, q: float, behind: float, slope: float) -> float:
    """Return the stable fixed point of the map C of correlations, behind variance q.

    C is a power series with coefficients >= 0, so it is convex: it has no fixed point below one if
    its slope at one is at most one, and otherwise exactly one, to which all others are sent.
    """

    def excess(deficit: float) -> float:
        return block.pair(q, deficit)[0] / behind - (1 - deficit)

    kept = abs(excess(0.0)) <= NEUTRAL  # equal signals stay equal; with dropout they do not
    if kept and slope <= 1 + _AT_CRITICALITY:
        identity = abs(excess(0.5)) <= NEUTRAL and abs(excess(1.0)) <= NEUTRAL
        return math.nan if identity else 1.0
    if excess(1.0) <= NEUTRAL:
        return 0.0
    near = 0.0
    if kept:
        depth = 1
        while excess(near := 0.1**depth) >= 0:
            depth += 1
            if depth > 12:  # too close to criticality to be told from it
                return 1.0
    return 1 - float(brentq(excess, near, 1.0, xtol=1e-15, rtol=1e-14))


def _start(q0: float) -> float:
    start = finite_number("q0", q0, minimum=SMALLEST)
    if start > LARGEST:
        raise ValueError(f"q0 must be at most {LARGEST:g}, {got(q0)}")
    return start
