"""Activations given by their functions, one of which has a closed form to compare with."""

import numpy as np
from neural_tangents import stax

rng = np.random.default_rng(8)
x1 = rng.standard_normal((5, 8))
x2 = rng.standard_normal((4, 8))


def squash(x):
    return x / (1 + x**2) ** 0.5


def slope_of_squash(x):
    return (1 + x**2) ** -1.5


def parabola(x):
    return 0.1 + 0.5 * x + 0.2 * x**2


def network(phi):
    return stax.serial(stax.Dense(64, 0.9, 0.2), phi, stax.Dense(1))[2]


numerical = network(stax.ElementwiseNumerical(squash, deg=60, df=slope_of_squash))
quadrature = network(stax.ElementwiseNumerical(fn=parabola, deg=25))
closed_form = network(stax.Polynomial([0.1, 0.5, 0.2]))

results = {
    "squash_nngp": numerical(x1, x2, "nngp"),
    "squash_ntk": numerical(x1, x2, "ntk"),
    "parabola_ntk": quadrature(x1, x2, "ntk"),
    "polynomial_ntk": closed_form(x1, x2, "ntk"),
}
