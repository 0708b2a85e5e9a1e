"""Every pointwise activation at the positions of images: tables, series, closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ntkfast as nk
from ntkfast import _core
from oracle import images
from oracle.compare import assert_close

#: Without a kink, so that the oracle's quadrature is accurate.
SMOOTH: list[dict[str, Any]] = [
    {"type": "Tanh"},
    {"type": "Sigmoid"},
    {"type": "Softplus"},
    {"type": "Silu"},
    {"type": "Gelu"},
    {"type": "Sin", "a": 1.2, "b": 0.8, "c": 0.3},
    {"type": "Gaussian"},
    {"type": "Gabor"},
    {"type": "Hermite", "degree": 3},
    {"type": "Monomial", "degree": 2},
    {"type": "Polynomial", "coef": [0.2, 1.0, -0.3]},
    {"type": "Rbf", "gamma": 0.4},
]

TABULATED: list[nk.layers.Layer] = [
    nk.Tanh(),
    nk.Sigmoid(),
    nk.Softplus(),
    nk.Silu(),
    nk.Elu(0.7),
    nk.Selu(),
    nk.Elementwise(np.arctan, lambda x: 1 / (1 + x * x)),
]


def _conv(**arguments: Any) -> dict[str, Any]:
    return {"type": "Conv", "filter_shape": [2, 3], "W_std": 1.2, "b_std": 0.2} | arguments


@settings(max_examples=20, deadline=None)
@given(
    first=st.sampled_from(SMOOTH),
    second=st.sampled_from(SMOOTH),
    padding=st.sampled_from(["VALID", "SAME", "CIRCULAR"]),
    bias=st.sampled_from([None, 0.2]),
    norm=st.booleans(),
    pool=st.sampled_from([None, "AvgPool", "SumPool"]),
    readout=st.sampled_from(["Flatten", "GlobalAvgPool"]),
    seed=st.integers(0, 99),
)
def test_the_plain_oracle_agrees(
    first: dict[str, Any],
    second: dict[str, Any],
    padding: str,
    bias: float | None,
    norm: bool,
    pool: str | None,
    readout: str,
    seed: int,
) -> None:
    """Positions of very different norms, one of them black, and opposite images."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(scale=0.6, size=(2, 2, 3, 3, 2))
    x[0] *= np.linspace(0.2, 1.5, 9).reshape(3, 3, 1)
    x[1, 0, 0] = 0
    z[1] = -x[1]
    layers = [_conv(padding=padding, b_std=bias, filter_shape=[1, 2]), first]
    if pool is not None:
        layers += [{"type": pool, "window_shape": [2, 1], "padding": padding}]
    layers += [_conv(filter_shape=[2, 1] if padding != "VALID" else [1, 1], padding=padding)]
    layers += [{"type": "LayerNorm"}] * norm + [second]
    arch = {"type": "serial", "layers": [*layers, {"type": readout}, {"type": "Dense"}]}
    got = nk.from_dict(arch).kernels(x, z)
    K, T = images.kernels(arch, x, z)
    np.testing.assert_allclose(got.nngp, K, rtol=1e-9, atol=1e-10 * np.abs(K).max())
    np.testing.assert_allclose(got.ntk, T, rtol=1e-6, atol=1e-7 * np.abs(T).max())


@pytest.mark.parametrize("phi", TABULATED, ids=repr)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 5e-13), ("float32", 2e-6)])
def test_a_position_is_a_row(phi: nk.layers.Layer, dtype: str, tolerance: float) -> None:
    """One-pixel images: kinks and jumps of the slope included, norms over four decades."""
    x = np.random.default_rng(0).normal(size=(12, 6)) * np.geomspace(1e-3, 5, 12)[:, None]
    x[3] = 0
    x[4], x[5] = x[7] * (1 + 1e-6), -x[7]
    x = x.astype(dtype)
    rows = nk.serial(nk.Dense(1.4, 0.1), phi, nk.Dense(1.1, 0.2), phi, nk.Dense())
    first, second = nk.Conv((1, 1), W_std=1.4, b_std=0.1), nk.Conv((1, 1), W_std=1.1, b_std=0.2)
    net = nk.serial(first, phi, second, phi, nk.Flatten(), nk.Dense())
    true, got = rows.kernels(x), net.kernels(x[:, None, None])
    for kind in ("nngp", "ntk"):
        K = getattr(true, kind)
        scale = np.sqrt(np.outer(np.diag(K), np.diag(K)))
        assert_close(getattr(got, kind), K, scale, tolerance, kind)


@pytest.mark.parametrize("phi", [nk.Tanh(), nk.Silu(), nk.Elu()], ids=repr)
def test_nearly_equal_images_keep_their_distance(phi: nk.layers.Layer) -> None:
    rng = np.random.default_rng(7)
    base = rng.normal(size=(1, 6, 6, 3)) * np.linspace(0.1, 2, 36).reshape(1, 6, 6, 1)
    x = (base * (1 + 1e-4 * rng.normal(size=(5, 6, 6, 3)))).astype(np.float32)
    layers = [nk.Conv((3, 3), padding="SAME", W_std=1.0, b_std=0.1), phi] * 3
    net = nk.serial(*layers, nk.GlobalAvgPool(), nk.Dense())
    exact, single = net.kernels(x.astype(np.float64)), net.kernels(x)
    for kind in ("nngp", "ntk"):
        true = getattr(exact, kind)
        scale = np.sqrt(np.outer(np.diag(true), np.diag(true)))
        assert_close(getattr(single, kind), true, scale, 2e-6, kind)


def test_ranges_are_those_of_the_positions() -> None:
    """Of K(p, p) over both sets of images, black pixels left out; the readout has its own."""
    x, z = np.zeros((2, 2, 2, 1)), np.zeros((1, 2, 2, 1))
    x[0, 0, 0] = 0.5
    x[1, 1, 1] = 2.0
    z[0, 0, 1] = 3.0
    tanh = nk.Tanh()
    net = nk.serial(nk.Conv((1, 1)), tanh, nk.GlobalSumPool(), nk.Dense(), tanh, nk.Dense())
    inner, outer = net.approximations(x, z)
    assert 0.03 < inner.K[0] <= 0.25
    assert 9.0 <= inner.K[1] < 20
    square = np.diag(nk.serial(*net.layers[:3]).nngp(np.concatenate([x, z])))
    assert outer.K[0] <= square.min()
    assert outer.K[1] >= square.max()
    assert outer.K[1] < 4 * square.max()
    assert 0 < inner.error < 1e-12
    assert net.ntk(x, z).shape == (2, 1)
    assert np.isfinite(net.ntk(np.zeros((2, 2, 2, 1)))).all()  # there is no range to find
    assert net.ntk(x[:0]).shape == (0, 0)


def test_what_reaches_the_tolerance_by_no_method_is_refused() -> None:
    x = 1e4 * np.random.default_rng(0).normal(size=(2, 3, 3, 1))
    net = nk.serial(nk.Conv((2, 2)), nk.Elementwise(np.arctan), nk.Flatten(), nk.Dense())
    with pytest.raises(nk.errors.ToleranceError, match="for rows with K between"):
        net.ntk(x)


def test_threads_change_no_bit() -> None:
    x = np.random.default_rng(3).normal(size=(9, 5, 5, 2)).astype(np.float32)
    layers = [nk.Conv((3, 3), padding="SAME", b_std=0.1), nk.Silu(), nk.Conv((2, 2)), nk.Tanh()]
    net = nk.serial(*layers, nk.GlobalAvgPool(), nk.Dense())
    np.testing.assert_array_equal(net.ntk(x, threads=3), net.ntk(x, threads=1))
    np.testing.assert_allclose(net.diag(x), np.diag(net.ntk(x)), rtol=1e-6)


@pytest.mark.parametrize("isa", _core.isa_available())
@pytest.mark.parametrize("phi", [nk.Tanh(), nk.Silu(), nk.Softplus()], ids=repr)
def test_every_instruction_set_agrees(phi: nk.layers.Layer, isa: str) -> None:
    """Odd, even and constant parts, on maps that end within a vector."""
    x = np.random.default_rng(5).normal(size=(4, 5, 7, 2))
    layers = [nk.Conv((2, 2), b_std=0.1), phi, nk.Conv((3, 2)), phi]
    net = nk.serial(*layers, nk.GlobalAvgPool(), nk.Dense())
    expected = net.kernels(x)
    with nk.config(isa=isa):
        got, single = net.kernels(x), net.kernels(x.astype(np.float32))
    for kind in ("nngp", "ntk"):
        true = getattr(expected, kind)
        np.testing.assert_allclose(getattr(got, kind), true, rtol=1e-11)
        assert_close(getattr(single, kind), true, np.abs(true).max(), 2e-6, kind)


def test_a_constant_has_a_kernel_at_positions() -> None:
    constant = nk.Elementwise(lambda x: np.full_like(x, -2.0))
    net = nk.serial(nk.Conv((3, 3)), constant, nk.GlobalAvgPool(), nk.Dense())
    k = net.kernels(np.random.default_rng(0).normal(size=(3, 5, 5, 2)))
    np.testing.assert_allclose(k.nngp, np.full((3, 3), 4.0), rtol=1e-14)
    np.testing.assert_allclose(k.ntk, np.full((3, 3), 4.0), rtol=1e-14)
