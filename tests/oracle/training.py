"""Training of linear models, step by step and by matrix exponentials: oracles of ntkfast.predict.

Nothing here knows an eigendecomposition or a closed form. A kernel is a set of features, and a
model linear in its parameters is trained on them as an optimizer would.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, expm

Array = NDArray[np.float64]


def features(kernel: Array) -> Array:
    """Return rows of features whose inner products are the kernel."""
    return cholesky(kernel + 1e-300 * np.eye(len(kernel)), lower=True)


def simulate(
    phi: Array,
    train: int,
    y: Array,
    steps: int,
    rate: float,
    momentum: float = 0.0,
    f0: Array | None = None,
    gradient: Callable[[Array, Array], Array] | None = None,
) -> list[Array]:
    """Return the outputs at all rows after 0, 1, ..., `steps` steps of heavy-ball descent.

    The first `train` rows are trained on, with the gradient of the loss with respect to the outputs
    (by default that of half the mean of squares).
    """
    start = np.zeros((len(phi), y.shape[1])) if f0 is None else f0
    theta, velocity = np.zeros((phi.shape[1], y.shape[1])), np.zeros((phi.shape[1], y.shape[1]))
    outputs = [start]
    for _ in range(steps):
        f = (start + phi @ theta)[:train]
        slope = (f - y) / y.size if gradient is None else gradient(f, y)
        velocity = momentum * velocity + phi[:train].T @ slope
        theta = theta - rate * velocity
        outputs.append(start + phi @ theta)
    return outputs


def flow(kernel: Array, train: int, y: Array, time: float, f0: Array) -> Array:
    """Return the outputs at all rows after gradient flow, by one exponential of a large matrix.

    The state is the outputs at all rows and the residual's constant part:
    d f/dt = -K[:, train] (f[train] - y)/y.size.
    """
    rows = len(kernel)
    matrix = np.zeros((rows + train, rows + train))  # (f, y): y does not move
    matrix[:rows, :train] = -kernel[:, :train] / y.size
    matrix[:rows, rows:] = kernel[:, :train] / y.size
    moved: Array = expm(matrix * time) @ np.concatenate([f0, y])
    return moved[:rows]
