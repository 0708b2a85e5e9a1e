"""The estimators' answers, against independent implementations and plain refits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.datasets import load_diabetes, load_iris
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Kernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import log_loss
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.svm import SVC

import ntkfast as nk
from ntkfast.sklearn import NNGPRegressor, NTKClassifier, NTKRegressor
from tables import (
    ESTIMATORS,
    NET,
    REGRESSORS,
    classification,
    outputs,
    problem,
    regression,
)

Array = NDArray[np.float64]

REFERENCE = Path(__file__).parent / "reference"

# --- answers of independent implementations


@pytest.mark.parametrize("kind", ["ntk", "nngp"])
@pytest.mark.parametrize("targets", [None, 3])
def test_regression_is_kernel_ridge(kind: str, targets: int | None) -> None:
    X, y = regression(targets=targets)
    new = regression(seed=1)[0]
    gram = getattr(NET, kind)
    peer = KernelRidge(alpha=0.3, kernel="precomputed")
    expected = y.mean(0) + peer.fit(gram(X), y - y.mean(0)).predict(gram(new, X))
    model = NTKRegressor(NET, alpha=0.3, kind=kind, relative=False).fit(X, y)
    np.testing.assert_allclose(model.predict(new), expected, rtol=1e-9, atol=1e-9)
    assert model.predict(new).shape == expected.shape


def test_a_ridge_per_sample_stands_on_the_diagonal() -> None:
    X, y = regression(targets=2)
    alpha = np.random.default_rng(0).uniform(0.1, 2.0, 60)
    dual = np.linalg.solve(NET.ntk(X) + np.diag(alpha), y - y.mean(0))
    model = NTKRegressor(NET, alpha=alpha, relative=False).fit(X, y)
    np.testing.assert_allclose(model.dual_coef_, dual, rtol=1e-9, atol=1e-9)


def test_a_relative_ridge_is_in_units_of_the_mean_diagonal() -> None:
    X, y = regression()
    unit = NET.diag(X).mean()
    model = NTKRegressor(NET, alpha=0.2).fit(X, y)
    assert model.ridge_ == pytest.approx(0.2 * unit)
    expected = NTKRegressor(NET, alpha=0.2 * unit, relative=False).fit(X, y).predict(X)
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-10)


class NetworkKernel(Kernel):  # type: ignore[misc]
    """Our kernel for scikit-learn's Gaussian process."""

    def __init__(self) -> None:  # scikit-learn reads its parameters here: none
        pass

    def __call__(self, X: Array, Y: Array | None = None, eval_gradient: bool = False) -> Array:
        return np.asarray(NET.nngp(X) if Y is None else NET.nngp(X, Y))

    def diag(self, X: Array) -> Array:
        return np.asarray(NET.diag(X, kind="nngp"))

    def is_stationary(self) -> bool:
        return False


@pytest.mark.parametrize("alpha", [0.05, np.linspace(0.01, 1.0, 60)])
def test_nngp_regression_is_a_gaussian_process(alpha: Any) -> None:
    X, y = regression(targets=2)
    new = 2 * regression(seed=1)[0]
    peer = GaussianProcessRegressor(NetworkKernel(), alpha=alpha, optimizer=None).fit(X, y)
    expected, deviation = peer.predict(new, return_std=True)
    model = NNGPRegressor(NET, alpha=alpha, relative=False, center=False, output_scale=1.0)
    mean, std = model.fit(X, y).predict(new, return_std=True)
    np.testing.assert_allclose(mean, expected, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(
        std, np.broadcast_to(deviation.reshape(60, -1), std.shape), rtol=1e-8
    )


ENSEMBLES = sorted(REFERENCE.glob("predict_ensemble_*.npz"))


@pytest.mark.parametrize("path", ENSEMBLES, ids=lambda path: path.stem)
def test_the_spread_of_trained_networks_is_that_of_the_reference(path: Path) -> None:
    with np.load(path, allow_pickle=False) as reference:
        z = dict(reference)
    net = nk.from_dict(json.loads(str(z["arch"])))
    alpha = json.loads(str(z["settings"]))["diag_reg"]
    for model, kind in (
        (NTKRegressor(net, alpha=alpha, center=False, output_scale=1.0), "ntk"),
        (NNGPRegressor(net, alpha=alpha, center=False, output_scale=1.0), "nngp"),
    ):
        mean, std = model.fit(z["x_train"], z["y_train"]).predict(z["x_test"], return_std=True)
        variance = np.diagonal(z[f"{kind}_cov_test_inf"])
        np.testing.assert_allclose(mean, z[f"{kind}_mean_test_inf"], rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(std[:, 0] ** 2, variance, rtol=1e-7, atol=1e-9)
        np.testing.assert_array_equal(std[:, 0], std[:, 1])


def test_without_a_ridge_trained_readouts_spread_like_the_posterior() -> None:
    X, y = regression(20)
    new = regression(seed=1)[0]
    trained = NTKRegressor(NET, alpha=0.0, kind="nngp", output_scale=1.0).fit(X, y)
    posterior = NNGPRegressor(NET, alpha=0.0, output_scale=1.0).fit(X, y)
    np.testing.assert_allclose(outputs(trained, new), outputs(posterior, new), rtol=1e-6)


def test_there_are_reference_ensembles() -> None:
    assert len(ENSEMBLES) == 4


def test_binary_classification_is_ridge_on_signs() -> None:
    X, y = classification(2)
    signs = np.where(y == "b", 1.0, -1.0)
    model = NTKClassifier(NET, alpha=0.1).fit(X, y)
    expected = NTKRegressor(NET, alpha=0.1).fit(X, signs).predict(X)
    np.testing.assert_allclose(model.decision_function(X), expected, atol=1e-10)
    np.testing.assert_array_equal(model.predict(X), np.where(expected > 0, "b", "a"))


def test_several_classes_are_one_against_the_rest() -> None:
    X, y = classification(3)
    signs = np.where(y[:, None] == np.array(["a", "b", "c"]), 1.0, -1.0)
    model = NTKClassifier(NET, alpha=0.1).fit(X, y)
    expected = NTKRegressor(NET, alpha=0.1).fit(X, signs).predict(X)
    np.testing.assert_allclose(model.decision_function(X), expected, atol=1e-10)
    np.testing.assert_array_equal(model.predict(X), model.classes_[expected.argmax(1)])


@pytest.mark.parametrize("kernel", [NET.ntk, NET.nngp])
def test_kernels_work_in_a_support_vector_machine(kernel: Any) -> None:
    X, y = load_iris(return_X_y=True)
    X = scale(X)
    direct = SVC(kernel=kernel).fit(X[::2], y[::2])
    given = SVC(kernel="precomputed").fit(kernel(X[::2]), y[::2])
    np.testing.assert_allclose(
        direct.decision_function(X[1::2]),
        given.decision_function(kernel(X[1::2], X[::2])),
        atol=1e-9,
    )
    assert direct.score(X[1::2], y[1::2]) > 0.9


# --- sample weights


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("alpha", [0.1, "loo"])
@pytest.mark.parametrize("center", [False, True])
def test_weights_are_copies(kind: Any, alpha: Any, center: bool) -> None:
    X, y = problem(kind)
    copies = np.random.default_rng(3).integers(0, 4, len(X))
    copies[:3] = 1
    weighted = kind(NET, alpha=alpha, center=center).fit(X, y, copies)
    repeated = kind(NET, alpha=alpha, center=center)
    repeated.fit(np.repeat(X, copies, 0), np.repeat(y, copies, 0))
    assert weighted.alpha_ == repeated.alpha_
    np.testing.assert_allclose(outputs(weighted, X), outputs(repeated, X), rtol=1e-5, atol=1e-7)
    if hasattr(repeated, "loo_score_"):
        assert weighted.loo_score_ == pytest.approx(repeated.loo_score_)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_samples_of_weight_zero_do_not_exist(kind: Any) -> None:
    X, y = problem(kind)
    weights = np.ones(len(X))
    weights[::3] = 0.0
    alpha = np.linspace(0.1, 1.0, len(X))
    model = kind(NET, alpha=alpha).fit(X, y, weights)
    kept = kind(NET, alpha=alpha[weights > 0]).fit(X[weights > 0], y[weights > 0])
    np.testing.assert_allclose(outputs(model, X), outputs(kept, X), rtol=1e-9)
    assert len(model.X_fit_) == np.count_nonzero(weights)


# --- leave-one-out


@pytest.mark.parametrize("center", [False, True])
def test_the_loo_ridge_is_the_one_that_refitting_chooses(center: bool) -> None:
    X, y = regression(30)
    alphas = [1e-4, 1e-2, 1.0]
    # Absolute: the unit of a relative ridge would move a little when a sample is left out.
    settings: dict[str, Any] = {"center": center, "relative": False}
    errors = []
    for alpha in alphas:
        model = NTKRegressor(NET, alpha=alpha, **settings)
        left_out = cross_val_predict(model, X, y, cv=LeaveOneOut())
        errors.append(np.mean((left_out - y) ** 2))
    chosen = NTKRegressor(NET, alpha="loo", alphas=alphas, **settings).fit(X, y)
    assert chosen.alpha_ == alphas[int(np.argmin(errors))]
    assert chosen.loo_score_ == pytest.approx(1 - min(errors) / y.var(), rel=1e-9)
    same = NTKRegressor(NET, alpha=chosen.alpha_, **settings).fit(X, y)
    np.testing.assert_allclose(chosen.predict(X), same.predict(X), rtol=1e-9)


def test_the_classifier_reports_the_accuracy_of_refitting() -> None:
    X, y = classification()
    model = NTKClassifier(NET, alpha=0.05, relative=False)
    left_out = cross_val_predict(model, X, y, cv=LeaveOneOut())
    assert model.fit(X, y).loo_score_ == pytest.approx(np.mean(left_out == y))


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("alpha", [0.1, "loo"])
def test_auto_takes_the_network_with_the_smallest_loss(kind: Any, alpha: Any) -> None:
    X, y = problem(kind)
    model = kind("auto", alpha=alpha).fit(X[:40], y[:40])
    networks, alphas, losses = zip(*model.candidates_, strict=True)
    best = int(np.argmin(losses))
    assert model.net_ == networks[best]
    assert model.alpha_ == alphas[best]
    assert len(set(networks)) == len(networks) >= 10
    alone = kind(model.net_, alpha=alpha).fit(X[:40], y[:40])
    np.testing.assert_allclose(outputs(model, X), outputs(alone, X), rtol=1e-6, atol=1e-9)


def test_a_target_in_large_units_does_not_rule_the_choice() -> None:
    X, Y = regression(targets=3)
    small = NTKRegressor().fit(X, Y)
    large = NTKRegressor().fit(X, Y * [1.0, 1e6, 1e-3])
    assert small.alpha_ == large.alpha_


# --- probabilities


def test_probabilities_follow_the_decision() -> None:
    for classes in (2, 3):
        X, y = classification(classes)
        model = NTKClassifier().fit(X, y)
        probability = model.predict_proba(X)
        assert probability.shape == (len(X), classes)
        np.testing.assert_allclose(probability.sum(1), 1.0)
        np.testing.assert_array_equal(model.classes_[probability.argmax(1)], model.predict(X))


@pytest.mark.parametrize("classes", [2, 3])
def test_the_temperature_minimises_the_log_loss_of_left_out_samples(classes: int) -> None:
    X, y = classification(classes)
    model = NTKClassifier(NET, alpha=0.05, relative=False)
    scores = cross_val_predict(model, X, y, cv=LeaveOneOut(), method="decision_function")
    scores = np.column_stack([-scores, scores]) if classes == 2 else scores
    codes = np.unique(y, return_inverse=True)[1]

    def loss(temperature: float) -> float:
        logs = log_softmax(temperature * scores, axis=1)
        return float(-(logs[np.arange(len(y)), codes].sum() + logs.mean()))

    best = minimize_scalar(loss, bounds=(0.0, 50.0), method="bounded", options={"xatol": 1e-7})
    assert model.fit(X, y).temperature_ == pytest.approx(best.x, rel=1e-4)


def test_labels_without_a_pattern_get_the_probability_of_a_coin() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((200, 5)), rng.integers(0, 2, 200)
    model = NTKClassifier().fit(X, y)
    fresh, labels = rng.standard_normal((400, 5)), rng.integers(0, 2, 400)
    assert log_loss(labels, model.predict_proba(fresh)) < np.log(2) + 0.03


def test_a_perfect_separation_leaves_some_doubt() -> None:
    X = np.r_[np.full((20, 1), -1.0), np.full((20, 1), 1.0)] + np.linspace(0, 0.1, 40)[:, None]
    y = np.repeat([0, 1], 20)
    probability = NTKClassifier().fit(X, y).predict_proba(X)
    right = probability[np.arange(40), y]
    assert (right > 0.9).all()
    assert (right < 0.9999).all()


# --- uncertainty


def test_the_loo_scale_makes_the_left_out_errors_standard() -> None:
    X, y = regression(80)
    model = NNGPRegressor(NET, alpha=0.05, relative=False, center=False).fit(X, y)
    ratios = []
    for i in range(len(X)):
        keep = np.delete(np.arange(len(X)), i)
        other = NNGPRegressor(NET, alpha=0.05, relative=False, center=False, output_scale=1.0)
        mean, std = other.fit(X[keep], y[keep]).predict(X[[i]], return_std=True)
        ratios.append((y[i] - mean[0]) ** 2 / (std[0] ** 2 + other.noise_variance_))
    assert model.output_scale_**2 == pytest.approx(np.mean(ratios), rel=1e-8)
    assert model.noise_variance_ == pytest.approx(model.output_scale_**2 * 0.05)


def test_intervals_cover_new_observations() -> None:
    X, y = regression(200)
    new, truth = regression(500, seed=1)
    model = NNGPRegressor().fit(X, y)
    mean, std = model.predict(new, return_std=True)
    inside = np.abs(truth - mean) < 1.96 * np.sqrt(std**2 + model.noise_variance_)
    assert 0.9 < inside.mean() < 0.99


@pytest.mark.parametrize("kind", REGRESSORS)
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_default_predictions_and_deviations_scale_with_the_targets(kind: Any, scale: float) -> None:
    X, y = regression(targets=2)
    mean, std = kind().fit(X, y).predict(X, return_std=True)
    scaled_mean, scaled_std = kind().fit(X, scale * y).predict(X, return_std=True)
    np.testing.assert_allclose(scaled_mean, scale * mean, rtol=1e-6, atol=1e-6 * scale)
    np.testing.assert_allclose(scaled_std, scale * std, rtol=1e-5)


@pytest.mark.parametrize("kind", REGRESSORS)
def test_the_deviation_grows_away_from_the_data_and_vanishes_on_exact_data(kind: Any) -> None:
    X, y = regression(20)
    model = kind(NET, alpha=0.0, output_scale=1.0).fit(X, y)
    np.testing.assert_allclose(model.predict(X), y, atol=1e-6)
    near = model.predict(X, return_std=True)[1]
    far = model.predict(10 * X, return_std=True)[1]
    assert near.max() < 1e-3
    assert far.min() > 10 * near.max()


def test_a_noise_variance_per_sample_and_target() -> None:
    X, Y = regression(targets=2)
    model = NNGPRegressor(NET, alpha=np.linspace(0.1, 1.0, 60)).fit(X, Y)
    assert model.noise_variance_.shape == (60, 2)


def test_default_regression_beats_a_linear_model_on_real_data() -> None:
    X, y = load_diabetes(return_X_y=True)
    model = make_pipeline(StandardScaler(), NTKRegressor()).fit(X[::2], y[::2])
    assert model.score(X[1::2], y[1::2]) > 0.4
