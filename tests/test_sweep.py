"""Many networks from one pass: the same kernels as one by one, and no work done twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

import ntkfast as nk
from ntkfast import _core, _gram
from ntkfast._estimators.networks import auto_networks
from ntkfast._lowering import compile_program
from ntkfast.errors import ArchitectureError, KernelOverflowError, MemoryBudgetError
from oracle import highprec
from oracle.compare import TOLERANCE, assert_close
from support import ACTIVATIONS, awkward_rows, network

X = np.random.default_rng(0).standard_normal((37, 12))
Z = np.random.default_rng(1).standard_normal((23, 12))
DEEP = nk.mlp(5, "relu", b_std=0.4)


def assert_same(got: nk.Kernels, want: nk.Kernels) -> None:
    np.testing.assert_array_equal(got.nngp, want.nngp)
    np.testing.assert_array_equal(got.ntk, want.ntk)


# --- variants ---------------------------------------------------------------------------------


@pytest.mark.parametrize("phi", ["relu", "erf", "identity"])
def test_variants_are_the_networks_that_mlp_makes(phi: str) -> None:
    kwargs: dict[str, Any] = {"W_std": 1.2, "b_std": 0.3, "readout_W_std": 0.7}
    made = nk.mlp(4, phi, **kwargs).variants(fixed="all")
    assert list(made) == [(d, j) for d in range(1, 5) for j in range(d + 1)]
    for (depth, fixed), net in made.items():
        assert net == nk.mlp(depth, phi, fixed_layers=fixed, **kwargs)


def test_variants_take_what_is_asked_for_in_ascending_order() -> None:
    net = nk.mlp(5)
    assert list(net.variants()) == [(d, 0) for d in range(1, 6)]
    assert list(net.variants([4, 2, 2, np.int64(4)], (3, 0))) == [(2, 0), (4, 0), (4, 3)]
    assert list(net.variants([0, 1], "all")) == [(0, 0), (1, 0), (1, 1)]
    assert net.variants([0])[0, 0] == nk.mlp(0)
    assert net.variants([]) == {} == net.variants([2], [3])
    assert net.variants()[5, 0] == net
    assert list(nk.mlp(0).variants(fixed="all")) == [(0, 0)]


def test_a_variant_keeps_what_was_fixed_and_the_whole_readout() -> None:
    fixed = nk.Dense(0.5, trainable=False)
    net = nk.serial(nk.Dense(), fixed, nk.Relu(), nk.Dense(2.0), nk.Erf(), nk.Dense(), nk.Dense(3))
    made = net.variants(fixed=[1])
    first = nk.Dense(trainable=False)
    assert made[1, 1] == nk.serial(first, fixed, nk.Relu(), nk.Dense(), nk.Dense(3))
    assert made[2, 1].layers[2:] == net.layers[2:]


def test_variants_refuse_what_they_cannot_make() -> None:
    net = nk.mlp(3)
    with pytest.raises(ValueError, match=r"depths must be at most 3, .* got 4"):
        net.variants([1, 4])
    for bad in (-1, [-1], [1.0], [True], "12", None, 3):
        with pytest.raises((TypeError, ValueError), match="fixed must be"):
            net.variants(fixed=bad)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="depths must be integers >= 0, got 3"):
        net.variants(3)  # type: ignore[arg-type]
    with pytest.raises(ArchitectureError, match="readout"):
        nk.serial(nk.Dense(), nk.Relu()).variants()


# --- one pass against many ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("z", [None, Z], ids=["symmetric", "cross"])
@pytest.mark.parametrize("name", ["Relu", "LeakyRelu", "Erf"])
def test_a_sweep_equals_its_networks_one_by_one_bit_for_bit(name: str, z: Any, dtype: Any) -> None:
    net = nk.from_dict(network(name, 4, 0.2))
    x, z = X.astype(dtype), None if z is None else z.astype(dtype)
    sweep = net.depth_sweep(x, z, fixed="all")
    assert len(sweep) == 14
    for key, variant in net.variants(fixed="all").items():
        assert_same(sweep[key], variant.kernels(x, z))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_a_sweep_of_any_activation_equals_its_networks(name: str, dtype: Any) -> None:
    net = nk.from_dict(network(name, 4, None))
    x = X.astype(dtype)
    sweep = net.depth_sweep(x, fixed="all")
    for key, variant in net.variants(fixed="all").items():
        for got, want in zip(sweep[key], variant.kernels(x), strict=True):
            scale = np.sqrt(np.multiply.outer(np.diag(want), np.diag(want)))
            assert_close(got, want, scale, 2 * TOLERANCE[np.dtype(dtype)], f"{name} {key}")


def test_the_kernels_are_the_diagonals_own_and_symmetric() -> None:
    for key, both in DEEP.depth_sweep(X, fixed="all").items():
        for kernel in both:
            np.testing.assert_array_equal(kernel, kernel.T)
        assert_same(
            nk.Kernels(*map(np.diagonal, both)),
            DEEP.variants(fixed="all")[key].diag(X, "both"),
        )


def test_unlike_networks_share_a_pass_in_any_order() -> None:
    nets = [
        nk.models.arora(3),
        nk.serial(nk.Identity()),
        nk.mlp(2, "erf"),
        nk.serial(nk.Dense(trainable=False)),
        nk.models.arora(1),
        nk.mlp(2, "erf"),
        nk.serial(nk.Dense(), nk.Abs()),
        nk.serial(nk.Dense(), nk.Dense(), nk.Dense()),
    ]
    for order in (nets, nets[::-1]):
        for z in (None, Z):
            for got, net in zip(nk.kernels_of(order, X, z), order, strict=True):
                assert_same(got, net.kernels(X, z))


def test_results_are_arrays_of_their_own() -> None:
    first, second = nk.kernels_of([DEEP, DEEP], X, kind="ntk")
    first[:] = 0
    assert second.all()


def test_awkward_rows_hold_the_accuracy_in_a_sweep() -> None:
    # Nearly parallel pairs are treated as the most demanding network asks: never worse.
    for dtype in (np.float32, np.float64):
        x = awkward_rows(dtype)
        net = nk.mlp(6, "relu", b_std=0.1)
        sweep = net.depth_sweep(x, depths=[1, 3, 6], fixed=[0, 2])
        for key, variant in net.variants([1, 3, 6], [0, 2]).items():
            true = highprec.truth(variant.to_dict(), x, None)
            tolerance = TOLERANCE[np.dtype(dtype)]
            assert_close(sweep[key].nngp, true.nngp, true.nngp_scale, tolerance, f"{key} nngp")
            assert_close(sweep[key].ntk, true.ntk, true.ntk_scale, tolerance, f"{key} ntk")


def test_every_number_of_threads_gives_the_same_sweep() -> None:
    x = np.random.default_rng(3).standard_normal((700, 9)).astype(np.float32)
    one = DEEP.depth_sweep(x, fixed=[0, 5], threads=1)
    many = DEEP.depth_sweep(x, fixed=[0, 5], threads=3)
    for key, both in one.items():
        assert_same(both, many[key])


def test_a_large_sweep_has_all_its_tiles_and_slabs() -> None:
    # Tables of 30 networks fill several slabs of rows.
    x = np.random.default_rng(4).standard_normal((2600, 3))
    net = nk.mlp(9, "erf", b_std=0.3)
    sweep = net.depth_sweep(x, x[:40], fixed="all", kind="ntk")
    for key in ((1, 0), (5, 3), (9, 9)):
        np.testing.assert_array_equal(
            sweep[key], net.variants([key[0]], [key[1]])[key].ntk(x, x[:40])
        )


def test_kind_keys_and_kinds_of_arrays() -> None:
    nets = {"a": nk.mlp(1), ("b", 2): nk.mlp(2)}
    both = nk.kernels_of(nets, X)
    assert list(both) == list(nets)
    for kind in ("ntk", "nngp"):
        for key, one in nk.kernels_of(nets, X, kind=kind).items():
            np.testing.assert_array_equal(one, getattr(both[key], kind))
    assert nk.kernels_of([], X) == []
    assert nk.kernels_of({}, X) == {}
    assert nk.kernels_of([nk.mlp(1)], X[:0])[0].ntk.shape == (0, 0)
    single = nk.kernels_of([nk.mlp(1)], X.astype(np.float16), kind="ntk")[0]
    assert single.dtype == np.float32


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(TypeError, match=r"takes networks, got Dense\(\)"):
        nk.kernels_of([nk.mlp(1), nk.Dense()], X)  # type: ignore[list-item]
    with pytest.raises(TypeError, match="nets must be a list or a mapping of networks"):
        nk.kernels_of(nk.mlp(1), X)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="kind must be one of"):
        nk.kernels_of([nk.mlp(1)], X, kind="both kernels")
    with pytest.raises(ValueError, match="must be finite, got nan"):
        nk.kernels_of([nk.mlp(1), nk.mlp(2)], X * np.nan)


def test_the_network_that_overflows_is_named() -> None:
    nets = [nk.mlp(1), nk.mlp(3, W_std=1e60), nk.mlp(2)]
    with pytest.raises(KernelOverflowError, match=r"the kernel of serial\(Dense\(W_std=1e\+60\)"):
        nk.kernels_of(nets, X)
    z = Z.copy()
    z[3] *= 1e100
    with pytest.raises(KernelOverflowError, match=r"W_std=1e\+60.*row 3 of Z"):
        nk.kernels_of([nk.mlp(1), nk.mlp(1, W_std=1e60)], X[:1] * 1e-100, z)


def test_memory_is_that_of_all_results() -> None:
    n = len(X)
    single = 2 * n * n * 8
    work = _core.workspace_bytes(
        compile_program(*(v.layers for v in DEEP.variants().values()), width=12), n, n, 12, 8, 1
    )
    with nk.config(memory_budget=5 * single + work - 1):
        assert DEEP.kernels(X, threads=1).ntk.shape == (n, n)
        with pytest.raises(MemoryBudgetError, match=r"10 kernels of shape \(37, 37\)"):
            DEEP.depth_sweep(X, threads=1)
    with nk.config(memory_budget=5 * single + work):
        assert len(DEEP.depth_sweep(X, threads=1)) == 5


# --- what is shared ----------------------------------------------------------------------------


class CountingBuilder:
    """Stands in for the core's builder and counts the operations."""

    def __init__(self) -> None:
        self.inner = _core.Builder()
        self.counts = {"dense": 0, "activation": 0, "output": 0}

    def __getattr__(self, name: str) -> Any:
        if name in self.counts:
            self.counts[name] += 1
        return getattr(self.inner, name)


def operations(nets: list[nk.Network], monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    from ntkfast import _lowering

    builder = CountingBuilder()
    with monkeypatch.context() as patch:
        patch.setattr(_lowering, "TableBuilder", lambda _: builder)
        _lowering._compile.__wrapped__(tuple(net.layers for net in nets), 1)
    return builder.counts


def test_common_beginnings_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    depths = list(DEEP.variants().values())
    assert operations(depths, monkeypatch) == {"dense": 10, "activation": 5, "output": 5}
    one_by_one = [operations([net], monkeypatch)["dense"] for net in depths]
    assert sum(one_by_one) == 20
    # Fixed layers stand at the beginning: prefixes of one depth part ways one after the other.
    prefixes = list(DEEP.variants([5], "all").values())
    assert operations(prefixes, monkeypatch)["activation"] == 5 + 5 + 4 + 3 + 2 + 1


# --- model selection ---------------------------------------------------------------------------


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the networks of every pass of the core."""
    counts: list[int] = []
    plain = _core.gram

    def counted(*args: Any) -> Any:
        result = plain(*args)
        counts.append(len(result[0]))
        return result

    monkeypatch.setattr(_gram._core, "gram", counted)
    return counts


def small_table() -> tuple[np.ndarray, np.ndarray]:
    features, target = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(features[:120]), target[:120]


@pytest.mark.parametrize("kind", ["ntk", "nngp"])
def test_auto_chooses_among_its_networks_in_one_pass(kind: str, passes: list[int]) -> None:
    features, target = small_table()
    model = nk.sklearn.NTKRegressor("auto", kind=kind).fit(features, target)
    assert passes == [len(auto_networks()) if kind == "ntk" else 10]
    for net, alpha, loss in model.candidates_:
        alone = nk.sklearn.NTKRegressor([net, net], kind=kind).fit(features, target)
        assert alone.alpha_ == alpha
        assert alone.candidates_[0][2] == pytest.approx(loss, rel=1e-9)
    assert model.net_ == min(model.candidates_, key=lambda each: each[2])[0]


def test_auto_computes_in_parts_what_does_not_fit(
    passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ntkfast._estimators import base

    features, target = small_table()
    whole = nk.sklearn.NTKRegressor("auto").fit(features, target)
    monkeypatch.setattr(base, "_PASS_ENTRIES", 7 * 120 * 120)
    passes.clear()
    parts = nk.sklearn.NTKRegressor("auto").fit(features, target)
    assert set(passes[:-1]) == {7}
    assert parts.candidates_ == whole.candidates_
    # The budget holds a kernel and its decomposition, not all kernels at once.
    passes.clear()
    monkeypatch.setattr(base, "_PASS_ENTRIES", 1 << 40)
    with nk.config(memory_budget=5 * 2**20):
        model = nk.sklearn.NTKRegressor("auto", threads=1).fit(features, target)
    assert set(passes) == {1}
    assert model.candidates_ == whole.candidates_


# --- branches ------------------------------------------------------------------------------------

RESIDUAL = [
    nk.FanOut(2),
    nk.parallel([nk.Relu(), nk.Dense(1.1, 0.2)], nk.Identity()),
    nk.FanInSum(),
]


def test_residual_networks_share_their_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    nets = [nk.serial(nk.Dense(), *RESIDUAL * k, nk.Dense()) for k in (3, 1, 2)]
    assert operations(nets, monkeypatch) == {"dense": 1 + 3 + 3, "activation": 3, "output": 3}
    for z in (None, Z):
        for got, net in zip(nk.kernels_of(nets, X, z), nets, strict=True):
            assert_same(got, net.kernels(X, z))


def test_equal_branches_keep_weights_of_their_own() -> None:
    twins = nk.serial(nk.FanOut(2), nk.parallel(nk.Dense(), nk.Dense()), nk.FanInSum())
    other = nk.serial(nk.FanOut(2), nk.parallel(nk.Dense(), nk.Dense()), nk.FanInProd())
    both, product = nk.kernels_of([twins, other], X, kind="nngp")
    K = nk.serial(nk.Dense()).nngp(X)
    np.testing.assert_allclose(both, 2 * K, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(product, K * K, rtol=1e-12, atol=1e-14)


def test_depth_is_not_defined_within_branches() -> None:
    with pytest.raises(ArchitectureError, match=r"parallel\(.*activations in branches.*kernels_of"):
        nk.serial(nk.Dense(), *RESIDUAL, nk.Dense()).depth_sweep(X)


def test_a_sweep_of_layers_that_are_not_dense_or_activation() -> None:
    hidden = [nk.Dense(1.2, 0.1), nk.LayerNorm(), nk.Relu(), nk.Dropout(0.8)]
    net = nk.serial(*hidden * 3, nk.Dense())
    sweep = net.depth_sweep(X, fixed="all")
    assert len(sweep) == 2 + 3 + 4
    assert net.variants()[2, 0] == nk.serial(*hidden * 2, nk.Dense())
    for key, variant in net.variants(fixed="all").items():
        assert_same(sweep[key], variant.kernels(X))


def test_a_sweep_in_standard_parameterization() -> None:
    wide = nk.Dense(1.3, 0.1, 32, parameterization="standard")
    net = nk.serial(*[wide, nk.Erf()] * 3, wide)
    for key, variant in net.variants(fixed="all").items():
        assert_same(net.depth_sweep(X, fixed="all")[key], variant.kernels(X))
