"""Layers are values: checked when made, immutable, compared and printed by content."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from ntkfast.layers import LAYERS, Activation, Layer

EXAMPLES: list[Layer] = [
    nk.Dense(),
    nk.Dense(1.5, 0.0, 7, trainable=False),
    nk.Dense("sqrt_dim", 0.1),
    nk.Dense(1.5, 0.0, 7, parameterization="standard"),
    nk.Dense(1.5, 0.0, 7, parameterization="standard", s=(1, 4)),
    nk.LayerNorm(),
    nk.LayerNorm(eps=0.1),
    nk.Dropout(0.5),
    nk.Dropout(0.5, "test"),
    nk.FanOut(3),
    nk.parallel(nk.Relu(), [nk.Relu(), nk.Dense(out_dim=3)], nk.parallel(nk.Erf(), nk.Identity())),
    nk.FanInSum(),
    nk.FanInProd(),
    nk.FanInConcat(),
    nk.Relu(),
    nk.LeakyRelu(),
    nk.LeakyRelu(-0.5),
    nk.Abs(),
    nk.ABRelu(-0.3, 1.2),
    nk.Erf(),
    nk.Erf(1.3, 0.7, 0.2),
    nk.Sigmoid_like(),
    nk.Gelu(),
    nk.Relu6(),
    nk.Hardtanh(),
    nk.Hardtanh(-0.5, 2.0),
    nk.Identity(),
    nk.Sign(),
    nk.RectifiedMonomial(2),
    nk.Monomial(3),
    nk.Polynomial([0.1, 0.5, -0.2]),
    nk.Hermite(4),
    nk.Sin(),
    nk.Sin(1.3, 0.7, 0.2),
    nk.Cos(c=-0.5),
    nk.Rbf(),
    nk.Rbf(0.5),
    nk.Exp(0.6, 0.4),
    nk.ExpNormalized(2.0, -0.5),
    nk.Gaussian(),
    nk.Gaussian(2.0, 0.1),
    nk.Gabor(),
    nk.Tanh(),
    nk.Sigmoid(),
    nk.Softplus(),
    nk.Silu(),
    nk.Elu(),
    nk.Elu(0.5),
    nk.Selu(),
]
NUMERIC_ARGUMENTS = [
    (nk.Dense, "W_std"),
    (nk.Dense, "b_std"),
    (nk.LeakyRelu, "alpha"),
    (lambda **kwargs: nk.ABRelu(**{"a": 0, "b": 1, **kwargs}), "a"),
    (lambda **kwargs: nk.ABRelu(**{"a": 0, "b": 1, **kwargs}), "b"),
    (nk.Hardtanh, "min_val"),
    (nk.Hardtanh, "max_val"),
    (nk.Erf, "a"),
    (nk.Erf, "b"),
    (nk.Erf, "c"),
    (nk.LayerNorm, "eps"),
    (nk.Dropout, "rate"),
    *((wave, name) for wave in (nk.Sin, nk.Cos) for name in ("a", "b", "c")),
    (nk.Rbf, "gamma"),
    *((phi, name) for phi in (nk.Exp, nk.Gaussian) for name in ("a", "b")),
    (nk.ExpNormalized, "gamma"),
    (nk.ExpNormalized, "shift"),
    (nk.Elu, "alpha"),
]


@pytest.mark.parametrize("layer", EXAMPLES, ids=repr)
def test_a_layer_equals_its_repr_its_pickle_and_its_copy(layer: Layer) -> None:
    for other in (
        eval(repr(layer), vars(nk)),
        pickle.loads(pickle.dumps(layer)),
        copy.deepcopy(layer),
        dataclasses.replace(layer),
    ):
        assert other == layer
        assert hash(other) == hash(layer)
        assert repr(other) == repr(layer)


def test_all_examples_differ() -> None:
    assert len(set(EXAMPLES)) == len(EXAMPLES)


@pytest.mark.parametrize("layer", EXAMPLES, ids=repr)
def test_a_layer_cannot_be_changed(layer: Layer) -> None:
    for name in [spec.name for spec in dataclasses.fields(layer)] or ["anything"]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(layer, name, 2.0)


def test_every_registered_layer_is_exported_under_its_name() -> None:
    assert {name: getattr(nk, name) for name in LAYERS} == LAYERS
    assert set(LAYERS) <= set(nk.__all__)


@pytest.mark.parametrize(("make", "name"), NUMERIC_ARGUMENTS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, np.float32("nan")])
def test_numbers_must_be_finite(make: Any, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"\({name}=\.\.\.\) must be .*finite.*, got "):
        make(**{name: value})


@pytest.mark.parametrize(("make", "name"), NUMERIC_ARGUMENTS)
@pytest.mark.parametrize("value", [True, 1j, [1.0], np.ones(1), b"1", {}])
def test_numbers_must_be_numbers(make: Any, name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=rf"\({name}=\.\.\.\) must be .*finite number"):
        make(**{name: value})


@pytest.mark.parametrize("name", ["W_std", "b_std"])
def test_a_standard_deviation_is_not_negative(name: str) -> None:
    with pytest.raises(ValueError, match=rf"Dense\({name}=\.\.\.\).* >= 0, got -0.1"):
        nk.Dense(**{name: -0.1})


@pytest.mark.parametrize("value", [np.float32(0.5), np.float64(0.5), Fraction(1, 2)])
def test_any_real_number_becomes_a_float(value: Any) -> None:
    layer = nk.Dense(value, value)
    assert layer == nk.Dense(0.5, 0.5)
    assert type(layer.W_std) is type(layer.b_std) is float
    assert type(nk.Dense(2, 1).W_std) is float


def test_w_std_takes_one_word_only() -> None:
    with pytest.raises(ValueError, match="sqrt_dim"):
        nk.Dense(W_std="sqrt")
    with pytest.raises(TypeError, match="must be a finite number"):
        nk.Dense(W_std=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, -1])
def test_out_dim_is_positive(value: int) -> None:
    with pytest.raises(ValueError, match=r"out_dim=\.\.\.\) must be an integer >= 1, got"):
        nk.Dense(out_dim=value)


@pytest.mark.parametrize("value", [1.0, True, "3", None])
def test_out_dim_is_an_integer(value: Any) -> None:
    with pytest.raises(TypeError, match="out_dim"):
        nk.Dense(out_dim=value)


@pytest.mark.parametrize("value", [1, 0, None, "False"])
def test_trainable_is_a_bool(value: Any) -> None:
    with pytest.raises(TypeError, match=r"trainable.*True or False"):
        nk.Dense(trainable=value)


def test_trainable_and_parameterization_are_keywords() -> None:
    with pytest.raises(TypeError, match="positional"):
        nk.Dense(1.0, None, 1, False)  # type: ignore[misc]


def test_other_parameterizations_are_unknown() -> None:
    with pytest.raises(ValueError, match="'ntk', 'standard', got 'mup'"):
        nk.Dense(parameterization="mup")


def test_width_ratios_are_two_positive_numbers_and_count_in_standard_alone() -> None:
    layer = nk.Dense(parameterization="standard", s=[1, 4])  # type: ignore[arg-type]
    assert layer.s == (1.0, 4.0)
    assert hash(layer) == hash(nk.Dense(parameterization="standard", s=(1.0, 4.0)))
    assert nk.Dense(s=(1, 4)) == nk.Dense()
    for bad in (4, (1,), (1, 2, 3), "14", None, {1: 2, 3: 4}, ("1", "2"), (True, 1)):
        with pytest.raises(TypeError, match=r"Dense\(s=\.\.\.\)"):
            nk.Dense(parameterization="standard", s=bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"s\[1\] \* out_dim must be a whole number"):
        nk.Dense(out_dim=3, parameterization="standard", s=(1, 0.5))
    for negative in ((0, 1), (1, -1), (1, math.inf)):
        with pytest.raises(ValueError, match=r"Dense\(s=\.\.\.\)"):
            nk.Dense(parameterization="standard", s=negative)


@pytest.mark.parametrize("rate", [0, -0.5, 1.5])
def test_the_rate_of_dropout_is_a_probability_to_keep(rate: float) -> None:
    with pytest.raises(ValueError, match=r"probability to keep a unit, in \(0, 1\], got"):
        nk.Dropout(rate)


def test_arguments_of_norm_dropout_and_branches_are_checked() -> None:
    assert nk.LayerNorm(axis=1) == nk.LayerNorm(axis=np.int64(-1)) == nk.LayerNorm()
    for make in (nk.LayerNorm, nk.FanInConcat):
        with pytest.raises(ValueError, match=r"axis=\.\.\.\) must be -1, the axis of the channels"):
            make(axis=0)
        with pytest.raises(TypeError, match="axis of the channels"):
            make(axis=(-1,))
    with pytest.raises(ValueError, match=r"eps=\.\.\.\).* >= 0, got -1"):
        nk.LayerNorm(eps=-1)
    with pytest.raises(ValueError, match="'train', 'test', got 'eval'"):
        nk.Dropout(0.5, "eval")
    with pytest.raises(ValueError, match=r"num=\.\.\.\) must be an integer >= 1"):
        nk.FanOut(0)
    with pytest.raises(TypeError, match="num"):
        nk.FanOut(2.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("branches", "error", "message"),
    [
        ([], nk.errors.ArchitectureError, "at least one branch"),
        ([nk.Dense(), []], nk.errors.ArchitectureError, "without layers: Identity"),
        ([nk.Dense(), None], TypeError, "parallel.. takes layers, got None"),
        ([nk.Dense], TypeError, r"write Dense\(\.\.\.\)"),
        ([[nk.Dense(), [nk.Relu()]]], TypeError, r"parallel.. takes layers, got \[Relu"),
        ([3], TypeError, "got 3"),
    ],
)
def test_parallel_takes_layers_networks_and_lists_of_them(
    branches: list[Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        nk.parallel(*branches)


def test_networks_in_branches_are_taken_apart() -> None:
    block = nk.serial(nk.Dense(), nk.Relu())
    layer = nk.parallel(block, [block, nk.Dense()], nk.Dense())
    assert layer.branches == (block.layers, (*block.layers, nk.Dense()), (nk.Dense(),))
    assert repr(layer) == "parallel([Dense(), Relu()], [Dense(), Relu(), Dense()], Dense())"


@pytest.mark.parametrize(
    "phi",
    [
        nk.Relu(),
        nk.LeakyRelu(0.3),
        nk.Abs(),
        nk.ABRelu(-2, 0.1),
        nk.Identity(),
        nk.ExpNormalized(2, -0.5),
    ],
    ids=repr,
)
def test_the_critical_w_std_keeps_the_variance_at_any_depth(phi: Activation) -> None:
    X = [[3.0, 4.0]]
    net = nk.serial(nk.Dense(), *[phi, nk.Dense(phi.critical_W_std)] * 30)
    np.testing.assert_allclose(net.diag(X, kind="nngp"), [12.5], rtol=1e-12)


def test_the_critical_w_std_of_relu_is_that_of_he() -> None:
    assert nk.Relu().critical_W_std == 2**0.5


@pytest.mark.parametrize(
    "phi",
    [nk.Erf(), nk.Erf(1.3, -0.7), nk.Erf(0.1, 5.0), nk.Gelu(), nk.Sin(1.3, -0.7), nk.Gabor()],
    ids=repr,
)
def test_the_critical_w_std_of_a_smooth_function_is_the_edge_of_chaos(phi: Activation) -> None:
    # Small signals pass a layer unchanged there; 5% more weight makes them grow by 5% per layer.
    X = [[1e-6, 1e-6]]
    for factor in (1.0, 1.05):
        net = nk.serial(nk.Dense(), *[phi, nk.Dense(factor * phi.critical_W_std)] * 10)
        growth = net.diag(X, kind="nngp") / 1e-12
        np.testing.assert_allclose(growth, [factor**20], rtol=1e-9)


@pytest.mark.parametrize(
    "phi",
    [nk.ABRelu(0, 0), nk.Erf(a=0), nk.Erf(b=0), nk.Sin(b=0), nk.Cos(), nk.Gaussian()],
    ids=repr,
)
def test_a_constant_has_no_critical_w_std(phi: Activation) -> None:
    with pytest.raises(ValueError, match="constant"):
        _ = phi.critical_W_std


@pytest.mark.parametrize(
    ("phi", "slopes"),
    [(nk.Relu(), (0, 1)), (nk.Abs(), (-1, 1)), (nk.LeakyRelu(0.2), (0.2, 1))],
    ids=repr,
)
def test_kinked_activations_are_cases_of_abrelu(
    phi: Activation, slopes: tuple[float, float]
) -> None:
    X = np.random.default_rng(0).standard_normal((5, 3))
    one = nk.mlp(2, phi, W_std=1.1, b_std=0.1).kernels(X)
    other = nk.mlp(2, nk.ABRelu(*slopes), W_std=1.1, b_std=0.1).kernels(X)
    np.testing.assert_array_equal(one.nngp, other.nngp)
    np.testing.assert_array_equal(one.ntk, other.ntk)
