"""Dense layers in standard parameterization: finite widths enter the NTK."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from ntkfast.errors import ArchitectureError
from oracle import arch as A
from support import ACTIVATIONS, ORDERED, Array, assert_true, awkward_rows

every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def network(
    name: str, depth: int, b_std: float | None, widths: tuple[int, ...] = (64, 6, 512)
) -> dict[str, Any]:
    """Return Dense, (activation, Dense) x depth with widths that change from layer to layer."""
    W_std = ORDERED[name]
    layers: list[A.Layer] = [A.standard(W_std, b_std, widths[0], (1, 4))]
    for k in range(1, depth + 1):
        width = widths[k % len(widths)]
        layers += [ACTIVATIONS[name], A.standard(W_std, b_std, width, (4, 2))]
    return A.serial(*layers)


@every_dtype
@pytest.mark.parametrize("b_std", [None, 0.1], ids=["nobias", "bias"])
@pytest.mark.parametrize("depth", [1, 5, 20])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_awkward_rows_at_every_depth(
    name: str, depth: int, b_std: float | None, dtype: str
) -> None:
    x = awkward_rows(dtype, seed=depth)
    arch = network(name, depth, b_std)
    assert_true(arch, x, what="gram")
    assert_true(arch, x[:5], x[2:], what="cross")


def test_the_tangent_kernel_of_a_finite_network_at_its_initialisation() -> None:
    """z = x W + b with trained W, b: gradients drawn and multiplied, no kernel formula."""
    m, d = 4096, 6
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, d))
    W1, b1 = rng.standard_normal((d, m)) * 1.3 / np.sqrt(d), 0.4 * rng.standard_normal(m)
    W2 = rng.standard_normal((m, 1)) * 1.1 / np.sqrt(m)
    z = x @ W1 + b1
    a, slope = np.maximum(z, 0), (z > 0) * W2[:, 0]
    ntk = a @ a.T + 1 + (slope @ slope.T) * (x @ x.T + 1)
    net = nk.serial(
        nk.Dense(1.3, 0.4, m, parameterization="standard"),
        nk.Relu(),
        nk.Dense(1.1, 0.0, parameterization="standard"),
    )
    got = net.ntk(x)
    # the entries of a a' fluctuate by sqrt(5/m) or less of the diagonal
    assert np.abs(got - ntk).max() <= 5 * np.sqrt(5 / m) * np.diag(ntk).max()
    np.testing.assert_allclose(np.diag(got), np.diag(ntk), rtol=0.15)


def test_k_is_that_of_the_other_parameterization_and_depends_on_no_width() -> None:
    x = awkward_rows("float64")
    want = nk.mlp(3, "erf", W_std=1.1, b_std=0.3, readout_W_std=1.1).nngp(x)
    for out_dim, s in ((1, (1, 1)), (512, (1, 1)), (3, (0.25, 7))):
        dense = nk.Dense(1.1, 0.3, out_dim, parameterization="standard", s=s)
        net = nk.serial(*[dense, nk.Erf()] * 3, dense)
        np.testing.assert_allclose(net.nngp(x), want, rtol=1e-13, atol=1e-15)


def test_a_width_that_both_layers_scale_alike_cancels() -> None:
    x = np.random.default_rng(1).standard_normal((5, 3))
    kernels = [
        nk.serial(
            nk.Dense(2.0, 0.5, 32, parameterization="standard", s=(1, scale)),
            nk.Erf(),
            nk.Dense(0.7, None, 10, parameterization="standard", s=(scale, 1)),
        ).ntk(x)
        for scale in (1, 0.25, 4)
    ]
    for kernel in kernels:
        np.testing.assert_allclose(kernel, kernels[0], rtol=1e-13)
    with pytest.raises(ValueError, match=r"s\[1\] \* out_dim must be a whole number"):
        nk.Dense(out_dim=3, parameterization="standard", s=(1, 0.5))


def test_widths_enter_as_the_formula_says() -> None:
    """T = m/s K_in + [b] + W^2 T_in."""
    x = np.random.default_rng(1).standard_normal((5, 3))
    linear = x @ x.T / 3
    one = nk.Dense(2.0, 0.5, 32, parameterization="standard", s=(2, 3))  # 96 units
    np.testing.assert_allclose(nk.serial(one).ntk(x), 3 / 2 * linear + 1, rtol=1e-13)
    two = nk.Dense(0.7, None, 10, parameterization="standard", s=(4, 1))
    k, t = 4 * linear + 0.25, 3 / 2 * linear + 1
    want = 96 / 4 * k + 0.49 * t
    np.testing.assert_allclose(nk.serial(one, two).ntk(x), want, rtol=1e-13, atol=1e-13)
    for middle in (nk.Identity(), nk.Dropout(1.0)):
        np.testing.assert_allclose(nk.serial(one, middle, two).ntk(x), want, rtol=1e-13, atol=1e-13)


@every_dtype
@pytest.mark.parametrize("trainable", [True, False])
def test_a_bias_of_standard_deviation_zero_is_trained_all_the_same(
    trainable: bool, dtype: str
) -> None:
    x = awkward_rows(dtype)
    layers = [
        {**A.standard(1.2, 0.0, 8), "trainable": trainable},
        {"type": "Relu"},
        A.standard(0.9, 0.0, 3),
    ]
    assert_true(A.serial(*layers), x)
    assert_true(A.serial(*layers, {"type": "Erf"}, A.dense(0.7)), x)
    zero = np.zeros((2, 4), dtype)
    got = nk.from_dict(A.serial(A.standard(1.2, 0.0))).kernels(zero, np.ones((1, 4), dtype))
    np.testing.assert_allclose(got.ntk, 1, rtol=1e-6)
    np.testing.assert_allclose(got.nngp, 0, atol=1e-15)


@every_dtype
def test_a_zero_row_under_a_trained_zero_bias_has_the_limit_of_a_small_one(dtype: str) -> None:
    x: Array = np.array([[0, 0, 0], [1, -2, 0.5], [0, 0, 0]], dtype)
    kernels = [
        nk.from_dict(
            A.serial(A.standard(1.2, b, 8), {"type": "Relu"}, A.standard(0.9, b, 3), A.dense())
        ).kernels(x)
        for b in (0.0, 1e-9)
    ]
    for zero, small in zip(*kernels, strict=True):
        assert np.isfinite(zero).all()
        np.testing.assert_allclose(zero, small, rtol=1e-5, atol=1e-7)


@every_dtype
@pytest.mark.parametrize("b_std", [None, 0.0, 0.4])
def test_weights_that_start_at_zero_are_trained_all_the_same(
    b_std: float | None, dtype: str
) -> None:
    """A readout that starts at zero: K vanishes, T does not. Any size of the rows."""
    for size in (1e-4, 1.0, 1e4):
        x = awkward_rows(dtype) * np.dtype(dtype).type(size)
        hidden = nk.Dense(1.3, 0.2, 64, parameterization="standard")
        net = nk.serial(hidden, nk.Relu(), nk.Dense(0.0, b_std, parameterization="standard"))
        got = net.kernels(x)
        below = nk.serial(hidden, nk.Relu()).nngp(x)
        scale = np.sqrt(np.outer(np.diag(below), np.diag(below)).astype(np.float64))
        tolerance = 2e-6 if dtype == "float32" else 1e-12
        own = 64 * below.astype(np.float64) + (b_std is not None)
        assert np.all(np.abs(got.ntk - own) <= tolerance * (64 * scale + 1))
        assert np.all(np.abs(got.nngp - (b_std or 0.0) ** 2) <= 1e-30 * scale + 1e-7)
        assert np.isfinite(nk.serial(net, nk.Erf(), nk.Dense()).ntk(x)).all()


def test_a_standard_layer_that_reads_branches_of_different_widths_is_refused() -> None:
    narrow, wide = (nk.Dense(out_dim=width) for width in (3, 4))
    block = [nk.FanOut(2), nk.parallel(narrow, wide), nk.FanInSum()]
    standard = nk.Dense(parameterization="standard")
    nk.serial(*block, nk.Dense())
    with pytest.raises(ArchitectureError, match=r"different widths.*one out_dim"):
        nk.serial(*block, standard)
    with pytest.raises(ArchitectureError, match=r"FanInConcat.*different widths.*one out_dim"):
        nk.serial(nk.FanOut(2), nk.parallel(block, narrow), nk.FanInConcat())
    # The width of the data is known only when they come.
    net = nk.serial(nk.FanOut(2), nk.parallel(nk.Identity(), wide), nk.FanInSum(), standard)
    assert net.ntk(np.ones((2, 4))).shape == (2, 2)
    with pytest.raises(
        ArchitectureError,
        match=r"layer 4 of 4.*needs the number of channels of layer 3 of 4, FanInSum",
    ):
        net.ntk(np.ones((2, 5)))
