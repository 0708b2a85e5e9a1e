"""Averages over random networks of the archived library's interface are its kernels.

With one hidden layer both averages are exact at every width: what is left is noise, and its
standard error comes with the average. Gradients are differences, so no formula is shared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from ntkfast import stax
from ntkfast.stax._pieces import ActivationPiece
from ntkfast.stax._triple import triple
from support import ACTIVATIONS

X = 0.8 * np.random.default_rng(5).standard_normal((3, 3))
SEEDS = 400
STEP = 1e-6


def _arrays(params: Any) -> Iterator[Any]:
    if isinstance(params, np.ndarray):
        yield params
    elif params is not None:
        for part in params:
            yield from _arrays(part)


def jacobian(apply_fn: Any, params: Any, x: Any) -> Any:
    """Return the derivatives of the outputs (n, 1) by all parameters, (n, P)."""
    arrays = list(_arrays(params))
    columns = []
    for array in arrays:
        for i in range(array.size):
            old = array.flat[i]
            array.flat[i] = old + STEP
            above = apply_fn(params, x)
            array.flat[i] = old - STEP
            below = apply_fn(params, x)
            array.flat[i] = old
            columns.append((above - below)[:, 0] / (2 * STEP))
    return np.array(columns).T


def assert_average(samples: list[Any], kernel: Any) -> None:
    draws = np.array(samples)
    error = draws.std(axis=0, ddof=1) / len(draws) ** 0.5
    # 6 correlated entries: five standard errors are passed by chance once in 10^5 seeds
    assert np.all(np.abs(draws.mean(axis=0) - kernel) <= 5 * error)
    assert np.all(error <= 0.3 * np.diag(kernel).max())


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_averages_of_random_networks_are_the_kernels(name: str) -> None:
    arguments = dict(ACTIVATIONS[name])
    phi = triple(ActivationPiece(getattr(nk, arguments.pop("type"))(**arguments)))
    assert_averages(stax.serial(stax.Dense(8, 1.2, 0.4), phi, stax.Dense(1, 0.9, 0.3)))


@pytest.mark.parametrize("b_std", [None, 0.0, 0.3])
def test_averages_in_standard_parameterization_are_the_kernels(b_std: float | None) -> None:
    hidden = stax.Dense(4, 1.2, b_std, parameterization="standard", s=(1, 2))
    readout = stax.Dense(1, 0.9, b_std, parameterization="standard", s=(2, 1))
    assert_averages(stax.serial(hidden, stax.Erf(), readout))


def test_averages_of_joined_branches_are_the_kernels() -> None:
    branches = stax.parallel(
        stax.serial(stax.Dense(4, 1.2, 0.4), stax.Relu(), stax.Dense(1, 0.9, 0.5)),
        stax.serial(stax.Dense(3, b_std=0.2), stax.Erf(), stax.Dense(1, 1.1, 0.8)),
    )
    for join in (stax.FanInSum(), stax.FanInProd()):
        assert_averages(stax.serial(stax.FanOut(2), branches, join))


def assert_averages(network: stax.StaxLayer) -> None:
    init_fn, apply_fn, kernel_fn = network
    outputs, tangents = [], []
    for seed in range(SEEDS):
        _, params = init_fn(seed, (-1, X.shape[1]))
        f = apply_fn(params, X)
        J = jacobian(apply_fn, params, X)
        outputs.append(f @ f.T)
        tangents.append(J @ J.T)
    kernels = kernel_fn(X, None, ("nngp", "ntk"))
    assert_average(outputs, kernels.nngp)
    assert_average(tangents, kernels.ntk)


def _local_mean() -> stax.StaxLayer:
    pools = [
        stax.AvgPool((2, 2), padding="SAME", normalize_edges=True),
        stax.SumPool((2, 1), (1, 2)),
    ]
    return stax.serial(*pools, stax.Flatten())


@pytest.mark.parametrize(
    ("shape", "window", "padding", "readout", "parameterization"),
    [
        ((3, 3, 2), {"filter_shape": (2, 3)}, "SAME", stax.Flatten, "standard"),
        ((4, 3, 1), {"filter_shape": (3, 2), "strides": (2, 1)}, "CIRCULAR", stax.Flatten, "ntk"),
        ((3, 3, 2), {"filter_shape": (2, 2)}, "VALID", stax.GlobalSumPool, "ntk"),
        ((3, 3, 1), {"filter_shape": (2, 2)}, "SAME", _local_mean, "ntk"),
        ((6, 2), {"filter_shape": (3,), "strides": (2,)}, "SAME", stax.GlobalAvgPool, "standard"),
    ],
)
def test_averages_of_random_convolutions_are_the_kernels(
    shape: tuple[int, ...],
    window: dict[str, Any],
    padding: str,
    readout: Any,
    parameterization: str,
) -> None:
    """The "standard" kernels are those of the widths in use."""
    x = 0.8 * np.random.default_rng(6).standard_normal((2, *shape))
    options = {"parameterization": parameterization}
    init_fn, apply_fn, kernel_fn = stax.serial(
        stax.Conv(2, padding=padding, W_std=1.3, b_std=0.4, **window, **options),
        stax.Relu(),
        readout(),
        stax.Dense(1, 1.1, 0.3, **options),
    )
    kernel = kernel_fn(x)
    nngp, ntk = [], []
    for seed in range(SEEDS):
        out_shape, params = init_fn(seed, (-1, *shape))
        f = apply_fn(params, x)[:, 0]
        nngp.append(np.outer(f, f))
        if seed < SEEDS // 4:
            J = jacobian(apply_fn, params, x)
            ntk.append(J @ J.T)
    assert out_shape == (-1, 1)
    assert_average(nngp, kernel.nngp)
    assert_average(ntk, kernel.ntk)
