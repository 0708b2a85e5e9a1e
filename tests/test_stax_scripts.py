"""Scripts written for the archived library run after a change of one import, and give the truth.

bench/compare_peer.py runs the same files, unchanged, through that library itself.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from oracle import arch as A
from oracle import highprec
from oracle.compare import assert_close
from oracle.quadrature import expectation

FOLDER = Path(__file__).parent / "peer_scripts"
Results = dict[str, Any]


def run(name: str) -> Results:
    """Return all global names of a script, `results` among them."""
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    line = "from neural_tangents import stax"
    assert text.count("neural_tangents") == text.count(line) == 1
    names: Results = {}
    exec(compile(text.replace(line, "from ntkfast import stax"), name, "exec"), names)
    return names


def assert_kernels(arch: A.Layer, x: Any, z: Any = None, **got: Any) -> None:
    true = highprec.truth(arch, x, z)
    factor = max(highprec.conditioning(arch, rows) for rows in (x, z) if rows is not None)
    for kind, kernel in got.items():
        scale = getattr(true, f"{kind}_scale")
        assert_close(kernel, getattr(true, kind), scale, 1e-12 * factor, kind)


def test_regression() -> None:
    names = run("regression")
    results, train, test = names["results"], names["x_train"], names["x_test"]
    arch = A.mlp(2, {"type": "Relu"}, 2.0, 0.05)
    for kind in ("nngp", "ntk"):
        assert_kernels(arch, train, **{kind: results[f"{kind}_train_train"]})
        assert_kernels(arch, test, train, **{kind: results[f"{kind}_test_train"]})
        assert results[f"{kind}_prediction"].shape == (15, 1)
        assert np.all(np.isfinite(results[f"{kind}_prediction"]))
    assert names["both"]._fields == ("ntk", "nngp")
    np.testing.assert_array_equal(results["same_by_value"], results["ntk_train_train"])


def test_kernel_object() -> None:
    names = run("kernel_object")
    results, x1, x2 = names["results"], names["x1"], names["x2"]
    erf = {"type": "Erf", "a": 1.2, "b": 0.8, "c": 0.1}
    arch = A.serial(*[A.dense(1.3, 0.2), erf] * 5, A.dense())
    hidden = A.serial(*[A.dense(1.3, 0.2), erf] * 5)
    assert_kernels(arch, x1, x2, nngp=results["nngp"], ntk=results["ntk"])
    assert_kernels(arch, x1, ntk=results["alone_ntk"], nngp=results["full_cov1"])
    assert_kernels(arch, x2, nngp=results["full_cov2"])
    assert_kernels(hidden, x1, x2, nngp=results["hidden_nngp"])
    for name in ("cov1", "cov2"):
        np.testing.assert_allclose(results[name], np.diag(results[f"full_{name}"]), rtol=1e-14)
    assert (results["is_gaussian"], results["hidden_is_gaussian"]) == (True, False)
    assert (results["alone_x1_is_x2"], results["x1_is_x2"]) == (True, False)
    assert results["shapes"].tolist() == [[7, 3], [4, 3]]
    assert results["hidden_shape"].tolist() == [7, 256]
    assert results["axes"].tolist() == [0, 1]
    assert results["flags"].tolist() == [True, False, False]
    assert results["nothing"].all()
    np.testing.assert_array_equal(results["replaced"], 2 * results["nngp"])
    np.testing.assert_array_equal(results["covariances"], results["cov1"])


def test_blocks() -> None:
    names = run("blocks")
    results, rows = names["results"], names["rows"]
    block = [A.dense(1.2, 0.1), {"type": "LeakyRelu", "alpha": 0.2}]
    head = [A.dense(), {"type": "Abs"}, A.dense(), {"type": "ABRelu", "a": -0.5, "b": 1.0}]
    arch = A.serial(*block, *head, A.dense())
    assert_kernels(arch, rows, ntk=results["images_ntk"])
    assert_kernels(arch, rows, ntk=results["rows_ntk"])
    assert_kernels(arch, rows[:2], rows[2:], nngp=results["images_cross"])
    assert_kernels(A.serial(*block * 5, A.dense()), rows, ntk=results["repeated_ntk"])
    stepwise = A.serial(*block, A.dense(), {"type": "Relu"})
    assert_kernels(stepwise, rows, ntk=results["stepwise_ntk"], nngp=results["stepwise_nngp"])


def test_finite_network() -> None:
    results = run("finite_network")["results"]
    assert results["output_shape"].tolist() == [-1, 1]
    assert results["W1_shape"].tolist() == [4, 256]
    assert results["b1_shape"].tolist() == [1, 256]
    assert results["W2_shape"].tolist() == [256, 128]
    assert results["activations_have_none"].tolist() == [0, 0]
    assert results["no_bias"] is True
    assert results["agrees"] is True


def _dense(W_std: float = 1.0, b_std: float | None = None, **options: Any) -> dict[str, Any]:
    return {**A.dense(W_std, b_std), **options}


def _branches(*branches: A.Layer, join: str) -> tuple[A.Layer, ...]:
    parallel = {"type": "parallel", "layers": list(branches)}
    return {"type": "FanOut", "num": len(branches)}, parallel, {"type": join}


def _standard(W_std: float, b_std: float | None, out_dim: int, s: list[int]) -> dict[str, Any]:
    return _dense(W_std, b_std, out_dim=out_dim, parameterization="standard", s=s)


RELU, ERF = {"type": "Relu"}, {"type": "Erf"}
BRANCHED = {
    "resnet": A.serial(
        _dense(1.4, 0.1),
        *_branches(A.serial(RELU, _dense(1.2, 0.1)), {"type": "Identity"}, join="FanInSum"),
        *_branches(A.serial(RELU, _dense(0.9, 0.1)), {"type": "Identity"}, join="FanInSum"),
        _dense(),
    ),
    "product": A.serial(
        *_branches(
            A.serial(_dense(), ERF),
            A.serial(_dense(1.0, 0.2), RELU, _dense()),
            _dense(1.5, 0.3),
            join="FanInProd",
        ),
        _dense(),
    ),
    "concatenated": A.serial(
        *_branches(
            _dense(1.3, out_dim=96),
            A.serial(_dense(out_dim=32), RELU),
            join="FanInConcat",
        ),
        _dense(),
        RELU,
        _dense(),
    ),
    "normalised": A.serial(
        _dense(2.0, 0.5),
        {"type": "LayerNorm", "eps": 1e-6},
        RELU,
        _dense(1.4),
        {"type": "LayerNorm"},
        ERF,
        _dense(),
    ),
    "dropped": A.serial(_dense(), RELU, {"type": "Dropout", "rate": 0.8}, _dense(), RELU, _dense()),
    "standard": A.serial(
        _standard(1.3, 0.2, 100, [1, 2]),
        RELU,
        _standard(1.2, 0.0, 50, [2, 1]),
        ERF,
        _standard(1.1, None, 1, [1, 1]),
    ),
}


def test_branches() -> None:
    names = run("branches")
    results, x1, x2 = names["results"], names["x1"], names["x2"]
    assert set(names["networks"]) == set(BRANCHED)
    for name, arch in BRANCHED.items():
        assert_kernels(arch, x1, nngp=results[f"{name}_nngp"], ntk=results[f"{name}_ntk"])
        assert_kernels(arch, x1, x2, ntk=results[f"{name}_cross"])
        np.testing.assert_array_equal(results[f"{name}_twice"], results[f"{name}_ntk"])
        assert results[f"{name}_shapes"].tolist() == [[6, 1], [6, 1]]
    assert results["block_is_gaussian"] is True
    assert results["block_shape"].tolist() == [6, 128]


ACTIVATIONS: dict[str, dict[str, Any]] = {
    "abrelu": {"type": "ABRelu", "a": -0.3, "b": 1.2},
    "abs": {"type": "Abs"},
    "cos": {"type": "Cos", "a": 1.1, "b": 0.9, "c": 0.3},
    "erf": {"type": "Erf"},
    "exp": {"type": "Exp", "a": 0.8, "b": 0.5},
    "exp_normalized": {"type": "ExpNormalized", "gamma": 0.7, "shift": -0.8},
    "gabor": {"type": "Gabor"},
    "gaussian": {"type": "Gaussian", "a": 1.2, "b": -0.6},
    "gelu": {"type": "Gelu"},
    "gelu_approximate": {"type": "Gelu"},
    "identity": {"type": "Identity"},
    "leaky_relu": {"type": "LeakyRelu", "alpha": 0.1},
    "monomial": {"type": "Monomial", "degree": 3},
    "polynomial": {"type": "Polynomial", "coef": [0.1, 0.5, 0.2]},
    "rbf": {"type": "Rbf", "gamma": 0.4},
    "rectified_monomial": {"type": "RectifiedMonomial", "degree": 2},
    "relu": {"type": "Relu"},
    "sigmoid_like": {"type": "Sigmoid_like"},
    "sign": {"type": "Sign"},
    "sin": {"type": "Sin", "a": 0.9, "b": 1.2, "c": 0.4},
}


def test_activations() -> None:
    names = run("activations")
    results, x1, x2 = names["results"], names["x1"], names["x2"]
    assert set(names["closed_forms"]) == set(ACTIVATIONS)
    for name, phi in ACTIVATIONS.items():
        arch = A.serial(_dense(0.9, 0.2), phi, _dense(0.8, 0.1), phi, _dense())
        assert_kernels(arch, x1, x2, nngp=results[f"{name}_nngp"], ntk=results[f"{name}_ntk"])
        assert_kernels(arch, x1, nngp=names["network"](names["closed_forms"][name])[2](x1).nngp)
        np.testing.assert_allclose(
            results[f"{name}_variances"], highprec.diag(arch, x1)[0], rtol=1e-12
        )
        if name != "exp_normalized":
            assert results[f"{name}_finite"].tolist() == [5, 1]
    hermite = A.serial(_dense(), {"type": "Hermite", "degree": 4}, _dense())
    assert_kernels(hermite, names["unit"], ntk=results["hermite_ntk"])


def test_numerical() -> None:
    names = run("numerical")
    results, x1, x2 = names["results"], names["x1"], names["x2"]
    np.testing.assert_allclose(results["parabola_ntk"], results["polynomial_ntk"], rtol=1e-11)
    q, p, k = (0.81 * (a * b).sum(-1) / 8 + 0.04 for a, b in ((x1, x1), (x2, x2), (x1[:4], x2)))
    for i in range(4):
        theta = float(np.arccos(k[i] / np.sqrt(q[i] * p[i])))
        value, slope = (
            expectation(names[f], (), float(q[i]), float(p[i]), theta)
            for f in ("squash", "slope_of_squash")
        )
        np.testing.assert_allclose(results["squash_nngp"][i, i], value, rtol=1e-11)
        np.testing.assert_allclose(results["squash_ntk"][i, i], value + k[i] * slope, rtol=1e-11)


def test_every_script_is_tested() -> None:
    tests: dict[str, Callable[[], None]] = {
        name.removeprefix("test_"): value
        for name, value in globals().items()
        if name.startswith("test_")
    }
    assert {path.stem for path in FOLDER.glob("*.py")} <= set(tests)
