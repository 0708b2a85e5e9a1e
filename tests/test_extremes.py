"""Finite results for every input whose square is finite, a clear error beyond, never NaN."""

from __future__ import annotations

import numpy as np
import pytest

import ntkfast as nk
from oracle import arch as A
from oracle import highprec
from oracle.compare import assert_close
from support import ACTIVATIONS, ORDERED, Array, assert_true, network

every_activation = pytest.mark.parametrize("name", ACTIVATIONS)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
with_and_without_bias = pytest.mark.parametrize("b_std", [None, 0.1], ids=["nobias", "bias"])

LARGEST = {"float32": 1.8e19, "float64": 1.3e154}  # just below the root of the largest number


def _finite(kernels: nk.Kernels) -> bool:
    return all(bool(np.isfinite(kernel).all()) for kernel in kernels)


@every_dtype
@with_and_without_bias
@every_activation
def test_zero_rows_have_a_defined_kernel(name: str, b_std: float | None, dtype: str) -> None:
    x = np.array([[0, 0, 0], [1, -2, 0.5], [0, 0, 0], [-0.0, 0.0, -0.0], [3, 1, 1]], dtype=dtype)
    for depth in (1, 10):
        assert_true(network(name, depth, b_std), x, what="gram")
        assert_true(network(name, depth, b_std), x, x[:3], what="cross")


@every_dtype
@every_activation
def test_only_zero_rows(name: str, dtype: str) -> None:
    for b_std in (None, 0.3):
        assert_true(network(name, 3, b_std), np.zeros((3, 4), dtype))


@every_dtype
@with_and_without_bias
@every_activation
def test_every_magnitude_whose_square_is_finite_gives_finite_kernels(
    name: str, b_std: float | None, dtype: str
) -> None:
    """From the smallest denormal to the root of the largest number, all in one Gram."""
    info = np.finfo(dtype)
    sizes = [0.0, float(info.smallest_subnormal), float(info.tiny), 1e-30, 1e-5, 1.0, 1e10]
    sizes += [LARGEST[dtype] / 10]
    rng = np.random.default_rng(0)
    directions = rng.uniform(0.1, 1, (2, 5)) * rng.choice([-1, 1], (2, 5))
    x = np.array([s * v for s in sizes for v in (*directions, -directions[0])], dtype=dtype)
    # W_std <= 1 in front: K itself stays below the square of the rows
    arch = A.serial(A.dense(1.0, b_std), ACTIVATIONS[name], A.dense(0.5 * ORDERED[name], b_std))
    net = nk.from_dict(arch)
    assert _finite(net.kernels(x))
    assert _finite(net.kernels(x, x[::-1].copy()))
    assert _finite(nk.Kernels(net.diag(x, kind="nngp"), net.diag(x, kind="ntk")))


@every_dtype
@pytest.mark.parametrize("d", [1, 2, 7, 1000])
def test_rows_at_the_edge_of_the_range_are_computed_and_right(d: int, dtype: str) -> None:
    """Every x_i^2 is finite and so is their mean K, though their sum is not."""
    rng = np.random.default_rng(1)
    x = (rng.uniform(0.9, 1, (4, d)) * LARGEST[dtype]).astype(dtype)
    x[3] *= -1
    arch = A.serial(A.dense(0.9), {"type": "Abs"}, A.dense(0.5))
    got = nk.from_dict(arch).kernels(x)
    true = highprec.truth(arch, x)
    tolerance = 2e-6 if dtype == "float32" else 1e-12
    assert_close(got.nngp, true.nngp, true.nngp_scale, tolerance, "nngp")
    assert_close(got.ntk, true.ntk, true.ntk_scale, tolerance, "ntk")


@every_dtype
def test_a_kernel_beyond_the_range_is_a_clear_error(dtype: str) -> None:
    """The row pass sees it before any entry is computed, and the message says what to do."""
    x = np.ones((3, 4), dtype)
    x[1] *= np.dtype(dtype).type(LARGEST[dtype])
    net = nk.serial(nk.Dense(W_std=10.0), nk.Relu(), nk.Dense(W_std=10.0))
    calls = [
        lambda: net.kernels(x),
        lambda: net.ntk(x, np.ones((2, 4), dtype)),
        lambda: net.diag(x),
    ]
    for call in calls:
        with pytest.raises(nk.errors.KernelOverflowError, match=r"row 1 .*(?s:.*)float64"):
            call()


@every_dtype
def test_values_whose_square_overflows_are_a_clear_error(dtype: str) -> None:
    x = np.full((2, 3), np.finfo(dtype).max, dtype)
    with pytest.raises((OverflowError, ValueError), match="row 0"):
        nk.serial(nk.Dense(), nk.Relu(), nk.Dense()).kernels(x)


def test_deep_networks_that_explode_are_a_clear_error_in_both_kernels() -> None:
    x = np.ones((2, 3), np.float32)
    deep = nk.from_dict(A.mlp(200, {"type": "Relu"}, 3.0))
    for call in (deep.nngp, deep.ntk, deep.kernels, deep.diag):
        with pytest.raises(nk.errors.KernelOverflowError):
            call(x)


@every_dtype
def test_deep_networks_that_vanish_give_zeros_and_not_nan(dtype: str) -> None:
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(dtype)
    got = nk.from_dict(A.mlp(2000, {"type": "Relu"}, 0.5)).kernels(x)
    assert _finite(got)
    assert np.all(np.abs(got.nngp) < 1e-30)


@every_dtype
@every_activation
def test_very_deep_critical_networks_stay_finite(name: str, dtype: str) -> None:
    x = np.random.default_rng(0).standard_normal((6, 4)).astype(dtype)
    x[3], x[4] = x[0], -x[0]
    for b_std in (None, 0.01):
        got = nk.from_dict(network(name, 1000, b_std)).kernels(x)
        assert _finite(got)
        root = np.sqrt(np.diag(got.nngp).astype(np.float64))
        scale = np.outer(root, root)
        assert np.all(np.abs(got.nngp) <= scale * (1 + 4 * np.finfo(dtype).eps))


@every_activation
def test_constant_and_degenerate_layers(name: str) -> None:
    """W_std = 0 and activations with no slope: zeros or constants, and no 0/0."""
    x = np.array([[1.0, 2.0], [1.0, 2.0], [-1.0, -2.0], [0.0, 0.0], [3.0, -1.0]])
    zero = {"type": "ABRelu", "a": 0.0, "b": 0.0}
    flat = {"type": "Erf", "a": 0.0, "b": 1.0, "c": 0.7}
    for middle in (zero, flat, {"type": "Erf", "b": 0.0}):
        for b_std in (None, 0.2):
            layers = [A.dense(1.0, b_std), middle, A.dense(1.3, b_std), ACTIVATIONS[name]]
            assert_true(A.serial(*layers, A.dense(0.9, b_std)), x)
            assert_true(A.serial(A.dense(0.0, b_std), ACTIVATIONS[name], A.dense(1.0)), x)


@every_dtype
def test_empty_inputs_give_empty_kernels(dtype: str) -> None:
    net = nk.from_dict(network("Relu", 2, 0.1))
    empty, x = np.zeros((0, 4), dtype), np.ones((3, 4), dtype)
    shapes = [
        (net.kernels(empty), (0, 0)),
        (net.kernels(x, empty), (3, 0)),
        (net.kernels(empty, x), (0, 3)),
    ]
    for kernels, shape in shapes:
        for kernel in kernels:
            assert kernel.shape == shape
            assert kernel.dtype == dtype
    assert net.diag(empty).shape == (0,)


@every_dtype
@every_activation
def test_erf_and_kinks_far_outside_the_unit_range(name: str, dtype: str) -> None:
    """q up to 1e12 (float64) and 1e6 (float32) with bias, near-duplicates included."""
    size = 1e6 if dtype == "float64" else 1e3
    rng = np.random.default_rng(7)
    u, v = rng.standard_normal((2, 8))
    x: Array = np.array([u, u * size, u * size * (1 + 1e-3 * v), -u * size, v / size]).astype(dtype)
    assert_true(network(name, 3, 0.5), x)
