"""Finite random networks: their shapes, and their average against the kernel."""

import numpy as np
from neural_tangents import stax

x = np.random.default_rng(3).standard_normal((3, 4))
init_fn, apply_fn, kernel_fn = stax.serial(
    stax.serial(stax.Dense(256, W_std=1.4, b_std=0.3), stax.Relu()),
    stax.Dense(128, W_std=1.1, b_std=0.1),
    stax.Erf(),
    stax.Dense(1, W_std=1.0, b_std=None),
)

outputs = []
for seed in range(400):
    key = np.array([0, seed], np.uint32)
    output_shape, params = init_fn(key, (-1, 4))
    outputs.append(np.asarray(apply_fn(params, x))[:, 0])
outputs = np.array(outputs)

(dense, relu), second, erf, last = params
covariance = outputs.T @ outputs / len(outputs)
nngp = np.asarray(kernel_fn(x, None, "nngp"))
# An entry's standard error is at most sqrt(2/400) of its scale; five of them, and 1/128 for width.
scale = np.sqrt(np.outer(np.diag(nngp), np.diag(nngp)))
results = {
    "output_shape": np.array(output_shape),
    "W1_shape": np.array(dense[0].shape),
    "b1_shape": np.array(dense[1].shape),
    "W2_shape": np.array(second[0].shape),
    "activations_have_none": np.array([len(relu), len(erf)]),
    "no_bias": last[1] is None,
    "agrees": bool(np.all(np.abs(covariance - nngp) <= (5 * (2 / 400) ** 0.5 + 1 / 128) * scale)),
}
