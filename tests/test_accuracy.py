"""Kernels hold 2e-6 (float32) and 1e-12 (float64) against 60 digits, where digits get lost."""

from __future__ import annotations

import numpy as np
import pytest

import ntkfast as nk
from oracle import arch as A
from oracle import highprec, quadrature, recursion
from oracle.compare import assert_close
from support import ACTIVATIONS, ORDERED, Array, assert_true, awkward_rows, network

DTYPES = ["float32", "float64"]
every_activation = pytest.mark.parametrize("name", ACTIVATIONS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
with_and_without_bias = pytest.mark.parametrize("b_std", [None, 0.1], ids=["nobias", "bias"])


@pytest.mark.parametrize("theta", [0.0, 1e-7, 0.3, np.pi / 2, 2.0, np.pi - 1e-7, np.pi])
@every_activation
def test_one_layer_agrees_with_quadrature_that_knows_phi_alone(name: str, theta: float) -> None:
    """One activation behind `z = W x`, which is trained: K = dual, T = K_in dual'."""
    layer = ACTIVATIONS[name]
    net = nk.from_dict(A.serial(A.dense(2**0.5), layer))
    for q, p in [(1.0, 1.0), (0.01, 4.0), (900.0, 2.5)]:
        x = np.array([[np.sqrt(q), 0.0]])
        z = np.sqrt(p) * np.array([[np.cos(theta), np.sin(theta)]])
        got = net.kernels(x, z)
        dual, slope = quadrature.duals(layer, q, p, theta)
        K = np.sqrt(q * p) * np.cos(theta)
        scale = [net.diag(x, kind=kind)[0] * net.diag(z, kind=kind)[0] for kind in ("nngp", "ntk")]
        # 1e-12 for each of the two: library and quadrature
        assert abs(got.nngp[0, 0] - dual) <= 2e-12 * np.sqrt(scale[0])
        assert abs(got.ntk[0, 0] - K * slope) <= 2e-12 * np.sqrt(scale[1])


@every_dtype
@with_and_without_bias
@pytest.mark.parametrize("depth", [1, 2, 3, 5, 10, 20])
@every_activation
def test_awkward_rows_at_every_depth(
    name: str, depth: int, b_std: float | None, dtype: str
) -> None:
    x = awkward_rows(dtype, seed=depth)
    arch = network(name, depth, b_std)
    assert_true(arch, x, what="gram")
    assert_true(arch, x[:5], x[2:], what="cross")


@every_dtype
@with_and_without_bias
@pytest.mark.parametrize(
    "slopes", [(-1, 1.001), (-1, 1 + 1e-6), (1, 1.001), (-1e-3, 1e-3), (1e5, -1e-5), (2, -2)]
)
def test_nearly_even_and_nearly_linear_kinks(
    slopes: tuple[float, float], b_std: float | None, dtype: str
) -> None:
    """Opposite rows end near rho = 1 under an almost even function: 2 - c must keep its digits."""
    a, b = slopes
    W_std = (2 / (a * a + b * b)) ** 0.5
    for depth in (1, 3, 20):
        arch = A.mlp(depth, {"type": "ABRelu", "a": a, "b": b}, W_std, b_std)
        assert_true(arch, awkward_rows(dtype, seed=depth), what=f"depth {depth}")


@every_dtype
@pytest.mark.parametrize("depth", [3, 20])
@every_activation
def test_chaotic_networks_hold_the_tolerance_times_their_conditioning(
    name: str, depth: int, dtype: str
) -> None:
    arch = A.mlp(depth, ACTIVATIONS[name], 1.7 * ORDERED[name], 0.05)
    assert_true(arch, awkward_rows(dtype, seed=depth))


@every_activation
def test_reported_conditioning_is_the_growth_of_errors(name: str) -> None:
    x = awkward_rows("float64")
    for W_std in (0.7, 1.0, 3.0):
        arch = A.mlp(6, ACTIVATIONS[name], W_std * ORDERED[name], 0.1)
        assert nk.from_dict(arch).conditioning(x) == pytest.approx(
            highprec.conditioning(arch, x), rel=1e-9
        )


@every_dtype
@with_and_without_bias
@every_activation
def test_one_column_inputs(name: str, b_std: float | None, dtype: str) -> None:
    """With d = 1 every correlation is +1 or -1."""
    x = np.array([[1.0], [1.0], [-1.0], [0.3], [-2.5], [1.0000001], [0.0]], dtype=dtype)
    for depth in (1, 20):
        assert_true(network(name, depth, b_std), x, what=f"depth {depth}")


@every_dtype
@with_and_without_bias
@every_activation
def test_norms_over_sixteen_orders_of_magnitude(name: str, b_std: float | None, dtype: str) -> None:
    """1e-8 to 1e8 in float64, 1e-4 to 1e4 in float32, near-duplicates included at every norm."""
    reach = 8 if dtype == "float64" else 4
    rows = awkward_rows("float64")[[0, 2, 5, 7]]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    powers = 10.0 ** np.array([-reach, 0, reach])
    x = np.concatenate([rows * power for power in powers]).astype(dtype)
    for depth in (1, 10):
        assert_true(network(name, depth, b_std), x, what=f"depth {depth}")


@pytest.mark.parametrize("depth", [1, 5, 20])
@with_and_without_bias
@every_activation
def test_float32_agrees_with_float64_on_every_entry(
    name: str, b_std: float | None, depth: int
) -> None:
    """Twenty thousand pairs at all angles: roundings add up at random, not in one direction."""
    x = np.random.default_rng(depth).standard_normal((200, 10)).astype(np.float32)
    net = nk.from_dict(network(name, depth, b_std))
    tolerance = 2e-6 * net.conditioning(x)
    for got, want in zip(net.kernels(x), net.kernels(x.astype(np.float64)), strict=True):
        assert_close(got, want, np.sqrt(np.outer(np.diag(want), np.diag(want))), tolerance)


def _positive(rng: np.random.Generator) -> Array:
    return rng.random((200, 784))


def _images(rng: np.random.Generator) -> Array:
    """Smooth blobs on a black border, quantised to 256 levels, several noisy shots of each."""
    grid = np.linspace(-1, 1, 28)
    centre = rng.uniform(-0.4, 0.4, (40, 2))
    dy, dx = (grid[None] - centre[:, i, None] for i in (0, 1))
    blobs = np.exp(-8 * (dy[:, :, None] ** 2 + dx[:, None, :] ** 2)).reshape(40, 784)
    shots = np.repeat(blobs, 5, axis=0) + rng.normal(0, 0.01, (200, 784)) * (rng.random(784) < 0.5)
    return np.round(np.clip(shots, 0, 1) * 255) * (shots > 0.05)


def _clusters(rng: np.random.Generator) -> Array:
    centre = rng.standard_normal((10, 784))
    spread = 10.0 ** rng.uniform(-6, -1, (200, 1))
    return np.repeat(centre, 20, axis=0) + spread * rng.standard_normal((200, 784))


def _offset(rng: np.random.Generator) -> Array:
    return 100 + rng.standard_normal((200, 784))


def _close_pairs(x: Array) -> Array:
    """Indices of rows: both of the two closest distinct pairs, and a few others."""
    unit = x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    gap = np.linalg.norm(unit[:, None, :64] - unit[None, :, :64], axis=2)
    gap[gap == 0] = np.inf
    closest = np.argsort(gap, axis=None)[:4:2]
    pairs = np.concatenate(np.unravel_index(closest, gap.shape))
    return np.unique(np.concatenate([pairs, [0, 1, 77, 150, 199]]))


@pytest.mark.parametrize("make", [_positive, _images, _clusters, _offset])
@pytest.mark.parametrize(
    ("name", "depth"), [("Relu", 3), ("Relu", 20), ("Abs", 10), ("Erf", 10), ("Identity", 2)]
)
def test_float32_keeps_its_digits_on_correlated_data(name: str, depth: int, make: object) -> None:
    """A float32 product of such rows alone would be off by 1e-4 at depth 20."""
    assert callable(make)
    x = make(np.random.default_rng(0)).astype(np.float32)
    arch = network(name, depth, None)
    got = nk.from_dict(arch).kernels(x)
    pick = _close_pairs(x)
    true = highprec.truth(arch, x[pick])
    tolerance = 2e-6 * highprec.conditioning(arch, x[pick])
    where = np.ix_(pick, pick)
    assert_close(got.nngp[where], true.nngp, true.nngp_scale, tolerance, "nngp")
    assert_close(got.ntk[where], true.ntk, true.ntk_scale, tolerance, "ntk")


@every_dtype
@pytest.mark.parametrize("spread", [1e-1, 1e-3, 1e-5, 1e-7])
def test_clusters_of_any_tightness(spread: float, dtype: str) -> None:
    """All rows near one another, at distances from `spread` down to 1e-5 times that."""
    rng = np.random.default_rng(9)
    distance = spread * 10.0 ** -np.arange(0, 5, 0.5)[:, None]
    x = (rng.standard_normal(10) + distance * rng.standard_normal((10, 10))).astype(dtype)
    for name in ("Relu", "Erf"):
        assert_true(network(name, 20, 0.1), x, what=name)


def test_float32_gram_with_near_duplicates_stays_positive_semidefinite() -> None:
    rng = np.random.default_rng(5)
    base = rng.standard_normal((16, 32))
    x = np.concatenate([base + 10.0**-k * rng.standard_normal(base.shape) for k in (3, 5, 7, 9)])
    net = nk.from_dict(network("Relu", 20, None))
    for kernel in net.kernels(x.astype(np.float32)):
        values = np.linalg.eigvalsh(kernel.astype(np.float64))
        assert values[0] >= -1e-6 * values[-1]


@every_dtype
@every_activation
def test_the_diagonal_alone_is_the_diagonal_of_the_truth(name: str, dtype: str) -> None:
    x = awkward_rows(dtype)
    net = nk.from_dict(arch := network(name, 20, 0.1))
    tolerance = (2e-6 if dtype == "float32" else 1e-12) * highprec.conditioning(arch, x)
    for kind, want in zip(("nngp", "ntk"), highprec.diag(arch, x), strict=True):
        assert_close(net.diag(x, kind=kind), want, want, tolerance, kind)


@pytest.mark.parametrize("name", ["Relu", "Abs", "Erf_affine"])
def test_every_entry_of_a_large_gram_agrees_with_the_plain_recursion(name: str) -> None:
    """All entries of many tiles, on rows in general position, where float64 (K, T) is accurate."""
    rng = np.random.default_rng(11)
    x, z = rng.standard_normal((700, 30)), rng.standard_normal((301, 30))
    arch = network(name, 3, 0.1)
    net = nk.from_dict(arch)
    q, t = net.diag(x, kind="nngp"), net.diag(x, kind="ntk")
    for other in (None, z):
        got = net.kernels(x, other)
        K, T = recursion.kernels(arch, x, other)
        q2 = q if other is None else net.diag(z, kind="nngp")
        t2 = t if other is None else net.diag(z, kind="ntk")
        if other is None:  # the one place where the plain recursion is not accurate
            np.fill_diagonal(T, np.diag(got.ntk))
        assert_close(got.nngp, K, np.sqrt(np.outer(q, q2)), 1e-12, "nngp")
        assert_close(got.ntk, T, np.sqrt(np.outer(t, t2)), 1e-12, "ntk")
