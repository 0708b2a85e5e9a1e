"""Trained networks and kernel regression, the Gaussian process, accuracy, and a misprint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from ntkfast._report.textbook import textbook_ntk
from ntkfast.compare import GaussianLimit, accuracy, scores
from ntkfast.errors import SingularKernelError

RNG = np.random.default_rng(0)


def unit_rows(n: int, d: int = 6) -> Any:
    x = RNG.standard_normal((n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


X, Z = unit_rows(5), unit_rows(4)
Y = np.array([1.0, -1.0, 1.0, 1.0, -1.0])


# --- Theorem 3.2 -------------------------------------------------------------------------------


def test_a_linear_model_is_kernel_regression_from_its_start() -> None:
    """Without a hidden layer theory is exact: the first error is the initial function's alone."""
    tolerance = 1e-8
    sweep = nk.compare.equivalence(
        0, X, Y, Z, output_scales=[1.0, 0.1], tolerance=tolerance, widths=[1], seeds=3
    )
    for scale in ("1", "0.1"):
        assert sweep.values[f"scale {scale}, same start"].max() < 100 * tolerance
    assert sweep.values["residual"].max() <= tolerance
    for seed in range(3):
        f = nk.finite.init(nk.models.arora(0), 1, seed)
        left = f(Z)[:, 0] - (Z @ X.T) @ np.linalg.solve(X @ X.T, f(X)[:, 0])
        for scale in (1.0, 0.1):
            gap = sweep.values[f"scale {scale:g}"][0, seed]
            assert gap == pytest.approx(scale * np.abs(left).max(), abs=100 * tolerance)


def test_the_gap_to_kernel_regression_shrinks_with_width() -> None:
    sweep = nk.compare.equivalence(
        1, X, Y, Z, output_scales=[1.0], widths=[64, 256, 1024, 4096], seeds=10
    )
    assert sweep.values["residual"].max() <= 1e-3
    own = sweep.slope("scale 1, same start")
    assert own.low - 0.1 < -0.5 < own.high + 0.1
    both = sweep.slope("scale width^-1/4")
    assert both.high < 0
    assert both.low < -0.25 < both.high + 0.05
    # At one large scale the initial function remains, however wide the network.
    start = sweep.quantiles("scale 1", 0.5)
    assert start[-1] > 0.3 * start[0]
    assert start[-1] > 2 * sweep.quantiles("scale width^-1/4", 0.5)[-1]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"X": 2 * X}, ValueError, "X must have rows of unit norm, got one of norm 2"),
        ({"Z": Z + 1}, ValueError, "Z must have rows of unit norm"),
        ({"y": Y[:2]}, ValueError, "y must have shape"),
        ({"output_scales": []}, ValueError, "output_scales must hold"),
        ({"output_scales": [0.0]}, ValueError, "output_scales must be positive"),
        ({"tolerance": -1.0}, ValueError, "tolerance must be positive"),
        ({"max_steps": 0}, ValueError, "max_steps"),
        ({"depth": -1}, ValueError, "depth"),
        ({"X": np.vstack([X[:4], X[:1]])}, SingularKernelError, "rows"),
    ],
)
def test_bad_arguments_of_equivalence(arguments: Any, error: Any, message: str) -> None:
    given = {"depth": 1, "X": X, "y": Y, "Z": Z, "widths": [8], "seeds": 1, **arguments}
    with pytest.raises(error, match=message):
        nk.compare.equivalence(**given)


def test_training_that_does_not_converge_says_so() -> None:
    sweep = nk.compare.equivalence(
        1, X, Y, Z, output_scales=[1.0], max_steps=3, widths=[64], seeds=2
    )
    assert sweep.values["residual"].min() > 0.01


# --- The Gaussian process ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "depth", "excess"),
    # E[a^4] / E[a^2]^2 - 1 of a = phi(z): what one hidden layer's kurtosis is times its width.
    [("relu", 1, 5.0), ("identity", 1, 2.0), ("relu", 2, 5.0)],
)
def test_kurtosis_at_one_sample_is_the_exact_one(
    activation: str, depth: int, excess: float
) -> None:
    net = nk.mlp(depth, activation, W_std=1.3)
    limit = nk.compare.gaussian_limit(net, X[:1], widths=[8, 32], seeds=2000)
    found, error = limit.kurtosis()
    # Layer after layer multiplies the variance by an independent random factor.
    exact = (1 + excess / np.array([8, 32])) ** depth - 1
    assert np.all(np.abs(found - exact) < 4 * error)
    assert found[0] > 2 * error[0]
    assert limit.tests()[1][0] < 1e-2


def test_a_linear_model_is_gaussian_and_another_variance_is_not() -> None:
    net = nk.serial(nk.Dense(1.5, 0.3))
    limit = nk.compare.gaussian_limit(net, X[:3], widths=[1], seeds=2000)
    assert limit.standardized.shape == (1, 2000, 3)
    excess, error = limit.kurtosis()
    assert abs(excess[0]) < 4 * error[0]
    assert min(*limit.tests()[0], *limit.tests()[1]) > 1e-3
    wrong = GaussianLimit(limit.widths, limit.seeds, 1.1 * limit.standardized)
    assert max(*wrong.tests()[0], *wrong.tests()[1]) < 1e-3


def test_the_slope_of_the_kurtosis_is_the_one_put_in() -> None:
    """A mixture of variances 1 +- s has excess kurtosis s^2, here 4 / width."""
    rng = np.random.default_rng(5)
    widths = (8, 32, 128, 512)
    held = []
    for _ in range(20):
        sign = rng.choice([-1.0, 1.0], (4, 4000, 1))
        variance = 1 + sign * np.sqrt(4 / np.array(widths))[:, None, None]
        values = np.sqrt(variance) * rng.standard_normal((4, 4000, 4))
        slope = GaussianLimit(widths, tuple(range(4000)), values).slope()
        held.append(slope.low < -1 < slope.high)
    assert sum(held) >= 16
    flat = GaussianLimit(widths, (0, 1), np.ones((4, 2, 3)))
    with pytest.raises(ValueError, match="three standard errors"):
        flat.slope()
    assert "slope" not in flat.table()


def test_gaussian_limits_are_kept_drawn_and_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    arguments: Any = {"widths": [4, 8, 16], "path": tmp_path / "run.jsonl"}
    net = nk.models.arora(1)
    limit = nk.compare.gaussian_limit(net, X[:2], seeds=300, **arguments)
    again = nk.compare.gaussian_limit(net, X[:2], seeds=300, **arguments)
    assert np.array_equal(limit.standardized, again.standardized)
    f = nk.finite.init(net, 8, seed=7)
    outputs = np.linalg.cholesky(net.nngp(X[:2])) @ limit.standardized[1, 7]
    np.testing.assert_allclose(outputs, f(X[:2])[:, 0], rtol=1e-10)
    assert limit.table().count("\n| ") == 4  # head and three widths; too few networks for a slope
    assert '"p_joint"' in limit.to_json()
    assert limit.plot().get_xlabel() == "width"
    assert len(limit.plot_density().patches) == 2
    with pytest.raises(SingularKernelError, match="NNGP kernel of X"):
        nk.compare.gaussian_limit(net, X[[0, 0]], widths=[4], seeds=3)


# --- Accuracy ----------------------------------------------------------------------------------


def clusters() -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    centres = 4 * np.eye(3)
    labels = np.arange(90) % 3
    return centres[labels] + 0.3 * rng.standard_normal((90, 3)), labels


def test_everybody_tells_clusters_apart() -> None:
    x, labels = clusters()
    net = nk.mlp(1, b_std=0.1)
    for y in (labels, np.array(["a", "b", "c"])[labels]):
        sweep = accuracy(net, x, y, widths=[16, 64], seeds=2, epochs=20)
        assert all(v.mean() > 0.95 for v in sweep.values.values()), sweep.values
    assert list(sweep.values) == ["network", "own kernel, end", "own kernel, start", "NTK", "NNGP"]
    assert sweep.scale == "linear"
    assert "slope" not in sweep.table()
    shuffled = accuracy(net, x, np.random.default_rng(0).permutation(labels), widths=[16], seeds=2)
    assert all(np.all(v < 0.8) for v in shuffled.values.values())


def test_a_linear_model_finds_a_linear_rule() -> None:
    x = np.random.default_rng(4).standard_normal((60, 3))
    net = nk.serial(nk.Dense(b_std=1.0))
    sweep = accuracy(net, x, x @ [1.0, 2.0, -1.0], widths=[1], seeds=2, epochs=100)
    assert all(np.all(v > 0.99) for v in sweep.values.values()), sweep.values


def test_kernel_regression_is_that_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.kernel_ridge import KernelRidge

    monkeypatch.setattr(scores, "RIDGES", (0.1,))
    rng = np.random.default_rng(6)
    x = rng.standard_normal((50, 3))
    y = np.sin(2 * x[:, 0]) + 0.3 * rng.standard_normal(50)
    net = nk.mlp(2, "erf", b_std=0.2)
    sweep = accuracy(net, x, y, widths=[8], seeds=1, epochs=1)
    fit, _, test = scores._split(50, 0)
    targets = y - y[fit].mean()
    kernel = net.ntk(x[fit])
    model = KernelRidge(alpha=0.1 * np.trace(kernel) / len(fit), kernel="precomputed")
    model.fit(kernel, targets[fit])
    expected = model.score(net.ntk(x[test], x[fit]), targets[test])
    assert sweep.values["NTK"][0, 0] == pytest.approx(expected, rel=1e-9)


def test_splits_share_no_sample() -> None:
    parts = scores._split(53, 1)
    assert sorted(np.concatenate(parts)) == list(range(53))
    assert [len(p) for p in parts] == [32, 10, 11]


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (np.zeros(5), ValueError, "y must have shape"),
        (np.full(90, np.nan), ValueError, "y must be finite"),
        (np.zeros(90), ValueError, "different numbers"),
        (np.zeros(90, int), ValueError, "at least two classes"),
        (np.zeros(90, complex), TypeError, "classes or real numbers"),
    ],
)
def test_bad_targets_of_accuracy(y: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        accuracy(nk.mlp(1), clusters()[0], y)
    with pytest.raises(ValueError, match="at least 10 samples"):
        accuracy(nk.mlp(1), clusters()[0][:9], y)


# --- Training in pieces, and another kernel ----------------------------------------------------


def test_kernels_along_training_end_where_training_does() -> None:
    net = nk.mlp(2, "erf", b_std=0.1)
    shared: Any = {"widths": [16, 64, 256], "seeds": 4}
    along = nk.compare.kernel_change(net, X, Y, steps=[30, 5], **shared)
    whole = nk.compare.training(net, X, Y, steps=30, **shared)
    assert list(along.values) == ["after 5 steps", "after 30 steps"]
    np.testing.assert_array_equal(along.values["after 30 steps"], whole.values["kernel change"])
    assert along.slope("after 5 steps").value < -0.4
    with pytest.raises(ValueError, match="steps must hold"):
        nk.compare.kernel_change(net, X, Y, steps=[], **shared)
    with pytest.raises(ValueError, match="steps"):
        nk.compare.kernel_change(net, X, Y, steps=[0], **shared)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("phi", ["relu", "erf"])
def test_the_textbook_formula_is_the_ntk_and_the_misprint_is_not(phi: str, depth: int) -> None:
    net = nk.models.arora(depth) if phi == "relu" else nk.mlp(depth, phi)
    right, wrong = (textbook_ntk(X, depth, phi, misprinted=m) for m in (False, True))
    np.testing.assert_allclose(right, net.ntk(X), rtol=1e-7)  # arccos at 1 keeps half the digits
    assert np.abs(wrong - right).max() > 0.02
    if phi == "relu":  # at unit norm the diagonal is L + 1 in both: it cannot tell them apart
        np.testing.assert_allclose(np.diag(right), depth + 1, rtol=1e-7)
        np.testing.assert_allclose(np.diag(wrong), depth + 1, rtol=1e-7)


def test_networks_do_not_approach_the_misprinted_kernel() -> None:
    """With E[phi phi] in place of E[phi' phi'] the deviation stays: the measurement can fail."""
    net = nk.mlp(2, "erf")
    shared: Any = {"widths": [64, 256, 1024], "seeds": 8}
    right = nk.compare.kernel_deviation(net, X, against=textbook_ntk(X, 2, "erf"), **shared).slope(
        "ntk"
    )
    wrong = nk.compare.kernel_deviation(
        net, X, against=textbook_ntk(X, 2, "erf", misprinted=True), **shared
    ).slope("ntk")
    assert abs(right.value + 0.5) < 0.15
    assert abs(wrong.value) < 0.1
    assert np.isnan(wrong.theory)
    with pytest.raises(ValueError, match="against must be a kernel"):
        nk.compare.kernel_deviation(net, X, against=np.eye(2), **shared)
