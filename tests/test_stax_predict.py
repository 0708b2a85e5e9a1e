"""`ntkfast.stax.predict` as scripts for the archived library call it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm

from ntkfast import stax
from ntkfast.errors import SingularKernelError, UnsupportedLayerError
from ntkfast.predict import GradientFlow
from ntkfast.predict.losses import cross_entropy, squared_error
from ntkfast.stax import predict

_, _, kernel_fn = stax.serial(
    stax.Dense(1, 1.3, 0.3), stax.Relu(), stax.Dense(1, 1.3, 0.3), stax.Erf(), stax.Dense(1)
)


def data() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(8)
    return rng.standard_normal((7, 4)), rng.standard_normal((7, 2)), rng.standard_normal((3, 4))


def test_ensembles_take_the_kernel_function() -> None:
    x, y, z = data()
    predict_fn = predict.gradient_descent_mse_ensemble(
        kernel_fn, x, y, learning_rate=0.5, diag_reg=1e-2
    )
    flow = GradientFlow(kernel_fn.network, x, y, learning_rate=0.5, diag_reg=1e-2)
    both = predict_fn(t=np.array([0.0, 2.0]), x_test=z, compute_cov=True)
    assert both._fields == ("nngp", "ntk")
    true = flow.predict(z, [0, 2], cov=True)
    np.testing.assert_allclose(both.ntk.mean, true.mean, atol=1e-12)
    np.testing.assert_allclose(both.ntk.covariance, true.covariance, atol=1e-12)
    np.testing.assert_allclose(predict_fn(x_test=z, get="ntk"), flow.predict(z), atol=1e-12)
    train = predict_fn(get=("ntk",), compute_cov=True)
    assert train._fields == ("ntk",)
    np.testing.assert_allclose(train.ntk.mean, y, atol=1e-12)
    np.testing.assert_array_equal(train.ntk.covariance, np.zeros((7, 7)))
    # A tuple that is passed as x_test=x stands for the rows themselves.
    np.testing.assert_allclose(predict_fn(2.0, x, "ntk"), flow.predict(x, 2.0), atol=1e-12)


def test_equal_rows_are_an_error_where_the_original_has_nan() -> None:
    x, y, z = data()
    x[5] = x[2]
    with pytest.raises(SingularKernelError, match=r"rows 2 and 5 are equal.*diag_reg="):
        predict.gradient_descent_mse_ensemble(kernel_fn, x, y)(x_test=z, get="ntk")
    with pytest.raises(SingularKernelError, match="rows 2 and 5"):
        predict.gp_inference(kernel_fn(x), y)("nngp", kernel_fn(z, x))


@pytest.mark.parametrize("t", [0.0, 1.5, None])
def test_kernels_with_axes_for_the_outputs(t: float | None) -> None:
    """trace_axes=(): as many outputs, one kernel that couples them, or is block-diagonal."""
    x, y, z = data()
    train, cross = kernel_fn(x, None, "ntk"), kernel_fn(z, x, "ntk")
    f0, f0_z = np.cos(y), np.sin(z[:, :2])
    coupling = np.array([[1.0, 0.3], [0.3, 0.8]])
    traced = predict.gradient_descent_mse(train, y)(t, f0, f0_z, cross)
    for outputs in (np.eye(2), coupling):
        full = np.einsum("ij,ab->ijab", train, outputs)
        full_cross = np.einsum("ij,ab->ijab", cross, outputs)
        got = predict.gradient_descent_mse(full, y, trace_axes=())(t, f0, f0_z, full_cross)
        for part, same in zip(got, traced, strict=True):
            if outputs is not coupling:
                np.testing.assert_allclose(part, same, atol=1e-12)
        if t == 1.5:  # one exponential of the Kronecker product
            big = np.kron(train, outputs)
            moved = y.ravel() + expm(-big * t / y.size) @ (f0 - y).ravel()
            np.testing.assert_allclose(got[0].ravel(), moved, atol=1e-12)
    size = predict.max_learning_rate(np.einsum("ij,ab->ijab", train, np.eye(2)))
    assert size == pytest.approx(predict.max_learning_rate(train, y.size))


def test_posteriors_of_kernels_with_axes_for_the_outputs() -> None:
    x, y, z = data()
    full = [
        type(k := kernel_fn(a, b, ("nngp", "ntk")))(
            *(np.einsum("ij,ab->ijab", part, np.eye(2)) for part in k)
        )
        for a, b in ((x, None), (z, x), (z, None))
    ]
    got = predict.gp_inference(full[0], y, trace_axes=())("ntk", full[1], full[2])
    plain = [kernel_fn(a, b) for a, b in ((x, None), (z, x), (z, None))]
    true = predict.gp_inference(plain[0], y)("ntk", plain[1], plain[2])
    np.testing.assert_allclose(got.mean, true.mean, atol=1e-12)
    assert got.covariance.shape == (3, 3, 2, 2)
    for a in range(2):
        np.testing.assert_allclose(got.covariance[:, :, a, a], true.covariance, atol=1e-12)
    np.testing.assert_allclose(got.covariance[:, :, 0, 1], 0, atol=1e-12)


def test_what_is_returned_follows_what_is_given() -> None:
    x, y, z = data()
    train, cross = kernel_fn(x, None, "ntk"), kernel_fn(z, x, "ntk")
    for predict_fn in (
        predict.gradient_descent_mse(train, y),
        predict.gradient_descent(None, train, y, gradient=squared_error),  # type: ignore[arg-type]
    ):
        assert predict_fn(1.0).shape == (7, 2)
        assert predict_fn(1.0, None, 0.0, cross).shape == (3, 2)
        assert [f.shape for f in predict_fn([1.0, 2.0], 0.0, 0.0, cross)] == [(2, 7, 2), (2, 3, 2)]
        with pytest.raises(ValueError, match="both None"):
            predict_fn(1.0, None)
        with pytest.raises(ValueError, match="needs k_test_train"):
            predict_fn(1.0, 0.0, 0.0)


def test_other_losses() -> None:
    x, y, z = data()
    train, cross = kernel_fn(x, None, "ntk"), kernel_fn(z, x, "ntk")
    closed = predict.gradient_descent_mse(train, y, 0.7)([0, 3.0, 1.0], 0.1, 0.2, cross)
    solved = predict.gradient_descent(
        None,
        train,
        y,
        0.7,
        gradient=squared_error,  # type: ignore[arg-type]
    )([0, 3.0, 1.0], 0.1, 0.2, cross)
    for a, b in zip(closed, solved, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)
    codes = np.eye(2)[np.arange(7) % 2]
    f = predict.gradient_descent(None, train, codes, gradient=cross_entropy)(50.0)  # type: ignore[arg-type]
    assert (f.argmax(1) == codes.argmax(1)).all()
    with pytest.raises(ValueError, match="t must be finite"):
        predict.gradient_descent(None, train, y, gradient=squared_error)()  # type: ignore[arg-type]


def test_a_state_with_momentum_is_resumed() -> None:
    x, y, z = data()
    train, cross = kernel_fn(x, None, "ntk"), kernel_fn(z, x, "ntk")
    predict_fn = predict.gradient_descent(
        None,
        train,
        y,
        0.2,
        0.8,
        gradient=squared_error,  # type: ignore[arg-type]
    )
    start = predict.ODEState(np.cos(y), np.sin(z[:, :2]))
    whole = predict_fn(12.0, start, None, cross)
    half = predict_fn(5.0, start, None, cross)
    rest = predict_fn(7.0, half, None, cross)
    for name in ("fx_train", "fx_test", "qx_train", "qx_test"):
        np.testing.assert_allclose(getattr(rest, name), getattr(whole, name), atol=1e-7)
    assert np.abs(half.qx_train).max() > 0.01
    plain = predict_fn(12.0, np.cos(y), np.sin(z[:, :2]), cross)
    np.testing.assert_array_equal(plain[1], whole.fx_test)
    with pytest.raises(ValueError, match="part of the ODEState"):
        predict_fn(1.0, start, 0.0, cross)
    no_momentum = predict.gradient_descent(None, train, y, gradient=squared_error)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there is no momentum"):
        no_momentum(1.0, half, None, cross)
    assert no_momentum(1.0, predict.ODEState(y)).qx_train is None


def test_what_is_not_there_is_refused() -> None:
    x, y, z = data()
    train = kernel_fn(x, None, "ntk")
    with pytest.raises(UnsupportedLayerError, match="trace_axes"):
        predict.gradient_descent_mse(train, y, trace_axes=(0,))
    with pytest.raises(ValueError, match="get must name 'nngp', 'ntk'"):
        predict.gradient_descent_mse_ensemble(kernel_fn, x, y)(1.0, z, "ntkgp")
    with pytest.raises(ValueError, match="pairs of axes"):
        predict.gradient_descent_mse(np.zeros((7, 7, 2)), y)(1.0)
    with pytest.raises(ValueError, match="learning_rate must be positive"):
        predict.gradient_descent(None, train, y, 0.0, 0.9, gradient=squared_error)  # type: ignore[arg-type]


def test_losses_without_a_derivative(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    x, y, _ = data()
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    with pytest.raises(TypeError, match="Pass its derivative, gradient="):
        predict.gradient_descent(lambda f, goal: 0.0, kernel_fn(x, None, "ntk"), y)


def test_losses_in_jax_are_differentiated() -> None:
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    x, y, z = data()
    train, cross = kernel_fn(x, None, "ntk"), kernel_fn(z, x, "ntk")
    predict_fn = predict.gradient_descent(
        lambda f, goal: 0.5 * jax.numpy.mean((f - goal) ** 2), train, y
    )
    closed = predict.gradient_descent_mse(train, y)
    for a, b in zip(predict_fn(3.0, 0.1, 0.2, cross), closed(3.0, 0.1, 0.2, cross), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)
