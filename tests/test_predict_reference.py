"""Every recorded prediction of tests/reference, from its kernels, its rows, and by its own names.

The two libraries factor the same well-conditioned matrices (condition numbers below 100), so that
1e-11 relative to the largest entry leaves room for thousands of roundings.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from ntkfast.stax import predict as archived

FOLDER = Path(__file__).parent / "reference"
TOLERANCE = 1e-11


def _cases() -> list[str]:
    return [path.stem for path in sorted(FOLDER.glob("predict_*.npz"))]


class Case:
    """One file; `compare` ticks off the outputs that were checked."""

    inputs = frozenset(
        {"kind", "meta", "arch", "settings", "x_train", "x_test", "y_train", "t", "note"}
        | {f"{k}_{rows}" for k in ("nngp", "ntk") for rows in ("train_train", "test_train")}
        | {"nngp_test_test", "ntk_test_test", "fx_train_0", "fx_test_0", "y_train_size"}
    )

    def __init__(self, name: str) -> None:
        with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
            self.data = dict(file)
        self.kind = str(self["kind"])
        self.settings: dict[str, Any] = json.loads(str(self["settings"]))
        self.net = nk.from_dict(json.loads(str(self["arch"])))
        self.open = set(self.data) - self.inputs

    def __getitem__(self, key: str) -> Any:
        return self.data[key]

    def kernels(self, rows: str) -> nk.Kernels:
        return nk.Kernels(self[f"nngp_{rows}"], self[f"ntk_{rows}"])

    def ridge(self) -> dict[str, Any]:
        return {key: value for key, value in self.settings.items() if key.startswith("diag_reg")}

    def compare(self, key: str, got: Any) -> None:
        true = self[key]
        assert np.shape(got) == true.shape, key
        scale = max(float(np.abs(true).max()), 1.0)
        assert float(np.abs(got - true).max()) <= TOLERANCE * scale, key
        self.open.discard(key)

    def moments(self) -> list[tuple[str, Any]]:
        return [("t", self["t"]), ("inf", None)]


def check_given_function(case: Case) -> None:
    train, cross, y = case["ntk_train_train"], case["ntk_test_train"], case["y_train"]
    f0, f0_Z = case["fx_train_0"], case["fx_test_0"]
    by_arrays = nk.predict.GradientFlow.from_kernels(train, y, **case.settings)
    by_rows = nk.predict.GradientFlow(case.net, case["x_train"], y, **case.settings)
    by_name = archived.gradient_descent_mse(train, y, **case.settings)
    for tag, t in case.moments():
        case.compare(f"fx_train_{tag}", by_arrays.predict(t=t, f0=f0))
        case.compare(f"fx_train_{tag}", by_rows.predict(t=t, f0=f0))
        test = by_arrays.predict_from_kernels(cross, t, f0=f0, f0_Z=f0_Z)
        case.compare(f"fx_test_{tag}", test)
        case.compare(f"fx_test_{tag}", by_rows.predict(case["x_test"], t, f0=f0, f0_Z=f0_Z))
        both = by_name(t, f0, f0_Z, cross)
        case.compare(f"fx_train_{tag}", both[0])
        case.compare(f"fx_test_{tag}", both[1])
        case.compare(f"fx_train_{tag}", by_name(t, f0))


def check_ensemble(case: Case) -> None:
    y, rows = case["y_train"], case["x_test"]

    def kernel_fn(x1: Any, x2: Any, get: Any) -> Any:
        found = case.net.kernels(x1, x2)
        return getattr(found, get) if isinstance(get, str) else found

    by_name = archived.gradient_descent_mse_ensemble(kernel_fn, case["x_train"], y, **case.settings)
    for kind in ("nngp", "ntk"):
        settings = {"kind": kind, **case.settings}
        train = case.kernels("train_train")
        by_arrays = nk.predict.GradientFlow.from_kernels(train, y, **settings)
        by_rows = nk.predict.GradientFlow(case.net, case["x_train"], y, **settings)
        for tag, t in case.moments():
            cross, prior = case.kernels("test_train"), case["nngp_test_test"]
            for where, found in (
                ("train", by_arrays.predict(t=t, cov=True)),
                ("train", by_rows.predict(t=t, cov=True)),
                ("train", by_name(t=t, get=kind, compute_cov=True)),
                ("test", by_arrays.predict_from_kernels(cross, t, k_test_test=prior)),
                ("test", by_rows.predict(rows, t, cov=True)),
                ("test", getattr(by_name(t, rows, compute_cov=True), kind)),
            ):
                case.compare(f"{kind}_mean_{where}_{tag}", found.mean)
                case.compare(f"{kind}_cov_{where}_{tag}", found.covariance)
            case.compare(f"{kind}_mean_test_{tag}", by_name(t, rows, kind))
            diagonal = by_rows.predict(rows, t, cov="diag").covariance
            true = np.diagonal(case[f"{kind}_cov_test_{tag}"], axis1=-2, axis2=-1)
            np.testing.assert_allclose(diagonal, true, atol=TOLERANCE)


def check_posteriors(case: Case) -> None:
    train, cross, test = map(case.kernels, ("train_train", "test_train", "test_test"))
    by_name = archived.gp_inference(train, case["y_train"], **case.ridge())
    for kind in ("nngp", "ntk", "ntkgp"):
        flow = nk.predict.GradientFlow.from_kernels(
            train, case["y_train"], kind=kind, **case.ridge()
        )
        for found in (
            by_name(kind, cross, test),
            flow.predict_from_kernels(cross, k_test_test=test),
            nk.predict.gradient_flow(
                case.net,
                case["x_train"],
                case["y_train"],
                case["x_test"],
                cov=True,
                kind=kind,
                **case.ridge(),
            ),
        ):
            case.compare(f"{kind}_mean", found.mean)
            case.compare(f"{kind}_cov", found.covariance)
        case.compare(f"{kind}_mean", by_name((kind,), cross)[0])
        on_train = by_name(kind, None, True)
        np.testing.assert_allclose(on_train.mean, case["y_train"], atol=1e-12)
        np.testing.assert_array_equal(on_train.covariance, 0.0)
    assert by_name(None, cross)._fields == ("nngp", "ntk")


def check_learning_rates(case: Case) -> None:
    ntk, size = case["ntk_train_train"], int(case["y_train_size"])
    for key in sorted(case.open):
        momentum = float(key.removeprefix("max_lr_momentum"))
        case.compare(key, nk.predict.max_learning_rate(ntk, size, momentum))
        case.compare(key, archived.max_learning_rate(ntk, size, momentum=momentum))
        trained = nk.predict.GradientDescent(
            case.net, case["x_train"], case["y_train"], momentum=momentum
        )
        case.compare(key, trained.max_learning_rate)


CHECKS = {
    "gradient_descent_mse": check_given_function,
    "gradient_descent_mse_ensemble": check_ensemble,
    "gp_inference": check_posteriors,
    "max_learning_rate": check_learning_rates,
}


def test_no_file_is_lost() -> None:
    assert len(_cases()) >= 16


@pytest.mark.parametrize("name", _cases())
def test_every_recorded_prediction_is_reproduced(name: str) -> None:
    case = Case(name)
    assert case.open
    CHECKS[case.kind](case)
    assert not case.open, f"not compared: {sorted(case.open)}"
