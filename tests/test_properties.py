"""What the mathematics promises of these kernels, whatever the numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ntkfast as nk
from oracle import arch as A
from oracle import highprec, recursion
from oracle.compare import TOLERANCE, assert_close
from support import ACTIVATIONS, Array, assert_true, awkward_rows, network

every_activation = pytest.mark.parametrize("name", ACTIVATIONS)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def _rows(n: int, d: int, dtype: str, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(dtype)


@every_dtype
@every_activation
def test_gram_is_symmetric_to_the_bit(name: str, dtype: str) -> None:
    x = np.concatenate([_rows(300, 9, dtype), awkward_rows(dtype, 9)])
    for kernel in nk.from_dict(network(name, 3, 0.1)).kernels(x):
        np.testing.assert_array_equal(kernel, kernel.T)


@every_activation
def test_gram_is_positive_semidefinite(name: str) -> None:
    x = np.concatenate([_rows(120, 6, "float64"), awkward_rows("float64", 6)])
    for kernel in nk.from_dict(network(name, 4, 0.1)).kernels(x):
        values = np.linalg.eigvalsh(kernel)
        assert values[0] >= -1e-13 * values[-1]


@every_activation
def test_permuting_rows_permutes_the_gram(name: str) -> None:
    x = np.concatenate([_rows(290, 7, "float64"), awkward_rows("float64", 7)])
    order = np.random.default_rng(1).permutation(len(x))
    net = nk.from_dict(network(name, 3, 0.1))
    for kernel, other in zip(net.kernels(x), net.kernels(x[order]), strict=True):
        scale = np.sqrt(np.outer(np.diag(kernel), np.diag(kernel)))
        assert np.abs(other - kernel[np.ix_(order, order)]).max() <= 1e-12 * scale.max()
        np.testing.assert_allclose(
            other, kernel[np.ix_(order, order)], rtol=0, atol=1e-12 * scale.max()
        )


@every_dtype
@pytest.mark.parametrize("name", ["Relu", "LeakyRelu", "Abs", "ABRelu"])
def test_kinked_networks_without_bias_are_homogeneous(name: str, dtype: str) -> None:
    """k(2^i x, 2^j z) = 2^(i+j) k(x, z): scaling by a power of two rounds nothing."""
    net = nk.from_dict(network(name, 5, None))
    x, z = _rows(40, 12, dtype), _rows(30, 12, dtype, seed=1)
    for kernel, scaled in zip(net.kernels(x, z), net.kernels(8 * x, z / 4), strict=True):
        np.testing.assert_array_equal(scaled, 2 * kernel)


@pytest.mark.parametrize("name", [*A.KINKED, "Identity", "Erf", "Erf_affine"])
def test_limits_at_correlation_minus_one_zero_and_one(name: str) -> None:
    """One layer on unit variance: E[phi(u) phi(v)] for v = -u, independent, v = u."""
    layer = ACTIVATIONS[name]
    net = nk.from_dict(A.serial(A.dense(2**0.5), layer))
    x = np.array([[1.0, 0.0]])
    z = np.array([[-1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    got = net.kernels(x, z)
    if layer["type"] == "Erf":
        a, b, c = A.erf_parameters(layer)
        top = a**2 * 2 / np.pi * np.arcsin(2 * b**2 / (1 + 2 * b**2))
        K = [c**2 - top, c**2, c**2 + top]
        slope = a**2 * b**2 * 4 / np.pi / np.sqrt(1 + 4 * b**2)
        T = [-slope, 0.0, slope]
    elif layer["type"] in (*A.KINKED, "Identity"):
        a, b = (1.0, 1.0) if name == "Identity" else A.KINKED[name](layer)
        square, product, mean = (a * a + b * b) / 2, a * b, (b - a) ** 2 / (2 * np.pi)
        K = [-product, mean, square]
        T = [-product, 0.0, square]
    else:
        points = [highprec.duals(layer, 1.0, 1.0, theta) for theta in (np.pi, np.pi / 2, 0.0)]
        K = [value for value, _ in points]
        T = [rho * slope for rho, (_, slope) in zip((-1, 0, 1), points, strict=True)]
    np.testing.assert_allclose(got.nngp[0], K, rtol=0, atol=1e-15 * max(map(abs, K)) + 1e-15)
    np.testing.assert_allclose(got.ntk[0], T, rtol=0, atol=1e-15 * max(map(abs, T)) + 1e-15)


@every_dtype
@every_activation
def test_ntk_is_the_nngp_kernel_when_only_the_last_layer_is_trained(name: str, dtype: str) -> None:
    """The weakly-trained network."""
    arch = A.serial(
        *(
            part
            for _ in range(3)
            for part in (A.dense(1.3, 0.2, trainable=False), ACTIVATIONS[name])
        ),
        A.dense(1.1, 0.1),
    )
    x = awkward_rows(dtype)
    got = nk.from_dict(arch).kernels(x)
    np.testing.assert_array_equal(got.ntk, got.nngp)


@every_activation
def test_ntk_is_zero_when_nothing_is_trained(name: str) -> None:
    arch = A.serial(
        A.dense(1.3, 0.2, trainable=False), ACTIVATIONS[name], A.dense(1.1, trainable=False)
    )
    x = awkward_rows("float64")
    got = nk.from_dict(arch).kernels(x)
    np.testing.assert_array_equal(got.ntk, np.zeros_like(got.ntk))
    assert np.all(np.diag(got.nngp) > 0)


@pytest.mark.parametrize("frozen", [0, 1, 2, 3])
def test_each_layer_can_be_frozen_by_itself(frozen: int) -> None:
    layers: list[Any] = []
    for i in range(4):
        layers += [A.dense(1.3, 0.2, trainable=i != frozen), ACTIVATIONS["ABRelu"]]
    assert_true(A.serial(*layers[:-1]), awkward_rows("float64"))


def test_derivative_covariance_and_not_the_covariance_enters_the_ntk() -> None:
    """The misprint Sigma for Sigma-dot in the product is not the NTK (Arora et al. 2019, eq. 9)."""
    arch = network("Relu", 3, None)
    x = _rows(6, 5, "float64")
    steps = recursion.covariances(arch, x)
    misprint = np.zeros((6, 6))
    for layer, K, slope in steps:
        dense = layer["type"] == "Dense"
        misprint = misprint * (slope if dense else K) + (K if dense else 0.0)
    T = recursion.kernels(arch, x)[1]
    got = nk.from_dict(arch).ntk(x)
    off = ~np.eye(6, dtype=bool)
    np.testing.assert_allclose(got[off], T[off], rtol=1e-12)
    assert np.all(np.abs(got - misprint) > 0.01 * np.abs(got))


@pytest.mark.parametrize("L", [1, 2, 5, 20])
def test_arora_convention_has_diagonal_depth_plus_one_at_unit_norm(L: int) -> None:
    x = _rows(10, 6, "float64")
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    got = nk.models.arora(L).kernels(x)
    np.testing.assert_allclose(np.diag(got.ntk), L + 1, rtol=1e-14)
    np.testing.assert_allclose(np.diag(got.nngp), 1, rtol=1e-14)


@every_dtype
@every_activation
def test_diag_is_the_diagonal_of_the_gram(name: str, dtype: str) -> None:
    x = awkward_rows(dtype)
    net = nk.from_dict(network(name, 6, 0.1))
    got = net.kernels(x)
    np.testing.assert_array_equal(net.diag(x, kind="nngp"), np.diag(got.nngp))
    np.testing.assert_array_equal(net.diag(x, kind="ntk"), np.diag(got.ntk))


@every_dtype
@every_activation
def test_cross_kernel_of_rows_with_themselves_agrees_with_the_gram(name: str, dtype: str) -> None:
    """Two equal rows are two samples, but every layer here is continuous at rho = 1."""
    x = np.concatenate([awkward_rows(dtype), _rows(80, 10, dtype)])
    net = nk.from_dict(network(name, 5, 0.1))
    tolerance = 4e-6 if dtype == "float32" else 2e-12
    for gram, cross in zip(net.kernels(x), net.kernels(x, x.copy()), strict=True):
        scale = np.sqrt(np.outer(np.diag(gram), np.diag(gram)))
        assert np.all(np.abs(gram - cross) <= tolerance * scale)


@every_dtype
@every_activation
def test_exact_duplicates_have_the_kernel_of_the_sample_itself(name: str, dtype: str) -> None:
    row = _rows(1, 50, dtype)
    x = np.repeat(row, 4, axis=0)
    got = nk.from_dict(network(name, 20, 0.1)).kernels(x)
    for kernel in got:
        np.testing.assert_allclose(
            kernel, kernel[0, 0], rtol=4 * np.finfo(dtype).eps, err_msg="duplicates"
        )


@every_dtype
def test_either_kernel_alone_is_the_one_of_the_joint_pass(dtype: str) -> None:
    x, z = _rows(70, 8, dtype), _rows(9, 8, dtype, 1)
    for name in ("Relu", "Erf_affine"):
        net = nk.from_dict(network(name, 3, 0.1))
        for other in (None, z):
            both = net.kernels(x, other)
            q, p = net.diag(x, kind="both"), net.diag(x if other is None else z, kind="both")
            for alone, kernel, left, right in zip(
                (net.nngp(x, other), net.ntk(x, other)), both, q, p, strict=True
            ):
                # not bit for bit: a compiler may fuse other multiplications where T is left out
                assert_close(alone, kernel, np.sqrt(np.outer(left, right)), TOLERANCE[x.dtype])


def _activations() -> st.SearchStrategy[dict[str, Any]]:
    slope = st.floats(-2, 2).map(lambda v: round(v, 3))
    return st.one_of(
        st.sampled_from(
            [
                {"type": name}
                for name in ("Relu", "Abs", "LeakyRelu", "Erf", "Gelu", "Sigmoid_like", "Identity")
            ]
        ),
        st.builds(lambda a: {"type": "LeakyRelu", "alpha": a}, slope),
        st.builds(lambda a, b: {"type": "ABRelu", "a": a, "b": b}, slope, slope),
        st.builds(lambda a, b, c: {"type": "Erf", "a": a, "b": b, "c": c}, slope, slope, slope),
        st.builds(
            lambda kind, a, b, c: {"type": kind, "a": a, "b": b, "c": c},
            st.sampled_from(["Sin", "Cos"]),
            slope,
            slope,
            slope,
        ),
        st.builds(lambda a, b: {"type": "Gaussian", "a": a, "b": -abs(b)}, slope, slope),
        st.builds(lambda gamma: {"type": "Rbf", "gamma": abs(gamma)}, slope),
        st.just({"type": "Gabor"}),
    )


def _dense() -> st.SearchStrategy[dict[str, Any]]:
    weight = st.floats(0.3, 2.5).map(lambda v: round(v, 3))
    bias = st.one_of(st.none(), st.floats(0, 1).map(lambda v: round(v, 3)))
    return st.builds(lambda w, b, t: A.dense(w, b, trainable=t), weight, bias, st.booleans())


@st.composite
def architectures(draw: st.DrawFn) -> dict[str, Any]:
    """Any legal order: an activation only behind a Dense; nested serials; any ending."""
    layers: list[dict[str, Any]] = [{"type": "Identity"}] * draw(st.integers(0, 1))
    for _ in range(draw(st.integers(1, 6))):
        block = [draw(_dense()) for _ in range(draw(st.integers(1, 2)))] + [draw(_activations())]
        layers += [A.serial(*block)] if draw(st.booleans()) else block
    if draw(st.booleans()):
        layers.append(draw(_dense()))
    return A.serial(*layers)


@st.composite
def row_sets(draw: st.DrawFn) -> Array:
    """A few rows with copies, opposites, multiples and near neighbours among them."""
    d = draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    u, v = rng.standard_normal((2, d)) * 10.0 ** draw(st.integers(-3, 3))
    near = u + 10.0 ** -draw(st.integers(1, 12)) * rng.standard_normal(d)
    x = np.array([u, v, near, -near, draw(st.sampled_from([0.0, 1.0, -1.0, 0.1])) * u])
    return x.astype(draw(st.sampled_from(["float32", "float64"])))


@settings(max_examples=150)
@given(arch=architectures(), x=row_sets())
def test_any_architecture_agrees_with_sixty_digits(arch: dict[str, Any], x: Array) -> None:
    assert_true(arch, x)


@st.composite
def branched(draw: st.DrawFn) -> dict[str, Any]:
    """Blocks from Gaussian values to Gaussian ones, by way of branches, norms and dropout."""
    norm = st.sampled_from([{"type": "LayerNorm"}, {"type": "LayerNorm", "eps": 0.1}])
    dropout = st.sampled_from([0.1, 0.5, 0.9]).map(lambda r: {"type": "Dropout", "rate": r})

    def maybe(layer: st.SearchStrategy[dict[str, Any]]) -> list[dict[str, Any]]:
        return [draw(layer)] if draw(st.booleans()) else []

    def dense() -> dict[str, Any]:
        layer = draw(_dense())
        if draw(st.booleans()) or layer.get("b_std") == 0:  # a zero row has no exact K there
            return layer
        return {**layer, "parameterization": "standard", "s": [draw(st.sampled_from([1, 3])), 1]}

    def body(depth: int) -> list[dict[str, Any]]:
        layers = [*maybe(norm), draw(_activations()), *maybe(dropout), dense()]
        return layers + (block(depth - 1) if draw(st.booleans()) else [])

    def block(depth: int) -> list[dict[str, Any]]:
        kind = draw(st.sampled_from(["body", "FanInSum", "FanInProd", "FanInConcat"]))
        if kind == "body" or depth == 0:
            return [*maybe(norm), draw(_activations()), *maybe(dropout), dense()]
        branches = [A.serial(*body(depth)) for _ in range(draw(st.integers(1, 2)))]
        skip = [{"type": "Identity"}, {"type": "LayerNorm"}]
        skip += [*maybe(_activations()), *maybe(dropout)]
        branches.append(draw(st.sampled_from(skip)))
        joined = A.branches(kind, *draw(st.permutations(branches)))
        return [joined, *maybe(dropout), dense()]

    layers = [draw(_dense())]
    for _ in range(draw(st.integers(1, 3))):
        layers += block(2)
    return A.serial(*layers)


@settings(max_examples=150)
@given(arch=branched(), x=row_sets())
def test_any_branched_architecture_agrees_with_sixty_digits(arch: dict[str, Any], x: Array) -> None:
    assert_true(arch, x)
    assert_true(arch, x, x[1:], what="cross")
