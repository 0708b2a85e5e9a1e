"""What a Network is and what its methods return; the numbers themselves are tested elsewhere."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from sklearn.svm import SVC

import ntkfast as nk
from ntkfast.errors import ArchitectureError, KernelOverflowError, MemoryBudgetError

X = np.random.default_rng(0).standard_normal((7, 4))
Z = np.random.default_rng(1).standard_normal((5, 4))
NET = nk.serial(nk.Dense(1.3, 0.2), nk.Relu(), nk.Dense(0.9, 0.1), nk.Erf(), nk.Dense())


# --- the network as a value -------------------------------------------------------------------


def test_nested_networks_are_flattened() -> None:
    block = nk.serial(nk.Dense(), nk.Relu())
    assert nk.serial(block, nk.serial(block, nk.Dense())).layers == (
        *block.layers,
        *block.layers,
        nk.Dense(),
    )


@pytest.mark.parametrize("net", [NET, nk.models.arora(2), nk.mlp(2, "abs", fixed_layers=1)])
def test_a_network_equals_its_repr_its_pickle_and_its_copies(net: nk.Network) -> None:
    before = net.ntk(X)  # used before it is pickled
    for other in (
        eval(repr(net), vars(nk)),
        pickle.loads(pickle.dumps(net)),
        copy.copy(net),
        copy.deepcopy(net),
        nk.serial(*net.layers),
    ):
        assert other == net
        assert hash(other) == hash(net)
        np.testing.assert_array_equal(other.ntk(X), before)


def test_networks_of_different_layers_differ() -> None:
    assert NET != nk.serial(*NET.layers[:-2])
    assert nk.serial(nk.Dense()) != nk.Dense()
    assert len({NET, nk.mlp(1), nk.mlp(1, fixed_layers=1), nk.mlp(1, b_std=0.0)}) == 4


def test_a_network_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        NET.layers = ()  # type: ignore[misc]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "at least one layer"),
        ([nk.Relu()], r"^layer 1 of 1, Relu\(\) follows the input, .*Dense"),
        (
            [nk.Dense(), nk.Relu(), nk.LeakyRelu(0.2)],
            r"^layer 3 of 3, LeakyRelu\(alpha=0.2\) follows layer 2 of 3, Relu\(\), ",
        ),
        (
            [nk.Dense(), nk.Abs(), nk.Identity(), nk.Erf(), nk.Dense()],
            r"^layer 4 of 5, Erf\(\) follows layer 2 of 5, Abs\(\), .*Dense",
        ),
        ([nk.Identity(), nk.Relu(), nk.Dense()], r"^layer 2 of 3, Relu\(\) follows the input"),
        ([nk.Dense(), nk.Dense("sqrt_dim")], "layer 2 of 2.*sqrt_dim.*first layer only"),
        ([nk.Dense(), nk.FanOut(2)], r"^the network ends with 2 values: join them with FanInSum"),
        ([nk.FanInSum()], r"^layer 1 of 1, FanInSum\(\) joins branches, and there are none"),
        (
            [nk.FanOut(2), nk.Dense()],
            r"^layer 2 of 2, Dense\(\) gets 2 values: .* parallel\(\.\.\.\), or join them",
        ),
        ([nk.FanOut(2), nk.FanOut(2)], r"^layer 2 of 2, FanOut\(num=2\) gets 2 values"),
        (
            [nk.FanOut(2), nk.parallel(nk.Dense(), nk.Dense(), nk.Dense())],
            r"^layer 2 of 2, parallel\(\.\.\.\) with 3 branches, gets 2 values: FanOut\(3\) has",
        ),
        ([nk.parallel(nk.Dense())], r"with 1 branches, gets 1 value: FanOut\(1\) has to come"),
        (
            [nk.FanOut(2), nk.parallel(nk.Dense(), nk.FanOut(2)), nk.FanInSum()],
            "^branch 2 of layer 2 of 3 ends with 2 values: join",
        ),
        (
            [nk.FanOut(2), nk.parallel(nk.Dense(), [nk.Dense(), nk.Erf(), nk.Relu()])],
            r"^layer 3 of 3 in branch 2 of layer 2 of 2, Relu\(\) follows "
            r"layer 2 of 3 in branch 2 of layer 2 of 2, Erf\(\), whose",
        ),
        (
            [nk.Dense(), nk.FanOut(2), nk.parallel(nk.Identity(), nk.Relu()), nk.FanInSum()],
            r"^layer 4 of 4, FanInSum\(\) joins layer 1 of 4, Dense\(\) and "
            r"layer 1 of 1 in branch 2 of layer 3 of 4, Relu\(\), which "
            r"are not independent: .* Put a Dense layer into all branches but one",
        ),
        ([nk.Dropout(0.5), nk.Dense()], r"^layer 1 of 2, Dropout\(rate=0.5\) drops columns of"),
        ([nk.LayerNorm(), nk.Dense()], r"^layer 1 of 2, LayerNorm\(\) follows the input, .*mean"),
    ],
)
def test_an_illegal_order_is_refused_when_the_network_is_made(
    layers: list[Any], message: str
) -> None:
    with pytest.raises(ArchitectureError, match=message):
        nk.serial(*layers)


def test_sqrt_dim_may_start_every_branch() -> None:
    first = nk.Dense("sqrt_dim")
    net = nk.serial(nk.FanOut(2), nk.parallel(first, [nk.Identity(), first]), nk.FanInSum())
    np.testing.assert_allclose(net.nngp(X), 2 * X @ X.T, rtol=1e-13, atol=1e-14)
    with pytest.raises(ArchitectureError, match=r"layer 2 of 2 in branch 1.*sqrt_dim.*first layer"):
        nk.serial(nk.FanOut(2), nk.parallel([nk.Dense(), first], first), nk.FanInSum())


def test_repeat_repeats() -> None:
    block = nk.serial(nk.Dense(), nk.Relu())
    assert (
        nk.repeat(block, 3)
        == nk.repeat([nk.Dense(), nk.Relu()], 3)
        == nk.serial(*nk.mlp(3, W_std=1).layers[:-1])
    )
    assert nk.repeat(nk.Dense(), 1) == nk.serial(nk.Dense())
    residual = [nk.FanOut(2), nk.parallel([nk.Relu(), nk.Dense()], nk.Identity()), nk.FanInSum()]
    net = nk.serial(nk.Dense(), *residual * 2)
    assert net.layers == (nk.Dense(), *residual, *residual)
    for times in (0, -1):
        with pytest.raises(ValueError, match="times must be an integer >= 1"):
            nk.repeat(block, times)
    with pytest.raises(TypeError, match="times"):
        nk.repeat(block, 2.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"repeat\(\) takes layers, got"):
        nk.repeat(None, 2)  # type: ignore[arg-type]
    with pytest.raises(ArchitectureError, match=r"layer 1 of 4, Relu\(\) follows the input"):
        nk.repeat([nk.Relu(), nk.Dense()], 2)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (nk.Relu, r"write Relu\(\.\.\.\)"),
        ([nk.Dense(), nk.Relu()], r"write serial\(\*layers\)"),
        ("Dense", r"got 'Dense' \(str\)"),
        (None, "got None"),
        (nk.serial, "serial.. takes layers"),
    ],
)
def test_serial_takes_layers_only(argument: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        nk.serial(nk.Dense(), argument)


# --- what the methods return ------------------------------------------------------------------


@pytest.mark.parametrize("z", [None, Z, X], ids=["symmetric", "cross", "cross with itself"])
def test_one_pass_and_single_kernels_agree(z: Any) -> None:
    both = NET.kernels(X, z)
    assert isinstance(both, nk.Kernels)
    # not bit for bit: a compiler may fuse other multiplications where T is left out
    scale = np.abs(both.ntk).max()
    np.testing.assert_allclose(NET.nngp(X, z), both.nngp, rtol=1e-14, atol=1e-15 * scale)
    np.testing.assert_allclose(NET.ntk(X, z), both.ntk, rtol=1e-14, atol=1e-15 * scale)
    assert both.ntk.shape == (7, 7 if z is None else len(z))
    assert both.ntk.flags.writeable
    assert both.ntk.flags.owndata or both.ntk.base is not None


def test_a_cross_kernel_with_itself_is_the_symmetric_one_to_rounding() -> None:
    np.testing.assert_allclose(NET.ntk(X, X), NET.ntk(X), rtol=1e-12)
    np.testing.assert_array_equal(NET.ntk(X), NET.ntk(X).T)


def test_diag_is_the_diagonal() -> None:
    both = NET.diag(X, kind="both")
    assert isinstance(both, nk.Kernels)
    np.testing.assert_allclose(both.nngp, NET.nngp(X).diagonal(), rtol=1e-14)
    np.testing.assert_allclose(both.ntk, NET.ntk(X).diagonal(), rtol=1e-14)
    np.testing.assert_array_equal(NET.diag(X), both.ntk)
    np.testing.assert_array_equal(NET.diag(X, kind="nngp"), both.nngp)
    assert both.ntk.shape == (7,)


@pytest.mark.parametrize("kind", ["NTK", "", None, 1])
def test_diag_names_the_kinds_it_knows(kind: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="kind must be one of 'ntk', 'nngp', 'both'"):
        NET.diag(X, kind)


def test_conditioning_is_one_in_order_and_grows_in_chaos() -> None:
    calm = nk.mlp(10, b_std=0.1).conditioning(X)
    wild = nk.mlp(10, nk.Erf(), W_std=3.0).conditioning(X)
    assert type(calm) is type(wild) is float
    assert calm == pytest.approx(1, abs=1e-9)
    assert wild > 2


def test_zero_rows_give_an_empty_kernel() -> None:
    none = X[:0]
    assert NET.ntk(none).shape == (0, 0)
    assert NET.ntk(X, none).shape == (7, 0)
    assert NET.kernels(none, X).nngp.shape == (0, 7)
    assert NET.diag(none).shape == (0,)
    assert NET.ntk(none.astype(np.float32)).dtype == np.float32
    assert NET.conditioning(none) == 1.0


def test_one_row_and_one_column_work() -> None:
    assert NET.ntk([[2.0]]).shape == (1, 1)
    assert NET.ntk([[2.0]], [[1.0], [0.0]]).shape == (1, 2)


def test_calls_leave_the_input_alone_and_results_apart() -> None:
    x = X.copy()
    first = NET.ntk(x)
    first[:] = 0
    np.testing.assert_array_equal(x, X)
    assert NET.ntk(x).any()


def test_python_threads_can_share_a_network() -> None:
    net = nk.mlp(3, nk.Erf(), b_std=0.321)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: net.ntk(X), range(16)))
    for result in results:
        np.testing.assert_array_equal(result, results[0])


def test_ntk_is_a_kernel_function_for_svc() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((60, 2))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)  # exclusive or: no linear model can
    net = nk.mlp(2, b_std=0.3)
    by_function = SVC(kernel=net.ntk, C=100).fit(x[:40], y[:40])
    precomputed = SVC(kernel="precomputed", C=100).fit(net.ntk(x[:40]), y[:40])
    assert by_function.score(x[40:], y[40:]) > 0.7
    np.testing.assert_array_equal(
        by_function.predict(x[40:]), precomputed.predict(net.ntk(x[40:], x[:40]))
    )
    assert pickle.loads(pickle.dumps(by_function)).score(x[40:], y[40:]) > 0.7


# --- ready-made networks ----------------------------------------------------------------------


def test_mlp_is_what_it_says() -> None:
    assert nk.mlp(0) == nk.serial(nk.Dense())
    assert nk.mlp(2, W_std=1.5, b_std=0.1, fixed_layers=1, readout_W_std=2) == nk.serial(
        nk.Dense(1.5, 0.1, trainable=False),
        nk.Relu(),
        nk.Dense(1.5, 0.1),
        nk.Relu(),
        nk.Dense(2, 0.1),
    )
    assert nk.mlp(1) == nk.serial(nk.Dense(2**0.5), nk.Relu(), nk.Dense())


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("relu", nk.Relu()),
        ("Relu", nk.Relu()),
        ("RELU", nk.Relu()),
        ("leaky_relu", nk.LeakyRelu()),
        ("LeakyRelu", nk.LeakyRelu()),
        ("abs", nk.Abs()),
        ("erf", nk.Erf()),
        ("identity", nk.Identity()),
    ],
)
def test_mlp_knows_activations_by_name(name: str, layer: Any) -> None:
    assert nk.mlp(2, name) == nk.mlp(2, layer)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"depth": -1}, ValueError, "depth must be an integer >= 0, got -1"),
        ({"depth": 2.0}, TypeError, "depth must be an integer"),
        ({"depth": 2, "fixed_layers": 3}, ValueError, "fixed_layers must be at most depth = 2"),
        ({"depth": 2, "fixed_layers": -1}, ValueError, "fixed_layers"),
        ({"depth": 2, "activation": "gelo"}, ValueError, "unknown activation 'gelo'.*relu"),
        ({"depth": 2, "activation": "dense"}, ValueError, "unknown activation"),
        ({"depth": 2, "activation": "abrelu"}, ValueError, r"give a layer, ABRelu\(\.\.\.\)"),
        ({"depth": 2, "activation": nk.Dense()}, TypeError, "activation must be"),
        ({"depth": 2, "activation": nk.Relu}, TypeError, "activation must be"),
        ({"depth": 2, "W_std": "sqrt_dim"}, TypeError, "W_std must be a finite number"),
        ({"depth": 2, "readout_W_std": -1}, ValueError, "readout_W_std"),
        ({"depth": 2, "b_std": -1}, ValueError, "b_std"),
    ],
)
def test_mlp_names_a_bad_argument(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        nk.mlp(**arguments)


def test_with_all_but_the_readout_fixed_the_ntk_is_the_nngp_kernel() -> None:
    k = nk.mlp(3, b_std=0.2, fixed_layers=3).kernels(X)
    np.testing.assert_allclose(k.ntk, k.nngp, rtol=1e-14)


def test_each_trained_layer_adds_to_the_ntk() -> None:
    traces = [nk.mlp(4, b_std=0.2, fixed_layers=j).diag(X).sum() for j in range(5)]
    assert traces == sorted(traces, reverse=True)
    assert len(set(traces)) == 5


@pytest.mark.parametrize("depth", [0, 1, 3, 10])
@pytest.mark.parametrize("d", [1, 2, 9])
def test_arora_at_unit_norm_has_variance_one_and_ntk_depth_plus_one(depth: int, d: int) -> None:
    x = np.random.default_rng(d).standard_normal((6, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    k = nk.models.arora(depth).kernels(x)
    np.testing.assert_allclose(k.ntk.diagonal(), depth + 1, rtol=1e-13)
    np.testing.assert_allclose(k.nngp.diagonal(), 1, rtol=1e-13)
    np.testing.assert_allclose(nk.models.arora(depth).ntk(3 * x), 9 * k.ntk, rtol=1e-12, atol=1e-13)


def test_one_arora_network_serves_inputs_of_any_width() -> None:
    net = nk.models.arora(0)
    for x in (X, X[:, :2], X):
        np.testing.assert_allclose(net.nngp(x), x @ x.T, rtol=1e-13, atol=1e-14)


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "value"), [(np.float32, 3e38), (np.float64, 1.7e308)])
@pytest.mark.parametrize("method", ["ntk", "nngp", "kernels", "diag"])
def test_an_overflowing_kernel_is_an_error_that_says_what_to_do(
    dtype: Any, value: float, method: str
) -> None:
    x = np.array([[1.0, 2.0], [value, value]], dtype=dtype)
    with pytest.raises(KernelOverflowError, match=r"serial\(.* overflows: row 1 of X"):
        getattr(nk.mlp(2), method)(x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_input_whose_square_is_finite_is_computed(dtype: Any) -> None:
    big = np.sqrt(np.finfo(dtype).max).astype(dtype) * dtype(0.99)
    k = nk.mlp(2, W_std=1.0).kernels(np.full((2, 300), big, dtype=dtype))
    assert np.isfinite(k.nngp).all()
    assert np.isfinite(k.ntk).all()


@pytest.mark.parametrize("method", ["ntk", "kernels"])
def test_a_kernel_larger_than_the_memory_is_refused_before_it_starts(method: str) -> None:
    x = np.zeros((1_000_000, 1), dtype=np.float32)
    with pytest.raises(MemoryBudgetError, match=r" GiB needed .* GiB available.*block by block"):
        getattr(NET, method)(x)


@pytest.mark.parametrize("method", ["ntk", "nngp", "kernels", "diag", "conditioning"])
@pytest.mark.parametrize("threads", [0, -1, 1.0, True, "2"])
def test_threads_is_a_positive_integer(method: str, threads: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="threads must be an integer >= 1, got"):
        getattr(NET, method)(X, threads=threads)


def test_threads_is_a_keyword_so_that_sklearn_cannot_mistake_it() -> None:
    with pytest.raises(TypeError, match="positional"):
        NET.ntk(X, Z, 1)


@pytest.mark.parametrize("name", ["cuda", "plot", "sklearn", "solvers"])
def test_submodules_are_imported_on_first_use(name: str) -> None:
    assert getattr(nk, name).__name__ == f"ntkfast.{name}"
    assert nk.solve is nk.solvers.solve


def test_the_package_lists_what_it_has() -> None:
    assert set(nk.__all__) <= set(dir(nk))
    with pytest.raises(AttributeError, match="no attribute 'conv'"):
        _ = nk.conv
