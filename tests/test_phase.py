"""Signal propagation against quadrature, textbook points, and networks of finite depth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq

import ntkfast as nk
from ntkfast.errors import ArchitectureError
from ntkfast.phase.fixed_points import flow
from ntkfast.phase.panels import Panels
from ntkfast.phase.propagation import alone, log_derivative, propagation
from oracle import quadrature
from support import ACTIVATIONS, network

RELU_CRITICAL = 2**0.5


def layer(name: str) -> Any:
    return nk.from_dict(network(name, 1, None)).layers[1]


# --- the maps, against an oracle that knows phi alone -------------------------------------------


@pytest.mark.parametrize("q", [1e-4, 0.7, 30.0])
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_the_maps_are_those_of_the_activation(name: str, q: float) -> None:
    W, b = 1.3, 0.4
    block = propagation(layer(name), W, b)
    for c in (0.0, 0.3, 0.9, 1.0):
        second, slope = quadrature.duals(ACTIVATIONS[name], q, q, math.acos(c))
        covariance, chi = block.pair(q, 1.0 - c)
        assert covariance == pytest.approx(W**2 * second + b**2, rel=1e-10)
        assert chi == pytest.approx(W**2 * slope, rel=1e-9, abs=1e-9 * W**2)
    assert nk.phase.variance_map(layer(name), q, W, b) == pytest.approx(W**2 * second + b**2)
    assert float(alone(layer(name)).moments(q)[1]) == pytest.approx(slope, rel=1e-10)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_chi_is_the_slope_of_the_correlation_map(name: str) -> None:
    W, b, q = 1.2, 0.3, 0.8
    phi, h = layer(name), 1e-3
    for c in (0.0, 0.4, 0.8):
        steps = nk.phase.correlation_map(phi, [c, c + h, c + 2 * h], W, b, q=q)
        finite = float(-1.5 * steps[0] + 2 * steps[1] - 0.5 * steps[2]) / h
        chi = propagation(phi, W, b).pair(q, 1 - c)[1]
        # q does not change, the variance behind does: only at the fixed point are they one.
        behind = float(nk.phase.variance_map(phi, q, W, b))
        assert finite == pytest.approx(chi * q / behind, rel=1e-4, abs=1e-5)


def test_differences_in_log_q_are_exact_to_the_figures_that_are_used() -> None:
    for q in (1e-90, 1e-6, 0.3, 4.0, 1e5):
        slope = log_derivative(lambda x: 2 / np.pi * np.arcsin(2 * x / (1 + 2 * x)), q) / q
        exact = 4 / (np.pi * (1 + 2 * q) * math.sqrt(1 + 4 * q))
        assert slope == pytest.approx(exact, rel=1e-9, abs=1e-11 / q)


# --- fixed points -------------------------------------------------------------------------------


@pytest.mark.parametrize(("W", "b"), [(0.5, 0.3), (1.0, 1.0), (1.4, 1e-3), (0.0, 2.0)])
def test_relu_below_criticality(W: float, b: float) -> None:
    point = nk.phase.fixed_point("relu", W, b)
    assert point.q == pytest.approx(b**2 / (1 - W**2 / 2), rel=1e-10)
    assert point.q_slope == pytest.approx(W**2 / 2, abs=1e-11)
    assert point.chi_1 == pytest.approx(W**2 / 2, abs=1e-14)
    assert point.c == 1
    assert point.phase == "ordered"
    assert point.stable
    if W:
        assert point.xi_c == pytest.approx(-1 / math.log(W**2 / 2))
        assert point.xi_q == pytest.approx(point.xi_c, rel=1e-9)
    else:
        assert point.xi_c == point.xi_q == 0


def test_relu_without_limit() -> None:
    for W, b in ((1.5, None), (1.5, 1.0), (RELU_CRITICAL, 0.1), (1e3, 0.0)):
        point = nk.phase.fixed_point(nk.Relu(), W, b)
        assert point.q == math.inf
        assert point.phase == "unbounded"
        assert not point.stable
        assert point.chi_1 == pytest.approx(W**2 / 2)
        assert point.c == 1  # slower than any exponential
        assert point.c_slope == pytest.approx(1)
        assert point.xi_c == math.inf
    dying = nk.phase.fixed_point(nk.Relu(), 1.0)
    assert (dying.q, dying.phase, dying.c, dying.xi_c) == (0, "ordered", 1, math.inf)


@pytest.mark.parametrize("q0", [1e-250, 1e-3, 1.0, 17.0, 1e250])
def test_critical_relu_keeps_every_variance(q0: float) -> None:
    point = nk.phase.fixed_point("relu", RELU_CRITICAL, q0=q0)
    assert point.q == q0
    assert point.phase == "critical"
    assert not point.stable
    assert (point.c, point.xi_c, point.xi_q) == (1, math.inf, math.inf)
    assert point.chi_1 == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(("W", "b"), [(0.7, 0.2), (1, 0.01), (1.5, 0.05), (3, 0.3), (40, 9)])
def test_erf_against_its_closed_forms(W: float, b: float) -> None:
    def variance(q: float) -> float:
        return W**2 * 2 / math.pi * math.asin(2 * q / (1 + 2 * q)) + b**2

    def covariance(q: float, c: float) -> float:
        return W**2 * 2 / math.pi * math.asin(2 * q * c / (1 + 2 * q)) + b**2

    point = nk.phase.fixed_point("erf", W, b)
    q = brentq(lambda x: variance(x) - x, b**2, W**2 + b**2 + 1, xtol=1e-15)
    assert point.q == pytest.approx(q, rel=1e-10)
    assert point.chi_1 == pytest.approx(W**2 * 4 / math.pi / math.sqrt(1 + 4 * q), rel=1e-10)
    slope = W**2 * 4 / (math.pi * (1 + 2 * q) * math.sqrt(1 + 4 * q))
    assert point.q_slope == pytest.approx(slope, rel=1e-8, abs=1e-11)
    if point.phase == "chaotic":
        c = brentq(lambda x: covariance(q, x) - q * x, 0, 1 - 1e-3, xtol=1e-15)
        assert point.c == pytest.approx(c, rel=1e-8)
        chi = W**2 * 4 / math.pi / math.sqrt((1 + 2 * q) ** 2 - (2 * q * c) ** 2)
        assert point.c_slope == pytest.approx(chi, rel=1e-8)
        assert point.c_slope < 1 < point.chi_1
    else:
        assert point.c == 1
        assert point.c_slope == pytest.approx(point.chi_1, rel=1e-12)


def test_erf_without_bias() -> None:
    edge = math.sqrt(math.pi) / 2
    ordered = nk.phase.fixed_point("erf", 0.5 * edge)
    assert (ordered.q, ordered.phase, ordered.stable) == (0, "ordered", True)
    assert math.isnan(ordered.c)  # small signals pass linearly: correlations stay
    assert ordered.chi_1 == pytest.approx(0.25)
    assert ordered.xi_q == pytest.approx(1 / math.log(4), rel=1e-9)
    critical = nk.phase.fixed_point("erf", edge)
    assert (critical.q, critical.phase, critical.xi_q) == (0, "critical", math.inf)
    chaotic = nk.phase.fixed_point("erf", 2 * edge)
    assert chaotic.c == 0  # odd: orthogonal signals stay so
    assert chaotic.c_slope == pytest.approx(math.pi * 4 / math.pi / (1 + 2 * chaotic.q), rel=1e-10)


def test_identity_keeps_correlations() -> None:
    point = nk.phase.fixed_point("identity", 1.0)
    assert (point.q, point.phase) == (1.0, "critical")
    assert math.isnan(point.c)
    assert nk.phase.fixed_point("identity", 0.9, 0.5).c == 1


def test_a_near_critical_point_is_resolved() -> None:
    edge = math.sqrt(math.pi) / 2
    above = nk.phase.fixed_point("erf", edge * (1 + 1e-6))
    # V(q) = (1 + e)^2 (q - 2 q^2 + ...): q = e to first order.
    assert above.q == pytest.approx(1e-6, rel=1e-3)
    assert above.xi_q == pytest.approx(1 / (2 * above.q), rel=1e-3)
    # chi_1 - 1 is of order q^2.
    assert above.chi_1 == pytest.approx(1, abs=1e-11)
    assert nk.phase.fixed_point("erf", edge * (1 + 1e-3)).phase == "chaotic"


def test_the_start_chooses_between_fixed_points() -> None:
    # V(q) = q exp(sin(log q)/2): stable where log q is an odd multiple of pi, unstable between.
    def waves(q: Any) -> Any:
        return q * np.exp(np.sin(np.log(q)) / 2)

    logs = np.array([0.1, -0.1, 3.0, 6.2, 6.4, -6.2, 20.0, 0.0])
    ends = np.array([1, -1, 1, 1, 3, -1, 7, 0]) * math.pi
    found = np.log(flow(waves, 1.0, 0.0, np.exp(logs)))
    np.testing.assert_allclose(found, ends, atol=1e-12)


def test_gelu_dies_from_small_starts_and_explodes_from_large_ones() -> None:
    W = 1.7  # V(q)/q rises from W^2/4 < 1 to W^2/2 > 1
    assert nk.phase.fixed_point("gelu", W, q0=1e-2).q == 0
    assert nk.phase.fixed_point("gelu", W, q0=1e2).q == math.inf
    line = nk.phase.critical_line("gelu", b_std=[0.0])
    assert (line.q[0], line.W_std[0]) == (0, pytest.approx(2, rel=1e-12))


def test_the_flow_reaches_both_ends_and_does_not_stop_at_rounding() -> None:
    def cubic(q: Any) -> Any:
        with np.errstate(over="ignore"):
            return 15 * q**3

    edge = 15**-0.5
    starts = np.array([0.99, 1.01, 1.0]) * edge
    assert flow(cubic, 1.0, 0.0, starts).tolist() == [0.0, math.inf, edge]
    # Below 1e-16 this V is q to rounding, with an error of either sign.
    rng = np.random.default_rng(0)

    def noisy(q: Any) -> Any:
        return q / (1 + q) * (1 + 1e-12 * rng.standard_normal(np.shape(q)))

    assert flow(noisy, 1.0, 0.0, 1.0) == 0
    assert flow(noisy, [[0.5], [2.0]], [0.0, 1.0], 1.0).shape == (2, 2)
    assert flow(noisy, 2.0, 0.0, 1e-200) == pytest.approx(1.0, rel=1e-9)


def test_a_tiny_start_grows_to_the_fixed_point() -> None:
    for W, b in ((2.0, 0.0), (2.0, 1e-120), (0.5, 1e-60)):
        point = nk.phase.fixed_point("erf", W, b)
        for q0 in (1e-250, 1e-40, 1e40):
            assert nk.phase.fixed_point("erf", W, b, q0=q0).q == pytest.approx(point.q, rel=1e-12)
    assert nk.phase.fixed_point("erf", 0.5, 1e-60).q == pytest.approx(
        1e-120 / (1 - 1 / math.pi), rel=1e-12
    )


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_panels_interpolate_to_all_figures(name: str) -> None:
    exact = alone(layer(name)).moments
    panels = Panels(lambda q: np.array(exact(q)), 2)
    q = np.exp(np.random.default_rng(0).uniform(-9, 9, 200))
    np.testing.assert_allclose(panels(q), exact(q), rtol=3e-11)
    assert panels(q[:0]).shape == (2, 0)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize(("W", "b"), [(0.4, 0.3), (1.1, 0.2), (1.9, 0.0)])
def test_iterating_the_network_leads_to_the_fixed_point(name: str, W: float, b: float) -> None:
    phi = layer(name)
    point = nk.phase.fixed_point(phi, W, b)
    if not point.stable or point.xi_q > 20 or point.q == 0:
        # Nothing is reached exponentially fast: at least the direction must be right.
        step = float(nk.phase.variance_map(phi, 1.0, W, b))
        if not math.isclose(step, point.q, rel_tol=1e-9):
            assert (step > 1) == (point.q > 1)
        return
    depth = int(40 * max(point.xi_q, 1))
    X = np.array([[1.0, 0.2], [0.3, 1.0]])
    blocks = [nk.Dense(), *[phi, nk.Dense(W, b)] * depth]
    assert nk.serial(*blocks).diag(X, "nngp") == pytest.approx(point.q, rel=1e-9)
    if point.xi_c < 20 and math.isfinite(point.c):
        long = [nk.Dense(), *[phi, nk.Dense(W, b)] * int(40 * max(point.xi_c, point.xi_q, 1))]
        assert nk.serial(*long).nngp(X)[0, 1] / point.q == pytest.approx(point.c, abs=1e-9)


@pytest.mark.parametrize(("W", "b"), [(0.8, 0.3), (2.0, 0.3), (1.5, 0.0)])
def test_depth_scales_are_those_measured_in_deep_networks(W: float, b: float) -> None:
    point = nk.phase.fixed_point("erf", W, b)
    depths = list(range(12, 25, 4))
    x = 1.3 * math.sqrt(point.q)
    # Sizes off the fixed point, and correlations at it.
    net = nk.serial(nk.Dense(), *[nk.Erf(), nk.Dense(W, b)] * depths[-1])
    sweep = net.depth_sweep([[x]], depths=depths, kind="nngp")
    gaps = np.abs([float(sweep[d, 0][0, 0]) - point.q for d in depths])
    if gaps.min() > 1e-10:
        assert -np.polyfit(depths, np.log(gaps), 1)[0] == pytest.approx(1 / point.xi_q, rel=2e-2)
    on = math.sqrt(2 * point.q)
    X = on * np.array([[1.0, 0.0], [0.6, 0.8]])
    sweep = net.depth_sweep(X, depths=depths, kind="nngp")
    gaps = np.abs([float(sweep[d, 0][0, 1]) / point.q - point.c for d in depths])
    assert -np.polyfit(depths, np.log(gaps), 1)[0] == pytest.approx(1 / point.xi_c, rel=2e-2)


def test_critical_relu_decays_like_a_power() -> None:
    # 1 - c_l -> 9 pi^2 / (2 l^2) for arc-cosine kernels.
    depths = [100, 400, 1600]
    net = nk.mlp(depths[-1], "relu")
    sweep = net.depth_sweep([[1.0, 0.0], [0.0, 1.0]], depths=depths, kind="nngp")
    products = []
    for d in depths:
        K = sweep[d, 0]
        products.append((1 - K[0, 1] / K[0, 0]) * d**2 / (4.5 * math.pi**2))
    errors = np.abs(np.array(products) - 1)
    assert errors[-1] < 0.02
    assert (np.diff(errors) < 0).all()


# --- activations without closed form ------------------------------------------------------------

SLOPES: dict[Any, tuple[Any, Any]] = {
    nk.Tanh(): (np.tanh, lambda x: 1 / np.cosh(np.clip(x, -300, 300)) ** 2),
    nk.Softplus(): (lambda x: np.logaddexp(0, x), lambda x: 0.5 + 0.5 * np.tanh(x / 2)),
}


def gaussian_means(phi: Any, q: float) -> tuple[float, float]:
    """E[phi^2] and E[phi'^2] by the trapezoidal rule, which is exact to rounding here."""
    z = np.linspace(-12, 12, 4001)
    weight = np.exp(-(z**2) / 2)
    f, slope = (each(math.sqrt(q) * z) for each in SLOPES[phi])
    return float(weight @ f**2 / weight.sum()), float(weight @ slope**2 / weight.sum())


@pytest.mark.parametrize(
    ("phi", "W", "b"),
    [
        (nk.Tanh(), 0.9, 0.1),
        (nk.Tanh(), 1.7, 0.2),
        (nk.Tanh(), 3.0, 0.0),
        (nk.Softplus(), 1.0, 0.3),
    ],
)
def test_fixed_points_without_closed_form(phi: Any, W: float, b: float) -> None:
    q = brentq(lambda x: W**2 * gaussian_means(phi, x)[0] + b**2 - x, 1e-3, 1e3, xtol=1e-14)
    point = nk.phase.fixed_point(phi, W, b)
    assert point.q == pytest.approx(q, rel=1e-9)
    assert point.chi_1 == pytest.approx(W**2 * gaussian_means(phi, q)[1], rel=1e-9)
    assert point.phase == ("ordered" if point.chi_1 < 1 else "chaotic")


def test_the_critical_line_of_tanh() -> None:
    point = nk.phase.fixed_point(nk.Tanh(), 1.0, 0.0)
    assert (point.q, point.phase) == (0, "critical")
    q = np.array([0.0, 0.05, 1.0, 20.0])
    line = nk.phase.critical_line(nk.Tanh(), q=q)
    assert (line.W_std[0], line.b_std[0]) == (pytest.approx(1, rel=1e-12), 0)
    for W, b, each in zip(line.W_std[1:], line.b_std[1:], q[1:], strict=True):
        second, slope = gaussian_means(nk.Tanh(), each)
        assert W == pytest.approx(slope**-0.5, rel=1e-10)
        assert b**2 == pytest.approx(each - second / slope, rel=1e-8)
    back = nk.phase.critical_line(nk.Tanh(), b_std=line.b_std)
    np.testing.assert_allclose(back.W_std, line.W_std, rtol=1e-8)


def test_the_diagram_of_tanh() -> None:
    found = nk.phase.phase_diagram(nk.Tanh(), [0.5, 1.3, 2.5], [0.1, 1.0])
    for i, b in enumerate(found.b_std):
        for k, W in enumerate(found.W_std):
            second, slope = gaussian_means(nk.Tanh(), found.q[i, k])
            assert found.q[i, k] == pytest.approx(W**2 * second + b**2, rel=1e-9)
            assert found.chi_1[i, k] == pytest.approx(W**2 * slope, rel=1e-9)


def test_softplus_explodes() -> None:
    point = nk.phase.fixed_point(nk.Softplus(), 2.0)  # far away it is a ReLU: V(q) = 2 q
    assert (point.q, point.phase, point.xi_c) == (math.inf, "unbounded", math.inf)
    assert point.chi_1 == pytest.approx(2, rel=1e-10)


# --- networks -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "net",
    [
        nk.serial(nk.Dense(1.6, 0.3), nk.Erf()),
        nk.mlp(4, "erf", W_std=1.6, b_std=0.3, readout_W_std=7.0, fixed_layers=2),
        nk.mlp(1, "erf", W_std=1.6, b_std=0.3),
    ],
    ids=["block", "mlp", "shallow"],
)
def test_a_network_stands_for_what_it_repeats(net: nk.Network) -> None:
    got, want = nk.phase.fixed_point(net), nk.phase.fixed_point("erf", 1.6, 0.3)
    for name in ("q", "q_slope", "chi_1", "c", "c_slope"):
        assert getattr(got, name) == pytest.approx(getattr(want, name), rel=1e-9, abs=1e-11)


def test_a_block_of_several_layers() -> None:
    net = nk.serial(nk.Dense(1.2, 0.3), nk.Erf(), nk.Dense(1.1, 0.2), nk.Relu())
    point = nk.phase.fixed_point(net)
    deep = nk.serial(*[net] * 80, nk.Dense(1.2, 0.3))
    X = [[1.0, 2.0], [2.0, -1.0]]
    assert deep.diag(X, "nngp") == pytest.approx(point.q, rel=1e-9)
    one = float(nk.phase.variance_map("erf", point.q, 1.1, 0.2))
    chi = alone("erf").moments(point.q)[1] * 1.1**2 * alone("relu").moments(one)[1] * 1.2**2
    assert point.chi_1 == pytest.approx(float(chi), rel=1e-9)


def test_a_residual_block() -> None:
    branch = [nk.Dense(0.9, 0.1), nk.Erf(), nk.Dense(0.5, 0.3)]
    block = nk.serial(nk.FanOut(2), nk.parallel(branch, nk.Dense(0.8)), nk.FanInSum())
    point = nk.phase.fixed_point(block)
    kernel = nk.repeat(block, 300).nngp([[1.0, 0.0], [0.3, 1.0]])
    np.testing.assert_allclose(kernel, point.q * np.array([[1, point.c], [point.c, 1]]), rtol=1e-9)
    skip = nk.serial(nk.FanOut(2), nk.parallel(branch, nk.Identity()), nk.FanInSum())
    assert nk.phase.fixed_point(skip).phase == "unbounded"  # each block adds to the variance


def test_layer_norm_sets_the_variance() -> None:
    W, b = 1.5, 0.2
    point = nk.phase.fixed_point(nk.serial(nk.Dense(W, b), nk.LayerNorm(), nk.Relu()))
    # Behind the norm the variance is one, whatever came before.
    assert point.q == pytest.approx(W**2 / 2 + b**2, rel=1e-10)
    assert abs(point.q_slope) < 1e-10
    assert point.chi_1 == pytest.approx(W**2 / 2 / point.q, rel=1e-9)


def test_dropout_ends_order() -> None:
    W, b, keep = 0.8, 0.3, 0.9
    point = nk.phase.fixed_point(nk.serial(nk.Dense(W, b), nk.Erf(), nk.Dropout(keep)))
    assert point.chi_1 < 1
    assert point.c < 1 - 1e-3  # equal inputs part: each has a mask of its own
    deep = nk.repeat([nk.Dense(W, b), nk.Erf(), nk.Dropout(keep)], 80)
    K = nk.serial(deep, nk.Dense(W, b)).nngp([[1.0, 0.0], [0.3, 1.0]])
    assert K[0, 0] == pytest.approx(point.q, rel=1e-9)
    assert K[0, 1] / point.q == pytest.approx(point.c, rel=1e-9)


def test_blocks_that_cannot_follow_themselves_are_refused() -> None:
    with pytest.raises(ArchitectureError, match="sqrt_dim"):
        nk.phase.fixed_point(nk.models.arora(3))
    with pytest.raises(TypeError, match="a network has its own"):
        nk.phase.fixed_point(nk.mlp(2), 1.0)
    with pytest.raises(TypeError, match="W_std is required"):
        nk.phase.fixed_point("relu")
    with pytest.raises(ValueError, match="unknown activation"):
        nk.phase.fixed_point("rellu", 1.0)
    for bad in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="W_std must be"):
            nk.phase.fixed_point("relu", bad)
        with pytest.raises(ValueError, match="q0 must be"):
            nk.phase.fixed_point("relu", 1.0, q0=bad)
        with pytest.raises(ValueError, match="q must be"):
            nk.phase.variance_map("relu", [1.0, bad], 1.0)
    with pytest.raises(ValueError, match="c must be"):
        nk.phase.correlation_map("relu", [-0.1], 1.0, q=1.0)
    with pytest.raises(ValueError, match="q must be > 0"):
        nk.phase.correlation_map("relu", [0.1], 1.0, q=0.0)
