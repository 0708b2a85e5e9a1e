"""The recursion of Arora et al. 2019 for ReLU, plainly in NumPy, right and as once misprinted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["textbook_ntk"]

Array = NDArray[np.float64]


def textbook_ntk(x: Array, depth: int, *, misprinted: bool = False) -> Array:
    """Return ``sum_h K^(h-1) prod_(h' = h..L) D^(h')`` for rows of unit norm.

    K are the covariances of the layers and D their derivatives' covariances ``2 E[phi' phi']``.

    Parameters
    ----------
    x : array, shape (n, d)
        Rows of unit norm.
    depth : int
        Hidden layers L of `ntkfast.models.arora`.
    misprinted : bool, default False
        Write K in place of D, as a missing dot makes of the formula: that is not the NTK.

    Returns
    -------
    array, shape (n, n)
    """
    rho = np.clip(x @ x.T, -1, 1)
    theta = rho.copy()
    for _ in range(depth):
        angle = np.arccos(rho)
        derivative = (np.pi - angle) / np.pi
        rho = (np.sin(angle) + (np.pi - angle) * rho) / np.pi
        theta = rho + theta * (rho if misprinted else derivative)
    return theta
