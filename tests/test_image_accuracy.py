"""Digits of kernels of images: small deficits, dark patches, images of any scale."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest

import ntkfast as nk
from oracle import images
from oracle.compare import assert_close
from support import Array


def _relative(got: Array, true: Array) -> float:
    """Return the largest error off the diagonal over the scale of the entry."""
    scale = np.sqrt(np.outer(np.diag(true), np.diag(true)))
    error = np.abs(got - true) / scale
    return float(error[~np.eye(len(true), dtype=bool)].max())


@pytest.mark.parametrize("activation", [nk.Relu(), nk.Erf(), nk.LeakyRelu(0.2)])
@pytest.mark.parametrize("readout", [nk.Flatten(), nk.GlobalAvgPool()])
def test_float32_keeps_its_digits_at_every_contrast(
    activation: nk.layers.Layer, readout: nk.layers.Layer
) -> None:
    """Deficits on both sides of the switch between the two ways to compute them, in one image."""
    rng = np.random.default_rng(3)
    flat, rough = np.full((1, 7, 9, 3), 0.5), rng.normal(size=(1, 7, 9, 3))
    layers = [nk.Conv((3, 3), padding="SAME", W_std=2**0.5, b_std=0.1), activation]
    for depth in (1, 3, 8):
        net = nk.serial(*layers * depth, readout, nk.Dense())
        for contrast in [0.5, 0.2, 0.1, 0.05, 0.02, 1e-2, 1e-3, 1e-5, 1e-7]:
            for base in (flat, rough):
                x = base * (1 + contrast * rng.normal(size=(4, 7, 9, 3)))
                x = x.astype(np.float32)
                true, single = net.kernels(x.astype(np.float64)), net.kernels(x)
                assert _relative(single.nngp, true.nngp) < 6e-7
                assert _relative(single.ntk, true.ntk) < 1e-6


def _one_patch(x: Array, z: Array, bias: float) -> tuple[float, float]:
    """K and T of a 3 x 3 convolution over a 3 x 3 image, ReLU, and Dense, to 40 digits."""
    with mp.workdps(40):
        b = mp.mpf(bias) ** 2

        def product(a: Array, c: Array) -> mp.mpf:
            pairs = zip(a.flat, c.flat, strict=True)
            terms = (mp.mpf(float(u)) * mp.mpf(float(v)) for u, v in pairs)
            return sum(terms) / a.size + b

        K, p, q = product(x, z), product(x, x), product(z, z)
        theta = mp.acos(max(mp.mpf(-1), min(mp.mpf(1), K / mp.sqrt(p * q))))
        gain = (mp.pi - theta) / (2 * mp.pi)
        after = mp.sqrt(p * q) * (mp.sin(theta) + (mp.pi - theta) * mp.cos(theta)) / (2 * mp.pi)
        scale = mp.sqrt(p * q) / 2
        return float(after / scale), float((after + K * gain) / scale)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("bias", [0.0, 0.1])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 2e-14)])
def test_one_patch_has_the_digits_of_mpmath(
    sign: float, bias: float, dtype: str, tolerance: float
) -> None:
    rng = np.random.default_rng(4)
    net = nk.serial(nk.Conv((3, 3), b_std=bias), nk.Relu(), nk.Flatten(), nk.Dense())
    x = rng.normal(size=(3, 3, 2)).astype(dtype)
    other = rng.normal(size=(3, 3, 2))
    for step in np.concatenate([[0.0], np.logspace(-7, 0.5, 60)]):
        z = (sign * x + step * other).astype(dtype)
        both = np.stack([x, z])
        got, own = net.kernels(both[:1], both[1:]), net.kernels(both)
        scale = np.sqrt(float(own.nngp[0, 0]) * float(own.nngp[1, 1]))
        K, T = _one_patch(x, z, bias)
        assert abs(float(got.nngp[0, 0]) / scale - K) < tolerance
        assert abs(float(got.ntk[0, 0]) / scale - T) < tolerance


@pytest.mark.parametrize(
    ("shape", "strides", "padding"),
    [
        ((3, 3), (1, 1), "SAME"),
        ((3, 3), (2, 1), "SAME"),
        ((3, 3), (1, 1), "CIRCULAR"),
        ((5, 4), (1, 2), "VALID"),
        ((2, 3), (1, 1), "VALID"),
        ((1, 1), (1, 1), "VALID"),
    ],
)
def test_nearly_flat_images_of_many_lanes_agree_with_the_plain_oracle(
    shape: tuple[int, int], strides: tuple[int, int], padding: str
) -> None:
    """Larger than one block of lanes, half of them with small deficits."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(2, 11, 20, 2))
    x[:, :, :9] = 0.5 + 0.01 * x[:, :, :9]
    conv = {"type": "Conv", "filter_shape": shape, "W_std": 1.4, "b_std": 0.1}
    conv |= {"strides": strides, "padding": padding}
    for readout in ("Flatten", "GlobalAvgPool"):
        layers = [conv, {"type": "Relu"}, {"type": readout}, {"type": "Dense"}]
        arch = {"type": "serial", "layers": layers}
        K, T = images.kernels(arch, x, x[:1])
        got = nk.from_dict(arch).kernels(x, x[:1])
        np.testing.assert_allclose(got.nngp, K, rtol=1e-11)
        np.testing.assert_allclose(got.ntk, T, rtol=1e-7)
        single = nk.from_dict(arch).kernels(x.astype(np.float32), x[:1].astype(np.float32))
        np.testing.assert_allclose(single.nngp, K, rtol=2e-6)
        np.testing.assert_allclose(single.ntk, T, rtol=2e-6)


@pytest.mark.parametrize("bias", [None, 0.1])
@pytest.mark.parametrize("norm", [[], [nk.LayerNorm(eps=0.0)]])
def test_images_of_very_different_scales_in_one_gram(
    bias: float | None, norm: list[nk.layers.Layer]
) -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(5, 6, 6, 2)).astype(np.float32)
    scales = np.array([1e-16, 1e-6, 1.0, 1e6, 1e16], dtype=np.float32)
    x *= scales[:, None, None, None]
    block = [nk.Conv((3, 3), padding="SAME", b_std=bias), *norm, nk.Relu()]
    net = nk.serial(*block * 2, nk.GlobalAvgPool(), nk.Dense())
    true, single = net.kernels(x.astype(np.float64)), net.kernels(x)
    for kind in ("nngp", "ntk"):
        exact, got = getattr(true, kind), getattr(single, kind).astype(np.float64)
        scale = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
        assert_close(got, exact, scale, 1e-6, kind)


@pytest.mark.parametrize("dark", [1e-10, 1e-14, 1e-17, 1e-25, 0.0])
def test_patches_darker_than_any_screen_shows(dark: float) -> None:
    """Behind 2^50 : 1 a patch counts as black in float32."""
    x = np.random.default_rng(7).normal(size=(4, 8, 8, 3))
    x[:2, :, 4:] *= dark
    x[2:3, :, :4] *= dark
    x = x.astype(np.float32)
    block = [nk.Conv((3, 3), padding="SAME", W_std=2**0.5), nk.Relu()]
    for readout in (nk.Flatten(), nk.GlobalAvgPool()):
        net = nk.serial(*block * 3, readout, nk.Dense())
        true, single = net.kernels(x.astype(np.float64)), net.kernels(x)
        for kind in ("nngp", "ntk"):
            exact, got = getattr(true, kind), getattr(single, kind)
            scale = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
            assert_close(got, exact, scale, 1e-6, kind)


def test_threads_change_no_bit_on_either_way() -> None:
    rng = np.random.default_rng(8)
    x = (0.5 + 0.1 * rng.normal(size=(19, 9, 17, 3))).astype(np.float32)
    x[:, :4] = 0.5 + rng.normal(size=(19, 4, 17, 3))
    block = [nk.Conv((3, 3), padding="SAME", b_std=0.1), nk.Relu()]
    net = nk.serial(*block * 2, nk.GlobalAvgPool())
    one = net.kernels(x, threads=1)
    for threads in (2, 5):
        many = net.kernels(x, threads=threads)
        np.testing.assert_array_equal(many.ntk, one.ntk)
        np.testing.assert_array_equal(many.nngp, one.nngp)
