"""Relu6 and Hardtanh: large and tiny rows, their limits, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import ntkfast as nk
from oracle import arch as A
from oracle import highprec
from oracle.compare import TOLERANCE, assert_close
from support import Array

CLIPS = [nk.Relu6(), nk.Hardtanh(), nk.Hardtanh(-0.3, 2.0)]
every_clip = pytest.mark.parametrize("phi", CLIPS, ids=repr)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def _rows(norm: float, dtype: str) -> Array:
    rng = np.random.default_rng(3)
    u, v = rng.standard_normal((2, 8))
    x = np.array([u, v, u + 1e-3 * v, 1.5 * u, -u, -u + 0.1 * v])
    return (x * (norm * np.sqrt(8) / np.linalg.norm(u))).astype(dtype)


@every_dtype
@pytest.mark.parametrize("size", [1.0, 30.0, 1e3])
@every_clip
def test_unnormalised_rows_hold_the_tolerance_times_their_conditioning(
    phi: nk.layers.Activation, size: float, dtype: str
) -> None:
    """Rows of q = size^2, as raw data have them; the layer behind sees them saturated."""
    net = nk.mlp(2, phi, W_std=1.0, b_std=0.1)
    x = _rows(size, dtype)
    got, true = net.kernels(x), highprec.truth(net.to_dict(), x)
    tolerance = TOLERANCE[x.dtype] * highprec.conditioning(net.to_dict(), x)
    assert_close(got.nngp, true.nngp, true.nngp_scale, tolerance, "nngp")
    assert_close(got.ntk, true.ntk, true.ntk_scale, tolerance, "ntk")


@every_dtype
def test_rows_that_never_reach_a_level_do_not_see_it(dtype: str) -> None:
    x = (_rows(1.0, "float64") * 1e-3).astype(dtype)
    for clip, plain in ((nk.Hardtanh(), nk.Identity()), (nk.Relu6(), nk.Relu())):
        got, want = (nk.mlp(5, phi, W_std=1.0).kernels(x) for phi in (clip, plain))
        for kernel, expected in zip(got, want, strict=True):
            root = np.sqrt(np.diag(expected).astype(np.float64))
            assert_close(kernel, expected, np.outer(root, root), TOLERANCE[x.dtype])


@every_dtype
def test_saturated_hardtanh_is_a_steep_erf(dtype: str) -> None:
    """Both are the sign function there: 1 - rho' = 2 theta / pi, up to 1 / p."""
    x = _rows(1e6, dtype)
    hard = nk.serial(nk.Dense(), nk.Hardtanh(), nk.Dense()).nngp(x)
    soft = nk.serial(nk.Dense(), nk.Erf(), nk.Dense()).nngp(x)
    np.testing.assert_allclose(hard, soft, rtol=0, atol=3e-6)


def test_hardtanh_scales_with_its_levels() -> None:
    """phi_c(x) = c phi_1(x / c)."""
    x = _rows(1.0, "float64")
    one = nk.serial(nk.Dense(0.5), nk.Hardtanh(-1.0, 1.5), nk.Dense(2.0)).kernels(x)
    two = nk.serial(nk.Dense(1.0), nk.Hardtanh(-2.0, 3.0), nk.Dense(1.0)).kernels(x)
    np.testing.assert_array_equal(one.nngp, two.nngp)


@pytest.mark.parametrize("levels", [(0, 0), (1, 1), (0.5, 2), (-2, -1), (1, -1)])
def test_zero_must_lie_between_two_different_levels(levels: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"Hardtanh.*min_val <= 0 <= max_val.*got"):
        nk.Hardtanh(*levels)


def test_a_level_may_be_zero() -> None:
    x = _rows(2.0, "float64")
    one = nk.mlp(2, nk.Hardtanh(0.0, 6.0)).kernels(x)
    np.testing.assert_array_equal(one.ntk, nk.mlp(2, nk.Relu6()).kernels(x).ntk)
    arch = A.mlp(2, {"type": "Hardtanh", "min_val": -0.5, "max_val": 0.0})
    got, true = nk.from_dict(arch).kernels(x), highprec.truth(arch, x)
    assert_close(got.ntk, true.ntk, true.ntk_scale, 1e-12 * highprec.conditioning(arch, x))
