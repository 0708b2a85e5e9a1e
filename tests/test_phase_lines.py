"""The critical line, the condition number against depth, and their pictures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from ntkfast.phase.fixed_points import depth_scale
from support import network

RELU_CRITICAL = 2**0.5


def layer(name: str) -> Any:
    return nk.from_dict(network(name, 1, None)).layers[1]


# --- the critical line --------------------------------------------------------------------------


def test_the_critical_line_of_erf() -> None:
    q = np.array([0.0, 1e-3, 0.1, 1.0, 50.0])
    line = nk.phase.critical_line("erf", q=q)
    W2 = math.pi / 4 * np.sqrt(1 + 4 * q)
    np.testing.assert_allclose(line.W_std, np.sqrt(W2), rtol=1e-12)
    b2 = q - W2 * 2 / math.pi * np.arcsin(2 * q / (1 + 2 * q))
    np.testing.assert_allclose(line.b_std**2, b2, rtol=1e-9, atol=1e-12)
    back = nk.phase.critical_line("erf", b_std=line.b_std)
    np.testing.assert_allclose(back.W_std, line.W_std, rtol=1e-9)
    np.testing.assert_allclose(back.q, line.q, rtol=1e-6)
    for W, b in zip(line.W_std[1:], line.b_std[1:], strict=True):
        assert nk.phase.chi_1("erf", W, b, q0=1.0) == pytest.approx(1, abs=1e-6)


def test_an_erf_of_slope_one_is_critical_at_one() -> None:
    phi = nk.Erf(b=math.sqrt(math.pi) / 2)  # phi'(0) = 1, as tanh
    line = nk.phase.critical_line(phi, b_std=[0.0, 1e-8, 0.5])
    assert line.W_std[0] == pytest.approx(1, rel=1e-12)
    assert line.b_std[0] == line.q[0] == 0
    assert line.W_std[1] == pytest.approx(1, rel=1e-4)
    assert (np.diff(line.W_std) > 0).all()


def test_the_critical_line_of_relu_is_one_point() -> None:
    line = nk.phase.critical_line("relu", b_std=[0.0, 0.1, 1.0])
    assert line.W_std[0] == pytest.approx(RELU_CRITICAL, rel=1e-14)
    assert np.isnan(line.W_std[1:]).all()
    assert np.isnan(line.q[1:]).all()
    many = nk.phase.critical_line(nk.LeakyRelu(0.3), q=[0, 1e-6, 1, 1e6])
    np.testing.assert_allclose(many.W_std, nk.LeakyRelu(0.3).critical_W_std, rtol=1e-12)
    assert (many.b_std == 0).all()


def test_a_constant_has_no_critical_line() -> None:
    line = nk.phase.critical_line(nk.Erf(a=0, c=1.0), q=[0.1, 2.0])
    assert np.isnan(line.W_std).all()


def test_the_critical_line_takes_one_argument() -> None:
    for arguments in ({}, {"q": [1.0], "b_std": [1.0]}):
        with pytest.raises(TypeError, match="one of b_std and q"):
            nk.phase.critical_line("erf", **arguments)
    for bad in ([-1.0], [math.nan], [[1.0]], [math.inf]):
        with pytest.raises(ValueError, match="q must be one row of finite numbers >= 0"):
            nk.phase.critical_line("erf", q=bad)
    with pytest.raises(TypeError, match="b_std must be numbers"):
        nk.phase.critical_line("erf", b_std="abc")


@pytest.mark.parametrize("name", ["Erf", "Relu", "Erf_affine", "Identity"])
def test_the_diagram_is_made_of_fixed_points(name: str) -> None:
    phi = layer(name)
    found = nk.phase.phase_diagram(phi, [0.3, 1.0, 2.0**0.5, 2.5], [0.0, 0.05, 1.0])
    assert found.q.shape == found.chi_1.shape == (3, 4)
    for i, b in enumerate(found.b_std):
        for k, W in enumerate(found.W_std):
            point = nk.phase.fixed_point(phi, W, b)
            assert found.q[i, k] == pytest.approx(point.q, rel=1e-12)
            assert found.chi_1[i, k] == pytest.approx(point.chi_1, rel=1e-9)


# --- the condition number -----------------------------------------------------------------------


def test_conditioning_of_the_three_phases() -> None:
    depths = [1, 4, 16, 64]
    ordered = nk.phase.ntk_conditioning("erf", 0.7, 0.3, depths=depths[:3])
    assert ordered.limit == math.inf
    assert (np.diff(np.log(ordered.measured)) > 0).all()
    chaotic = nk.phase.ntk_conditioning("erf", 3.0, 0.3, depths=depths[:3])
    assert chaotic.limit == 1
    assert chaotic.measured[-1] == pytest.approx(1, abs=0.05)
    line = nk.phase.critical_line("erf", b_std=[0.2])
    critical = nk.phase.ntk_conditioning("erf", line.W_std[0], 0.2, depths=[1, 20, 400], rows=10)
    assert critical.limit == 6  # (m + 2)/2
    assert critical.measured[-1] == pytest.approx(6, rel=0.05)
    for found in (ordered, chaotic, critical):
        deep = found.measured[1:]
        assert found.predicted[1:] == pytest.approx(deep, rel=0.6)
        assert len(str(found).splitlines()) == 2 + len(found.depths)


def test_conditioning_at_a_kink() -> None:
    found = nk.phase.ntk_conditioning("relu", RELU_CRITICAL, depths=[2000], rows=9)
    assert found.limit == 4  # (m + 3)/3
    assert found.measured[0] == pytest.approx(4, rel=0.02)
    assert found.predicted[0] == pytest.approx(4, rel=0.02)


def test_the_ordered_condition_number_grows_as_fast_as_chi() -> None:
    depths = [24, 25]
    smooth = nk.phase.ntk_conditioning("erf", 0.7, 0.3, depths=depths)
    # kappa ~ chi^-l / l for a smooth activation.
    rate = smooth.measured[1] / smooth.measured[0]
    assert rate == pytest.approx(24 / 25 / smooth.fixed_point.chi_1, rel=0.02)
    # A kink makes the T of a pair fall behind by its angle, sqrt(1 - c) ~ chi^(l/2).
    kink = nk.phase.ntk_conditioning("relu", 1.0, 1.0, depths=depths)
    assert kink.measured[1] / kink.measured[0] == pytest.approx(2**0.5, rel=0.02)


def test_conditioning_of_given_rows() -> None:
    X = np.random.default_rng(0).standard_normal((7, 5))
    found = nk.phase.ntk_conditioning("relu", RELU_CRITICAL, X=X, depths=[3, 1, 3], threads=1)
    assert found.depths.tolist() == [1, 3]
    for depth, measured in zip(found.depths, found.measured, strict=True):
        T = nk.mlp(depth, "relu", readout_W_std=RELU_CRITICAL).ntk(X)
        assert measured == pytest.approx(np.linalg.cond(T), rel=1e-8)
    same = nk.phase.ntk_conditioning("relu", 1.0, X=np.ones((3, 2)), depths=[2])
    assert same.measured[0] == same.predicted[0] == math.inf
    for arguments in ({"depths": []}, {"depths": [0]}, {"X": [[1.0]]}, {"rows": 1}):
        with pytest.raises(ValueError, match=r"at least|must be"):
            nk.phase.ntk_conditioning("relu", 1.0, **arguments)


def test_depth_scales() -> None:
    assert depth_scale(-math.exp(-0.5)) == pytest.approx(2)
    assert depth_scale(0.0) == 0
    assert depth_scale(1.0) == depth_scale(-2.0) == math.inf
    assert math.isnan(depth_scale(math.nan))


# --- pictures -----------------------------------------------------------------------------------


def test_pictures_show_what_was_computed() -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")
    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    for phi in ("erf", "relu"):
        ax = nk.phase.plot_phase_diagram(phi, Figure().subplots(), title="title")
        line = ax.lines[0].get_xydata()
        expected = nk.phase.critical_line(phi, b_std=line[:, 1][np.isfinite(line[:, 1])])
        np.testing.assert_allclose(line[np.isfinite(line[:, 0]), 0], expected.W_std)
        assert {text.get_text() for text in ax.texts} >= {"ordered"}
        assert ax.get_title() == "title"
    found = nk.phase.ntk_conditioning("erf", 3.0, 0.3, depths=[1, 2, 3])
    ax = nk.phase.plot_conditioning({"deep": found}, Figure().subplots())
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), found.measured)
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), found.predicted)
