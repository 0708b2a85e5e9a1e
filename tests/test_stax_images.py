"""Convolutions in the interface of the archived library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from ntkfast import stax

X = np.random.default_rng(0).normal(size=(5, 6, 6, 3))
Z = np.random.default_rng(1).normal(size=(3, 6, 6, 3))
CONV: dict[str, Any] = {"padding": "SAME", "W_std": 1.4, "b_std": 0.1}


def _network(*readout: Any) -> Any:
    return stax.serial(stax.Conv(32, (3, 3), **CONV), stax.Relu(), *readout, stax.Dense(1))


@pytest.mark.parametrize("name", ["Flatten", "GlobalAvgPool", "GlobalSumPool"])
def test_kernels_are_those_of_the_network(name: str) -> None:
    kernel_fn = _network(getattr(stax, name)()).kernel_fn
    layers = nk.Conv((3, 3), out_chan=32, **CONV), nk.Relu(), getattr(nk, name)(), nk.Dense()
    net = nk.serial(*layers)
    assert kernel_fn.network == net
    both = kernel_fn(X, Z, ("nngp", "ntk"))
    np.testing.assert_array_equal(both.ntk, net.ntk(X, Z))
    np.testing.assert_allclose(both.nngp, net.nngp(X, Z), rtol=1e-14)
    everything = kernel_fn(X, X.copy())
    assert everything.x1_is_x2
    np.testing.assert_array_equal(everything.ntk, net.ntk(X))
    np.testing.assert_allclose(everything.cov1, net.diag(X, kind="nngp"), rtol=1e-14)
    assert everything.shape1 == (5, 1)
    assert everything.is_gaussian


def test_branches_and_kernels_that_pass_through_layers() -> None:
    same = stax.Conv(8, (3, 3), padding="SAME")
    block = stax.serial(
        stax.FanOut(2),
        stax.parallel(stax.serial(same, stax.Relu(), same), stax.Identity()),
        stax.FanInSum(),
    )
    whole = stax.serial(same, block, stax.Relu(), stax.GlobalAvgPool(), stax.Dense(1))
    front = stax.serial(same, block, stax.Relu(), stax.GlobalAvgPool()).kernel_fn(X)
    np.testing.assert_array_equal(
        stax.Dense(1).kernel_fn(front).ntk, whole.kernel_fn(X, None, "ntk")
    )
    shape, params = whole.init_fn(0, X.shape)
    assert shape == (5, 1)
    assert whole.apply_fn(params, X).shape == (5, 1)


def test_flatten_in_a_network_of_rows_changes_nothing() -> None:
    layers = [stax.Flatten(), stax.Dense(4), stax.Relu(), stax.Dense(1)]
    kernel_fn = stax.serial(*layers).kernel_fn
    rows = stax.serial(*layers[1:]).kernel_fn
    np.testing.assert_array_equal(kernel_fn(X, None, "ntk"), rows(X.reshape(5, -1), None, "ntk"))


def test_sequences() -> None:
    kernel_fn = stax.serial(stax.Conv(4, (3,)), stax.Relu(), stax.Flatten()).kernel_fn
    assert kernel_fn(X[:, 0], Z[:, 0], "ntk").shape == (5, 3)
    assert kernel_fn(X[:, 0]).shape1 == (5, 16)
    assert not kernel_fn(X[:, 0]).is_gaussian


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="channels in the last axis"):
        stax.Conv(4, (3, 3), dimension_numbers=("NCHW", "OIHW", "NCHW"))
    with pytest.raises(NotImplementedError, match="batch_axis=0"):
        stax.GlobalAvgPool(channel_axis=1)
    with pytest.raises(ValueError, match="axes of positions"):
        _network(stax.Flatten()).init_fn(0, (-1, 6, 3))
