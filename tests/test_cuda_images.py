"""Kernels of images on a CUDA device are those of the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from ntkfast import cuda

pytestmark = pytest.mark.skipif(
    not cuda.is_available(), reason=f"no CUDA device to compute on: {cuda.reason()}"
)


def _conv(padding: str = "SAME", **options: Any) -> nk.Conv:
    return nk.Conv((3, 3), padding=padding, W_std=1.4, b_std=0.1, **options)


BLOCK = [_conv(), nk.Relu()]
NETWORKS = {
    "relu": [nk.repeat(BLOCK, 3)],
    "circular": [_conv("CIRCULAR"), nk.Relu(), _conv("CIRCULAR"), nk.Relu()],
    "valid": [_conv("VALID"), nk.Erf(), _conv("VALID"), nk.Relu()],
    "strided": [_conv(strides=(2, 2)), nk.Relu(), *BLOCK],
    "residual": [
        *BLOCK,
        nk.FanOut(2),
        nk.parallel([*BLOCK, _conv()], _conv()),
        nk.FanInSum(),
        nk.Relu(),
    ],
    "norm": [_conv(), nk.LayerNorm(), nk.Gelu(), nk.Dropout(0.8)],
}


def _images(n: int, dtype: str, size: int = 8) -> np.ndarray[Any, np.dtype[Any]]:
    x = np.random.default_rng(n).standard_normal((n, size, size, 3))
    x[1] = x[0] * (1 + 1e-3 * x[1])
    x[2, : size // 2] = 0
    return x.astype(dtype)


def _net(name: str, readout: str) -> nk.Network:
    last = nk.GlobalAvgPool() if readout == "pool" else nk.Flatten()
    return nk.serial(*NETWORKS[name], last, nk.Dense())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("readout", ["pool", "flatten"])
@pytest.mark.parametrize("name", NETWORKS)
def test_kernels_of_images_are_those_of_the_cpu(name: str, readout: str, dtype: str) -> None:
    net, x, z = _net(name, readout), _images(5, dtype), _images(3, dtype)
    for other in (None, z):
        got = net.kernels(x, other, device="cuda")
        expected = net.kernels(x, other, device="cpu")
        for kind in ("nngp", "ntk"):
            a, b = getattr(got, kind), getattr(expected, kind)
            tolerance = (4e-6 if dtype == "float32" else 1e-12) * abs(b).max()
            assert a.dtype == x.dtype
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)
            if other is None:
                np.testing.assert_array_equal(a, a.T)


def test_maps_that_no_shared_memory_holds() -> None:
    net, x = _net("relu", "flatten"), _images(3, "float64", 200)
    expected = net.ntk(x, device="cpu")
    np.testing.assert_allclose(net.ntk(x, device="cuda"), expected, rtol=0, atol=1e-12)


def test_devices_change_no_bit() -> None:
    net, x = _net("residual", "pool"), _images(40, "float32")
    np.testing.assert_array_equal(net.ntk(x, device="cuda:all"), net.ntk(x, device="cuda:0"))


def test_overflow_names_the_image() -> None:
    with pytest.raises(nk.errors.KernelOverflowError, match="image"):
        _net("relu", "pool").ntk(1e30 * _images(3, "float32"), device="cuda")
