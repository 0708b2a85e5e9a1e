"""The oracles agree with the reference data and with one another; the library is not involved."""

from __future__ import annotations

import numpy as np
import pytest

from oracle import arch as A
from oracle import highprec, montecarlo, quadrature, recursion
from oracle.compare import assert_close
from oracle.reference import CASES, Case, jumps, load

ACTIVATIONS = [
    {"type": "Identity"},
    {"type": "Relu"},
    {"type": "LeakyRelu", "alpha": 0.1},
    {"type": "Abs"},
    {"type": "ABRelu", "a": -0.3, "b": 1.2},
    {"type": "Erf"},
    {"type": "Erf", "a": 1.3, "b": 0.7, "c": 0.2},
    {"type": "Sigmoid_like"},
    {"type": "Gelu"},
    {"type": "Relu6"},
    {"type": "Hardtanh"},
    {"type": "Hardtanh", "min_val": -0.3, "max_val": 2.0},
    {"type": "Sign"},
    {"type": "RectifiedMonomial", "degree": 0},
    {"type": "RectifiedMonomial", "degree": 2},
    {"type": "RectifiedMonomial", "degree": 3},
    {"type": "Monomial", "degree": 3},
    {"type": "Polynomial", "coef": [0.3, -0.5, 0.2, 0.1]},
    {"type": "Hermite", "degree": 4},
    {"type": "Sin"},
    {"type": "Sin", "a": 1.3, "b": 0.7, "c": 0.2},
    {"type": "Cos"},
    {"type": "Rbf", "gamma": 0.3},
    {"type": "Gaussian"},
    {"type": "Gabor"},
]
NAMES = [
    layer["type"] + ("_affine" if "c" in layer else str(layer.get("degree", "")))
    for layer in ACTIVATIONS
]


@pytest.mark.parametrize("name", CASES)
def test_high_precision_oracle_reproduces_the_reference(name: str) -> None:
    """To 1e-15 where the files hold 60-digit values, to their stated 1e-14 elsewhere."""
    case = load(name)
    for part in case.parts:
        truth = highprec.truth(case.arch, part.x, part.z)
        tolerance = 1e-15 if part.exact else 3e-14
        nngp, got = part.nngp.copy(), part.ntk.copy()
        if not part.exact and part.z is None:
            np.fill_diagonal(got, np.diag(truth.ntk))  # their diagonal keeps half its digits only
            if jumps(case.arch):
                np.fill_diagonal(nngp, np.diag(truth.nngp))
        assert_close(nngp, truth.nngp, truth.nngp_scale, tolerance, f"{name} nngp")
        assert_close(got, truth.ntk, truth.ntk_scale, tolerance, f"{name} ntk")


TEXTBOOK = [
    name
    for name in CASES
    if not name.startswith("edge")
    and A.layer_types(load(name).arch) <= recursion.KNOWN | {"serial", "Dense"}
    and not name.startswith("std")
]


@pytest.mark.parametrize("name", TEXTBOOK)
def test_textbook_recursion_reproduces_the_reference_in_general_position(name: str) -> None:
    case = load(name)
    for part in case.parts:
        if part.z is None:
            continue
        truth = highprec.truth(case.arch, part.x, part.z)
        nngp, ntk = recursion.kernels(case.arch, part.x, part.z)
        assert_close(nngp, part.nngp, truth.nngp_scale, 3e-14, f"{name} nngp")
        assert_close(ntk, part.ntk, truth.ntk_scale, 3e-14, f"{name} ntk")


def test_diagonal_oracle_is_the_diagonal_of_the_full_one() -> None:
    case: Case = load("edge_leakyrelu_d4_bias")
    part = case.parts[0]
    nngp, ntk = highprec.diag(case.arch, part.x)
    np.testing.assert_array_equal(nngp, np.diag(part.nngp))
    np.testing.assert_array_equal(ntk, np.diag(part.ntk))


@pytest.mark.parametrize("theta", [0.0, 1e-7, 0.3, np.pi / 2, 2.0, np.pi - 1e-7, np.pi])
@pytest.mark.parametrize("layer", ACTIVATIONS, ids=NAMES)
def test_quadrature_agrees_with_closed_forms(layer: A.Layer, theta: float) -> None:
    for q, p in [(1.0, 1.0), (0.01, 4.0), (900.0, 2.5)]:
        pair = quadrature.duals(layer, q, p, theta)
        truth = highprec.duals(layer, q, p, theta)
        sides = [highprec.duals(layer, v, v, 0.0) for v in (q, p)]
        for got, want, *squares in zip(pair, truth, *sides, strict=True):
            assert abs(got - want) <= 1e-12 * np.sqrt(np.prod(squares))


@pytest.mark.parametrize("layer", [ACTIVATIONS[4], ACTIVATIONS[6]], ids=["ABRelu", "Erf_affine"])
def test_random_wide_networks_agree_within_their_confidence_interval(layer: A.Layer) -> None:
    arch = A.serial(
        A.dense(1.2, 0.3), layer, A.dense(1.1, trainable=False), layer, A.dense(0.9, 0.1)
    )
    rows = np.random.default_rng(3).standard_normal((3, 4))
    truth = highprec.truth(arch, rows)
    for estimate, want in zip(montecarlo.estimate(arch, rows), truth[:2], strict=True):
        # 2 x 6 correlated entries: five standard errors are passed by chance once in 10^5 runs
        assert np.all(np.abs(estimate.mean - want) <= 5 * estimate.error)
        assert np.all(estimate.error <= 0.05 * np.abs(np.diag(want)).max())
