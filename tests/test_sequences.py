"""One-dimensional convolutions: sequences, arrays of shape (n, width, channels)."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ntkfast as nk
from oracle import images
from oracle.compare import assert_close
from oracle.reference import FOLDER

CONV = nk.Conv((3,), padding="SAME", W_std=1.5, b_std=0.1)
TAIL = [nk.Relu(), nk.GlobalAvgPool(), nk.Dense(1.5, 0.1)]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)])
def test_reference_data(dtype: str, tolerance: float) -> None:
    """The file holds the sequences as images of height one."""
    with np.load(FOLDER / "conv1d_gap.npz", allow_pickle=False) as file:
        case = {key: file[key] for key in file}
    arch = json.loads(str(case["arch"]))
    assert arch["layers"][0]["filter_shape"] == [1, 3]
    arch["layers"][0]["filter_shape"] = [3]
    net = nk.from_dict(arch)
    assert net == nk.serial(CONV, *TAIL)
    x, z = (case[k][:, 0].astype(dtype) for k in ("x1", "x2"))
    assert x.ndim == 3
    own, cross = net.kernels(x), net.kernels(x, z)
    for got, true in (
        (own.nngp, case["nngp_11"]),
        (cross.nngp, case["nngp_12"]),
        (cross.ntk, case["ntk_12"]),
    ):
        assert_close(got, true, true, tolerance)
    off = ~np.eye(len(x), dtype=bool)
    assert_close(own.ntk[off], case["ntk_11"][off], case["ntk_11"][off], tolerance)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    strides=st.lists(st.integers(1, 3), min_size=3, max_size=3),
    padding=st.sampled_from(["VALID", "SAME", "CIRCULAR"]),
    phi=st.sampled_from(["Relu", "Erf"]),
    pool=st.sampled_from([None, "AvgPool", "SumPool"]),
    readout=st.sampled_from(["Flatten", "GlobalAvgPool", "GlobalSumPool"]),
    seed=st.integers(0, 99),
)
def test_the_plain_oracle_agrees(
    sizes: list[int],
    strides: list[int],
    padding: str,
    phi: str,
    pool: str | None,
    readout: str,
    seed: int,
) -> None:
    """The oracle knows images: the same network with a row each."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(3, 18, 2)), rng.normal(size=(2, 18, 2))
    if padding == "CIRCULAR":  # strides that divide 18, 9, 3 positions
        strides = [2 if strides[0] > 1 else 1, 3 if strides[1] > 2 else 1, 1]

    def arch(sequences: bool) -> dict[str, Any]:
        layers: list[dict[str, Any]] = []
        for size, stride in zip(sizes, strides, strict=False):
            window = {"filter_shape": [size], "strides": [stride]}
            if not sequences:
                window = {"filter_shape": [1, size], "strides": [1, stride]}
            layers += [{"type": "Conv", "W_std": 1.3, "b_std": 0.2, "padding": padding} | window]
            layers += [{"type": phi}]
            if pool is not None and len(layers) == 2:
                shape = [2] if sequences else [1, 2]
                layers += [{"type": pool, "window_shape": shape, "padding": padding}]
        return {"type": "serial", "layers": [*layers, {"type": readout}, {"type": "Dense"}]}

    try:
        got = nk.from_dict(arch(True)).kernels(x, z)
    except nk.errors.ArchitectureError as error:
        assert padding == "VALID"
        assert "at least" in str(error)  # noqa: PT017  # the sequence is used up
        return
    K, T = images.kernels(arch(False), x[:, None], z[:, None])
    np.testing.assert_allclose(got.nngp, K, rtol=1e-10, atol=1e-11 * np.abs(K).max())
    np.testing.assert_allclose(got.ntk, T, rtol=1e-7, atol=1e-8 * np.abs(T).max())


def test_sequences_are_images_of_one_row() -> None:
    x = np.random.default_rng(0).normal(size=(5, 11, 3)).astype(np.float32)
    image = nk.Conv((1, 3), padding="SAME", W_std=1.5, b_std=0.1)
    net = nk.serial(CONV, *TAIL)
    expected = nk.serial(image, *TAIL).kernels(x[:, None])
    np.testing.assert_array_equal(net.kernels(x).ntk, expected.ntk)
    np.testing.assert_array_equal(net.nngp(x), expected.nngp)
    np.testing.assert_array_equal(net.diag(x, kind="nngp"), np.diag(expected.nngp))
    tabulated = nk.serial(CONV, nk.Tanh(), nk.Flatten(), nk.Dense())
    assert len(tabulated.approximations(x)) == 1
    assert tabulated.ntk(x, x[:2]).shape == (5, 2)


def test_networks_without_windows_take_both() -> None:
    net = nk.serial(nk.Dense(1.5, 0.1), nk.Relu(), nk.GlobalAvgPool(), nk.Dense())
    x = np.random.default_rng(1).normal(size=(3, 6, 2))
    np.testing.assert_array_equal(net.ntk(x), net.ntk(x[:, None]))
    np.testing.assert_allclose(net.ntk(x), net.ntk(x.reshape(3, 2, 3, 2)), rtol=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nk.serial(nk.Conv((3,)), nk.Relu(), nk.Conv((2, 2)), nk.Flatten()),
        lambda: nk.serial(nk.Conv((3,)), nk.Relu(), nk.AvgPool((2, 2)), nk.Flatten()),
        lambda: nk.kernels_of(
            [nk.serial(nk.Conv((3,)), nk.Flatten()), nk.serial(nk.Conv((3, 3)), nk.Flatten())],
            np.ones((2, 5, 1)),
        ),
    ],
)
def test_sequences_and_images_are_not_mixed(make: Any) -> None:
    with pytest.raises(nk.errors.ArchitectureError, match=r"reads sequences.*reads images"):
        make()


@pytest.mark.parametrize(
    ("filter_shape", "shape", "message"),
    [
        ((3,), (2, 5, 5, 1), r"3-D \(sequences, width, channels\).*Conv\(\(k, k\)\) for images"),
        ((3,), (2, 5), r"3-D \(sequences.*X\[\.\.\., None\] for sequences of one channel"),
        ((3, 3), (2, 5, 5), r"4-D \(images.*X\[\.\.\., None\].*Conv\(\(k,\)\) for sequences"),
        ((3,), (2, 0, 3), "at least one position and channel"),
        ((3,), (2,), "3-D"),
    ],
)
def test_arrays_of_another_rank_are_refused(
    filter_shape: tuple[int, ...], shape: tuple[int, ...], message: str
) -> None:
    net = nk.serial(nk.Conv(filter_shape), nk.Flatten())
    with pytest.raises(ValueError, match=message):
        net.ntk(np.ones(shape))


def test_arguments_of_windows() -> None:
    with pytest.raises(ValueError, match="as many numbers as filter_shape"):
        nk.Conv((3,), strides=(1, 2))
    with pytest.raises(TypeError, match=r"\(width,\) for sequences"):
        nk.AvgPool((1, 2, 3))
    with pytest.raises(ValueError, match="as many numbers as window_shape"):
        nk.SumPool((2, 2), (2,))
    with pytest.raises(TypeError, match=r"filter_shape"):
        nk.Conv(3)  # type: ignore[arg-type]
    with pytest.raises(nk.errors.ArchitectureError, match="at least 7 positions"):
        nk.serial(nk.Conv((7,)), nk.Flatten()).ntk(np.ones((1, 5, 1)))


def test_the_round_trip() -> None:
    net = nk.serial(nk.Conv((3,), (2,), "CIRCULAR", trainable=False), *TAIL)
    assert nk.from_dict(json.loads(json.dumps(net.to_dict()))) == net
    assert nk.from_text(repr(net)) == net
