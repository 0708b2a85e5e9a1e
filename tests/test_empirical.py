"""Tangent kernels of PyTorch modules against plain autograd, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ntkfast as nk

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch_nets import cases, plain_jacobian, plain_kernel, rows  # noqa: E402

# PyTorch's own about even kernels with padding="same", which one of the networks has.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")

CASES = cases()
MODES = ("full", "trace", "diagonal")
METHODS = ("structured", "jacobian", "operator", "auto")


def close(found: Any, expected: Any, bound: float = 1e-10) -> None:
    found, expected = (
        np.asarray(each.detach() if hasattr(each, "detach") else each) for each in (found, expected)
    )
    assert found.shape == expected.shape
    assert np.abs(found - expected).max(initial=0.0) <= bound * np.abs(expected).max(initial=0.0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", CASES)
def test_every_module_and_method_agrees_with_autograd(name: str, method: str) -> None:
    module, x = CASES[name]
    j = plain_jacobian(module, x)
    some = tuple(part[:2] for part in x) if isinstance(x, tuple) else x[:2]
    for mode in MODES:
        kernel = nk.empirical.ntk(module, x, outputs=mode, method=method, batch_size=2)
        close(kernel, plain_kernel(j, j, mode))
        cross = nk.empirical.ntk(module, some, x, outputs=mode, method=method)
        close(cross, plain_kernel(j[:2], j, mode))
        axes = (1, 0, 3, 2) if mode == "full" else (1, 0, 2)[: kernel.ndim]
        assert torch.equal(kernel, kernel.permute(axes))  # symmetric to the last bit


# --- Which way serves which parameter ----------------------------------------------------------


def served(name: str, **options: Any) -> dict[str, str]:
    module, x = CASES[name]
    return dict(nk.empirical.explain(module, x, method="structured", **options).served)


HOOKED = {"pairs", "gathered"}


@pytest.mark.parametrize(
    ("name", "elsewhere"),
    [
        ("mlp", set()),
        ("cnn with norms", set()),
        ("circular cnn", set()),
        ("residual", set()),
        ("used twice", set()),
        ("tied linear", set()),
        ("tied embedding", set()),
        ("embedding", set()),
        ("flattened", set()),
        ("in place", set()),
        ("several inputs", set()),
        ("grouped cnn", {"0.weight", "0.bias"}),
        ("tied embedding, by hand", {"words.weight"}),
        ("custom function", {"a.weight"}),
        ("raw parameters", {"scale"}),
        ("time first", {"a.weight", "a.bias", "b.weight", "b.bias"}),
    ],
)
def test_hooks_serve_what_they_see_completely_and_nothing_else(
    name: str, elsewhere: set[str]
) -> None:
    ways = served(name)
    found = {each for each, way in ways.items() if way not in HOOKED | {"unused"}}
    assert found == elsewhere
    if name == "raw parameters":
        assert ways["unused"] == "unused"
    if name == "custom function":
        assert ways["a.weight"] == "loop"  # it has no rule for vmap
        assert ways["a.bias"] == "unused"


def test_the_report_says_why_in_words() -> None:
    module, x = CASES["tied embedding, by hand"]
    kernel, report = nk.empirical.ntk(module, x, method="structured", return_report=True)
    assert kernel.shape == (5, 5)
    assert report.reasons["words.weight"] == "it is used outside of known layers, too"
    assert "words.weight: it is used outside of known layers, too" in str(report)
    _, report = nk.empirical.ntk(*CASES["mlp"], return_report=True)
    assert set(report.seconds) == {"structured", "jacobian", "operator"}
    assert report.method == min(report.seconds, key=lambda name: report.seconds[name])


# --- Finite differences, and the networks of the package ---------------------------------------


def test_a_tiny_network_agrees_with_finite_differences() -> None:
    torch.manual_seed(1)
    net = torch.nn.Sequential(
        torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2)
    ).double()
    x, step = rows(4, 2), 1e-6
    columns = []
    with torch.no_grad():
        for p in net.parameters():
            for k in range(p.numel()):
                before = p.view(-1)[k].item()
                p.view(-1)[k] = before + step
                up = net(x)
                p.view(-1)[k] = before - step
                columns.append((up - net(x)) / (2 * step))
                p.view(-1)[k] = before
    j = torch.stack(columns, 2)
    # Central differences: rounding eps / step and step^2 times the third derivative.
    close(nk.empirical.ntk(net, x, outputs="full"), plain_kernel(j, j, "full"), 1e-8)


@pytest.mark.parametrize("mode", MODES)
def test_an_equal_finite_network_has_an_equal_kernel(mode: str) -> None:
    standard = {"parameterization": "standard", "b_std": 0.1}
    net = nk.serial(
        nk.Dense(1.0, **standard),
        nk.Relu(),
        nk.Dense(1.0, **standard),
        nk.Tanh(),
        nk.Dense(1.0, **standard),
    )
    f = nk.finite.init(net, width=9, seed=3, features=6, outputs=4)
    layers: list[Any] = []
    for own in f.parameters:
        layer = torch.nn.Linear(*own.weights.shape).double()
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(own.weights.T.copy()))
            layer.bias.copy_(torch.from_numpy(own.bias.reshape(-1).copy()))
        layers.append(layer)
    module = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.Tanh(), layers[2])
    x = rows(5, 6).numpy()
    close(module(torch.from_numpy(x)), f(x))
    close(nk.empirical.ntk(module, x, outputs=mode), f.ntk(x, outputs=mode))


# --- Parameters, data, dtypes ------------------------------------------------------------------


def test_subsets_of_parameters_are_named_in_several_ways() -> None:
    module, x = CASES["mlp"]
    j = plain_jacobian(module, x, [module[2].weight, module[2].bias])
    expected = plain_kernel(j, j, "full")
    for chosen in (
        "2.*",
        ["2.weight", "2.bias"],
        module[2].parameters(),
        lambda name, p: name[0] == "2",
    ):
        close(nk.empirical.ntk(module, x, outputs="full", parameters=chosen), expected)
    j = plain_jacobian(module, x, [module[4].bias])
    close(nk.empirical.ntk(module, x, parameters=module[4].bias), plain_kernel(j, j, "trace"))
    close(
        nk.empirical.ntk(module, x, parameters=module[4]),
        nk.empirical.ntk(module, x, parameters="4.*"),
    )
    none = nk.empirical.ntk(module, x, parameters=lambda name, p: False)
    assert none.shape == (6, 6)
    assert not none.any()
    with pytest.raises(ValueError, match=r"'3.weight' is none of the module's parameters"):
        nk.empirical.ntk(module, x, parameters="3.weight")
    with pytest.raises(TypeError, match="parameters must be names"):
        nk.empirical.ntk(module, x, parameters=[3])
    alias, tokens = CASES["tied embedding"]
    close(
        nk.empirical.ntk(alias, tokens, parameters="out.weight"),
        nk.empirical.ntk(alias, tokens, parameters="words.weight", method="jacobian"),
    )


def test_frozen_parameters_do_not_count_and_nothing_of_the_module_changes() -> None:
    module = torch.nn.Sequential(
        torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2)
    ).double()
    module[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    x = rows(4, 6)
    j = plain_jacobian(module, x)
    for method in METHODS:
        close(
            nk.empirical.ntk(module, x, method=method, outputs="full"), plain_kernel(j, j, "full")
        )
    assert not module[0].weight.requires_grad
    assert all(p.grad is None for p in module.parameters())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not module[0]._forward_hooks


def test_data_that_the_module_overwrites_stay_as_they_are() -> None:
    class Doubling(torch.nn.Linear):
        def forward(self, x: Any) -> Any:
            return super().forward(x.mul_(2.0))

    torch.manual_seed(0)
    module, x = torch.nn.Sequential(Doubling(6, 2)).double(), rows(4, 6)
    j = plain_jacobian(module, x.clone())
    for method in METHODS:
        close(nk.empirical.ntk(module, x, method=method), plain_kernel(j, j, "trace"))
    assert torch.equal(x, rows(4, 6))


@pytest.mark.parametrize("name", ["mlp", "cnn with norms"])
def test_float32_is_as_exact_as_its_rounding(name: str) -> None:
    module, x = CASES[name]
    exact = nk.empirical.ntk(module, x, outputs="full")
    single = nk.empirical.ntk(module, x, outputs="full", dtype="float32")
    assert single.dtype == torch.float32
    close(single.double(), exact, 2e-5)
    close(
        nk.empirical.ntk(module, x.float(), outputs="full", dtype=np.float64),
        nk.empirical.ntk(module, x.float().double(), outputs="full"),
        1e-12,
    )


def test_numpy_arrays_come_back_and_any_layout_is_read() -> None:
    module, x = CASES["cnn with norms"]
    expected = nk.empirical.ntk(module, x, outputs="diagonal")
    array = np.asfortranarray(x.numpy())[:, ::-1][:, ::-1]
    kernel = nk.empirical.ntk(module, array, outputs="diagonal")
    assert isinstance(kernel, np.ndarray)
    close(kernel, expected, 1e-13)
    close(
        nk.empirical.ntk(module, x.to(memory_format=torch.channels_last), outputs="diagonal"),
        expected,
        1e-13,
    )
    array.flags.writeable = False
    close(nk.empirical.ntk(module, array, outputs="diagonal"), expected, 1e-13)
    integers = np.arange(12).reshape(2, 6)
    module, _ = CASES["mlp"]
    with pytest.raises(RuntimeError):  # a Linear layer takes no integers
        nk.empirical.ntk(module, integers)
    tokens, words = CASES["embedding"]
    close(nk.empirical.ntk(tokens, words.numpy().astype(np.int16)), nk.empirical.ntk(tokens, words))


@pytest.mark.parametrize("method", METHODS)
def test_one_row_and_no_row(method: str) -> None:
    module, x = CASES["cnn with norms"]
    j = plain_jacobian(module, x)
    close(nk.empirical.ntk(module, x[:1], method=method), plain_kernel(j[:1], j[:1], "trace"))
    for mode in MODES:
        shape = {"full": (0, 5, 3, 3), "trace": (0, 5), "diagonal": (0, 5, 3)}[mode]
        kernel = nk.empirical.ntk(module, x[:0], x, outputs=mode, method=method)
        assert kernel.shape == shape
        assert nk.empirical.ntk(module, x[:0], outputs=mode, method=method).shape[:2] == (0, 0)


def test_sequences_of_the_two_sides_may_have_different_lengths() -> None:
    module, x = CASES["embedding"]
    longer = torch.cat([x, x[:, :2]], 1)
    j, k = plain_jacobian(module, x), plain_jacobian(module, longer)
    for method in ("structured", "jacobian"):
        close(nk.empirical.ntk(module, x, longer, method=method), plain_kernel(j, k, "trace"))


@pytest.mark.parametrize("way", ["pairs", "gathered"])
@pytest.mark.parametrize("name", ["cnn with norms", "embedding", "used twice", "conv1d"])
def test_both_ways_of_a_layer_agree(name: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ntkfast.empirical import _costs

    monkeypatch.setattr(
        _costs, "best_ways", lambda model, done, pairable, mode, work: dict.fromkeys(pairable, way)
    )
    module, x = CASES[name]
    j = plain_jacobian(module, x)
    for mode in MODES:
        kernel = nk.empirical.ntk(module, x, outputs=mode, method="structured", batch_size=3)
        close(kernel, plain_kernel(j, j, mode))
    assert way in set(served(name).values())


@pytest.mark.parametrize("name", ["mlp", "cnn with norms", "embedding", "tied embedding, by hand"])
def test_the_contraction_for_devices_agrees(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs where the core does not reach; here on the CPU."""
    from ntkfast.empirical import _contract, _on_device

    monkeypatch.setattr(_contract, "on_core", lambda terms: False)
    calls: list[str] = []
    original = _on_device.add

    def counted(*arguments: Any) -> None:
        calls.append("add")
        original(*arguments)

    monkeypatch.setattr(_on_device, "add", counted)
    monkeypatch.setattr(_on_device, "_TILE_BYTES", 4096)  # several tiles
    module, x = CASES[name]
    j = plain_jacobian(module, x)
    for mode in MODES:
        kernel = nk.empirical.ntk(module, x, outputs=mode, method="structured", batch_size=2)
        close(kernel, plain_kernel(j, j, mode))
        axes = (1, 0, 3, 2) if mode == "full" else (1, 0, 2)[: kernel.ndim]
        assert torch.equal(kernel, kernel.permute(axes))
    assert calls


# --- Operators ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp", "cnn with norms", "custom function", "several inputs"])
def test_the_operator_is_the_full_kernel(name: str) -> None:
    module, x = CASES[name]
    some = tuple(part[:2] for part in x) if isinstance(x, tuple) else x[:2]
    a = nk.empirical.operator(module, some, x, batch_size=2)
    full = nk.empirical.ntk(module, some, x, outputs="full", method="jacobian").numpy()
    dense = full.transpose(0, 2, 1, 3).reshape(a.shape)
    v = np.random.default_rng(0).standard_normal((a.shape[1], 2))
    close(a @ v, dense @ v)
    close(a.T @ v[: a.shape[0]], dense.T @ v[: a.shape[0]])
    assert a.way == ("double backward" if name == "custom function" else "forward mode")


# --- Refusals ----------------------------------------------------------------------------------


class Coupled(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(6, 2)

    def forward(self, x: Any) -> Any:
        return self.layer(x - x.mean(0))


class Noisy(Coupled):
    def forward(self, x: Any) -> Any:
        return torch.nn.functional.dropout(self.layer(x), 0.5)


class Several(Coupled):
    def forward(self, x: Any) -> Any:
        return self.layer(x), x


class Summed(Coupled):
    def forward(self, x: Any) -> Any:
        return self.layer(x).sum(0)


@pytest.mark.parametrize(
    ("module", "error", "text"),
    [
        (
            lambda: torch.nn.Sequential(torch.nn.BatchNorm1d(6)),
            nk.errors.ArchitectureError,
            r"0 \(BatchNorm1d\).*module.eval",
        ),
        (
            lambda: torch.nn.BatchNorm1d(6, track_running_stats=False).eval(),
            nk.errors.ArchitectureError,
            "batch",
        ),
        (
            lambda: torch.nn.Sequential(torch.nn.Linear(6, 2), torch.nn.Dropout(0.5)),
            nk.errors.ArchitectureError,
            "random in training",
        ),
        (Coupled, nk.errors.ArchitectureError, "depends on the other samples"),
        (Noisy, nk.errors.ArchitectureError, "random"),
        (Several, TypeError, "must return one tensor"),
        (Summed, ValueError, "one row for each"),
        (lambda: torch.nn.LazyLinear(2), ValueError, "apply the module once"),
        (lambda: len, TypeError, "module must be a torch.nn.Module"),
    ],
)
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_modules_without_a_kernel_are_refused(module: Any, error: Any, text: str) -> None:
    made = module()
    made = made.double() if isinstance(made, torch.nn.Module) else made
    with pytest.raises(error, match=text):
        nk.empirical.ntk(made, rows(5, 6))


@pytest.mark.parametrize(
    ("x", "options", "error", "text"),
    [
        (rows(3, 6).requires_grad_(), {}, TypeError, r"X requires gradients.*X.detach\(\)"),
        (rows(3, 6).to_sparse(), {}, TypeError, "X is sparse"),
        (rows(3, 6) / 0, {}, ValueError, "X must be finite"),
        (rows(3, 6).numpy().astype(complex), {}, TypeError, "X must hold real numbers"),
        (np.float64(3), {}, ValueError, "X must have samples"),
        ((), {}, ValueError, "at least one input"),
        ((rows(3, 6), rows(2, 6)), {}, ValueError, r"X\[1\] must have as many samples"),
        (rows(3, 6), {"Z": rows(3, 6).numpy()}, TypeError, "arrays of one kind"),
        (rows(3, 6), {"Z": (rows(3, 6), rows(3, 6))}, ValueError, "as many inputs"),
        (rows(3, 6), {"outputs": "all"}, ValueError, "outputs must be one of"),
        (rows(3, 6), {"method": "fast"}, ValueError, "method must be one of"),
        (rows(3, 6), {"batch_size": 0}, ValueError, "batch_size"),
        (rows(3, 6), {"dtype": "int32"}, TypeError, "dtype must be float32 or float64"),
        (rows(3, 6), {"out": "kernel.txt"}, ValueError, r"\.npy"),
    ],
)
def test_bad_arguments_are_refused_by_name(
    x: Any, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        nk.empirical.ntk(CASES["mlp"][0], x, **options)


# --- Blocks, budgets, files --------------------------------------------------------------------


def test_the_kernel_does_not_depend_on_blocks_or_groups_of_parameters() -> None:
    module, x = CASES["mlp"]
    x = rows(40, 6)
    expected = nk.empirical.ntk(module, x, outputs="full")
    for method in ("structured", "jacobian"):
        seen = set()
        for budget in ("600 kB", "160 kB", "150 kB"):
            kernel, report = nk.empirical.ntk(
                module, x, outputs="full", method=method, memory_budget=budget, return_report=True
            )
            close(kernel, expected, 1e-12)
            seen.add((report.rows, report.held, report.groups))
        assert len(seen) > 1
    with pytest.raises(nk.errors.MemoryBudgetError, match="full tangent kernel of 40 x 40"):
        nk.empirical.ntk(module, x, outputs="full", memory_budget="100 kB")


def test_a_file_is_written_continued_and_never_overwritten(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ntkfast.empirical import _kernel

    monkeypatch.setattr(_kernel, "_NOTED", 0.0)
    module, x = CASES["mlp"]
    x = rows(11, 6)
    path = tmp_path / "kernel.npy"
    options: dict[str, Any] = {"outputs": "full", "batch_size": 2, "out": path}

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nk.empirical.ntk(module, x, progress=stop, **options)
    with pytest.raises(ValueError, match="another computation"):
        nk.empirical.ntk(module, x + 1, **options)
    steps: list[int] = []
    kernel = nk.empirical.ntk(module, x, progress=lambda done, total: steps.append(done), **options)
    assert steps[0] == 4  # the steps before are not repeated
    assert isinstance(kernel, np.memmap)
    assert not kernel.flags.writeable
    close(kernel, nk.empirical.ntk(module, x, outputs="full"), 1e-13)
    assert [each.name for each in tmp_path.iterdir()] == ["kernel.npy"]
    with pytest.raises(FileExistsError, match="would be overwritten"):
        nk.empirical.ntk(module, x, **options)


@pytest.mark.parametrize("method", ["jacobian", "operator"])
def test_every_method_writes_files(method: str, tmp_path: Any) -> None:
    module, x = CASES["embedding"]
    nk.empirical.ntk(module, x[:0], x, method=method, out=tmp_path / "empty.npy")
    assert np.load(tmp_path / "empty.npy").shape == (0, 6)
    kernel = nk.empirical.ntk(module, x, x[:3], method=method, out=tmp_path / "kernel.npy")
    close(kernel, nk.empirical.ntk(module, x, x[:3]))
