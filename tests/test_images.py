"""Kernels of images: reference data, a plain four-dimensional oracle, and what cannot be."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import ntkfast as nk
from oracle import images
from oracle.compare import assert_close
from oracle.reference import FOLDER

CASES = [
    "conv1d_gap",
    "conv_avgpool_flatten",
    "conv_avgpool_gap",
    "conv_circular_flatten",
    "conv_circular_gap",
    "conv_conv1x1",
    "conv_globalsumpool",
    "conv_layernorm",
    "conv_resnet",
    "conv_same_flatten",
    "conv_same_gap",
    "conv_shortcut_strided",
    "conv_standard",
    "conv_strided_same",
    "conv_strided_same_gap",
    "conv_strided_valid_gap",
    "conv_sumpool_same",
    "conv_valid_flatten",
    "conv_valid_gap",
]


def _load(name: str) -> dict[str, Any]:
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file} | {"arch": json.loads(str(file["arch"]))}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)])
def test_reference_data(name: str, dtype: str, tolerance: float) -> None:
    """The NTK of an image with itself is off by up to 2e-8 in the files, where rho is 1."""
    case = _load(name)
    net = nk.from_dict(case["arch"])
    x, z = (case[k].astype(dtype) for k in ("x1", "x2"))
    own, cross = net.kernels(x), net.kernels(x, z)
    assert own.ntk.dtype == dtype
    diagonal = np.eye(len(x), dtype=bool)
    scale = {
        kind: np.sqrt(np.diag(case[f"{kind}_11"])[:, None] * np.diag(case[f"{kind}_11"]))
        for kind in ("nngp", "ntk")
    }
    assert_close(own.nngp, case["nngp_11"], scale["nngp"], tolerance, "nngp")
    assert_close(own.ntk[~diagonal], case["ntk_11"][~diagonal], scale["ntk"][~diagonal], tolerance)
    assert_close(
        own.ntk[diagonal], case["ntk_11"][diagonal], scale["ntk"][diagonal], max(tolerance, 1e-7)
    )
    assert_close(cross.nngp, case["nngp_12"], case["nngp_12"], tolerance, "cross nngp")
    assert_close(cross.ntk, case["ntk_12"], case["ntk_12"], tolerance, "cross ntk")
    for kind in ("nngp", "ntk"):
        np.testing.assert_allclose(
            net.diag(x, kind=kind), np.diag(getattr(own, kind)), rtol=10 * np.finfo(dtype).eps
        )


def _serial(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"type": "serial", "layers": list(layers)}


@st.composite
def architectures(draw: st.DrawFn) -> dict[str, Any]:
    """Convolutions, activations, a residual block perhaps, and a readout."""
    layers: list[dict[str, Any]] = []
    circular = draw(st.booleans())
    for _ in range(draw(st.integers(1, 3))):
        conv = {
            "type": "Conv",
            "filter_shape": [draw(st.integers(1, 4)), draw(st.integers(1, 3))],
            "W_std": draw(st.sampled_from([0.7, 1.5])),
            "b_std": draw(st.sampled_from([None, 0.0, 0.3])),
            "padding": "CIRCULAR" if circular else draw(st.sampled_from(["VALID", "SAME"])),
            "trainable": draw(st.booleans()),
        }
        if not circular:
            conv["strides"] = draw(st.sampled_from([None, [1, 1], [2, 1], [2, 2]]))
        layers.append(conv)
        layers += draw(
            st.sampled_from([[{"type": "Relu"}], [{"type": "Erf"}], [{"type": "LayerNorm"}], []])
        )
        if layers[-1]["type"] == "LayerNorm":
            layers.append({"type": "Relu"})
        if draw(st.integers(0, 3)) == 0:
            same = conv | {"padding": "CIRCULAR" if circular else "SAME", "strides": None}
            branch = [same, {"type": "Erf"}, same | {"W_std": 0.9}]
            layers += [
                {"type": "FanOut", "num": 2},
                {"type": "parallel", "layers": [_serial(*branch), {"type": "Identity"}]},
                {"type": "FanInSum"},
            ]
    readout = draw(st.sampled_from(["Flatten", "GlobalAvgPool", "GlobalSumPool"]))
    return _serial(*layers, {"type": readout}, {"type": "Dense", "W_std": 1.1, "b_std": 0.2})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    arch=architectures(), height=st.integers(4, 7), width=st.integers(4, 6), seed=st.integers(0, 99)
)
def test_the_plain_oracle_agrees(arch: dict[str, Any], height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(3, height, width, 2)), rng.normal(size=(2, height, width, 2))
    z[1] = -x[1]
    try:
        got = nk.from_dict(arch).kernels(x, z)
    except nk.errors.ArchitectureError as error:  # too small an image for so many strides
        assume("at least" not in str(error) and "where" not in str(error))
        raise
    K, T = images.kernels(arch, x, z)
    scale = np.abs(K).max(), np.abs(T).max() + 1e-300
    np.testing.assert_allclose(got.nngp, K, rtol=1e-11, atol=1e-12 * scale[0])
    np.testing.assert_allclose(got.ntk, T, rtol=1e-6, atol=1e-7 * scale[1])  # rho = -1 at -x


def test_layers_behind_the_readout_are_those_of_rows() -> None:
    """A 1 x 1 image is a row: every layer must give what it gives there."""
    x = np.random.default_rng(5).normal(size=(6, 7))
    tail = [nk.LayerNorm(), nk.Gelu(), nk.Dense(1.2, 0.1), nk.Monomial(2), nk.Dense(0.5)]
    rows = nk.serial(nk.Dense(1.3, 0.2), nk.Relu(), nk.Dense(1.1), *tail)
    for readout in (nk.Flatten(), nk.GlobalAvgPool()):
        net = nk.serial(
            nk.Conv((1, 1), W_std=1.3, b_std=0.2), nk.Relu(), readout, nk.Dense(1.1), *tail
        )
        for kind in ("nngp", "ntk"):
            expected = getattr(rows.kernels(x), kind)
            got = getattr(net.kernels(x[:, None, None, :]), kind)
            np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_equal_and_zero_patches_are_exact_in_both_dtypes() -> None:
    """Flat regions, repeated patches and black borders, as in pictures of digits."""
    rng = np.random.default_rng(6)
    x = np.zeros((4, 9, 9, 1))
    x[0, 3:6, 3:6, 0] = rng.uniform(size=(3, 3))
    x[1] = 0.5  # flat
    x[2] = np.tile(rng.uniform(size=(3, 3, 1)), (3, 3, 1))
    layers = [nk.Conv((3, 3), padding="SAME", W_std=2**0.5), nk.Relu()] * 4
    for readout in (nk.Flatten(), nk.GlobalAvgPool()):
        net = nk.serial(*layers, readout, nk.Dense())
        exact, single = net.kernels(x), net.kernels(x.astype(np.float32))
        for kind in ("nngp", "ntk"):
            true, got = getattr(exact, kind), getattr(single, kind)
            assert np.isfinite(true).all()
            assert not true[3].any()  # a black image
            scale = np.sqrt(np.outer(np.diag(true), np.diag(true)))
            assert_close(got, true, scale, 1e-6, kind)


def test_nearly_equal_images_keep_their_distance() -> None:
    """Carrying rho in float32 would lose half of the digits of the NTK here."""
    rng = np.random.default_rng(7)
    base = rng.normal(size=(1, 8, 8, 3))
    x = (base * (1 + 1e-4 * rng.normal(size=(6, 8, 8, 3)))).astype(np.float32)
    layers = [nk.Conv((3, 3), padding="SAME", W_std=2**0.5, b_std=0.1), nk.Relu()] * 6
    net = nk.serial(*layers, nk.Flatten(), nk.Dense())
    true = net.ntk(x.astype(np.float64))
    scale = np.sqrt(np.outer(np.diag(true), np.diag(true)))
    assert_close(net.ntk(x), true, scale, 2e-6, "ntk")


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12])
def test_tiny_and_huge_images_scale_as_they_should(scale: float) -> None:
    """Without biases K and T are homogeneous of degree 2, whatever underflows on the way."""
    x = np.random.default_rng(10).normal(size=(3, 6, 6, 2)).astype(np.float32)
    net = nk.serial(*[nk.Conv((3, 3), padding="SAME"), nk.Relu()] * 2, nk.GlobalAvgPool())
    scaled = x.astype(np.float64) * scale
    np.testing.assert_allclose(net.ntk(scaled), scale**2 * net.ntk(x.astype(float)), rtol=1e-10)
    single = net.ntk(scaled.astype(np.float32))
    expected = (scale**2 * net.ntk(x.astype(float))).astype(np.float32)
    np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-37)


def test_dropout_keeps_what_is_the_same_sample() -> None:
    x = np.random.default_rng(8).normal(size=(3, 5, 5, 2))
    layers = (
        nk.Conv((3, 3), padding="SAME"),
        nk.Relu(),
        nk.Dropout(0.5),
        nk.Conv((1, 1)),
        nk.Flatten(),
    )
    own, cross = nk.serial(*layers).kernels(x), nk.serial(*layers).kernels(x, x)
    plain = nk.serial(*layers[:2], *layers[3:]).kernels(x)
    for kind in ("nngp", "ntk"):
        a, b, c = (getattr(k, kind) for k in (own, cross, plain))
        off = ~np.eye(3, dtype=bool)
        np.testing.assert_allclose(a[off], c[off], rtol=1e-13)
        np.testing.assert_allclose(b, c, rtol=1e-13)
        np.testing.assert_allclose(np.diag(a), 2 * np.diag(c), rtol=1e-13)


@pytest.mark.parametrize("readout", [nk.Flatten(), nk.GlobalAvgPool()])
def test_threads_and_symmetry_change_no_bit(readout: nk.layers.Layer) -> None:
    x = np.random.default_rng(9).normal(size=(21, 6, 6, 3)).astype(np.float32)
    net = nk.serial(nk.Conv((3, 3), padding="SAME"), nk.Erf(), nk.Conv((2, 2)), nk.Relu(), readout)
    one = net.kernels(x, threads=1)
    for threads in (2, 5):
        many = net.kernels(x, threads=threads)
        np.testing.assert_array_equal(many.ntk, one.ntk)
        np.testing.assert_array_equal(many.nngp, one.nngp)
    np.testing.assert_array_equal(one.ntk, one.ntk.T)
    np.testing.assert_allclose(net.ntk(x, x), one.ntk, rtol=1e-5, atol=1e-6 * one.ntk.max())


def test_empty_and_single_images() -> None:
    net = nk.serial(nk.Conv((2, 2)), nk.Relu(), nk.GlobalAvgPool())
    x = np.random.default_rng(1).normal(size=(1, 3, 4, 2))
    assert net.ntk(x[:0]).shape == (0, 0)
    assert net.ntk(x, x[:0]).shape == (1, 0)
    assert net.ntk(x).shape == (1, 1)
    strange = np.asfortranarray(np.broadcast_to(x, (4, 3, 4, 2)))[::2, :, ::-1]
    np.testing.assert_array_equal(net.ntk(strange), net.ntk(np.ascontiguousarray(strange)))


CONV = nk.Conv((3, 3))


@pytest.mark.parametrize(
    ("layers", "shape", "error", "message"),
    [
        ([CONV, nk.Relu()], (2, 5, 5, 1), nk.errors.ArchitectureError, "still has positions"),
        ([CONV, nk.Flatten()], (2, 5), ValueError, "X must be 4-D"),
        ([CONV, nk.Flatten()], (2, 5, 5), ValueError, r"X\[\.\.\., None\]"),
        ([CONV, nk.Flatten()], (2, 2, 5, 1), nk.errors.ArchitectureError, "at least 3 positions"),
    ],
)
def test_what_cannot_be_is_refused(
    layers: list[nk.layers.Layer], shape: tuple[int, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        nk.serial(*layers).ntk(np.ones(shape))


@pytest.mark.parametrize(
    "layers",
    [
        [nk.Dense(), CONV],
        [CONV, nk.Flatten(), nk.Flatten()],
        [CONV, nk.GlobalAvgPool(), CONV],
        [CONV, nk.Flatten(), nk.Relu()],
        [CONV, nk.Relu(), nk.Relu()],
    ],
)
def test_illegal_sequences_fail_when_they_are_made(layers: list[nk.layers.Layer]) -> None:
    if layers[0] == nk.Dense():
        nk.serial(*layers)  # a Dense layer works on every position
        return
    with pytest.raises(nk.errors.ArchitectureError):
        nk.serial(*layers)


@pytest.mark.parametrize("name", CASES)
def test_an_architecture_survives_the_round_trip(name: str) -> None:
    net = nk.from_dict(_load(name)["arch"])
    assert nk.from_dict(json.loads(json.dumps(net.to_dict()))) == net
    assert nk.from_text(repr(net)) == net


def test_fixed_convolutions_add_nothing_of_their_own() -> None:
    """All but the readout fixed: the weakly trained network, whose NTK is its NNGP kernel."""
    x = np.random.default_rng(2).normal(size=(3, 5, 5, 2))
    layers = [CONV, nk.Relu(), nk.Conv((2, 2), b_std=0.1), nk.Relu(), nk.GlobalAvgPool()]
    net = nk.serial(*layers, nk.Dense(1.5, 0.3))
    variants = net.variants(fixed="all")
    assert set(variants) == {(1, 0), (1, 1), (2, 0), (2, 1), (2, 2)}
    weakly = variants[2, 2].kernels(x)
    np.testing.assert_allclose(weakly.ntk, weakly.nngp, rtol=1e-14)
    assert (np.diag(variants[2, 1].ntk(x)) < np.diag(net.ntk(x))).all()


def test_what_knows_rows_alone_says_so() -> None:
    net = nk.serial(CONV, nk.Flatten())
    with pytest.raises(nk.errors.ArchitectureError, match="networks of rows"):
        net.conditioning(np.ones((1, 4, 4, 1)))
    with pytest.raises(nk.errors.ArchitectureError, match="networks of rows"):
        nk.finite.init(net, width=4)


def test_numbers_that_are_not_finite_are_refused() -> None:
    x = np.ones((2, 4, 4, 1))
    x[1, 2, 2, 0] = np.nan
    with pytest.raises(ValueError, match="X must be finite"):
        nk.serial(CONV, nk.Flatten()).ntk(x)
