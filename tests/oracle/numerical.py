"""The activations without closed form: phi, phi' and where either jumps or is steep."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

Vector = NDArray[np.float64]

SELU = 1.0507009873554805, 1.6732632423543772


def _elu(scale: float, alpha: float) -> Any:
    return (
        lambda x: scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
        lambda x: scale * np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0))),
        (0.0,),
    )


def _sigmoid_slope(x: Vector) -> Vector:
    return np.asarray(special.expit(x) * special.expit(-x))


FUNCTIONS: dict[str, Any] = {
    "Tanh": lambda layer: (np.tanh, lambda x: 4 * _sigmoid_slope(2 * x), (0.0,)),
    "Sigmoid": lambda layer: (special.expit, _sigmoid_slope, (0.0,)),
    "Softplus": lambda layer: (lambda x: np.logaddexp(0, x), special.expit, (0.0,)),
    "Silu": lambda layer: (
        lambda x: x * special.expit(x),
        lambda x: special.expit(x) + x * _sigmoid_slope(x),
        (0.0,),
    ),
    "Elu": lambda layer: _elu(1.0, layer.get("alpha", 1.0)),
    "Selu": lambda layer: _elu(*SELU),
}
