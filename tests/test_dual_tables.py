"""How the tables of activations without closed form are made: bounds, sharing, refusals."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import ntkfast as nk
from ntkfast import _dual_tables
from ntkfast._dual_tables import Parts, Range, split
from ntkfast._dual_tables.hermite import HermiteRows
from ntkfast._dual_tables.polar import PolarRows, Rule
from ntkfast._dual_tables.transform import Variable
from ntkfast.errors import ToleranceError
from ntkfast.layers.numerical import Numerical
from oracle import quadrature

PHI: list[Numerical] = [nk.Tanh(), nk.Sigmoid(), nk.Softplus(), nk.Silu(), nk.Elu(0.7), nk.Selu()]
ANGLES = [0.0, 0.3, 1.2, 2.0, np.pi]


def exact(phi: Numerical, q: float, theta: float) -> tuple[float, float]:
    layer = nk.serial(nk.Dense(), phi).to_dict()["layers"][1]
    value, slope = quadrature.duals(layer, q, q, theta)
    return value, q * slope


def products(parts: Parts, rows: Any, theta: float) -> tuple[float, float]:
    """E[phi phi] and q E[phi' phi'] of the first row with itself at this angle, as rows have it."""
    rho = np.cos(theta)
    mu = np.array([max(1 - rho**2, 1e-300)])
    value, slope = rows.mean[0] ** 2, 0.0
    there = [k for k, part in enumerate((parts.odd, parts.even)) if part is not None]
    for k, a, loss, gain in zip(there, rows.vectors, rows.loss(mu), rows.gain(mu), strict=True):
        value += (a[0] @ a[0] - mu[0] * loss[0, 0, 0]) * (rho if k == 0 else 1)
        slope += gain[0, 0, 0] * (1 if k == 0 else rho)
    return float(value), float(slope)


@pytest.mark.parametrize("phi", PHI, ids=repr)
@pytest.mark.parametrize("q", [0.3, 4.0, 30.0])
def test_what_a_series_leaves_out_is_bounded(phi: Numerical, q: float) -> None:
    truth = {theta: exact(phi, q, theta) for theta in ANGLES}
    for terms in (16, 64, 256):
        rows = HermiteRows(phi.parts(), np.array([np.sqrt(q)]), terms)
        value_sum = rows.norms[0][0] ** 2 + rows.norms[1][0] ** 2
        slope_sum = rows.gains[0][0] ** 2 + rows.gains[1][0] ** 2
        errors = []
        for theta, true in truth.items():
            got = products(phi.parts(), rows, theta)
            errors.append((abs(got[0] - true[0]) / value_sum, abs(got[1] - true[1]) / slope_sum))
            # Rounding is relative to the mean as well, and the means are large.
            assert errors[-1][0] <= rows.value_tail + 2e-14 * truth[0.0][0] / value_sum
            assert errors[-1][1] <= rows.slope_tail + 2e-13
        # The bounds are reached at rho = 1.
        assert rows.value_tail <= 1.001 * errors[0][0] + 1e-13
        assert rows.slope_tail <= 1.001 * errors[0][1] + 1e-13


@pytest.mark.parametrize(
    ("fn", "derivative"),
    [
        (np.tanh, lambda x: 1 / np.cosh(x) ** 2),
        (np.arctan, lambda x: 1 / (1 + x**2)),
        (lambda x: np.maximum(x, 0), lambda x: 1.0 * (x > 0)),
        (lambda x: np.log1p(np.abs(x)), lambda x: np.sign(x) / (1 + np.abs(x))),
    ],
)
@pytest.mark.parametrize("q", [0.5, 5.0])
def test_the_tail_of_an_unknown_slope_is_estimated_from_above(
    fn: Any, derivative: Any, q: float
) -> None:
    for terms in (64, 256, 1024):
        p = np.array([np.sqrt(q)])
        known = HermiteRows(split(fn, derivative), p, terms)
        unknown = HermiteRows(split(fn, None), p, terms)
        assert unknown.slope_tail >= 0.7 * known.slope_tail - 1e-13


@pytest.mark.parametrize("phi", PHI, ids=repr)
@pytest.mark.parametrize("q", [0.3, 100.0])
def test_the_error_of_quadrature_is_bounded(phi: Numerical, q: float) -> None:
    """With coarse and fine panels, few and many terms."""
    p = np.array([np.sqrt(q)])
    smooth, kinked = Variable(False, 0.3 / (1 + q), 3), Variable(True, 0.5 / (1 + p[0]), 2)
    true = {theta: exact(phi, q, theta)[1] for theta in ANGLES}
    for order, terms in ((4, 24), (10, 48)):
        for variable in (smooth, kinked):
            rows = PolarRows(phi.parts(), p, Rule(float(p[0]), order, variable, terms))
            bound, scale = rows.error(), products(phi.parts(), rows, 0.0)[1]
            for theta in ANGLES:
                got = products(phi.parts(), rows, theta)[1]
                assert abs(got - true[theta]) <= (3 * bound + 1e-13) * scale, theta


@pytest.mark.parametrize("single", [True, False])
def test_ranges_hold_what_they_were_made_for(single: bool) -> None:
    sizes = [0.0, 1e-200, 1e-3, 0.7, 1.0, 1 + 1e-12, 3.0, 40.0, 1e6]
    for low, high in itertools.combinations_with_replacement(sizes, 2):
        rows = Range.around(low, high, single)
        a, b = np.arcsinh(low), np.arcsinh(high)
        assert rows.low <= a + 1e-50
        assert b <= rows.high
        assert rows.high - rows.low <= 1.5 * (b - a) + 1e-6


def test_nearby_data_share_a_table_and_diagonals_need_none() -> None:
    rng = np.random.default_rng(3)
    phi = nk.Elementwise(lambda x: np.tanh(0.9 * x), lambda x: 0.9 / np.cosh(0.9 * x) ** 2)
    net = nk.serial(nk.Dense(), phi, nk.Dense())
    directions = rng.standard_normal((40, 6))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True) / 6**0.5
    sizes = rng.uniform(0.6, 1.9, 40)
    sizes[:2] = 0.55, 1.95
    before = _dual_tables._built.cache_info()
    diagonal = net.diag(sizes[:, None] * directions, "ntk")
    rows_alone = _dual_tables._built.cache_info()
    assert rows_alone.misses == before.misses + 1
    kernel = net.ntk(sizes[:, None] * directions)
    whole = _dual_tables._built.cache_info()
    assert whole.misses == rows_alone.misses + 1
    np.testing.assert_array_equal(diagonal, np.diag(kernel))
    for _ in range(3):
        net.ntk(sizes[:, None] * rng.permutation(directions) * rng.uniform(0.99, 1.01, (40, 1)))
    assert _dual_tables._built.cache_info().misses == whole.misses


def test_threads_that_meet_a_new_function_fit_it_once_and_agree() -> None:
    limits = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    calls: list[int] = []

    def slope(x: Any) -> Any:
        calls.append(threading.get_ident())
        return 1 / np.cosh(x) ** 2

    net = nk.mlp(2, nk.Elementwise(np.tanh, slope), W_std=1.1)
    x = np.random.default_rng(0).standard_normal((12, 4))
    start = threading.Barrier(6)

    def run(_: int) -> Any:
        start.wait()
        return net.ntk(x, threads=1)

    before = _dual_tables._built.cache_info().misses
    with ThreadPoolExecutor(6) as pool:
        kernels = list(pool.map(run, range(6)))
    for kernel in kernels:
        np.testing.assert_array_equal(kernel, kernels[0])
    assert _dual_tables._built.cache_info().misses == before + 4  # two layers, rows and pairs
    assert calls
    after = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    assert after == limits


def test_a_kink_without_derivative_is_refused_and_the_message_says_what_helps() -> None:
    def kinked(x: Any) -> Any:
        return np.maximum(x, 0)

    x = [[1.0, 2.0], [2.0, -1.0]]
    message = (
        r"Elementwise\(fn=.*\): its dual for rows with K between 2\.5 and 2\.5 was computed "
        r"\(Hermite series of 32768 terms\) to .*e-0\d, expected 1\.0e-12 for float64: .* "
        r"a smoother function with its derivative, or float32"
    )
    with pytest.raises(ToleranceError, match=message):
        nk.serial(nk.Dense(), nk.Elementwise(kinked), nk.Dense()).ntk(x)
    net = nk.serial(nk.Dense(), nk.Elementwise(kinked, lambda x: 1.0 * (x > 0)), nk.Dense())
    relu = nk.serial(nk.Dense(), nk.Relu(), nk.Dense())
    np.testing.assert_allclose(net.ntk(x), relu.ntk(x), rtol=1e-12)


def test_a_steep_function_without_derivative_is_refused_within_seconds() -> None:
    x = np.array([[0.1, 0.0], [30.0, 20.0]])
    net = nk.serial(nk.Dense(), nk.Elementwise(np.arctan), nk.Dense())
    with pytest.raises(ToleranceError, match=r"K between .* and .* expected 1\.0e-12"):
        net.nngp(x)
    with_slope = nk.Elementwise(np.arctan, lambda x: 1 / (1 + x**2))
    assert np.isfinite(nk.serial(nk.Dense(), with_slope, nk.Dense()).nngp(x)).all()


def test_constants_have_a_kernel_and_zero_has_none() -> None:
    net = nk.serial(nk.Dense(), nk.Elementwise(lambda x: np.full_like(x, -2.0)), nk.Dense())
    k = net.kernels([[1.0, 2.0], [-1.0, -2.0], [0.0, 0.0]])
    np.testing.assert_allclose(k.nngp, np.full((3, 3), 4.0), rtol=1e-14)
    np.testing.assert_allclose(k.ntk, np.full((3, 3), 4.0), rtol=1e-14)
    with pytest.raises(ValueError, match="zero everywhere"):
        nk.Elementwise(np.zeros_like)
