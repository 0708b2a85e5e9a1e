"""Activations without closed form: against quadrature that knows phi alone, and 60-digit values."""

from __future__ import annotations

import itertools
import json
import pickle
from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from ntkfast.layers.numerical import Numerical
from oracle import quadrature
from oracle.compare import assert_close
from oracle.reference import FOLDER

REFERENCE = ["mlp_num_tanh_d1", "mlp_num_tanh_d3", "mlp_num_softplus_d1"]
PHI: list[Numerical] = [
    nk.Tanh(),
    nk.Sigmoid(),
    nk.Softplus(),
    nk.Silu(),
    nk.Elu(0.7),
    nk.Selu(),
]
ANGLES = [0.0, 4.5e-4, 0.3, 1.2, np.pi / 2, 2.5, np.pi - 4.5e-4, np.pi]  # 1e-7 from both ends


def scales(k: np.ndarray) -> np.ndarray:
    return np.sqrt(np.outer(np.diag(k), np.diag(k)))


def dictionary(phi: Numerical) -> dict[str, Any]:
    return nk.serial(nk.Dense(), phi).to_dict()["layers"][1]


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_reference_series_of_800_terms_is_reproduced(name: str, dtype: Any) -> None:
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        net = nk.from_dict(json.loads(str(file["arch"])))
        for part in ("11", "12"):
            z = file["x2"].astype(dtype) if part == "12" else None
            got = net.kernels(file["x1"].astype(dtype), z)
            for kind in ("nngp", "ntk"):
                x, z64 = file["x1"], file["x2"] if part == "12" else file["x1"]
                diagonals = (net.diag(rows, kind=kind) for rows in (x, z64))
                scale = np.sqrt(np.outer(*diagonals))
                tolerance = 1e-12 if dtype == np.float64 else 5e-6
                want = file[f"{kind}_{part}_hp"]
                assert_close(getattr(got, kind), want, scale, tolerance, f"{name} {kind}")


@pytest.mark.parametrize("phi", PHI, ids=repr)
@pytest.mark.parametrize(("q", "p"), [(1e-6, 1e-6), (0.3, 0.3), (1.0, 2.0), (30.0, 30.0)])
def test_duals_equal_quadrature(phi: Numerical, q: float, p: float) -> None:
    """Value and derivative at both ends of rho, 1e-7 from them and between."""
    for theta in ANGLES:
        value, slope = quadrature.duals(dictionary(phi), q, p, theta)
        got_value, got_slope = _duals(phi, q, p, theta)
        scale = np.sqrt(_square(phi, q)[0] * _square(phi, p)[0])
        slope_scale = np.sqrt(_square(phi, q)[1] * _square(phi, p)[1])
        assert abs(got_value - value) <= 2e-12 * scale, theta
        assert abs(got_slope - slope) <= 2e-12 * slope_scale + 1e-12 * abs(slope), theta


@pytest.mark.parametrize("phi", [nk.Tanh(), nk.Selu()], ids=repr)
@pytest.mark.parametrize("q", [1e4, 1e6])
def test_large_rows_in_float32(phi: Numerical, q: float) -> None:
    for theta in ANGLES:
        value, slope = quadrature.duals(dictionary(phi), q, q, theta)
        got_value, got_slope = _duals(phi, q, q, theta, np.float32)
        scale, slope_scale = _square(phi, q)
        assert abs(got_value - value) <= 2e-6 * scale, theta
        assert abs(got_slope - slope) <= 5e-6 * slope_scale, theta


@pytest.mark.parametrize("phi", [nk.Tanh(), nk.Sigmoid(), nk.Softplus(), nk.Elu(0.7)], ids=repr)
def test_large_rows_in_float64(phi: Numerical) -> None:
    q = 1e6
    for theta in (1e-7, 1.0):
        value, slope = quadrature.duals(dictionary(phi), q, q, theta)
        got_value, got_slope = _duals(phi, q, q, theta)
        scale, slope_scale = _square(phi, q)
        assert abs(got_value - value) <= 2e-12 * scale, theta
        assert abs(got_slope - slope) <= 5e-12 * slope_scale, theta


def _square(phi: Numerical, q: float) -> tuple[float, float]:
    f, slope, _ = quadrature.functions(dictionary(phi))
    at = np.sqrt(q)
    z, w = (a[0] for a in quadrature._rule(np.array([[0.0]])))
    return float(w @ f(at * z) ** 2), float(w @ slope(at * z) ** 2)


def _duals(
    phi: Numerical, q: float, p: float, theta: float, dtype: Any = np.float64
) -> tuple[float, float]:
    """E[phi phi] and E[phi' phi'] from two rows at an angle."""
    half = theta / 2
    x = np.sqrt(2 * q) * np.array([[np.cos(half), np.sin(half)]])
    z = np.sqrt(2 * p) * np.array([[np.cos(half), -np.sin(half)]])
    net = nk.serial(nk.Dense(), phi, nk.Dense(trainable=False))
    k = net.kernels(x.astype(dtype), z.astype(dtype))
    cosine = np.cos(theta)
    if abs(cosine) > 0.1:
        return float(k.nngp[0, 0]), float(k.ntk[0, 0]) / (np.sqrt(q * p) * cosine)
    # T = K says nothing where K = 0: a bias in between shifts K from -b^2 to 0, and leaves T there.
    shift = 0.5 * min(q, p)
    half = np.arccos(-shift / np.sqrt((q - shift) * (p - shift))) / 2
    x = np.sqrt(2 * (q - shift)) * np.array([[np.cos(half), np.sin(half)]])
    z = np.sqrt(2 * (p - shift)) * np.array([[np.cos(half), -np.sin(half)]])
    bias = nk.Dense(b_std=np.sqrt(shift))
    net = nk.serial(nk.Dense(), bias, phi, nk.Dense(trainable=False))
    slope = net.ntk(x.astype(dtype), z.astype(dtype))[0, 0] / -shift
    return float(k.nngp[0, 0]), float(slope)


@pytest.mark.parametrize("phi", PHI, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_zero_row_is_defined(phi: Numerical, dtype: Any) -> None:
    x = np.array([[0.0, 0.0], [1.0, 2.0], [-0.5, 1.0]], dtype=dtype)
    for b_std in (None, 0.3):
        k = nk.mlp(1, phi, W_std=1.1, b_std=b_std).kernels(x)
        assert np.isfinite(k.nngp).all()
        assert np.isfinite(k.ntk).all()
    at_zero = phi.parts().at_zero
    k0 = nk.serial(nk.Dense(), phi).nngp(x)
    np.testing.assert_allclose(k0[0, 0], at_zero**2, rtol=1e-6)
    mean = [
        quadrature.expectation(quadrature.functions(dictionary(phi))[0], (0.0,), q, q, np.pi / 2)
        for q in (2.5, 0.625)
    ]
    np.testing.assert_allclose(k0[0, 1:], at_zero * np.sqrt(mean), rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("phi", PHI, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiny_and_large_rows_share_a_table(phi: Numerical, dtype: Any) -> None:
    """Every pair of rows with K from 1e-6 to 700; the even part of Selu nearly vanishes at one."""
    x, largest = np.array([[1e-3, 0.0], [0.0, -0.4], [1.0, 2.0], [-1.3, 1.3], [30.0, 22.5]]), 700.0
    x = x.astype(dtype)
    k = nk.serial(nk.Dense(), phi, nk.Dense(trainable=False)).kernels(x)
    variance = nk.serial(nk.Dense()).nngp(x.astype(float))
    unit, slope_unit = (2e-12, 2e-12) if dtype == np.float64 else (2e-6, 5e-6)
    assert variance.max() == pytest.approx(largest, rel=0.01)
    for i, j in itertools.combinations(range(len(x)), 2):
        q, p = variance[i, i], variance[j, j]
        theta = np.arccos(np.clip(variance[i, j] / np.sqrt(q * p), -1, 1))
        value, slope = quadrature.duals(dictionary(phi), q, p, theta)
        squares = [_square(phi, each) for each in (q, p)]
        scale, slope_scale = np.sqrt(np.prod(squares, axis=0))
        assert abs(k.nngp[i, j] - value) <= unit * scale, (i, j)
        tangent = slope_unit * slope_scale * np.sqrt(q * p)
        assert abs(k.ntk[i, j] - variance[i, j] * slope) <= tangent, (i, j)


def test_near_duplicates_keep_their_distance_through_tanh_and_relu() -> None:
    rng = np.random.default_rng(1)
    u = rng.standard_normal(20)
    v = u + 1e-7 * rng.standard_normal(20)
    x = np.array([u, v, -u, -v])
    net = nk.serial(nk.Dense(), nk.Tanh(), nk.Dense(1.3), nk.Relu(), nk.Dense(1.4))
    erf = nk.serial(nk.Dense(), nk.Erf(), nk.Dense(1.3), nk.Relu(), nk.Dense(1.4))
    for one in (net, erf):
        k = one.ntk(x)
        gap = k[0, 0] - k[0, 1]
        assert 1e-9 < gap / k[0, 0] < 1e-6  # the kink sees an angle of 1e-7, with a few digits
        np.testing.assert_allclose(k[2, 3], k[0, 1], rtol=1e-14)


def test_threads_do_not_change_a_bit() -> None:
    x = np.random.default_rng(0).standard_normal((700, 30)).astype(np.float32)
    net = nk.mlp(2, nk.Tanh(), W_std=1.3, b_std=0.1)
    np.testing.assert_array_equal(net.ntk(x, threads=1), net.ntk(x, threads=3))


def test_depth_twenty_in_float32_equals_float64() -> None:
    x = np.random.default_rng(0).standard_normal((30, 10)).astype(np.float32)
    net = nk.mlp(20, nk.Tanh(), W_std=1.0)
    single, double = net.kernels(x), net.kernels(x.astype(float))
    for a, b in zip(single, double, strict=True):
        assert_close(a, b, scales(b), 2e-6)


def test_a_callable_equals_the_layer_of_its_name() -> None:
    x = np.random.default_rng(0).standard_normal((6, 5))
    named = nk.mlp(1, nk.Tanh(), W_std=1.2).kernels(x)
    for phi in (nk.Elementwise(np.tanh), nk.Elementwise(np.tanh, lambda t: 1 - np.tanh(t) ** 2)):
        k = nk.mlp(1, phi, W_std=1.2).kernels(x)
        np.testing.assert_allclose(k.nngp, named.nngp, rtol=1e-11)
        np.testing.assert_allclose(k.ntk, named.ntk, rtol=1e-11)


def test_a_callable_is_hashed_by_identity_and_pickles() -> None:
    phi = nk.Elementwise(np.arctan)
    assert phi == nk.Elementwise(np.arctan)
    assert hash(phi) == hash(pickle.loads(pickle.dumps(phi)))
    assert phi != nk.Elementwise(np.tanh)
    with pytest.raises(nk.errors.ArchitectureError, match="file"):
        nk.serial(nk.Dense(), phi).to_dict()


@pytest.mark.parametrize(
    ("fn", "error"),
    [
        (3, TypeError),
        (lambda x: x[0], ValueError),
        (lambda x: 1 / x, ValueError),
        (lambda x: x + 0j, TypeError),
    ],
)
def test_functions_are_checked(fn: Any, error: type[Exception]) -> None:
    with np.errstate(divide="ignore"), pytest.raises(error, match="Elementwise"):
        nk.Elementwise(fn)


def test_a_jump_is_refused_and_the_message_says_how_far_it_came() -> None:
    phi = nk.Elementwise(np.sign)
    with pytest.raises(nk.errors.ToleranceError, match=r"Elementwise.*expected .*float64"):
        nk.serial(nk.Dense(), phi, nk.Dense()).ntk([[1.0, 2.0], [0.0, 1.0]])


@pytest.mark.parametrize("place", [[nk.Tanh(), nk.Tanh()], [nk.Tanh()], [nk.Relu(), nk.Silu()]])
def test_a_place_without_fresh_weights_is_refused(place: list[Numerical]) -> None:
    with pytest.raises(nk.errors.ArchitectureError, match="mean-zero Gaussian"):
        nk.serial(*([nk.Dense()] if len(place) > 1 else []), *place)


def test_numerical_layers_of_the_format_are_read_by_name() -> None:
    layer = {"type": "ElementwiseNumerical", "fn": "tanh", "deg": 40}
    assert nk.from_dict({"type": "serial", "layers": [{"type": "Dense"}, layer]}) == nk.serial(
        nk.Dense(), nk.Tanh()
    )
    for bad in ({**layer, "fn": "cosh"}, {**layer, "more": 1}, {"type": "ElementwiseNumerical"}):
        with pytest.raises(nk.errors.ArchitectureError, match="ElementwiseNumerical"):
            nk.from_dict({"type": "serial", "layers": [{"type": "Dense"}, bad]})
