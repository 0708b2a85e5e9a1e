"""Pools that leave positions: reference data, the plain oracle, accuracy, and what cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import ntkfast as nk
from oracle import images
from oracle.arch import serial
from oracle.compare import assert_close

ACTIVATIONS: list[list[dict[str, Any]]] = [
    [{"type": "Relu"}],
    [{"type": "Erf"}],
    [{"type": "LayerNorm"}, {"type": "Relu"}],
    [],
]


@st.composite
def architectures(draw: st.DrawFn) -> dict[str, Any]:
    """Convolutions, pools anywhere, residual blocks within a stage or around a pool."""
    layers: list[dict[str, Any]] = []

    def conv(circular: bool) -> dict[str, Any]:
        return {
            "type": "Conv",
            "filter_shape": [draw(st.integers(1, 3)), draw(st.integers(1, 3))],
            "W_std": draw(st.sampled_from([0.7, 1.5])),
            "b_std": draw(st.sampled_from([None, 0.3])),
            "padding": "CIRCULAR" if circular else draw(st.sampled_from(["VALID", "SAME"])),
            "trainable": draw(st.booleans()),
        }

    def pool() -> dict[str, Any]:
        kind = draw(st.sampled_from(["AvgPool", "SumPool"]))
        made = {
            "type": kind,
            "window_shape": [draw(st.integers(1, 4)), draw(st.integers(1, 3))],
            "strides": draw(st.sampled_from([None, [1, 2], [2, 2], [3, 1]])),
            "padding": draw(st.sampled_from(["VALID", "SAME", "CIRCULAR"])),
        }
        if kind == "AvgPool":
            made["normalize_edges"] = draw(st.booleans())
        return made

    for _ in range(draw(st.integers(1, 3))):
        circular = draw(st.booleans())
        for _ in range(draw(st.integers(0, 2))):
            layer = conv(circular)
            if not circular and draw(st.integers(0, 3)) == 0:
                layer["strides"] = [2, 1]
            layers += [layer, *draw(st.sampled_from(ACTIVATIONS))]
            if draw(st.integers(0, 4)) == 0:
                same = {**conv(circular), "padding": "CIRCULAR" if circular else "SAME"}
                branches = [serial(same, {"type": "Erf"}, {**same, "W_std": 0.9})]
                branches.append(serial({"type": "Identity"}))
                if draw(st.booleans()):  # a pool in every branch
                    shared = pool()
                    branches = [serial(*branch["layers"], shared) for branch in branches]
                layers += [
                    {"type": "FanOut", "num": 2},
                    {"type": "parallel", "layers": branches},
                    {"type": "FanInSum"},
                ]
        if draw(st.integers(0, 2)) > 0:
            layers.append(pool())
    if draw(st.booleans()):
        layers += [conv(False), {"type": "Relu"}]
    layers.append({"type": draw(st.sampled_from(["Flatten", "GlobalAvgPool", "GlobalSumPool"]))})
    layers.append({"type": "Dense", "W_std": 1.1, "b_std": 0.2})
    return serial(*layers, *draw(st.sampled_from([[], [{"type": "Relu"}, {"type": "Dense"}]])))


#: Not what a random network may hit on: a filter too large, two activations in a row, ...
ILLEGAL = (
    "at least",
    "not a mean-zero",
    "divide",
    "cannot be mixed",
    "equal strides",
    "may have a",
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    arch=architectures(), height=st.integers(4, 7), width=st.integers(4, 6), seed=st.integers(0, 99)
)
def test_the_plain_oracle_agrees(arch: dict[str, Any], height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, height, width, 2)), rng.normal(size=(2, height, width, 2))
    try:
        net = nk.from_dict(arch)
        got, single = net.kernels(x, z), net.kernels(*(a.astype(np.float32) for a in (x, z)))
        own = net.kernels(x)
    except nk.errors.ArchitectureError as error:
        assume(not any(reason in str(error) for reason in ILLEGAL))
        raise
    K, T = images.kernels(arch, x, z)
    scale = [np.sqrt(np.outer(*(net.diag(a, kind=k) for a in (x, z)))) for k in ("nngp", "ntk")]
    assert_close(got.nngp, K, scale[0], 1e-11, "nngp")
    assert_close(got.ntk, T, scale[1], 1e-7, "ntk")  # half of the digits where rho is 1
    assert_close(single.nngp, K, scale[0], 1e-5, "nngp, float32")
    K, T = images.kernels(arch, x)
    scale = [np.sqrt(np.outer(np.diag(each), np.diag(each))) for each in (own.nngp, own.ntk)]
    assert_close(own.nngp, K, scale[0], 1e-11, "own nngp")
    assert_close(own.ntk, T, scale[1], 1e-6, "own ntk")


def _block(pool: list[nk.layers.Layer]) -> list[nk.layers.Layer]:
    return [nk.Conv((3, 3), padding="SAME", W_std=2**0.5), nk.Relu(), *pool]


def _scale(kernel: Any) -> Any:
    return np.sqrt(np.outer(np.diag(kernel), np.diag(kernel)))


HALF = nk.AvgPool((2, 2), (2, 2))
READOUTS = pytest.mark.parametrize("readout", [nk.Flatten(), nk.GlobalAvgPool()])


@READOUTS
def test_flat_repeated_and_zero_patches(readout: nk.layers.Layer) -> None:
    rng = np.random.default_rng(6)
    x = np.zeros((5, 8, 8, 1))
    x[0, 3:6, 3:6, 0] = rng.uniform(size=(3, 3))
    x[1] = 0.5  # flat
    x[2] = np.tile(rng.uniform(size=(2, 2, 1)), (4, 4, 1))
    x[4] = x[2, ::-1]
    net = nk.serial(*_block([HALF]) * 3, readout, nk.Dense())
    exact, single = net.kernels(x), net.kernels(x.astype(np.float32))
    for kind in ("nngp", "ntk"):
        true, got = getattr(exact, kind), getattr(single, kind)
        assert not true[3].any()  # a black image
        assert_close(got, true, _scale(true) + 1e-300, 2e-6, kind)


@READOUTS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equal_images_are_equal_behind_pools(readout: nk.layers.Layer, dtype: str) -> None:
    """Exactly: in a cross kernel, too, and for images that stand twice in a Gram matrix."""
    x = np.random.default_rng(3).normal(size=(4, 8, 8, 3)).astype(dtype)
    x[2] = x[0]
    net = nk.serial(*_block([HALF]) * 2, nk.Conv((2, 2), b_std=0.1), nk.Relu(), readout)
    own, cross = net.ntk(x), net.ntk(x, x)
    np.testing.assert_allclose(cross, own, rtol=20 * np.finfo(dtype).eps)
    np.testing.assert_allclose(own[0, 2], own[0, 0], rtol=20 * np.finfo(dtype).eps)


@READOUTS
def test_nearly_equal_images_lose_digits_behind_pools_as_stated(readout: nk.layers.Layer) -> None:
    """In float32, 1 - rho is known to about eps times 1 - rho within a window (docs/images.md)."""
    rng = np.random.default_rng(7)
    base = rng.normal(size=(1, 16, 16, 3))
    x = (base * (1 + 1e-4 * rng.normal(size=(6, 16, 16, 3)))).astype(np.float32)
    net = nk.serial(*_block([HALF]) * 3, readout, nk.Dense())
    true = net.ntk(x.astype(np.float64))
    assert_close(net.ntk(x), true, _scale(true), 2e-5, "ntk")
    true = net.nngp(x.astype(np.float64))
    assert_close(net.nngp(x), true, _scale(true), 1e-6, "nngp")


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12])
def test_tiny_and_huge_images_scale_as_they_should(scale: float) -> None:
    x = np.random.default_rng(10).normal(size=(3, 6, 6, 2)).astype(np.float32)
    net = nk.serial(*_block([nk.SumPool((2, 3), (2, 1))]), *_block([]), nk.GlobalAvgPool())
    scaled = x.astype(np.float64) * scale
    np.testing.assert_allclose(net.ntk(scaled), scale**2 * net.ntk(x.astype(float)), rtol=1e-10)
    single = net.ntk(scaled.astype(np.float32))
    expected = (scale**2 * net.ntk(x.astype(float))).astype(np.float32)
    np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-37)


@READOUTS
def test_threads_and_symmetry_change_no_bit(readout: nk.layers.Layer) -> None:
    x = np.random.default_rng(9).normal(size=(13, 6, 6, 3)).astype(np.float32)
    pool = nk.AvgPool((3, 3), (2, 2), padding="SAME", normalize_edges=True)
    net = nk.serial(*_block([pool]), nk.Conv((2, 2)), nk.Erf(), readout)
    one = net.kernels(x, threads=1)
    for threads in (2, 5):
        many = net.kernels(x, threads=threads)
        np.testing.assert_array_equal(many.ntk, one.ntk)
        np.testing.assert_array_equal(many.nngp, one.nngp)
    np.testing.assert_array_equal(one.ntk, one.ntk.T)
    np.testing.assert_allclose(net.diag(x), np.diag(one.ntk), rtol=1e-6)
    assert net.ntk(x[:0]).shape == (0, 0)
    assert net.ntk(x, x[:0]).shape == (13, 0)


def test_local_average_pooling_is_a_mean_over_crops() -> None:
    """Li et al. 2019: Flatten of means over windows; at radius 0 Flatten alone."""
    x = np.random.default_rng(4).normal(size=(4, 6, 6, 2))
    layers = _block([])
    plain = nk.serial(*layers, nk.Flatten()).kernels(x)
    none = nk.serial(*layers, nk.AvgPool((1, 1), padding="SAME"), nk.Flatten()).kernels(x)
    for kind in ("nngp", "ntk"):
        np.testing.assert_allclose(getattr(none, kind), getattr(plain, kind), rtol=1e-12)
    arch = serial(
        {"type": "Conv", "filter_shape": [3, 3], "padding": "SAME", "W_std": 2**0.5},
        {"type": "Relu"},
        {"type": "AvgPool", "window_shape": [5, 5], "padding": "SAME"},
        {"type": "Flatten"},
    )
    net = nk.from_dict(arch)
    assert net.layers[2] == nk.AvgPool((5, 5), padding="SAME")
    np.testing.assert_allclose(net.nngp(x), images.kernels(arch, x)[0], rtol=1e-11)


def test_dropout_in_front_of_a_pool_keeps_what_is_the_same_sample() -> None:
    """The same units fall at equal positions of one image; the variances behind the pool know."""
    x = np.random.default_rng(8).normal(size=(2, 4, 4, 2))
    layers = [nk.Conv((1, 1)), nk.Relu(), nk.Dropout(0.5)]
    net = nk.serial(*layers, HALF, nk.Flatten())
    plain = nk.serial(*layers[:2], HALF, nk.Flatten()).nngp(x)
    pixels = nk.serial(*layers[:2], nk.Flatten()).nngp(x)
    extra = np.diag(pixels) / 4  # the mean over 4 x 4 pairs of taps has 4 of equal positions
    np.testing.assert_allclose(net.nngp(x), plain + np.diag(extra), rtol=1e-12)


def test_readouts_of_images_of_different_sizes_share_a_pass() -> None:
    x = np.random.default_rng(1).normal(size=(3, 11, 10, 2))
    valid = [nk.Conv((3, 2)), nk.Relu()]
    ends = [[nk.GlobalAvgPool()], [nk.Flatten()], [HALF, *valid, nk.GlobalAvgPool()]]
    nets = [nk.serial(*valid * depth, *end) for depth in (1, 2) for end in ends]
    together = nk.kernels_of(nets, x)
    for net, k in zip(nets, together, strict=True):
        alone = net.kernels(x)
        np.testing.assert_allclose(k.nngp, alone.nngp, rtol=1e-13)
        np.testing.assert_allclose(k.ntk, alone.ntk, rtol=1e-13)


POOL = nk.AvgPool((3, 3), (2, 2))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([POOL], "still has positions"),
        ([nk.Flatten(), POOL], "no positions"),
        ([nk.Conv((3, 3)), nk.AvgPool((4, 4)), nk.Flatten()], "at least 4 positions"),
        (
            [
                nk.FanOut(2),
                nk.parallel(
                    nk.serial(nk.Conv((1, 1)), nk.AvgPool((3, 3), padding="SAME")), nk.Conv((1, 1))
                ),
                nk.FanInSum(),
                nk.Flatten(),
            ],
            r"AvgPool\(\(1, 1\)\)",
        ),
    ],
)
def test_what_cannot_be_is_refused(layers: list[nk.layers.Layer], message: str) -> None:
    with pytest.raises(nk.errors.ArchitectureError, match=message):
        nk.serial(*layers).ntk(np.ones((2, 5, 5, 1)))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: nk.AvgPool(2), TypeError),
        (lambda: nk.AvgPool((2, 0)), ValueError),
        (lambda: nk.SumPool((2, 2), (1, -1)), ValueError),
        (lambda: nk.SumPool((2, 2), padding="REFLECT"), ValueError),
        (lambda: nk.AvgPool((2, 2), normalize_edges=1), TypeError),
    ],
)
def test_arguments_are_checked(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="Pool"):
        make()
