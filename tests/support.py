"""What the test modules share: networks, awkward rows, and the comparison with the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

import ntkfast as nk
from oracle import arch as A
from oracle import highprec
from oracle.compare import TOLERANCE, assert_close

Array = NDArray[Any]

ACTIVATIONS: dict[str, dict[str, Any]] = {
    "Relu": {"type": "Relu"},
    "LeakyRelu": {"type": "LeakyRelu", "alpha": 0.1},
    "Abs": {"type": "Abs"},
    "ABRelu": {"type": "ABRelu", "a": -0.3, "b": 1.2},
    "Erf": {"type": "Erf"},
    "Erf_affine": {"type": "Erf", "a": 1.3, "b": 0.7, "c": 0.2},
    "Sigmoid_like": {"type": "Sigmoid_like"},
    "Gelu": {"type": "Gelu"},
    "Relu6": {"type": "Relu6"},
    "Hardtanh": {"type": "Hardtanh"},
    "Hardtanh_skew": {"type": "Hardtanh", "min_val": -0.3, "max_val": 2.0},
    "Identity": {"type": "Identity"},
    "RectifiedMonomial": {"type": "RectifiedMonomial", "degree": 1},
    "Polynomial": {"type": "Polynomial", "coef": [0.2, 1.0]},
    "Sin": {"type": "Sin"},
    "Sin_affine": {"type": "Sin", "a": 1.3, "b": 0.7, "c": 0.2},
    "Cos": {"type": "Cos", "b": 0.8},
    "Rbf": {"type": "Rbf", "gamma": 0.3},
    "Gaussian": {"type": "Gaussian"},
    "Gabor": {"type": "Gabor"},
}

#: W_std at which a bias-free network of the activation is critical or ordered (chi <= 1).
ORDERED = {
    "Relu": 2**0.5,
    "LeakyRelu": (2 / 1.01) ** 0.5,
    "Abs": 1.0,
    "ABRelu": (2 / 1.53) ** 0.5,
    "Erf": (np.pi / 4) ** 0.5,
    "Erf_affine": (np.pi / 4) ** 0.5 / 0.91,
    "Sigmoid_like": np.pi**0.5 * 2.4020563531719796,
    "Gelu": 2**0.5,
    "Relu6": 2**0.5,
    "Hardtanh": 1.0,
    "Hardtanh_skew": 1.0,
    "Identity": 1.0,
    "RectifiedMonomial": 2**0.5,
    "Polynomial": 1.0,
    "Sin": 1.0,
    "Sin_affine": 1 / 0.91,
    "Cos": 1.0,
    "Rbf": 1.0,
    "Gaussian": 1.0,
    "Gabor": 1.0,
}


def network(name: str, depth: int, b_std: float | None) -> dict[str, Any]:
    """Return Dense, (activation, Dense) x depth at the activation's own `ORDERED` W_std."""
    return A.mlp(depth, ACTIVATIONS[name], ORDERED[name], b_std)


def awkward_rows(dtype: DTypeLike, d: int = 10, seed: int = 0) -> Array:
    """Rows that stress both ends of the correlation, as exact data of `dtype`.

    u, u again, a neighbour of u (1e-7 away in float64, one ulp in one entry in float32), u scaled,
    -u, a neighbour of -u, two rows in general position, and the second of them moved by 1%.
    """
    rng = np.random.default_rng(seed)
    u, v, w = rng.standard_normal((3, d))
    one = np.dtype(dtype).type
    u = u.astype(dtype)
    if np.dtype(dtype) == np.float64:
        step = rng.standard_normal(d)
        neighbour = u + 1e-7 * step / np.linalg.norm(step)
    else:
        neighbour = u.copy()
        neighbour[0] = np.nextafter(u[0], one(np.inf))
    rows = [u, u, neighbour, u * one(3), -u, -neighbour, v, w, w * (1 + 0.01 * v)]
    return np.array(rows).astype(dtype)


def assert_true(arch: A.Layer, x: Array, z: Array | None = None, *, what: str = "") -> nk.Kernels:
    """Assert that the kernels of `arch` hold the project's tolerance against 60 digits.

    The tolerance is flat where chi <= 1 and grows with the conditioning of the network beyond,
    which the oracle computes itself.
    """
    got = nk.from_dict(arch).kernels(x, z)
    true = highprec.truth(arch, x, z)
    factor = max(highprec.conditioning(arch, rows) for rows in (x, z) if rows is not None)
    tolerance = TOLERANCE[x.dtype] * factor
    assert got.nngp.dtype == got.ntk.dtype == x.dtype
    assert_close(got.nngp, true.nngp, true.nngp_scale, tolerance, f"{what} nngp")
    assert_close(got.ntk, true.ntk, true.ntk_scale, tolerance, f"{what} ntk")
    return got
