"""Means over horizontal flips: by the definition, with two terms where two are enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import ntkfast as nk
from ntkfast import _blocks
from ntkfast._flips import width_behind
from ntkfast.errors import ArchitectureError

Array = NDArray[Any]


def conv(filter_: int, padding: str = "SAME", stride: int = 1) -> nk.Conv:
    return nk.Conv((3, filter_), (1, stride), padding, W_std=1.4, b_std=0.2)


SHORTCUT = nk.serial(
    nk.FanOut(2),
    nk.parallel(nk.serial(conv(3), nk.Relu(), conv(3)), nk.Identity()),
    nk.FanInSum(),
)
#: Layers, and whether they treat both sides of images of 8 and of 7 columns alike.
CASES: dict[str, tuple[tuple[Any, ...], bool, bool]] = {
    "odd SAME": ((conv(3), nk.Relu(), conv(5), nk.Erf()), True, True),
    "even SAME": ((conv(2), nk.Relu()), False, False),
    "VALID": ((conv(2, "VALID"), nk.Relu(), conv(3, "VALID"), nk.Relu()), True, True),
    "strided VALID": ((conv(2, "VALID", 2), nk.Relu()), True, False),
    "strided SAME": ((conv(3, "SAME", 2), nk.Relu()), False, True),
    "strides that skip": ((conv(1, "SAME", 2), nk.Relu()), False, True),
    "odd CIRCULAR": ((conv(3, "CIRCULAR"), nk.Relu(), conv(3, "CIRCULAR")), True, True),
    "even CIRCULAR": ((conv(2, "CIRCULAR"), nk.Relu()), False, False),
    "shortcut": ((conv(3), SHORTCUT, nk.LayerNorm(), nk.Relu()), True, True),
    "a branch of one side": (
        (
            nk.FanOut(2),
            nk.parallel(nk.serial(conv(2), nk.Relu(), conv(3)), conv(3)),
            nk.FanInSum(),
        ),
        False,
        False,
    ),
}


def pictures(n: int, width: int = 8, dtype: str = "float64") -> Array:
    return np.random.default_rng(width).normal(size=(n, 6, width, 2)).astype(dtype)


def by_definition(net: nk.Network, x: Array, z: Array) -> nk.Kernels:
    pairs = [(a, b) for a in (x, x[:, :, ::-1]) for b in (z, z[:, :, ::-1])]
    found = [net.kernels(*pair) for pair in pairs]
    return nk.Kernels(*(sum(terms) / 4 for terms in zip(*found, strict=True)))


@pytest.mark.parametrize("width", [8, 7])
@pytest.mark.parametrize("readout", [nk.GlobalAvgPool(), nk.Flatten()], ids=repr)
@pytest.mark.parametrize("name", CASES)
def test_the_mean_over_four_flips(name: str, readout: nk.layers.Layer, width: int) -> None:
    layers, *alike = CASES[name]
    net = nk.serial(*layers, readout, nk.Dense(1.2, 0.1))
    assert (width_behind(net.layers, width) is not None) == alike[8 - width]
    x, z = pictures(5, width), pictures(9, width)[5:]
    flips = nk.FlipAverage(net)
    for got, expected in (
        (flips.kernels(x, z), by_definition(net, x, z)),
        (flips.kernels(x), by_definition(net, x, x)),
    ):
        np.testing.assert_allclose(got.nngp, expected.nngp, rtol=1e-12)
        # An image that equals the other one has a deficit of exactly 0 only in `kernels(x)`.
        np.testing.assert_allclose(got.ntk, expected.ntk, rtol=1e-6)
    own = flips.kernels(x)
    np.testing.assert_array_equal(own.ntk, own.ntk.T)
    both = flips.diag(x, "both")
    np.testing.assert_allclose(both.ntk, np.diag(own.ntk), rtol=1e-13)
    np.testing.assert_allclose(both.nngp, np.diag(own.nngp), rtol=1e-13)
    np.testing.assert_allclose(flips.ntk(x[:, :, ::-1], z), flips.ntk(x, z), rtol=1e-11)


def test_blocks_operators_files_and_plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_blocks, "_LARGEST", 4)
    monkeypatch.setattr(_blocks, "_SMALLEST", 4)
    x, z = pictures(10, dtype="float32"), pictures(3, dtype="float32")
    for name in ("odd SAME", "even SAME"):
        net = nk.serial(*CASES[name][0], nk.GlobalAvgPool(), nk.Dense())
        flips = nk.FlipAverage(net)
        K = flips.ntk(x)
        assert K.dtype == np.float32
        np.testing.assert_array_equal(flips.ntk(x, out=tmp_path / f"{name}.npy"), K)
        A = flips.operator(x)
        np.testing.assert_array_equal(A @ np.eye(10), K)
        np.testing.assert_allclose(A.diagonal(), np.diag(K), rtol=1e-6)
        np.testing.assert_array_equal(
            flips.operator(x, z, kind="nngp") @ np.eye(3), flips.nngp(x, z)
        )
        once, flipped = net.plan(x, measure=False), flips.plan(x)
        count = 2 if name == "odd SAME" else 4
        assert flipped.entries_per_pair == count * (once.entries_per_pair or 0)
        assert f"mean over {count} pairs of flips" in str(flipped)
        assert flipped.seconds is not None
    with nk.config(memory_budget=300), pytest.raises(nk.errors.MemoryBudgetError):
        flips.ntk(x)


def test_what_is_no_network_of_images_is_refused() -> None:
    with pytest.raises(ArchitectureError, match="one of rows"):
        nk.FlipAverage(nk.mlp(1))
    with pytest.raises(TypeError, match="takes a network"):
        nk.FlipAverage("net")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="X must be 4-D"):
        nk.FlipAverage(nk.models.cntk(1)).ntk(np.ones((3, 4)))


def test_it_is_a_value() -> None:
    one, other = (nk.FlipAverage(nk.models.cntk(2)) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert repr(one).startswith("FlipAverage(serial(")
    assert nk.FlipAverage(nk.models.cntk(2)).ntk(np.ones((0, 4, 4, 1))).shape == (0, 0)
