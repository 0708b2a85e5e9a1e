"""The recursion of Arora et al. 2019, plainly in NumPy: right, and as it is misprinted at times."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["textbook_ntk"]

Array = NDArray[np.float64]


def textbook_ntk(x: Array, depth: int, phi: str, *, misprinted: bool = False) -> Array:
    """Return the NTK ``sum_h K^(h-1) prod_(h' = h..L) D^(h')``.

    K are the covariances of the layers and D those of the derivatives, ``W_std^2 E[phi' phi']``.
    With K in place of D, as a lost dot makes of the formula, it is another kernel. ReLU on rows of
    unit norm hides that on the diagonal, where both are 1.

    Parameters
    ----------
    x : array, shape (n, d)
    depth : int
        Hidden layers L.
    phi : {"relu", "erf"}
        Of ``ntkfast.models.arora(depth)`` or ``ntkfast.mlp(depth, "erf")``.
    misprinted : bool, default False
        Write K for D.

    Returns
    -------
    array, shape (n, n)
    """
    relu = phi == "relu"
    hidden, readout = (2.0, 2.0) if relu else (np.pi / 4, 1.0)  # W_std squared
    K: Array = x @ x.T if relu else hidden * (x @ x.T) / x.shape[1]
    T = K
    for layer in range(1, depth + 1):
        values, slopes = _relu(K) if relu else _erf(K)
        W2 = readout if layer == depth else hidden
        K = W2 * values
        T = K + T * (K if misprinted else W2 * slopes)
    return T


def _relu(K: Array) -> tuple[Array, Array]:
    """Return E[phi(u) phi(v)] and E[phi'(u) phi'(v)] at covariances K."""
    norms = np.sqrt(np.diag(K))
    scale = np.outer(norms, norms)
    rho = np.clip(K / scale, -1, 1)
    angle = np.arccos(rho)
    values: Array = scale * (np.sin(angle) + (np.pi - angle) * rho) / (2 * np.pi)
    return values, (np.pi - angle) / (2 * np.pi)


def _erf(K: Array) -> tuple[Array, Array]:
    q = 1 + 2 * np.diag(K)
    norms = np.outer(q, q)
    values: Array = 2 / np.pi * np.arcsin(2 * K / np.sqrt(norms))
    return values, 4 / np.pi / np.sqrt(norms - 4 * K**2)
