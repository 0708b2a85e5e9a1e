"""What one block of layers does to the variance of a signal and to the correlation of two."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._composition import serial
from .._gram import kernels_of
from .._validate import finite_number, got
from .._variants import all_fixed
from ..errors import ArchitectureError, KernelOverflowError
from ..layers import Activation, Dense, Layer
from ..layers.branches import leaves
from ..models import activation_layer
from ..network import Network
from .panels import Panels

FloatArray: TypeAlias = NDArray[np.float64]

SMALLEST, LARGEST = 1e-280, 1e280
"""Variances beyond these count as 0 and infinity."""


@dataclass(frozen=True)
class Propagation:
    """One block of a deep network, ``W_std**2 E[phi phi] + b_std**2`` for an activation phi.

    Attributes
    ----------
    layers : tuple of Layer
        The block, every layer fixed.
    weight, bias : float
        Squares of ``W_std`` and ``b_std`` of the Dense layer behind it; 1 and 0 for a network,
        which has its own.
    """

    layers: tuple[Layer, ...]
    weight: float
    bias: float

    @property
    def far(self) -> float:
        """A variance that stands for infinity: the maps are at their limits to 1e-12 and better."""
        return 1e100 if _panels(self.layers) is None else 1e24  # tables grow with log q

    def moments(self, q: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return E[phi^2] and E[phi'^2] for variances q, infinite where float64 ends."""
        flat = np.asarray(q, dtype=np.float64).ravel()
        panels = _panels(self.layers)
        if panels is None or (flat < SMALLEST).any():
            second, slope = _moments(self.layers, flat)
        else:
            second, slope = panels(flat)
        return second.reshape(np.shape(q)), slope.reshape(np.shape(q))

    def second_moment(self, q: FloatArray) -> FloatArray:
        """Return E[phi^2]."""
        return self.moments(q)[0]

    def variance(self, q: ArrayLike) -> FloatArray:
        """Return V(q), the variance behind the block."""
        return self.weight * self.moments(q)[0] + self.bias

    def pair(self, q: float, deficit: float) -> tuple[float, float]:
        """Return the covariance behind the block, and chi, at correlation ``1 - deficit``.

        The T of a trained layer is its own K, which vanishes for orthogonal signals and so would
        hide chi there. With a layer of bias ``b**2 = q/4`` on top of one without, the T of training
        the one and of training the other differ by ``b**2`` whatever the correlation.
        """
        offset = q / 4
        size, turned = math.sqrt(q - offset), deficit * q / (q - offset)
        rows = np.array([[1.0, 0.0], [1.0 - turned, math.sqrt(max(0.0, turned * (2 - turned)))]])
        nets = [
            serial(
                Dense("sqrt_dim", trainable=not upper),
                Dense(b_std=math.sqrt(offset), trainable=upper),
                *self.layers,
            )
            for upper in (True, False)
        ]
        upper, lower = kernels_of(nets, size * rows[:1], size * rows[1:], threads=1)
        chi = self.weight * float(upper.ntk[0, 0] - lower.ntk[0, 0]) / offset
        return self.weight * float(upper.nngp[0, 0]) + self.bias, chi


def _moments(layers: tuple[Layer, ...], q: FloatArray) -> FloatArray:
    try:
        both = serial(Dense(), *layers).diag(np.sqrt(q)[:, None], "both")
    except KernelOverflowError:
        if len(q) == 1:
            return np.full((2, 1), np.inf)
        return np.hstack([_moments(layers, part) for part in np.array_split(q, 2)])
    with np.errstate(invalid="ignore"):  # q = 0: no slope
        return np.array([both.nngp, both.ntk / q])


@lru_cache(maxsize=64)
def _panels(layers: tuple[Layer, ...]) -> Panels | None:
    """Return the interpolated moments of layers that are computed from tables, None for others."""
    if not any(hasattr(layer, "parts") for layer in leaves(layers)):
        return None
    return Panels(lambda q: _moments(layers, np.array([q]))[:, 0], 2)


def propagation(
    net: Activation | str | Network, W_std: float | None, b_std: float | None
) -> Propagation:
    """Return the block that an activation with its ``W_std`` and ``b_std``, or a network, means."""
    if isinstance(net, Network):
        if W_std is not None or b_std is not None:
            raise TypeError("W_std and b_std go with an activation: a network has its own")
        return Propagation(_period(net), 1.0, 0.0)
    phi = activation_layer(net, "net")
    if W_std is None:
        raise TypeError(f"W_std is required beside an activation, {got(W_std)}")
    weight = finite_number("W_std", W_std, minimum=0) ** 2
    bias = 0.0 if b_std is None else finite_number("b_std", b_std, minimum=0) ** 2
    return Propagation((phi,), weight, bias)


def alone(phi: Activation | str) -> Propagation:
    """Return the activation without weights."""
    return Propagation((activation_layer(phi, "activation"),), 1.0, 0.0)


def _period(net: Network) -> tuple[Layer, ...]:
    """Return the block that the network repeats, turned so that it starts behind a Dense layer."""
    layers = all_fixed(net.layers)
    if isinstance(layers[0], Dense):
        if len(layers) > 1 and isinstance(layers[-1], Dense):
            layers = layers[:-1]  # the readout
        size = next(p for p in range(1, len(layers) + 1) if _repeats(layers, p))
        block = layers[:size]
        if block[0].W_std == "sqrt_dim":  # type: ignore[attr-defined]
            raise ArchitectureError(
                'W_std="sqrt_dim" reads the width of the data: give one block with a number'
            )
        # The variance that is followed is the one in front of the activation.
        lead = next((k for k, each in enumerate(block) if not isinstance(each, Dense)), len(block))
        return block[lead:] + block[:lead]
    return layers


def _repeats(layers: tuple[Layer, ...], period: int) -> bool:
    return len(layers) % period == 0 and layers == layers[:period] * (len(layers) // period)


def log_derivative(f: Callable[[FloatArray], FloatArray], q: float) -> float:
    """Return ``q f'(q)`` by central differences of order 8 in log q.

    The maps of variances are averages over a Gaussian of width sqrt(q): analytic, on a scale of one
    in log q. The step leaves 1e-13 of truncation, and 1e-14 times ten of rounding.
    """
    step, weights = 0.05, np.array([4 / 5, -1 / 5, 4 / 105, -1 / 280])
    shifts = step * np.arange(1, 5)
    rising, falling = f(q * np.exp(shifts)), f(q * np.exp(-shifts))
    return float(weights @ (rising - falling)) / step


def variance_map(
    net: Activation | str | Network,
    q: ArrayLike,
    W_std: float | None = None,
    b_std: float | None = None,
) -> FloatArray:
    """Return ``V(q) = W_std**2 E[phi(u)**2] + b_std**2`` for u ~ N(0, q) (Poole et al. 2016).

    Parameters
    ----------
    net : Activation, str or Network
        As for `fixed_point`.
    q : array_like
        Variances >= 0 in front of the activation, of any shape.
    W_std, b_std : float, optional
        As for `fixed_point`.

    Returns
    -------
    ndarray, same shape as q
        The variances one layer on; infinite beyond the range of float64.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.

    Examples
    --------
    >>> import ntkfast as nk
    >>> nk.phase.variance_map("relu", [1.0, 2.0], W_std=2**0.5, b_std=0.5).round(12)
    array([1.25, 2.25])
    """
    return propagation(net, W_std, b_std).variance(_variances(q))


def correlation_map(
    net: Activation | str | Network,
    c: ArrayLike,
    W_std: float | None = None,
    b_std: float | None = None,
    *,
    q: float,
) -> FloatArray:
    """Return the correlation one layer on, of two signals of variance q and correlation c.

    Parameters
    ----------
    net : Activation, str or Network
        As for `fixed_point`.
    c : array_like
        Correlations from 0 to 1, of any shape.
    W_std, b_std : float, optional
        As for `fixed_point`.
    q : float
        Variance > 0 of both signals in front of the activation.

    Returns
    -------
    ndarray, same shape as c

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.

    Examples
    --------
    >>> import ntkfast as nk
    >>> nk.phase.correlation_map("relu", [0.0, 1.0], W_std=2**0.5, q=1.0).round(6)
    array([0.31831, 1.     ])
    """
    block = propagation(net, W_std, b_std)
    correlations = np.asarray(c, dtype=np.float64)
    if not ((correlations >= 0) & (correlations <= 1)).all():
        raise ValueError(f"c must be correlations from 0 to 1, {got(c)}")
    variance = float(_variances(q))
    if variance == 0:
        raise ValueError("q must be > 0: a signal of variance 0 has no correlation")
    behind = float(block.variance(variance))
    flat = [block.pair(variance, 1.0 - each)[0] / behind for each in correlations.ravel()]
    return np.array(flat).reshape(correlations.shape)


def _variances(q: Any) -> FloatArray:
    variances = np.asarray(q, dtype=np.float64)
    if not (np.isfinite(variances) & (variances >= 0)).all():
        raise ValueError(f"q must be finite variances >= 0, {got(q)}")
    return variances
