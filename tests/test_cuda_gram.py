"""Kernels on a CUDA device hold the tolerances of the CPU, whatever the blocks and the arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from ntkfast import cuda
from ntkfast._arrays import prepare
from ntkfast._device import kernels_on
from ntkfast._resolution import program_for
from ntkfast.errors import DeviceError, KernelOverflowError, MemoryBudgetError
from oracle import arch as A
from oracle.compare import TOLERANCE, assert_close
from support import ACTIVATIONS, Array, assert_true, awkward_rows, network

pytestmark = pytest.mark.skipif(
    not cuda.is_available(), reason=f"no CUDA device to compute on: {cuda.reason()}"
)

every_activation = pytest.mark.parametrize("name", ACTIVATIONS)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def _rows(n: int, d: int, dtype: str, seed: int = 0) -> Array:
    """Normal rows, correlated rows and awkward ones, spread over all tiles."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    x[::3] = x[0] + 10.0 ** rng.uniform(-9, 0, (len(x[::3]), 1)) * x[::3]
    x = x.astype(dtype)
    x[1::7] = awkward_rows(dtype, d)[np.arange(len(x[1::7])) % 9]
    return x


def _scales(left: Array, right: Array) -> Array:
    return np.sqrt(np.outer(left, right).astype(np.float64))


def assert_like_cpu(net: nk.Network, x: Array, z: Array | None = None, factor: float = 1) -> None:
    """Each of both is within the tolerance of the truth."""
    got, expected = net.kernels(x, z, device="cuda"), net.kernels(x, z, device="cpu")
    left = net.diag(x, kind="both")
    right = left if z is None else net.diag(z, kind="both")
    tolerance = 2 * TOLERANCE[x.dtype] * max(1, net.conditioning(x)) * factor
    for kind in ("nngp", "ntk"):
        a, b = getattr(got, kind), getattr(expected, kind)
        scale = _scales(getattr(left, kind), getattr(right, kind))
        assert a.dtype == x.dtype
        assert_close(a, b, scale, tolerance, kind)
        if z is None:
            np.testing.assert_array_equal(a, a.T)
            np.testing.assert_array_equal(np.diag(a), np.diag(b))


@every_dtype
@pytest.mark.parametrize("b_std", [None, 0.1], ids=["nobias", "bias"])
@pytest.mark.parametrize("depth", [1, 3, 20])
@every_activation
def test_awkward_rows_at_every_depth(
    name: str, depth: int, b_std: float | None, dtype: str
) -> None:
    x = awkward_rows(dtype, seed=depth)
    with nk.config(device="cuda"):
        assert_true(network(name, depth, b_std), x, what="gram")
        assert_true(network(name, depth, b_std), x[:5], x[2:], what="cross")


@every_dtype
@every_activation
def test_every_entry_is_that_of_the_cpu(name: str, dtype: str) -> None:
    net = nk.from_dict(network(name, 3, 0.1))
    assert_like_cpu(net, _rows(401, 30, dtype))
    assert_like_cpu(net, _rows(150, 30, dtype), _rows(290, 30, dtype, seed=1))


LAYERS: dict[str, nk.Network] = {
    "Exp": nk.serial(nk.Dense(0.5), nk.Exp(b=0.5), nk.Dense()),
    "ExpNormalized": nk.serial(nk.Dense(), nk.ExpNormalized(), nk.Dense()),
    "Sign": nk.serial(nk.Dense(), nk.Sign(), nk.Dense()),
    "Monomial": nk.serial(nk.Dense(), nk.Monomial(3), nk.Dense()),
    "RectifiedMonomial": nk.serial(nk.Dense(), nk.RectifiedMonomial(2), nk.Dense()),
    "Tanh": nk.serial(nk.Dense(), nk.Tanh(), nk.Dense()),
    "Softplus": nk.serial(nk.Dense(), nk.Softplus(), nk.Dense()),
    "LayerNorm": nk.serial(nk.Dense(b_std=0.1), nk.LayerNorm(), nk.Relu(), nk.Dense()),
    "Dropout": nk.serial(nk.Dense(), nk.Relu(), nk.Dropout(0.8), nk.Dense()),
    "standard": nk.serial(
        nk.Dense(parameterization="standard", out_dim=64, b_std=0.3),
        nk.Relu(),
        nk.Dense(parameterization="standard", out_dim=1),
    ),
    "residual": nk.serial(
        nk.Dense(),
        nk.FanOut(2),
        nk.parallel(nk.Identity(), nk.serial(nk.Dense(), nk.Relu(), nk.Dense(b_std=0.1))),
        nk.FanInSum(),
        nk.Relu(),
        nk.Dense(),
    ),
    "product": nk.serial(
        nk.FanOut(2),
        nk.parallel(nk.serial(nk.Dense(), nk.Erf()), nk.serial(nk.Dense(), nk.Relu())),
        nk.FanInProd(),
        nk.Dense(),
    ),
}


@every_dtype
@pytest.mark.parametrize("name", LAYERS)
def test_every_other_layer_is_that_of_the_cpu(name: str, dtype: str) -> None:
    x = _rows(200, 20, dtype)
    assert_like_cpu(LAYERS[name], x)
    assert_like_cpu(LAYERS[name], x[:70], x[40:])


@every_dtype
def test_several_networks_in_one_pass(dtype: str) -> None:
    nets = [nk.mlp(depth, b_std=0.1) for depth in (1, 2, 4)]
    x = _rows(150, 12, dtype)
    for got, net in zip(nk.kernels_of(nets, x, device="cuda"), nets, strict=True):
        for a, b in zip(got, net.kernels(x, device="cuda"), strict=True):
            assert_close(a, b, np.sqrt(np.outer(np.diag(b), np.diag(b))), TOLERANCE[x.dtype], "")


@pytest.mark.parametrize("n", [1, 2, 31, 63, 64, 65, 127, 128, 129, 255, 257, 513])
@pytest.mark.parametrize("d", [1, 15, 16, 17, 513])
def test_sizes_around_tiles(n: int, d: int) -> None:
    for dtype in ("float32", "float64"):
        assert_like_cpu(nk.mlp(2, b_std=0.1), _rows(n, d, dtype))


@every_dtype
def test_blocks_change_no_bit(dtype: str) -> None:
    net = nk.serial(nk.Dense(b_std=0.1), nk.Tanh(), nk.Dense(), nk.Relu(), nk.Dense())
    for z in (None, _rows(333, 40, dtype, seed=1)):
        data = prepare(_rows(700, 40, dtype), z)
        program = program_for([net.layers], data.x, data.z, 1, "")
        first: list[bytes] = []
        for edge in (0, 128, 256, 640):
            K, T = kernels_on(0, program, data, True, True, 1, "", None, block_edge=edge)
            found = [K[0].tobytes(), T[0].tobytes()]
            assert found == (first or found), f"block edge {edge}"
            first = found


def test_repeating_a_computation_gives_the_same_bits() -> None:
    net, x = nk.mlp(3), _rows(900, 33, "float32")
    assert net.ntk(x, device="cuda").tobytes() == net.ntk(x, device="cuda").tobytes()


def test_too_little_memory_is_a_typed_error_and_the_next_call_works() -> None:
    torch = pytest.importorskip(
        "torch", reason="PyTorch, which takes memory away, is not installed"
    )
    torch.zeros(1, device="cuda")  # its context takes some too
    device = cuda.devices()[0]
    x = np.random.default_rng(0).standard_normal((500, 10)).astype(np.float32)
    expected = nk.mlp(2).ntk(x, device="cuda")
    left = 200 << 20
    taken = torch.empty(max(0, device.free_memory - left), dtype=torch.uint8, device="cuda")
    with pytest.raises(MemoryBudgetError, match="needed on CUDA device 0"):
        nk.mlp(2).ntk(x, device="cuda")
    del taken
    torch.cuda.empty_cache()
    np.testing.assert_array_equal(nk.mlp(2).ntk(x, device="cuda"), expected)


def test_a_device_that_is_not_there_is_an_error() -> None:
    count = cuda.device_count()
    with pytest.raises(DeviceError, match=f"there are {count} devices"):
        nk.mlp(1).ntk(np.eye(2), device=f"cuda:{count}")


def test_errors_about_rows_are_those_of_the_cpu() -> None:
    net = nk.serial(nk.Dense(), nk.Relu(), nk.Dense())
    with pytest.raises(ValueError, match="X must be finite"):
        net.ntk(np.array([[1.0, np.nan]]), device="cuda")
    with pytest.raises(KernelOverflowError):
        net.ntk(np.full((2, 2), 1e30, dtype=np.float32), device="cuda")


def test_an_exception_in_progress_stops_and_the_next_call_works() -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    x = _rows(200, 10, "float32")
    with pytest.raises(KeyboardInterrupt), nk.config(progress=stop):
        nk.mlp(1).ntk(x, device="cuda")
    assert_like_cpu(nk.mlp(1), x)


def _of_library(name: str, x: Array) -> Any:
    library = pytest.importorskip(name, reason=f"{name} is not installed")
    return library.asarray(x) if name == "cupy" else library.tensor(x, device="cuda")


@pytest.mark.parametrize("library", ["torch", "cupy"])
@every_dtype
def test_device_arrays_go_in_and_come_back(library: str, dtype: str) -> None:
    x = _rows(150, 10, dtype)
    on_device = _of_library(library, x)
    net = nk.mlp(2, b_std=0.1)
    expected = net.kernels(x, device="cuda")
    for got, other in zip(net.kernels(on_device), expected, strict=True):
        assert type(got) is type(on_device)
        assert got.device == on_device.device
        np.testing.assert_array_equal(got.get() if library == "cupy" else got.cpu(), other)
    cross = net.ntk(on_device[:40], on_device)
    np.testing.assert_array_equal(
        cross.get() if library == "cupy" else cross.cpu(), net.ntk(x[:40], x, device="cuda")
    )
    diagonal = net.diag(on_device)
    assert type(diagonal) is type(on_device)
    with pytest.raises(DeviceError, match="X is on cuda:0"):
        net.ntk(on_device, device="cpu")


def test_the_report_names_the_device() -> None:
    from ntkfast import _info

    with nk.config(device="cuda"):
        assert _info.collect()["engine"]["device"] == "cuda"
    assert cuda.devices()[0].name in dict(_info.lines(_info.collect()))["CUDA"]


def test_architecture_of_the_oracle_runs_on_the_device() -> None:
    """The chaotic phase: errors grow as the network says."""
    arch = A.mlp(10, ACTIVATIONS["Erf"], 2.0, 0.05)
    with nk.config(device="cuda"):
        assert_true(arch, awkward_rows("float64"))


def test_jobs_of_another_build_are_refused() -> None:
    from ntkfast import _cuda

    with pytest.raises(TypeError):
        _cuda.gram(object(), True, True, 0, True, 0, None)
