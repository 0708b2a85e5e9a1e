"""Operators on a CUDA device hold the tolerances of the CPU, at every precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from ntkfast import cuda
from support import ACTIVATIONS, Array, network

pytestmark = pytest.mark.skipif(
    not cuda.is_available(), reason=f"no CUDA device to compute on: {cuda.reason()}"
)

rng = np.random.default_rng(0)
#: Of each precision: what entries may differ by, over the root of their diagonal entries.
PRECISIONS = [("float32", "ieee", 4e-6), ("float32", "tf32x3", 2e-5), ("float32", "tf32", 1e-2)]
PRECISIONS += [("float64", "ieee", 4e-12)]


def assert_product(
    net: nk.Network, x: Array, z: Array | None, tolerance: float, **how: Any
) -> None:
    """Assert that products with vectors are those of the CPU's float64 kernel."""
    wide = [None if each is None else each.astype(np.float64) for each in (x, z)]
    K = net.ntk(wide[0], wide[1], device="cpu")
    left = np.sqrt(net.diag(wide[0]))
    right = left if z is None else np.sqrt(net.diag(wide[1]))
    A = net.operator(x, z, device="cuda", **how)
    for product, matrix, rows, met in ((A, K, left, right), (A.T, K.T, right, left)):
        V = rng.standard_normal((matrix.shape[1], 5))
        got = product @ V
        allowed = tolerance * np.outer(rows, met @ abs(V))
        assert (abs(got - matrix @ V) <= allowed).all()
        np.testing.assert_array_equal(product @ V, got)


@pytest.mark.parametrize(("dtype", "precision", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_products(name: str, dtype: str, precision: str, tolerance: float) -> None:
    net = nk.from_dict(network(name, 2, 0.1))
    x = rng.standard_normal((300, 40)).astype(dtype)
    assert_product(net, x, None, tolerance, precision=precision)
    assert_product(net, x, x[:130] * 2, tolerance, precision=precision)


@pytest.mark.parametrize("k", [1, 15, 16, 17, 33])
def test_numbers_of_vectors(k: int) -> None:
    x = rng.standard_normal((1000, 7))
    A = nk.mlp(2).operator(x, device="cuda")
    V = rng.standard_normal((1000, k))
    np.testing.assert_allclose(A @ V, nk.mlp(2).ntk(x, device="cpu") @ V, rtol=1e-9)


def test_all_devices_give_the_bits_of_one() -> None:
    x = rng.standard_normal((9000, 20)).astype("float32")
    V = rng.standard_normal((9000, 3))
    net = nk.mlp(3)
    one = net.operator(x, device="cuda:0") @ V
    np.testing.assert_array_equal(net.operator(x, device="cuda:all") @ V, one)
    np.testing.assert_array_equal(net.ntk(x, device="cuda:all"), net.ntk(x, device="cuda:0"))
