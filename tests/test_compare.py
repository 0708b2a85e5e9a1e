"""Finite networks against their limit: what is measured, and how runs are kept and continued."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from ntkfast.compare import Sweep
from ntkfast.compare.sweep import measure
from ntkfast.compare.training import _hessian_norm
from ntkfast.errors import UnsupportedLayerError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 4))
X /= np.linalg.norm(X, axis=1, keepdims=True)
Z = RNG.standard_normal((3, 4))
Y = np.sin(3 * X[:, 0])
ERF = nk.mlp(1, nk.Erf(), W_std=1.5, b_std=0.1)


def run(task: Any, **arguments: Any) -> Sweep:
    defaults = {"widths": [2, 4, 8], "seeds": 3, "theory": {}, "path": None, "jobs": 1}
    return measure("test", task, settings={"of": "test"}, **{**defaults, **arguments})


# --- Sweeps ------------------------------------------------------------------------------------


def test_slopes_are_those_that_were_put_in() -> None:
    rng = np.random.default_rng(1)
    noise = {(w, s): rng.normal() for w in (16, 64, 256, 1024) for s in range(30)}
    sweep = run(
        lambda w, s: {"a": w**-0.5 * np.exp(0.3 * noise[w, s]), "b": 2.0 * w},
        widths=[16, 64, 256, 1024],
        seeds=30,
        theory={"a": -0.5},
    )
    a, b = sweep.slope("a"), sweep.slope("b")
    assert a.low < -0.5 < a.high
    assert a.high - a.low < 0.1
    assert a.theory == -0.5
    assert abs(b.value - 1) < 1e-12
    assert np.isnan(b.theory)


def test_confidence_intervals_hold_the_truth_as_often_as_they_say() -> None:
    held = 0
    for k in range(300):
        rng = np.random.default_rng(k)
        values = {(w, s): np.exp(rng.normal()) / w for w in (2, 4, 8) for s in range(5)}
        slope = run(lambda w, s, v=values: {"a": v[w, s]}, seeds=5).slope("a")
        held += slope.low <= -1 <= slope.high
    assert 270 <= held <= 297  # 95 %, give or take three standard deviations


def test_tables_and_json_hold_what_was_measured() -> None:
    sweep = run(lambda w, s: {"a": w + s / 10, "zero": 0.0}, theory={"a": 1.0})
    table = sweep.table()
    assert "| 4 | 4.1 (4.02 - 4.18) | 0 (0 - 0) |" in table
    assert "theory 1" in table
    again = Sweep.from_json(sweep.to_json())
    assert again.widths == sweep.widths
    assert again.seeds == sweep.seeds
    assert np.array_equal(again.values["a"], sweep.values["a"])
    assert again.theory == {"a": 1.0}
    with pytest.raises(ValueError, match="not positive everywhere"):
        sweep.slope("zero")
    with pytest.raises(ValueError, match="two widths and three networks"):
        run(lambda w, s: {"a": 1.0}, widths=[4]).slope("a")


def test_a_picture_shows_medians_and_theory(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    sweep = run(lambda w, s: {"a": 1 / w, "b": 1.0 * w}, theory={"a": -1.0})
    ax = sweep.plot()
    lines = ax.get_lines()
    assert len(lines) == 3  # two medians, one slope of theory
    assert np.allclose(lines[0].get_ydata(), [0.5, 0.25, 0.125])
    assert np.allclose(lines[1].get_ydata(), [0.5, 0.25, 0.125])


def test_an_interrupted_run_goes_on_from_its_file(tmp_path: Path) -> None:
    path, seen = tmp_path / "run.jsonl", []

    def task(width: int, seed: int) -> dict[str, float]:
        if len(seen) == 4:
            raise KeyboardInterrupt
        seen.append((width, seed))
        return {"a": width + 0.1 * seed}

    with pytest.raises(KeyboardInterrupt):
        run(task, path=path)
    assert len(path.read_text().splitlines()) == 5  # header and four networks
    with path.open("a") as file:
        file.write('{"width": 2, "se')  # killed while it wrote
    again: list[Any] = []

    def rest(width: int, seed: int) -> dict[str, float]:
        again.append((width, seed))
        return {"a": width + 0.1 * seed}

    sweep = run(rest, path=path)
    assert sorted(seen + again) == [(w, s) for w in (2, 4, 8) for s in range(3)]
    assert np.allclose(sweep.values["a"], [[w + 0.1 * s for s in range(3)] for w in (2, 4, 8)])
    assert [json.loads(line)["width"] for line in path.read_text().splitlines()[-5:]]
    run(lambda w, s: pytest.fail("nothing is left to do"), path=path)
    with pytest.raises(ValueError, match="holds another run"):
        measure("other", rest, [2], 1, {}, path=path, jobs=1, settings={"of": "test"})


def test_jobs_do_not_change_a_number() -> None:
    one = nk.compare.kernel_deviation(ERF, X, widths=[8, 32], seeds=4, jobs=1)
    two = nk.compare.kernel_deviation(ERF, X, widths=[8, 32], seeds=4, jobs=2)
    for name in one.values:
        np.testing.assert_allclose(one.values[name], two.values[name], rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"widths": []}, ValueError, "widths must hold"),
        ({"widths": [0]}, ValueError, "widths"),
        ({"seeds": 0}, ValueError, "seeds"),
        ({"seeds": [1, 1]}, ValueError, "different seeds"),
        ({"outputs": 0}, ValueError, "outputs"),
        ({"jobs": 0}, ValueError, "threads"),
    ],
)
def test_arguments_are_checked(arguments: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        nk.compare.kernel_deviation(ERF, X, **arguments)


def test_networks_and_data_are_checked() -> None:
    with pytest.raises(TypeError, match="net must be a Network"):
        nk.compare.kernel_deviation(nk.Relu(), X)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="X must be finite"):
        nk.compare.kernel_deviation(ERF, X * np.nan)
    with pytest.raises(ValueError, match="at least one sample"):
        nk.compare.kernel_deviation(ERF, X[:0])
    with pytest.raises(ValueError, match="y must have shape"):
        nk.compare.training(ERF, X, Y[:3])
    random = nk.serial(nk.Dense(), nk.Dropout(0.5), nk.Dense())
    with pytest.raises(UnsupportedLayerError):
        nk.compare.kernel_deviation(random, X, widths=[4], seeds=1)


# --- Theory ------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("phi", ["relu", "erf"])
def test_kernels_approach_their_limit_like_the_root_of_the_width(phi: str, depth: int) -> None:
    net = nk.models.arora(depth) if phi == "relu" else nk.mlp(depth, phi)
    sweep = nk.compare.kernel_deviation(net, X, widths=[64, 128, 256, 512, 1024], seeds=16)
    slope = sweep.slope("ntk")
    assert slope.low - 0.05 < -0.5 < slope.high + 0.05
    assert abs(slope.value + 0.5) < 0.1
    assert abs(sweep.slope("relative").value + 0.5) < 0.1


def test_a_wrong_limit_is_not_approached() -> None:
    """With E[phi phi] in place of E[phi' phi'] the deviation stays: the measurement can fail."""
    net = nk.models.arora(1)
    k = net.nngp(X)
    swapped = k + k * nk.serial(*net.layers[:2]).nngp(X)
    gaps = [
        np.median([np.abs(nk.finite.init(net, m, s).ntk(X) - swapped).max() for s in range(5)])
        for m in (64, 1024)
    ]
    assert gaps[1] > 0.5 * gaps[0]
    assert gaps[1] > 0.1


def test_the_smallest_width_is_one_that_larger_ones_confirm() -> None:
    values = np.array([[0.5, 0.9], [0.05, 0.05], [0.2, 0.05], [0.05, 0.01], [0.02, 0.01]])
    sweep = Sweep("t", (1, 2, 3, 4, 5), (0, 1), {"ntk": values}, {})
    assert nk.compare.smallest_width(sweep, 0.1) == 4
    assert nk.compare.smallest_width(sweep, 0.1, delta=0.5) == 2
    assert nk.compare.smallest_width(sweep, 0.001) is None
    assert nk.compare.smallest_width(sweep, 1.0) == 1
    with pytest.raises(ValueError, match="delta in"):
        nk.compare.smallest_width(sweep, 1.0, delta=1.0)
    with pytest.raises(TypeError, match="kernel_deviation"):
        nk.compare.smallest_width(None, 1.0)  # type: ignore[arg-type]


def test_wide_networks_train_like_their_taylor_models() -> None:
    sweep = nk.compare.training(ERF, X, Y, Z, widths=[32, 128, 512, 2048], seeds=6, steps=60)
    # Of smooth networks the first two are of order 1 / width (Dyer and Gur-Ari 2020).
    for name, exponent in {
        "kernel change": -1,
        "from Taylor model": -1,
        "from infinite kernel": -0.5,
    }.items():
        assert abs(sweep.slope(name).value - exponent) < 0.25, (name, sweep.slope(name))
    start = 0.5 * np.mean((nk.finite.init(ERF, 2048, 0)(X)[:, 0] - Y) ** 2)
    assert sweep.values["loss"][-1, 0] < start


def test_the_norm_of_a_hessian_is_that_of_the_matrix() -> None:
    """Against all second derivatives by differences of a network small enough for them."""
    f = nk.finite.init(nk.mlp(1, "erf", b_std=0.3), 3, seed=1)
    x = X[:1]
    f(x)
    sizes = [a.shape for own in f.parameters for a in own if a is not None]
    total = sum(int(np.prod(s)) for s in sizes)

    def gradient(flat: Any) -> Any:
        own, at = [], 0
        for layer in f.parameters:
            pair = []
            for a in layer:
                size = a.size
                pair.append(a + flat[at : at + size].reshape(a.shape))
                at += size
            own.append(tuple(pair))
        parts = nk.finite.from_parameters(f.network, own).vjp(x, np.ones((1, 1)))
        return np.concatenate([a.ravel() for p in parts for a in p])

    h = 1e-5
    hessian = np.array([(gradient(h * e) - gradient(-h * e)) / (2 * h) for e in np.eye(total)])
    expected = np.abs(np.linalg.eigvalsh((hessian + hessian.T) / 2)).max()
    assert abs(_hessian_norm(f, x, 200, seed=0) - expected) < 1e-4 * expected


def test_laziness_grows_with_width() -> None:
    sweep = nk.compare.lazy_training(ERF, X, Y, widths=[32, 128, 512], seeds=4, steps=60)
    for name in ("lazy_kappa", "largest lazy_kappa", "gradient change"):
        assert sweep.slope(name).value < -0.25, (name, sweep.slope(name))
    assert np.all(sweep.values["largest lazy_kappa"] >= sweep.values["lazy_kappa"])
