"""A plain NumPy float64 recursion in textbook (K, T) form.

Written as the papers write it (Jacot et al. 2018; Arora et al. 2019, eq. 7-9), vectorised over the
whole matrix and therefore fast, but as inaccurate as that form is: where two inputs coincide the
NTK of a kinked activation keeps only half its digits. Use it on rows in general position.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oracle.arch import KINKED, Layer, erf_parameters, flatten

Matrix = NDArray[np.float64]

#: The activations whose textbook form is written here.
KNOWN = frozenset({"Identity", "Erf", *KINKED})


def duals(layer: Layer, K: Matrix, q: Matrix, p: Matrix) -> tuple[Matrix, Matrix]:
    """E[phi(u) phi(v)] and E[phi'(u) phi'(v)] at covariances K, variances q (n, 1) and p (1, m)."""
    kind = layer["type"]
    if kind == "Identity":
        return K, np.ones_like(K)
    if kind == "Erf":
        a, b, c = erf_parameters(layer)
        s = 2 * b**2
        norms = (1 + s * q) * (1 + s * p)
        value = a**2 * 2 / np.pi * np.arcsin(s * K / np.sqrt(norms)) + c**2
        return value, a**2 * b**2 * 4 / np.pi / np.sqrt(norms - (s * K) ** 2)
    a, b = KINKED[kind](layer)
    scale = np.sqrt(q * p)
    rho = np.clip(np.divide(K, scale, out=np.zeros_like(K), where=scale > 0), -1, 1)
    theta = np.arccos(rho)
    jump = (a - b) ** 2 / (2 * np.pi)
    value = a * b * K + jump * scale * (np.sin(theta) + (np.pi - theta) * rho)
    return value, (a**2 + b**2) / 2 - jump * theta


def covariances(
    arch: Layer, x: ArrayLike, z: ArrayLike | None = None
) -> list[tuple[Layer, Matrix, Matrix]]:
    """Return, per layer, (layer, K behind it, its factor dK_out/dK_in): W_std^2 or E[phi' phi']."""
    X = np.asarray(x, dtype=np.float64)
    Z = X if z is None else np.asarray(z, dtype=np.float64)
    d = X.shape[1]
    K = X @ Z.T / d
    q = (X * X).sum(1)[:, None] / d
    p = (Z * Z).sum(1)[None, :] / d
    steps = []
    for layer in flatten(arch):
        if layer["type"] == "Dense":
            w, b = layer.get("W_std", 1.0) ** 2, (layer.get("b_std") or 0.0) ** 2
            K, q, p = w * K + b, w * q + b, w * p + b
            slope = np.full_like(K, w)
        else:
            K, slope = duals(layer, K, q, p)
            q, p = (duals(layer, v, v, v)[0] for v in (q, p))
        steps.append((layer, K, slope))
    return steps


def kernels(arch: Layer, x: ArrayLike, z: ArrayLike | None = None) -> tuple[Matrix, Matrix]:
    """NNGP kernel and NTK of `x` (n, d) with `z` (m, d), or with itself."""
    steps = covariances(arch, x, z)
    T = np.zeros_like(steps[0][1])
    for layer, K, slope in steps:
        trained = layer["type"] == "Dense" and layer.get("trainable", True)
        T = slope * T + (K if trained else 0.0)
    return steps[-1][1], T
