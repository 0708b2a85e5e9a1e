"""Wide random networks, drawn and differentiated, agree with the library: no formula is shared."""

from __future__ import annotations

import numpy as np
import pytest

import ntkfast as nk
from oracle import arch as A
from oracle import montecarlo
from support import ACTIVATIONS


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_random_wide_networks_agree_within_their_confidence_interval(name: str) -> None:
    phi = ACTIVATIONS[name]
    arch = A.serial(
        A.dense(1.3, 0.3),
        phi,
        A.dense(1.2),
        phi,
        A.dense(0.8, 0.2, trainable=False),
        phi,
        A.dense(),
    )
    x = np.random.default_rng(2).standard_normal((4, 5))
    got = nk.from_dict(arch).kernels(x)
    # 2 x 10 correlated entries: five standard errors are passed by chance once in 10^5 seeds
    for estimate, kernel in zip(montecarlo.estimate(arch, x), got, strict=True):
        assert np.all(np.abs(estimate.mean - kernel) <= 5 * estimate.error)
        assert np.all(estimate.error <= 0.06 * np.diag(kernel).max())
