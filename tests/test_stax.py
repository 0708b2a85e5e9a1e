"""The interface of the archived library: its conventions, its errors, its finite networks."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from ntkfast import stax
from oracle.quadrature import functions
from support import ACTIVATIONS

X = np.random.default_rng(0).standard_normal((5, 3))
Z = np.random.default_rng(1).standard_normal((4, 3))


def small() -> stax.StaxLayer:
    return stax.serial(stax.Dense(16, 1.4, 0.3), stax.Relu(), stax.Dense(1, 1.1, 0.2))


NETWORK = nk.serial(nk.Dense(1.4, 0.3, 16), nk.Relu(), nk.Dense(1.1, 0.2))


def test_names_beside_stax_say_where_they_are() -> None:
    for name, words in {"batch": "as it is", "linearize": "finite"}.items():
        with pytest.raises(AttributeError, match=rf"'{name}': .*{words}"):
            getattr(nk, name)
    with pytest.raises(AttributeError, match=r"no attribute 'batches'$"):
        _ = nk.batches


# --- kernel_fn -------------------------------------------------------------------------------


def test_a_string_gives_an_array_and_a_tuple_a_named_tuple_in_its_order() -> None:
    kernel_fn = small().kernel_fn
    true = NETWORK.kernels(X, Z)
    np.testing.assert_array_equal(kernel_fn(X, Z, "nngp"), true.nngp)
    np.testing.assert_array_equal(kernel_fn(X, Z, get="NTK"), true.ntk)
    got = kernel_fn(X, Z, ("ntk", "cov1", "nngp", "is_gaussian"))
    assert got._fields == ("ntk", "cov1", "nngp", "is_gaussian")
    np.testing.assert_array_equal(got.ntk, true.ntk)
    np.testing.assert_array_equal(got[2], true.nngp)
    assert got.is_gaussian is True
    assert type(kernel_fn(X, Z, ["ntk"])).__name__ == "AnalyticKernel"


@pytest.mark.parametrize("get", ["", "q", "ntk,nngp", (), ("ntk", "ntk"), ("ntk", "q"), (1,), 1])
def test_get_names_what_there_is(get: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=r"get|iterable"):
        small().kernel_fn(X, Z, get)


def test_equal_rows_are_the_same_samples() -> None:
    kernel_fn = small().kernel_fn
    one = kernel_fn(X)
    two = kernel_fn(X, X.copy())
    assert one.x1_is_x2 is two.x1_is_x2 is True
    np.testing.assert_array_equal(two.ntk, NETWORK.ntk(X))
    assert one.cov2 is None
    np.testing.assert_array_equal(two.cov2, two.cov1)
    assert kernel_fn(X, X + 1e-9).x1_is_x2 is False
    assert kernel_fn(X, X[:3]).x1_is_x2 is False


def test_float32_and_lists_are_taken_as_everywhere() -> None:
    assert small().kernel_fn(X.astype(np.float32), None, "ntk").dtype == np.float32
    np.testing.assert_array_equal(small().kernel_fn(X.tolist(), None, "ntk"), NETWORK.ntk(X))
    images = X.reshape(5, 3, 1).tolist()
    flat = stax.serial(stax.Flatten(), stax.Dense(1)).kernel_fn
    np.testing.assert_array_equal(flat(images, None, "nngp"), nk.serial(nk.Dense()).nngp(X))


def test_images_without_flatten_are_refused() -> None:
    with pytest.raises(ValueError, match="2-D"):
        small().kernel_fn(X.reshape(5, 3, 1), None, "ntk")


def test_a_kernel_passes_through_further_layers() -> None:
    front, back = stax.serial(stax.Dense(4), stax.Erf()), stax.Dense(2, b_std=0.5)
    kernel = back.kernel_fn(front.kernel_fn(X, Z))
    whole = stax.serial(front, back).kernel_fn(X, Z)
    for name in ("nngp", "ntk", "cov1", "cov2", "shape1", "is_gaussian"):
        np.testing.assert_array_equal(getattr(kernel, name), getattr(whole, name))
    np.testing.assert_array_equal(
        back.kernel_fn(front.kernel_fn(X), None, "ntk"), back.kernel_fn(front.kernel_fn(X)).ntk
    )
    with pytest.raises(ValueError, match="x2 must be None"):
        back.kernel_fn(kernel, Z)
    with pytest.raises(ValueError, match="replace"):
        back.kernel_fn(kernel.replace(ntk=kernel.ntk))
    assert back.kernel_fn(kernel.replace(is_input=True)).ntk.shape == (5, 4)


def test_a_kernel_says_what_it_has() -> None:
    kernel = small().kernel_fn(X, Z)
    with pytest.raises(AttributeError, match="no attribute 'var1'; it has nngp, ntk, cov1"):
        _ = kernel.var1
    assert set(kernel.asdict()) == {
        spec for spec in stax.Kernel.__dataclass_fields__ if spec[0] != "_"
    }
    for other in (copy.deepcopy(kernel), pickle.loads(pickle.dumps(kernel))):
        np.testing.assert_array_equal(other.ntk, kernel.ntk)


@pytest.mark.parametrize("option", [{"pattern": (X, X)}, {"mask_constant": 0.0}])
def test_masks_and_patterns_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(NotImplementedError, match="not in this version"):
        small().kernel_fn(X, Z, "ntk", **option)


def test_the_network_of_a_kernel_function_is_at_hand() -> None:
    assert small().kernel_fn.network == NETWORK
    assert repr(small().kernel_fn).startswith("<kernel_fn of serial(Dense(W_std=1.4")


def test_an_illegal_network_is_refused_when_its_kernel_is_asked_for() -> None:
    _, _, kernel_fn = stax.serial(stax.Dense(1), stax.Relu(), stax.Erf())
    with pytest.raises(ValueError, match="Gaussian"):
        kernel_fn(X)


# --- Layers ----------------------------------------------------------------------------------


def test_layers_are_plain_triples() -> None:
    init_fn, apply_fn, kernel_fn = stax.Relu()
    again = stax.serial(stax.Dense(3), (init_fn, apply_fn, kernel_fn)).kernel_fn
    np.testing.assert_array_equal(again(X, None, "ntk"), nk.serial(nk.Dense(), nk.Relu()).ntk(X))


@pytest.mark.parametrize("wrong", [stax.Relu, (), "abc", 3, nk.Relu(), (1, 2)])
def test_what_is_no_layer_is_refused(wrong: Any) -> None:
    with pytest.raises((TypeError, nk.errors.UnsupportedLayerError)):
        stax.serial(stax.Dense(1), wrong)


def test_a_foreign_kernel_fn_is_refused_with_the_way_out() -> None:
    layer = (lambda rng, shape: (shape, ()), lambda params, x: x, lambda kernel: kernel)
    with pytest.raises(NotImplementedError, match=r"stax\.Elementwise"):
        stax.serial(stax.Dense(1), layer)


@pytest.mark.parametrize("name", ["ConvLocal", "ImageResize", "GlobalSelfAttention", "Aggregate"])
def test_layers_of_other_networks_say_that_they_are_not_there(name: str) -> None:
    layer = getattr(stax, name)
    with pytest.raises(NotImplementedError, match=rf"stax\.{name} is not in this version"):
        layer(32, (3, 3), padding="SAME")


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(stax, "Swish7")


def test_other_axes_are_refused() -> None:
    for option in ({"batch_axis": 1}, {"channel_axis": 0}):
        with pytest.raises(NotImplementedError, match="samples in rows"):
            stax.Dense(1, **option)
    with pytest.raises(NotImplementedError, match="samples in rows"):
        stax.Flatten(1)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"out_dim": 0}, ValueError),
        ({"out_dim": 1.5}, TypeError),
        ({"W_std": -1.0}, ValueError),
        ({"b_std": "0.1"}, TypeError),
        ({"parameterization": "mup"}, ValueError),
        ({"s": (1,)}, ValueError),
        ({"s": (0, 1)}, ValueError),
    ],
)
def test_wrong_arguments_of_dense_are_named(arguments: dict[str, Any], error: type) -> None:
    (name,) = arguments
    with pytest.raises(error, match=rf"Dense\({name}="):
        stax.Dense(**{"out_dim": 1, **arguments})


def test_arrays_of_no_dimension_are_numbers() -> None:
    layer = stax.Dense(np.asarray(8), np.asarray(1.5), np.float32(0.5))
    assert layer.kernel_fn.network == nk.serial(nk.Dense(1.5, 0.5, 8))
    erf = stax.serial(stax.Dense(1), stax.Erf(np.asarray(2.0)))
    assert erf.kernel_fn.network.layers[1] == nk.Erf(2.0)


# --- Finite networks -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_phi_is_the_function_that_the_oracle_integrates(name: str, dtype: Any) -> None:
    layer = ACTIVATIONS[name]
    arguments = {key: value for key, value in layer.items() if key != "type"}
    x = np.concatenate([np.linspace(-3, 3, 61), [0.0, -1e-8, 1e-8, -20.0, 20.0]]).astype(dtype)
    got = getattr(nk, layer["type"])(**arguments).phi(x)
    assert got.dtype == dtype
    true = functions(layer)[0](x.astype(np.float64))
    # What tends to 0 on one side may be a difference of numbers as large as x.
    assert np.all(np.abs(got - true) <= 8 * np.finfo(dtype).eps * (1 + np.abs(x) + np.abs(true)))


def test_a_network_without_activations_is_a_product_of_matrices() -> None:
    layer = stax.serial(stax.Dense(7, 1.5, 0.5), stax.Identity(), stax.Dense(2, 0.5))
    shape, params = layer.init_fn(0, (-1, 3))
    (W1, b1), identity, (W2, b2) = params
    assert (shape, identity, b2) == ((-1, 2), (), None)
    true = (1.5 / 3**0.5 * X @ W1 + 0.5 * b1) @ W2 * (0.5 / 7**0.5)
    np.testing.assert_allclose(layer.apply_fn(params, X), true, rtol=1e-12)


def test_standard_parameterization_stores_what_it_multiplies_with() -> None:
    layer = stax.Dense(2000, 1.5, 0.5, parameterization="STANDARD", s=(4, 2))
    shape, (W, b) = layer.init_fn(0, (-1, 400))
    assert shape == (-1, 4000)
    assert W.shape == (400, 4000)
    # relative standard error of a standard deviation of n numbers: 1/sqrt(2 n)
    np.testing.assert_allclose(W.std(), 1.5 * (4 / 400) ** 0.5, rtol=5 / (2 * W.size) ** 0.5)
    np.testing.assert_allclose(b.std(), 0.5, rtol=5 / (2 * b.size) ** 0.5)
    x = np.ones((3, 400))
    np.testing.assert_allclose(layer.apply_fn((W, b), x), x @ W / 2 + b, rtol=1e-12)


def test_images_pass_a_dense_layer_position_by_position() -> None:
    layer = stax.serial(stax.Dense(5, b_std=0.1), stax.Flatten())
    shape, params = layer.init_fn(1, (-1, 2, 3))
    assert params[0][1].shape == (1, 1, 5)
    assert layer.apply_fn(params, np.ones((4, 2, 3))).shape == (4, 10)
    assert shape[1] == 10


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_output_has_the_dtype_of_the_input(dtype: Any) -> None:
    layer = small()
    _, params = layer.init_fn(0, (-1, 3))
    assert layer.apply_fn(params, X.astype(dtype)).dtype == dtype
    assert layer.apply_fn(params, np.ones((2, 3), int)).dtype == np.float64


@pytest.mark.parametrize(
    "make",
    [
        lambda: 7,
        lambda: np.int64(7),
        lambda: np.random.SeedSequence(7),
        lambda: np.random.default_rng(7),
        lambda: np.array([0, 7], np.uint32),
    ],
)
def test_the_same_seed_draws_the_same_network(make: Any) -> None:
    layer = small()
    one, two, other = (layer.init_fn(rng, (-1, 3))[1] for rng in (make(), make(), 8))
    np.testing.assert_array_equal(one[0][0], two[0][0])
    assert not np.array_equal(one[0][0], other[0][0])
    assert not np.array_equal(one[0][0][:, :1], one[2][0][:3])


@pytest.mark.parametrize("rng", [None, True, 1.5, "0", np.ones(2), [], np.random.RandomState(0)])
def test_what_is_no_source_of_random_numbers_is_refused(rng: Any) -> None:
    with pytest.raises(TypeError, match=r"rng must be a seed .*, got"):
        small().init_fn(rng, (-1, 3))


def test_a_seed_is_not_negative() -> None:
    with pytest.raises(ValueError, match="seed >= 0"):
        small().init_fn(-1, (-1, 3))


def test_dropout_of_a_finite_network_needs_random_numbers() -> None:
    init_fn, apply_fn, _ = stax.serial(stax.Dense(400), stax.Dropout(0.7))
    _, params = init_fn(0, (-1, 3))
    with pytest.raises(ValueError, match="rng"):
        apply_fn(params, X)
    got = apply_fn(params, X.astype(np.float32), rng=1)
    kept = got != 0
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, apply_fn(params, X.astype(np.float32), rng=1))
    # 2000 units, kept with probability 0.7: five standard deviations are 0.051
    assert abs(kept.mean() - 0.7) < 0.051
    everything = stax.serial(stax.Dense(400), stax.Dropout(0.7, mode="test")).apply_fn(params, X)
    np.testing.assert_allclose(got[kept] * 0.7, everything[kept], rtol=1e-5, atol=1e-6)


def test_layer_norm_of_a_finite_network() -> None:
    init_fn, apply_fn, _ = stax.serial(stax.Dense(50), stax.LayerNorm(axis=(-1,), eps=0.0))
    f = apply_fn(init_fn(0, (-1, 3))[1], X)
    np.testing.assert_allclose(f.mean(axis=1), 0, atol=1e-14)
    np.testing.assert_allclose(f.var(axis=1), 1, rtol=1e-12)


def test_branches_of_a_finite_network_are_joined_unit_by_unit() -> None:
    a, b = stax.Dense(4), stax.Dense(4, 2.0, 0.5)
    inputs: dict[Any, Any] = {}
    for join in (stax.FanInSum, stax.FanInProd, stax.FanInConcat):
        layer = stax.serial(stax.FanOut(2), stax.parallel(a, b), join())
        shape, params = layer.init_fn(3, (-1, 3))
        _, (of_a, of_b), _ = params
        f, g = a.apply_fn(of_a, X), b.apply_fn(of_b, X)
        inputs[join] = (shape, layer.apply_fn(params, X), f, g)
    shape, got, f, g = inputs[stax.FanInSum]
    np.testing.assert_array_equal(got, f + g)
    assert shape == (-1, 4)
    shape, got, f, g = inputs[stax.FanInProd]
    np.testing.assert_array_equal(got, f * g)
    shape, got, f, g = inputs[stax.FanInConcat]
    np.testing.assert_array_equal(got, np.concatenate([f, g], axis=1))
    assert shape == (-1, 8)


def test_the_other_gelu_is_for_finite_networks_alone() -> None:
    x = np.linspace(-4, 4, 41)[:, None]
    exact, by_tanh = stax.Gelu(), stax.Gelu(approximate=True)
    gap = np.abs(exact.apply_fn((), x) - by_tanh.apply_fn((), x)).max()
    assert 1e-5 < gap < 1e-3
    assert by_tanh.kernel_fn.piece.layers() == exact.kernel_fn.piece.layers() == (nk.Gelu(),)


def test_a_kernel_without_a_function_has_no_finite_network() -> None:
    layer = stax.serial(stax.Dense(3), stax.ExpNormalized(), stax.Dense(1))
    _, params = layer.init_fn(0, (-1, 3))
    with pytest.raises(NotImplementedError, match="ExpNormalized is a kernel without"):
        layer.apply_fn(params, X)


# --- Activations given by a function ---------------------------------------------------------


@pytest.mark.parametrize("layer", [stax.Elementwise, lambda f: stax.ElementwiseNumerical(f, 40)])
def test_functions_with_a_layer_of_their_own_are_recognised(layer: Any) -> None:
    for fn, phi in ((np.tanh, nk.Tanh()), (np.sin, nk.Sin()), (np.abs, nk.Abs())):
        assert layer(fn).kernel_fn.piece.layers() == (phi,)
    for fn in (np.arctan, lambda x: np.tanh(x), nk.Tanh().phi):
        assert type(layer(fn).kernel_fn.piece.layers()[0]) is nk.Elementwise


def test_an_activation_needs_a_function() -> None:
    with pytest.raises(NotImplementedError, match=r"Elementwise\(fn\)"):
        stax.Elementwise(nngp_fn=lambda k, q, p: k)
    for wrong in (None, 1.0, "tanh"):
        with pytest.raises(TypeError, match=r"fn=\.\.\.\) must be a function"):
            stax.ElementwiseNumerical(wrong, 10)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"df=\.\.\.\) must be a function"):
        stax.ElementwiseNumerical(np.arctan, 10, 1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="deg"):
        stax.ElementwiseNumerical(np.arctan, 0)


def test_a_finite_network_applies_the_function_itself() -> None:
    init_fn, apply_fn, _ = stax.serial(stax.Dense(4), stax.Elementwise(np.arctan))
    _, params = init_fn(0, (-1, 3))
    f = apply_fn(params, X.astype(np.float32))
    assert f.dtype == np.float32
    true = np.arctan(X @ params[0][0] / 3**0.5)
    np.testing.assert_allclose(f, true, rtol=1e-5, atol=1e-6)
