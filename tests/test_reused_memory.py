"""The memory of kernels that were dropped is used again, and never while somebody can see it."""

from __future__ import annotations

import gc
import sys

import numpy as np
import pytest

import ntkfast as nk
from ntkfast import _memory

N = 1200  # 11 MB: larger than what is left to malloc
X = np.random.default_rng(3).standard_normal((N, 4))
NET = nk.mlp(1, b_std=0.1)
linux = pytest.mark.skipif(sys.platform != "linux", reason="pages are marked as free on Linux only")


def _address(kernel: np.ndarray) -> int:
    return int(kernel.__array_interface__["data"][0])


@linux
def test_a_dropped_kernel_s_memory_holds_the_next_one() -> None:
    first = _address(NET.ntk(X))
    assert _address(NET.ntk(X)) == first
    with nk.config(reuse_memory=False):
        assert _address(NET.ntk(X)) != first
    assert _address(NET.ntk(X)) == first


def test_kernels_and_views_that_are_alive_keep_their_numbers() -> None:
    expected = NET.ntk(X)
    saved = expected.copy()
    view = NET.nngp(X)[5:9, 3:]  # its base is dropped, not its memory
    seen = view.copy()
    others = [NET.kernels(c * X) for c in (2.0, 3.0)]
    for _ in range(3):
        NET.ntk(5.0 * X)
    gc.collect()
    np.testing.assert_array_equal(expected, saved)
    np.testing.assert_array_equal(view, seen)
    np.testing.assert_array_equal(others[0].ntk, NET.ntk(2.0 * X))


def test_reused_memory_gives_the_same_bits() -> None:
    with nk.config(reuse_memory=False):
        expected = NET.kernels(X)
    NET.kernels(7.0 * X)
    again = NET.kernels(X)
    np.testing.assert_array_equal(again.ntk, expected.ntk)
    np.testing.assert_array_equal(again.nngp, expected.nngp)


@linux
def test_kept_memory_still_counts_as_available() -> None:
    """The system can take it at once, and the check before a large kernel has to know."""
    rows = np.random.default_rng(4).standard_normal((8192, 1))
    size = 8 * len(rows) ** 2  # 512 MiB
    kernel = NET.ntk(rows)
    while_held = _memory.available_bytes()
    del kernel
    assert _memory.available_bytes() - while_held > 0.6 * size


@pytest.mark.parametrize("value", [1, "yes", None])
def test_the_setting_is_checked(value: object) -> None:
    with pytest.raises(TypeError, match=r"config\.reuse_memory must be True or False"):
        nk.config.reuse_memory = value  # type: ignore[assignment]
