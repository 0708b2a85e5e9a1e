"""How the condition number of the NTK changes with depth, beside the theory."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._validate import got, whole_number
from ..layers import Activation
from ..models import activation_layer, mlp
from ..network import Network
from .fixed_points import FixedPoint, fixed_point
from .propagation import FloatArray, propagation


@dataclass(frozen=True)
class Conditioning:
    """Condition numbers of the NTK of m rows at several depths.

    Attributes
    ----------
    depths : ndarray of int, shape (k,)
        Numbers of hidden layers.
    measured : ndarray, shape (k,)
        Largest over smallest eigenvalue; infinite where the smallest is lost in rounding.
    predicted : ndarray, shape (k,)
        ``(p + (m-1) r)/(p - r)`` of the kernel whose diagonal is p and all else r, those of a pair
        of the rows' mean size and correlation (Xiao et al. 2020).
    limit : float
        What theory says for infinite depth: infinity in the ordered phase, 1 in the chaotic; at
        criticality ``(m+2)/2`` if the activation is smooth, ``(m+3)/3`` if it has a kink.
    fixed_point : FixedPoint
        Where the signals go.
    """

    depths: Any
    measured: FloatArray
    predicted: FloatArray
    limit: float
    fixed_point: FixedPoint

    def __str__(self) -> str:
        lines = [f"{self.fixed_point.phase}, chi_1 = {self.fixed_point.chi_1:.4g}; limit "
                 f"{self.limit:.4g}", "depth   measured  predicted"]  # fmt: skip
        rows = zip(self.depths, self.measured, self.predicted, strict=True)
        return "\n".join(lines + [f"{d:5d} {a:10.4g} {b:10.4g}" for d, a, b in rows])


def ntk_conditioning(
    activation: Activation | str,
    W_std: float,
    b_std: float | None = None,
    *,
    X: Any = None,
    depths: Iterable[int] = (1, 2, 3, 5, 8, 12, 20, 30, 50),
    rows: int = 16,
    seed: int = 0,
    threads: int | None = None,
) -> Conditioning:
    """Return the condition number of the NTK against depth, with what theory predicts.

    Gradient descent needs a number of steps proportional to it, so a network of that depth can be
    trained only where it stays small.

    Parameters
    ----------
    activation : Activation or str
        A layer, or its name in any case.
    W_std : float
        Standard deviation of the weights of all layers, the readout included.
    b_std : float, optional
        Standard deviation of the biases; none by default.
    X : array, shape (m, d), optional
        Rows. By default random ones, of the size at which the variance is at its fixed point from
        the first layer on.
    depths : iterable of int
        Numbers of hidden layers; all of them are computed in one pass.
    rows : int, default 16
        Number of random rows.
    seed : int, default 0
        Of the random rows.
    threads : int, optional
        Number of threads.

    Returns
    -------
    Conditioning

    Raises
    ------
    TypeError, ValueError, KernelOverflowError
        As `fixed_point` and `Network.ntk` say.

    References
    ----------
    L. Xiao et al., "Disentangling trainability and generalization in deep neural networks",
    ICML 2020.

    Examples
    --------
    >>> import ntkfast as nk
    >>> found = nk.phase.ntk_conditioning("relu", 2**0.5, depths=[1, 1000], rows=6)
    >>> found.limit, bool(abs(found.measured[1] - 3) < 0.1)
    (3.0, True)
    """
    phi = activation_layer(activation, "activation")
    wanted = sorted({whole_number("each of depths", depth, minimum=1) for depth in depths})
    if not wanted:
        raise ValueError("depths must hold at least one number")
    point = fixed_point(phi, W_std, b_std)
    net = mlp(wanted[-1], phi, W_std=W_std, b_std=b_std, readout_W_std=W_std)
    data = _random_rows(point, W_std, b_std, rows, seed) if X is None else X
    measured = _over_depths(net, data, wanted, threads)
    m = len(data)
    if m < 2:
        raise ValueError(f"X must have at least two rows, {got(m)}")
    pair = _typical_pair(np.asarray(data, dtype=np.float64))
    spectra = [np.linalg.eigvalsh(kernel) for kernel in measured]
    predicted = [
        _ratio(p + (m - 1) * r, p - r)
        for (p, r) in (kernel[0] for kernel in _over_depths(net, pair, wanted, threads))
    ]
    return Conditioning(
        np.array(wanted),
        np.array([_ratio(values[-1], values[0]) for values in spectra]),
        np.array(predicted),
        _limit(phi, W_std, b_std, point, m),
        point,
    )


def _over_depths(net: Network, X: Any, depths: list[int], threads: int | None) -> list[FloatArray]:
    sweep = net.depth_sweep(X, depths=depths, kind="ntk", threads=threads)
    return [np.asarray(kernel, dtype=np.float64) for kernel in sweep.values()]


def _random_rows(
    point: FixedPoint, W_std: float, b_std: float | None, rows: int, seed: int
) -> FloatArray:
    columns = 64
    X = np.random.default_rng(seed).standard_normal(
        (whole_number("rows", rows, minimum=2), columns)
    )
    own = point.q - (b_std or 0.0) ** 2
    size = own / W_std**2 if 0 < point.q < math.inf and own > 0 else 1.0
    return np.asarray(X * math.sqrt(columns * size) / np.linalg.norm(X, axis=1)[:, None])


def _typical_pair(X: FloatArray) -> FloatArray:
    """Return two rows of the mean square size and the mean correlation of all pairs."""
    squares = np.mean(X * X, axis=1)
    unit = X / np.sqrt(np.where(squares > 0, squares, 1.0))[:, None]
    total = np.sum(unit.mean(axis=0) ** 2) * len(X) ** 2 / X.shape[1]
    c = float(np.clip((total - len(X)) / (len(X) * (len(X) - 1)), -1, 1))
    return math.sqrt(2 * squares.mean()) * np.array([[1.0, 0.0], [c, math.sqrt(1 - c * c)]])


def _ratio(largest: float, smallest: float) -> float:
    # Eigenvalues are known to the precision of the largest one.
    return float(largest / smallest) if smallest > 1e-15 * largest else math.inf


def _limit(phi: Activation, W_std: float, b_std: float | None, point: FixedPoint, m: int) -> float:
    if point.phase == "ordered":
        return math.inf
    if point.phase == "chaotic":
        return 1.0
    if point.phase == "unbounded" or not 0 < point.q:
        return math.nan
    # With chi = 1 - k (1 - c)^a near one, deficits fall like 1/(k a l)^(1/a) and the NTK has off
    # the diagonal the part a/(1 + 2 a) of it: 1/3 for smooth activations (a = 1), 1/4 for kinks.
    block = propagation(phi, W_std, b_std)
    losses = [1 - block.pair(point.q, deficit)[1] for deficit in (1e-3, 1e-5)]
    if min(losses) <= 0:  # linear: correlations stay
        return math.nan
    exponent = round(math.log10(losses[0] / losses[1])) / 2  # kinks: 1/2
    return (1 + exponent + m * exponent) / (1 + exponent)
