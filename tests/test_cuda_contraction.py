"""Tangent kernels of finite networks that a CUDA device contracts are those of the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from ntkfast import _core, _device, cuda

pytestmark = pytest.mark.skipif(
    not cuda.is_available(), reason=f"no CUDA device to compute on: {cuda.reason()}"
)

MODES = ("full", "trace", "diagonal")
#: Of the root of both diagonal entries: two products of float32, each of at most 14 units.
TOLERANCE = {"float32": 2.5e-6, "float64": 1e-13}


def assert_close(got: Any, K: Any, diagonals: tuple[Any, Any], mode: str, dtype: str) -> None:
    left, right = (np.sqrt(np.einsum("iicc->ic", each)) for each in diagonals)
    scale = np.einsum("ic,jd->ijcd", left, right)
    if mode != "full":
        K, scale = (np.einsum("ijcc->ijc", each) for each in (K, scale))
    if mode == "trace":
        K, scale = K.mean(2), scale.mean(2)
    assert np.max(np.abs(got - K) / scale) < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("outputs", [1, 3, 10])
@pytest.mark.parametrize("uses", [1, 3])
def test_contractions(dtype: str, mode: str, outputs: int, uses: int) -> None:
    rng = np.random.default_rng(0)

    def side(n: int) -> list[Any]:
        shapes = [(700, 300), (65, 512), (0, 40)]
        return [
            (
                rng.standard_normal((n, uses, fan_in)).astype(dtype),
                rng.standard_normal((n, outputs, uses, units)).astype(dtype),
            )
            for fan_in, units in shapes
        ]

    def exact(left: Any, right: Any) -> Any:
        out = np.zeros((len(left[0][0]), len((right or left)[0][0]), outputs, outputs))
        wide = [
            None if each is None else [(a.astype(float), s.astype(float)) for a, s in each]
            for each in (left, right)
        ]
        _core.contract_uses(wide[0], wide[1], scales, "full", out, 2, None, "pairs", True)
        return out

    scales = [(1 / 700, 0.01), (1.0, 0.0), (0.0, 0.5)]
    left, right = side(90), side(41)
    own, other = exact(left, None), exact(right, None)
    got = _device.contract_on(0, left, None, scales, mode, None)
    assert_close(got, own, (own, own), mode, dtype)
    flipped = got.transpose(1, 0, 3, 2) if mode == "full" else got.swapaxes(0, 1)
    np.testing.assert_array_equal(got, flipped)
    for edge in (64, 128):
        again = _device.contract_on(0, left, None, scales, mode, None, block_edge=edge)
        np.testing.assert_array_equal(got, again)
    cross = _device.contract_on(0, left, right, scales, mode, None)
    assert_close(cross, exact(left, right), (own, other), mode, dtype)


@pytest.mark.parametrize("mode", MODES)
def test_finite_networks(mode: str) -> None:
    f = nk.finite.init(nk.mlp(2, b_std=0.1), width=200, seed=0, outputs=3)
    X = np.random.default_rng(1).standard_normal((50, 9))
    for Z in (None, X[:20] * 2):
        on_cpu = f.ntk(X, Z, outputs=mode, device="cpu")
        on_device = f.ntk(X, Z, outputs=mode, device="cuda")
        np.testing.assert_allclose(on_device, on_cpu, rtol=0, atol=1e-12 * abs(on_cpu).max())


def test_progress_may_stop_and_the_next_call_works() -> None:
    rng = np.random.default_rng(2)
    left = [(rng.standard_normal((200, 1, 30)), rng.standard_normal((200, 2, 1, 20)))]

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _device.contract_on(0, left, None, [(1.0, 0.0)], "full", stop, block_edge=64)
    assert np.isfinite(_device.contract_on(0, left, None, [(1.0, 0.0)], "full", None)).all()
