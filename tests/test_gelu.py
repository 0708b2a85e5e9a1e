"""Gelu and Sigmoid_like where the textbook form loses its digits, or all of them."""

from __future__ import annotations

import numpy as np
import pytest

import ntkfast as nk
from oracle import arch as A
from oracle import highprec
from oracle.compare import assert_close
from support import awkward_rows

DTYPES = ["float32", "float64"]
GELU = {"type": "Gelu"}


@pytest.mark.parametrize("b_std", [None, 0.5])
def test_rows_of_norm_1e8_are_as_accurate_as_any(b_std: float | None) -> None:
    """In (q, q', K) form q q' - K^2 of such rows has no digit left."""
    rng = np.random.default_rng(1)
    u, v = rng.standard_normal((2, 6))
    directions = np.array([u, u + 1e-6 * v, -u, v])
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    x = np.concatenate([1e8 * unit, unit, 1e-8 * unit])
    for depth in (1, 3):
        arch = A.mlp(depth, GELU, 2**0.5, b_std)
        got, true = nk.from_dict(arch).kernels(x), highprec.truth(arch, x)
        assert_close(got.nngp, true.nngp, true.nngp_scale, 1e-13, "nngp")
        assert_close(got.ntk, true.ntk, true.ntk_scale, 1e-13, "ntk")


@pytest.mark.parametrize("W_std", [2**0.5, 1.45, 2.0])
@pytest.mark.parametrize("b_std", [None, 0.1])
def test_twenty_layers_in_float32(W_std: float, b_std: float | None) -> None:
    """Flat 2e-6, whatever the conditioning."""
    arch = A.mlp(20, GELU, W_std, b_std)
    x = awkward_rows("float32", seed=4)
    got, true = nk.from_dict(arch).kernels(x), highprec.truth(arch, x)
    assert_close(got.nngp, true.nngp, true.nngp_scale, 2e-6, "nngp")
    assert_close(got.ntk, true.ntk, true.ntk_scale, 2e-6, "ntk")


@pytest.mark.parametrize("dtype", DTYPES)
def test_gelu_is_half_the_identity_for_small_and_relu_for_large_inputs(dtype: str) -> None:
    x = np.random.default_rng(0).standard_normal((6, 4)).astype(dtype)
    small, large = np.dtype(dtype).type(2.0**-40), np.dtype(dtype).type(2.0**40)
    tolerance = 2e-6 if dtype == "float32" else 1e-11  # the kernels differ by 1 / norm
    for scale, limit, W_std in ((small, nk.Identity(), 0.5), (large, nk.Relu(), 1.0)):
        gelu = nk.serial(nk.Dense(), nk.Gelu(), nk.Dense())
        other = nk.serial(nk.Dense(), limit, nk.Dense(W_std))
        for got, want in zip(gelu.kernels(x * scale), other.kernels(x * scale), strict=True):
            root = np.sqrt(np.diag(want).astype(np.float64))
            assert_close(got, want, np.outer(root, root), tolerance)


def test_sigmoid_like_is_erf_under_another_name() -> None:
    x = awkward_rows("float64")
    one = nk.mlp(3, nk.Sigmoid_like(), W_std=2.0, b_std=0.1).kernels(x)
    other = nk.mlp(3, nk.Erf(0.5, 1 / 2.4020563531719796, 0.5), W_std=2.0, b_std=0.1).kernels(x)
    np.testing.assert_array_equal(one.nngp, other.nngp)
    np.testing.assert_array_equal(one.ntk, other.ntk)
