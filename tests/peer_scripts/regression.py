"""Regression with an infinitely wide network: both kernels, and what each of them predicts."""

import numpy as np
from neural_tangents import stax

rng = np.random.default_rng(0)
x_train = rng.standard_normal((40, 12))
x_test = rng.standard_normal((15, 12))
y_train = np.sin(x_train[:, :1]) + x_train[:, 1:2] * x_train[:, 2:3]

init_fn, apply_fn, kernel_fn = stax.serial(
    stax.Dense(512, 2.0, 0.05),
    stax.Relu(),
    stax.Dense(512, 2.0, 0.05),
    stax.Relu(),
    stax.Dense(1, 2.0, 0.05),
)

results = {}
for get in ("nngp", "ntk"):
    k_train_train = kernel_fn(x_train, None, get)
    k_test_train = kernel_fn(x_test, x_train, get)
    ridge = 1e-3 * np.mean(np.diag(k_train_train)) * np.eye(len(x_train))
    weights = np.linalg.solve(k_train_train + ridge, y_train)
    results[f"{get}_train_train"] = k_train_train
    results[f"{get}_prediction"] = k_test_train @ weights

both = kernel_fn(x_test, x_train, ("ntk", "nngp"))
results["ntk_test_train"] = both.ntk
results["nngp_test_train"] = both[1]
results["same_by_value"] = kernel_fn(x_train, x_train.copy(), "ntk")
