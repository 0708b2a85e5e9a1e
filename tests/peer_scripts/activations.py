"""All activations in networks of two hidden layers, closed forms and numerical ones."""

import numpy as np
from neural_tangents import stax

rng = np.random.default_rng(6)
x1 = rng.standard_normal((5, 8))
x2 = rng.standard_normal((4, 8))

closed_forms = {
    "abrelu": stax.ABRelu(-0.3, 1.2),
    "abs": stax.Abs(),
    "cos": stax.Cos(a=1.1, b=0.9, c=0.3),
    "erf": stax.Erf(),
    "exp": stax.Exp(a=0.8, b=0.5),
    "exp_normalized": stax.ExpNormalized(gamma=0.7, shift=-0.8),
    "gabor": stax.Gabor(),
    "gaussian": stax.Gaussian(a=1.2, b=-0.6),
    "gelu": stax.Gelu(),
    "gelu_approximate": stax.Gelu(approximate=True),
    "identity": stax.Identity(),
    "leaky_relu": stax.LeakyRelu(0.1),
    "monomial": stax.Monomial(3),
    "polynomial": stax.Polynomial([0.1, 0.5, 0.2]),
    "rbf": stax.Rbf(gamma=0.4),
    "rectified_monomial": stax.RectifiedMonomial(2),
    "relu": stax.Relu(do_stabilize=True),
    "sigmoid_like": stax.Sigmoid_like(),
    "sign": stax.Sign(),
    "sin": stax.Sin(a=0.9, b=1.2, c=0.4),
}


def network(phi):
    return stax.serial(stax.Dense(64, 0.9, 0.2), phi, stax.Dense(64, 0.8, 0.1), phi, stax.Dense(1))


results = {}
for name, phi in closed_forms.items():
    init_fn, apply_fn, kernel_fn = network(phi)
    cross = kernel_fn(x1, x2, ("nngp", "ntk"))
    results[f"{name}_nngp"], results[f"{name}_ntk"] = cross.nngp, cross.ntk
    results[f"{name}_variances"] = kernel_fn(x1, None, "cov1")
    if name != "exp_normalized":
        _, params = init_fn(np.array([0, 1], np.uint32), x1.shape)
        results[f"{name}_finite"] = np.array(apply_fn(params, x1).shape)

# Unit variance at the only layer, as this one was made for.
unit = x1 / np.linalg.norm(x1, axis=1, keepdims=True) * 8**0.5
hermite = stax.serial(stax.Dense(64), stax.Hermite(degree=4), stax.Dense(1))
results["hermite_ntk"] = hermite[2](unit, None, "ntk")
