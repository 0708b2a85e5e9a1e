"""Ready-made networks of images, against the plain four-dimensional oracle and their papers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import ntkfast as nk
from oracle import images

Array = NDArray[Any]


def pictures(n: int, height: int, width: int, channels: int = 2) -> Array:
    return np.random.default_rng(height).normal(size=(n, height, width, channels))


@pytest.mark.parametrize(
    ("net", "height", "width"),
    [
        (nk.models.cntk(3), 5, 4),
        (nk.models.cntk(3, pool="gap"), 5, 4),
        (nk.models.cntk(2, pool="lap", radius=1), 5, 6),
        (nk.models.cntk(2, "lap", radius=2), 6, 5),
        (nk.models.myrtle(5), 8, 8),
        (nk.models.myrtle(7), 8, 4),
        (nk.models.myrtle(10), 4, 8),
    ],
    ids=lambda value: f"{len(value.layers)} layers" if isinstance(value, nk.Network) else None,
)
def test_the_plain_oracle_agrees(net: nk.Network, height: int, width: int) -> None:
    x, z = pictures(3, height, width), pictures(5, height, width)[3:]
    K, T = images.kernels(net.to_dict(), x, z)
    got = net.kernels(x, z)
    np.testing.assert_allclose(got.nngp, K, rtol=1e-10)
    np.testing.assert_allclose(got.ntk, T, rtol=1e-8)
    assert nk.from_dict(json.loads(json.dumps(net.to_dict()))) == net


@pytest.mark.parametrize("pool", ["flatten", "gap"])
def test_the_cntk_is_that_of_its_paper_up_to_a_constant(pool: str) -> None:
    """Section 4 of Arora et al. 2019, in its own words: sums over patches, c_sigma / q**2."""
    x = pictures(3, 4, 5)
    expected = np.array([[_paper(a, b, 3, pool) for b in x] for a in x])
    ratio = nk.models.cntk(3, pool=pool).ntk(x, x) / expected
    # The paper loses digits where rho is 1: the diagonal.
    np.testing.assert_allclose(ratio, ratio[0, 1], rtol=1e-6)


def _paper(a: Array, b: Array, depth: int, pool: str) -> float:
    def covariances(left: Array, right: Array) -> Array:
        return _patches(np.einsum("ijc,klc->ijkl", left, right))

    parts = {"xx": covariances(a, a), "xz": covariances(a, b), "zz": covariances(b, b)}
    height, width, _ = a.shape
    theta = parts["xz"]
    for h in range(1, depth + 1):
        p = np.einsum("ijij->ij", parts["xx"])[:, :, None, None]
        q = np.einsum("ijij->ij", parts["zz"])[None, None]
        rho = np.clip(parts["xz"] / np.sqrt(p * q), -1, 1)
        angle = np.pi - np.arccos(rho)
        K = 2 / 9 * np.sqrt(p * q) * (np.sqrt(1 - rho**2) + rho * angle) / (2 * np.pi)
        slope = 2 / 9 * angle / (2 * np.pi)
        theta = slope * theta + K
        if h < depth:
            theta = _patches(theta)
        own = {}
        for key in ("xx", "zz"):
            c = parts[key]
            v = np.einsum("ijij->ij", c)
            s = np.sqrt(v[:, :, None, None] * v[None, None])
            r = np.clip(c / s, -1, 1)
            t = np.pi - np.arccos(r)
            own[key] = _patches(2 / 9 * s * (np.sqrt(1 - r**2) + r * t) / (2 * np.pi))
        parts = {**own, "xz": _patches(K)}
    if pool == "gap":
        return float(theta.mean())
    return float(np.einsum("ijij->", theta)) / (height * width)


def _patches(values: Array) -> Array:
    """Sum over 3 x 3 patches around both positions, zeros beyond the border."""
    total = np.zeros_like(values)
    padded = np.pad(values, 1)
    height, width = values.shape[:2]
    for i in range(3):
        for j in range(3):
            total += padded[i : i + height, j : j + width, i : i + height, j : j + width]
    return total


def test_local_pools_lie_between_none_and_the_global_one() -> None:
    x = pictures(3, 4, 4)
    np.testing.assert_allclose(
        nk.models.cntk(2, "lap", radius=0).ntk(x), nk.models.cntk(2).ntk(x), rtol=1e-12
    )
    assert nk.models.cntk(2, "lap", radius=1).plan(x, measure=False).offsets is not None


def test_myrtle_ends_like_the_paper_on_its_images() -> None:
    """On 32 x 32 pixels three 2 x 2 pools at the end are the global one: here on 8 x 8."""
    x = pictures(2, 8, 8)
    layers = nk.models.myrtle(5).layers
    half = nk.AvgPool((2, 2), (2, 2))
    paper = nk.serial(*layers[:-2], half, nk.Flatten(), layers[-1])
    np.testing.assert_allclose(nk.models.myrtle(5).ntk(x), paper.ntk(x), rtol=1e-12)
    counts = {
        d: sum(isinstance(e, nk.Conv) for e in nk.models.myrtle(d).layers) for d in (5, 7, 10)
    }
    assert counts == {5: 4, 7: 6, 10: 9}


@pytest.mark.parametrize(
    ("make", "arguments", "error", "message"),
    [
        (nk.models.cntk, (0,), ValueError, "depth must be an integer >= 1"),
        (nk.models.cntk, (2, "max"), ValueError, "pool must be one of"),
        (nk.models.cntk, (2, "lap"), ValueError, "radius belongs to"),
        (nk.models.myrtle, (6,), ValueError, "depth must be 5, 7 or 10"),
        (nk.models.myrtle, ("5",), TypeError, "depth must be an integer"),
    ],
)
def test_arguments_are_checked(
    make: Any, arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make(*arguments)


def test_a_radius_belongs_to_local_pools() -> None:
    with pytest.raises(ValueError, match="radius belongs to"):
        nk.models.cntk(2, "gap", radius=1)
    with pytest.raises(ValueError, match="radius must be an integer >= 0"):
        nk.models.cntk(2, "lap", radius=-1)
