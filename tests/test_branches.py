"""Residual and other branched networks: rules, refusals, digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from ntkfast.errors import ArchitectureError
from oracle import arch as A
from oracle import highprec, montecarlo
from oracle.compare import TOLERANCE, assert_close
from support import Array, assert_true, awkward_rows

every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
with_and_without_bias = pytest.mark.parametrize("b_std", [None, 0.1], ids=["nobias", "bias"])

IDENTITY, RELU, ABS, ERF = ({"type": name} for name in ("Identity", "Relu", "Abs", "Erf"))
LAYER_NORM = {"type": "LayerNorm"}


def dropout(rate: float) -> dict[str, Any]:
    return {"type": "Dropout", "rate": rate}


def resnet(
    depth: int, phi: A.Layer, b_std: float | None, norm: tuple[A.Layer, ...] = ()
) -> dict[str, Any]:
    """Pre-activation residual blocks, x + Dense(phi(norm(x)))."""
    block = A.branches("FanInSum", A.serial(*norm, phi, A.dense(0.9, b_std)), IDENTITY)
    return A.serial(A.dense(1.3, b_std), *[block] * depth, A.dense(1.1, b_std))


def rows(n: int, d: int, dtype: str = "float64", seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(dtype)


# --- the rules hold for wide random networks ----------------------------------------------------

LEGAL = {
    "residual": resnet(2, RELU, 0.2),
    "residual with norm": resnet(2, ABS, 0.2, (LAYER_NORM,)),
    "one branch with a mean": A.serial(
        A.branches("FanInSum", A.serial(A.dense(1.2), RELU), A.dense(0.8, 0.3)), A.dense()
    ),
    "one branch without weights": A.serial(
        A.dense(), RELU, A.branches("FanInSum", IDENTITY, A.dense(0.8, 0.3)), A.dense()
    ),
    "sum of three, then an activation": A.serial(
        A.branches(
            "FanInSum",
            A.serial(A.dense(1.1, 0.1), RELU, A.dense(1.5)),
            A.serial(A.dense(0.9), ERF, A.dense(1.3, 0.1)),
            A.dense(0.7, 0.2),
        ),
        RELU,
        A.dense(1.5, 0.1),
    ),
    "product": A.serial(
        A.dense(1.2, 0.1),
        A.branches("FanInProd", A.serial(A.dense(1.2), RELU), IDENTITY),
        LAYER_NORM,
        A.dense(1.1, 0.2),
    ),
    "product of two with a mean": A.serial(
        A.dense(1.2, 0.1),
        A.branches("FanInProd", A.serial(A.dense(1.2), ABS), A.serial(A.dense(0.7, 0.1), RELU)),
        A.dense(1.1, 0.2),
        RELU,
        A.dense(),
    ),
    "concatenation": A.serial(
        A.branches(
            "FanInConcat",
            {**A.dense(1.2), "out_dim": 2},
            A.serial(A.dense(0.5, 0.1), RELU, A.dense(0.7, 0.3)),
        ),
        LAYER_NORM,
        A.dense(1.1, 0.2),
        RELU,
        A.dense(),
    ),
    "concatenation of what is not independent": A.serial(
        A.dense(1.2, 0.1),
        A.branches("FanInConcat", RELU, IDENTITY, IDENTITY),
        A.dense(1.1, 0.2),
        RELU,
        A.dense(),
    ),
    "dropout": A.serial(
        A.dense(1.3, 0.2), RELU, dropout(0.7), A.dense(1.1, 0.1), dropout(0.6), A.dense()
    ),
    "norm behind dropout": A.serial(A.dense(1.3, 0.2), dropout(0.5), LAYER_NORM, A.dense()),
    "dropout in a branch": A.serial(
        A.dense(1.3),
        A.branches("FanInSum", A.serial(RELU, dropout(0.5), A.dense()), IDENTITY),
        RELU,
        A.dense(),
    ),
}


@pytest.mark.parametrize("name", LEGAL)
def test_random_wide_networks_agree_within_their_confidence_interval(name: str) -> None:
    x = rows(4, 5, seed=2)
    x[3] = x[0]  # another sample, though equal
    got = nk.from_dict(LEGAL[name]).kernels(x)
    for estimate, kernel in zip(montecarlo.estimate(LEGAL[name], x), got, strict=True):
        # 2 x 10 correlated entries: five standard errors are passed by chance once in 10^5 seeds
        assert np.all(np.abs(estimate.mean - kernel) <= 5 * estimate.error)
        assert np.all(estimate.error <= 0.06 * np.diag(kernel).max())


_SHARED = "not independent: both reach back to the same units without weights of their own"
_MEAN = "both of which may have a mean that is not zero"
_NOT_GAUSSIAN = "whose distribution is not a mean-zero Gaussian"
REFUSED = {
    "a value and itself": (A.branches("FanInSum", IDENTITY, IDENTITY), _SHARED),
    "a value and itself in an inner branch": (
        A.branches("FanInSum", IDENTITY, A.branches("FanInSum", IDENTITY, A.dense())),
        _SHARED,
    ),
    "a value and its activation": (A.branches("FanInSum", IDENTITY, RELU), _SHARED),
    "a product of a value and its activation": (A.branches("FanInProd", IDENTITY, RELU), _SHARED),
    "two means": (
        A.branches("FanInSum", A.serial(A.dense(), RELU), A.serial(A.dense(), ABS)),
        _MEAN,
    ),
    "an activation of a product": (
        A.serial(A.branches("FanInProd", IDENTITY, A.dense()), ABS),
        _NOT_GAUSSIAN,
    ),
    "an activation of a concatenation": (
        A.serial(A.branches("FanInConcat", A.dense(3.0), A.dense(0.3)), ERF),
        _NOT_GAUSSIAN,
    ),
    "an activation behind dropout": (A.serial(dropout(0.5), RELU), _NOT_GAUSSIAN),
    "a norm of what has a mean": (A.serial(RELU, LAYER_NORM), "a mean that is not zero"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_has_another_kernel_than_the_rules_would_give(name: str) -> None:
    middle, reason = REFUSED[name]
    arch = A.serial(A.dense(1.3), middle, A.dense())
    with pytest.raises(ArchitectureError, match=reason):
        nk.from_dict(arch)
    x = rows(3, 5, seed=3)
    by_rule = highprec.truth(arch, x)[:2]
    misses = [
        np.abs(estimate.mean - kernel) / estimate.error
        for estimate, kernel in zip(montecarlo.estimate(arch, x), by_rule, strict=True)
    ]
    assert np.max(misses) > 10


def test_twice_a_value_is_refused_since_its_kernel_is_four_times_and_not_twice_that() -> None:
    arch = A.serial(A.dense(1.3), REFUSED["a value and itself"][0], A.dense())
    x = rows(3, 5, seed=3)
    plain = highprec.truth(A.serial(A.dense(1.3), A.dense()), x).nngp
    np.testing.assert_allclose(highprec.truth(arch, x).nngp, 2 * plain)
    estimate = montecarlo.estimate(arch, x)[0]
    assert np.all(np.abs(estimate.mean - 4 * plain) <= 5 * estimate.error)


# --- digits -------------------------------------------------------------------------------------


@every_dtype
@with_and_without_bias
@pytest.mark.parametrize("norm", [(), (LAYER_NORM,)], ids=["plain", "norm"])
@pytest.mark.parametrize("depth", [1, 3, 10, 20])
@pytest.mark.parametrize("phi", [RELU, ABS, ERF], ids=["Relu", "Abs", "Erf"])
def test_residual_networks_on_awkward_rows(
    phi: A.Layer, depth: int, norm: tuple[A.Layer, ...], b_std: float | None, dtype: str
) -> None:
    x = awkward_rows(dtype, seed=depth)
    arch = resnet(depth, phi, b_std, norm)
    assert_true(arch, x, what="gram")
    assert_true(arch, x[:5], x[2:], what="cross")


@every_dtype
@pytest.mark.parametrize("name", LEGAL)
def test_branches_on_awkward_rows(name: str, dtype: str) -> None:
    x = np.concatenate([awkward_rows(dtype), np.zeros((2, 10), dtype)])
    assert_true(LEGAL[name], x, what="gram")
    assert_true(LEGAL[name], x[:5], x[2:], what="cross")


@every_dtype
@pytest.mark.parametrize("isa", nk._core.isa_available())
def test_every_instruction_set_holds_the_tolerance(isa: str, dtype: str) -> None:
    x = np.concatenate([awkward_rows(dtype), np.zeros((1, 10), dtype)])
    with nk.config(isa=isa):
        for name, arch in LEGAL.items():
            assert_true(arch, x, what=name)


@every_dtype
@with_and_without_bias
def test_branches_of_very_different_size_on_rows_of_very_different_norm(
    b_std: float | None, dtype: str
) -> None:
    """The signs of the branches differ, so deficits come from both ends."""
    reach = 8 if dtype == "float64" else 4
    base = awkward_rows("float64")[[0, 2, 5, 7]]
    x = np.concatenate([base * 10.0**power for power in (-reach, 0, reach)]).astype(dtype)
    for small in (1.0, 1e-3, 1e-7):
        left = A.serial(A.dense(small), {"type": "ABRelu", "a": -1.0, "b": 0.999}, A.dense(1.0))
        for join in ("FanInSum", "FanInProd"):
            arch = A.serial(
                A.branches(join, left, A.dense(0.7, b_std)), A.dense(), RELU, A.dense(1.0, b_std)
            )
            assert_true(arch, x, what=f"{join} {small}")


@pytest.mark.parametrize("phi", [RELU, ABS, ERF], ids=["Relu", "Abs", "Erf"])
def test_float32_keeps_its_digits_on_clusters_of_long_rows(phi: A.Layer) -> None:
    """Deficits of a plain float32 product would be off by more than they are."""
    rng = np.random.default_rng(4)
    centre = np.repeat(rng.random((3, 784)), 4, axis=0)
    spread = 10.0 ** -np.tile([1, 2, 4, 6], 3)[:, None]
    x = (centre + spread * rng.standard_normal(centre.shape)).astype(np.float32)
    for norm in ((), (LAYER_NORM,)):
        assert_true(resnet(10, phi, 0.1, norm), x)


# --- identities ---------------------------------------------------------------------------------

X, Z = rows(9, 4), rows(7, 4, seed=1)


def same(arch: A.Layer, other: A.Layer, factor: float = 1.0) -> None:
    """Assert that two networks have one kernel, up to a factor."""
    for z in (None, Z):
        for a, b in zip(
            nk.from_dict(arch).kernels(X, z), nk.from_dict(other).kernels(X, z), strict=True
        ):
            np.testing.assert_allclose(a, factor * b, rtol=1e-13, atol=1e-14)


def test_two_dense_branches_are_one_of_twice_the_variance() -> None:
    two = A.branches("FanInSum", A.dense(1.1, 0.2), A.dense(1.1, 0.2))
    same(A.serial(two), A.serial(A.dense(1.1 * 2**0.5, 0.2 * 2**0.5)))


@pytest.mark.parametrize("join", ["FanInSum", "FanInProd", "FanInConcat"])
def test_one_branch_changes_nothing(join: str) -> None:
    body = A.serial(A.dense(1.1, 0.2), RELU, A.dense(0.9))
    same(A.serial(A.branches(join, body)), body)


@pytest.mark.parametrize("join", ["FanInSum", "FanInProd", "FanInConcat"])
def test_the_order_of_branches_does_not_matter(join: str) -> None:
    branches = [
        A.serial(A.dense(1.2, 0.1, trainable=False), RELU, A.dense(0.8, trainable=False)),
        {**A.dense(0.7, 0.3), "out_dim": 2},
        A.serial(A.dense(1.1), ERF, {**A.dense(1.3), "out_dim": 5}),
    ]
    arch = A.serial(A.branches(join, *branches), A.dense(1.1, 0.1))
    for order in ([0, 2, 1], [1, 0, 2], [2, 1, 0]):
        same(arch, A.serial(A.branches(join, *(branches[k] for k in order)), A.dense(1.1, 0.1)))


def test_equal_branches_side_by_side_are_one_whatever_their_widths() -> None:
    branches = [{**A.dense(1.2, 0.1), "out_dim": width} for width in (1, 5, 3)]
    same(A.serial(A.branches("FanInConcat", *branches)), A.dense(1.2, 0.1))


def test_concatenation_weighs_by_width_columns_of_the_data_included() -> None:
    """Four columns of the data beside 12 units: a quarter and three quarters."""
    wide = {**A.dense(2.0), "out_dim": 12}
    net = nk.from_dict(A.serial(A.branches("FanInConcat", IDENTITY, wide)))
    linear = X @ X.T / 4
    np.testing.assert_allclose(net.nngp(X), (0.25 + 0.75 * 4) * linear, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(net.ntk(X), 0.75 * 4 * linear, rtol=1e-13, atol=1e-14)
    assert_true(net.to_dict(), X[:, :3])


@pytest.mark.parametrize("join", ["FanInSum", "FanInProd", "FanInConcat"])
@pytest.mark.parametrize("trained", [(True, False), (False, True), (False, False)])
def test_branches_without_trained_layers(join: str, trained: tuple[bool, bool]) -> None:
    left, right = (A.dense(w, 0.2, trainable=t) for w, t in zip((1.2, 0.7), trained, strict=True))
    arch = A.serial(A.branches(join, A.serial(left, RELU), right))
    assert_true(arch, awkward_rows("float64"))
    assert nk.from_dict(arch).ntk(X).any() == any(trained)


def test_a_product_of_linear_networks_is_a_polynomial_kernel() -> None:
    arch = A.serial(A.branches("FanInProd", *[A.dense(2.0, trainable=k == 1) for k in range(3)]))
    got = nk.from_dict(arch).kernels(X)
    linear = X @ X.T  # 2^2 / 4 columns
    np.testing.assert_allclose(got.nngp, linear**3, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(got.ntk, linear**3, rtol=1e-12, atol=1e-13)


def test_layer_norm_and_dropout_at_their_limits() -> None:
    body = [A.dense(1.1, 0.2), RELU]
    plain = A.serial(*body, A.dense(1.2))
    for nothing in (dropout(1.0), {**dropout(0.3), "mode": "test"}):
        same(A.serial(*body, nothing, A.dense(1.2)), plain)
    same(
        A.serial(A.dense(1.1, 0.2), {"type": "LayerNorm", "eps": 1e30}, A.dense(1.2)),
        A.serial(A.dense(1.1, 0.2), A.dense(1.2)),
        1e-30,
    )


# --- LayerNorm ----------------------------------------------------------------------------------


@every_dtype
@pytest.mark.parametrize("eps", [1e-12, 1e-3, 0.0])
def test_layer_norm_of_tiny_huge_and_zero_rows(eps: float, dtype: str) -> None:
    reach = 8 if dtype == "float64" else 4
    base = awkward_rows("float64")[[0, 2, 5, 7]]
    x = np.concatenate([base * 10.0**power for power in (-reach, 0, reach)]).astype(dtype)
    x = np.concatenate([x, np.zeros((2, 10), dtype)])
    norm = {"type": "LayerNorm", "eps": eps}
    for phi in (RELU, ERF):
        arch = A.serial(A.dense(), norm, phi, A.dense(1.2), norm, phi, A.dense(1.1))
        assert_true(arch, x)
    kernel = nk.from_dict(arch).nngp(x)
    assert not kernel[-2:].any()


def test_a_norm_beside_the_value_it_normalises() -> None:
    """Value and normalised value live in one buffer: neither may be overwritten for the other."""
    trunk = A.serial(A.dense(1.3, 0.2), RELU, A.dense(0.8, 0.1))
    for first, second in [
        (A.serial(LAYER_NORM, ERF, A.dense()), IDENTITY),
        (IDENTITY, A.serial(LAYER_NORM, ERF, A.dense())),
        (A.serial(LAYER_NORM, A.dense(1.4)), A.dense(0.6)),
        (LAYER_NORM, A.serial(ERF, A.dense(0.6))),
        (A.serial(ERF, A.dense(0.6)), LAYER_NORM),
    ]:
        for join in ("FanInSum", "FanInProd", "FanInConcat"):
            arch = A.serial(trunk, A.branches(join, first, second), A.dense(1.1, 0.1))
            assert_true(arch, awkward_rows("float64"), what=join)
    both = A.branches("FanInConcat", LAYER_NORM, IDENTITY, A.serial(LAYER_NORM, LAYER_NORM))
    assert_true(A.serial(trunk, both, A.dense()), awkward_rows("float64"))


# --- Dropout ------------------------------------------------------------------------------------


@every_dtype
def test_equal_rows_are_different_samples_to_dropout(dtype: str) -> None:
    """K and T of a sample with itself are divided by the rate; those of its copies are not."""
    x = np.repeat(rows(1, 6, dtype), 600, axis=0)  # several tiles
    net = nk.serial(nk.Dense(1.3, 0.2), nk.Dropout(0.25))
    gram, cross, diagonal = net.kernels(x), net.kernels(x, x.copy()), net.diag(x, kind="both")
    plain = nk.serial(nk.Dense(1.3, 0.2)).kernels(x)
    other = ~np.eye(600, dtype=bool)
    tolerance = TOLERANCE[x.dtype]
    for g, c, d, p in zip(gram, cross, diagonal, plain, strict=True):
        np.testing.assert_allclose(np.diag(g), 4 * np.diag(p), rtol=tolerance)
        np.testing.assert_array_equal(np.diag(g), d)
        np.testing.assert_allclose(g[other], p[other], rtol=tolerance)
        np.testing.assert_allclose(c, p, rtol=tolerance)


@every_dtype
@pytest.mark.parametrize("rate", [1e-3, 0.5, 0.999999])
def test_dropout_on_awkward_rows_at_depth(rate: float, dtype: str) -> None:
    x = awkward_rows(dtype)
    for phi in (RELU, ABS, ERF):
        block = [A.dense(1.1, 0.1), phi, dropout(rate)]
        for depth in (1, 5):
            arch = A.serial(*block * depth, A.dense(1.1, 0.1))
            assert_true(arch, x, what="gram")
            assert_true(arch, x[:5], x[2:], what="cross")


# --- the engine ---------------------------------------------------------------------------------

DEEP = A.serial(
    resnet(3, RELU, 0.1, (LAYER_NORM,))["layers"][0],
    *resnet(3, RELU, 0.1, (LAYER_NORM,))["layers"][1:-1],
    A.branches("FanInConcat", A.serial(RELU, dropout(0.8), A.dense(0.9)), LAYER_NORM, IDENTITY),
    A.dense(1.1, 0.2),
    A.branches("FanInProd", A.serial(A.dense(), ABS), IDENTITY),
    {**A.dense(), "parameterization": "standard", "b_std": 0.3},
)


def _mixed(n: int, dtype: str, seed: int) -> Array:
    x = rows(n, 10, dtype, seed)
    x[1::7] = awkward_rows(dtype)[np.arange(len(x[1::7])) % 9]
    return x


@every_dtype
def test_threads_change_no_bit_and_all_entries_are_those_of_small_grams(dtype: str) -> None:
    net = nk.from_dict(DEEP)
    x, z = _mixed(700, dtype, 0), _mixed(300, dtype, 1)
    for other in (None, z):
        one = net.kernels(x, other, threads=1)
        for threads in (2, 3):
            many = net.kernels(x, other, threads=threads)
            assert many.nngp.tobytes() == one.nngp.tobytes()
            assert many.ntk.tobytes() == one.ntk.tobytes()
    gram = net.kernels(x)
    np.testing.assert_array_equal(gram.ntk, gram.ntk.T)
    diagonal = net.diag(x, kind="both")
    for a, d in zip(gram, diagonal, strict=True):
        np.testing.assert_array_equal(np.diag(a), d)
    cross = net.kernels(x[:300], z)
    back = net.kernels(z, x[:300])
    factor = TOLERANCE[x.dtype] * net.conditioning(x)
    for a, b, p, q in zip(
        cross, back, net.diag(x[:300], kind="both"), net.diag(z, kind="both"), strict=True
    ):
        assert_close(a, b.T, np.sqrt(np.outer(p, q).astype(np.float64)), 2 * factor)
    pick = [0, 1, 8, 15, 22, 400, 699]
    part = net.kernels(x[pick])
    for a, b, p in zip(gram, part, diagonal, strict=True):
        scale = np.sqrt(np.outer(p[pick], p[pick]).astype(np.float64))
        assert_close(a[np.ix_(pick, pick)], b, scale, 2 * factor)
    assert_true(DEEP, x[pick])


@pytest.mark.parametrize("name", LEGAL)
def test_kernels_are_positive_semidefinite(name: str) -> None:
    x = np.concatenate([rows(60, 6), awkward_rows("float64", 6)])
    for kernel in nk.from_dict(LEGAL[name]).kernels(x):
        values = np.linalg.eigvalsh(kernel)
        assert values[0] >= -1e-13 * values[-1]


@pytest.mark.parametrize("name", LEGAL)
def test_reported_conditioning_is_the_growth_of_errors(name: str) -> None:
    x = awkward_rows("float64")
    assert nk.from_dict(LEGAL[name]).conditioning(x) == pytest.approx(
        highprec.conditioning(LEGAL[name], x), rel=1e-9
    )


@every_dtype
def test_an_overflow_in_a_branch_is_found_before_anything_is_computed(dtype: str) -> None:
    x = np.ones((3, 4), dtype)
    x[1] *= np.dtype(dtype).type(1e10 if dtype == "float32" else 1e80)
    arch = A.serial(A.branches("FanInProd", A.dense(), A.dense()))
    for call in (nk.from_dict(arch).kernels, nk.from_dict(arch).diag):
        with pytest.raises(nk.errors.KernelOverflowError, match="row 1 of X"):
            call(x)
    normed = A.serial(A.branches("FanInProd", A.dense(), A.dense()), LAYER_NORM, A.dense())
    assert np.isfinite(nk.from_dict(normed).ntk(x)).all()
