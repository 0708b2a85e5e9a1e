"""Products without the matrix equal those with it, for all layers, shapes, dtypes and threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator, cg, eigsh

import ntkfast as nk
from ntkfast.errors import DeviceError, KernelOverflowError, MemoryBudgetError
from ntkfast.operator import KernelOperator
from support import ACTIVATIONS, Array, awkward_rows, network

rng = np.random.default_rng(0)

BRANCHES = nk.serial(
    nk.FanOut(3),
    nk.parallel(
        nk.Dense(b_std=0.2),
        nk.serial(nk.Dense(), nk.Relu(), nk.Dropout(0.7), nk.Dense()),
        nk.serial(nk.Dense(), nk.Tanh(), nk.Dense()),
    ),
    nk.FanInSum(),
    nk.LayerNorm(),
    nk.Relu(),
    nk.Dense(),
)
NETWORKS = {name: nk.from_dict(network(name, 2, 0.1)) for name in ACTIVATIONS} | {
    "Tanh": nk.mlp(2, nk.Tanh(), b_std=0.1),
    "branches": BRANCHES,
    "Sign": nk.serial(nk.Dense(), nk.Sign(), nk.Dense()),
    "Exp": nk.serial(nk.Dense(0.5), nk.Exp(b=0.5), nk.Dense()),
    "standard": nk.serial(
        nk.Dense(parameterization="standard", out_dim=64, b_std=0.3),
        nk.Relu(),
        nk.Dense(parameterization="standard", out_dim=1),
    ),
}


def assert_product(K: Array, V: Array, got: Array) -> None:
    """Assert got = K V up to the rounding of K's dtype in every term and every sum of a tile."""
    wide = K.astype(np.float64)
    error = abs(got.astype(np.float64) - wide @ V.astype(np.float64))
    size = abs(wide) @ abs(V.astype(np.float64))
    allowed = np.finfo(K.dtype).eps * (2 + min(len(V), 1024) ** 0.5) * size
    if got.dtype == np.float32:
        allowed = allowed + np.finfo(np.float32).eps * size
    assert (error <= allowed).all(), (error / np.maximum(allowed, 1e-300)).max()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer(name: str, dtype: str) -> None:
    net = NETWORKS[name]
    x = np.concatenate([awkward_rows(dtype), rng.standard_normal((30, 10)).astype(dtype)])
    z = rng.standard_normal((17, 10)).astype(dtype)
    for kind in ("ntk", "nngp"):
        for other in (None, z):
            K = getattr(net, kind)(x, other)
            A = net.operator(x, other, kind=kind)
            V = rng.standard_normal((K.shape[1], 3))
            U = rng.standard_normal((K.shape[0], 3))
            assert_product(K, V, A @ V)
            assert_product(K.T, U, A.T @ U)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("k", [1, 2, 8, 32, 33, 65])
def test_numbers_of_columns_that_come_in_one_pass(k: int, dtype: str) -> None:
    x = rng.standard_normal((700, 5)).astype(dtype)
    net = nk.mlp(2, b_std=0.1)
    K, A = net.ntk(x), net.operator(x)
    V = rng.standard_normal((700, k))
    got = A @ V
    assert_product(K, V, got)
    for c in range(0, k, 13):
        # BLAS takes another path for one column: the same up to its rounding.
        assert_product(K, V[:, c], A @ V[:, c])


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 40),
    m=st.integers(0, 40) | st.none(),
    k=st.integers(0, 33),
    dtype=st.sampled_from(["float32", "float64"]),
    v_dtype=st.sampled_from(["float32", "float64", "int16", "bool"]),
    scale=st.integers(-12, 12),
    layout=st.sampled_from(["C", "F", "strided", "reversed"]),
    threads=st.integers(1, 4),
    seed=st.integers(0, 9),
)
def test_any_shapes_dtypes_and_layouts(
    n: int,
    m: int | None,
    k: int,
    dtype: str,
    v_dtype: str,
    scale: int,
    layout: str,
    threads: int,
    seed: int,
) -> None:
    own = np.random.default_rng(seed)
    x = own.standard_normal((n, 4)).astype(dtype)
    z = None if m is None else own.standard_normal((m, 4)).astype(dtype)
    net = nk.mlp(1, b_std=0.3)
    K, A = net.ntk(x, z), net.operator(x, z, threads=threads)
    V = (own.standard_normal((K.shape[1], k)) * 10.0 ** (scale if "f" in v_dtype else 0)).astype(
        v_dtype
    )
    view = {
        "C": V,
        "F": np.asfortranarray(V),
        "strided": np.repeat(V, 2, axis=1)[:, ::2],
        "reversed": np.ascontiguousarray(V[::-1])[::-1],
    }[layout]
    got = A @ view
    assert got.dtype == np.result_type(dtype, v_dtype)
    assert got.shape == (n, k)
    assert_product(K, V, got)
    np.testing.assert_array_equal(got, net.operator(x, z, threads=1) @ V)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_and_repetition_change_no_bit(dtype: str) -> None:
    x = rng.standard_normal((1500, 6)).astype(dtype)
    V = rng.standard_normal((1500, 4))
    net = nk.mlp(2)
    A = net.operator(x, threads=1)
    one = A @ V
    for threads in (2, 3, 5):
        B = net.operator(x, threads=threads)
        np.testing.assert_array_equal(B @ V, one)
        np.testing.assert_array_equal(B @ V, one)
    np.testing.assert_array_equal(A @ (4 * V), 4 * one)  # exact in steps of two


def test_float32_kernels_keep_float64_vectors() -> None:
    x = rng.standard_normal((3000, 3)).astype("float32")
    K, A = nk.mlp(1).ntk(x).astype(float), nk.mlp(1).operator(x)
    v = rng.standard_normal(3000)
    got = A @ v
    assert got.dtype == np.float64
    # The same float32 entries: what differs is the rounding of v and of sums within tiles.
    assert np.linalg.norm(got - K @ v) <= 1e-6 * np.linalg.norm(abs(K) @ abs(v))
    assert (A @ v.astype("float32")).dtype == np.float32


def test_it_is_what_scipy_takes() -> None:
    x = rng.standard_normal((200, 5))
    net = nk.mlp(2, b_std=0.2)
    A, K = net.operator(x), net.ntk(x)
    assert isinstance(A, LinearOperator)
    assert isinstance(A, KernelOperator)
    assert (A.shape, A.dtype, A.kind) == ((200, 200), np.float64, "ntk")
    assert A.T is A
    assert A.H is A
    y = rng.standard_normal(200)
    ridged = A + LinearOperator(A.shape, matvec=lambda v: 0.1 * v, dtype=float)
    alpha, failed = cg(ridged, y, rtol=1e-10)
    assert failed == 0
    np.testing.assert_allclose(alpha, np.linalg.solve(K + 0.1 * np.eye(200), y), rtol=1e-5)
    np.testing.assert_allclose(
        eigsh(A, 3, return_eigenvectors=False), np.linalg.eigvalsh(K)[-3:], rtol=1e-10
    )
    B, C = net.operator(x, x[:7], kind="nngp"), net.nngp(x, x[:7])
    assert B.T.shape == (7, 200)
    np.testing.assert_allclose(B.T @ (B @ C.T), C.T @ (C @ C.T), rtol=1e-10)
    np.testing.assert_allclose((2 * B).matvec(np.ones(7)), 2 * C @ np.ones(7), rtol=1e-12)
    assert (B @ np.ones((7, 1))).shape == (200, 1)
    np.testing.assert_array_equal(B.rmatvec(y), (B.rmatmat(y[:, None]))[:, 0])


def test_diagonal() -> None:
    x = rng.standard_normal((20, 5))
    net = nk.mlp(2)
    for kind in ("ntk", "nngp"):
        np.testing.assert_array_equal(net.operator(x, kind=kind).diagonal(), net.diag(x, kind))
    with pytest.raises(ValueError, match=r"cross kernel .* has no diagonal"):
        net.operator(x, x).diagonal()


def test_empty() -> None:
    net, x = nk.mlp(1), rng.standard_normal((5, 3))
    assert (net.operator(x[:0]) @ np.zeros((0, 2))).shape == (0, 2)
    np.testing.assert_array_equal(net.operator(x, x[:0]) @ np.zeros(0), np.zeros(5))
    np.testing.assert_array_equal(net.operator(x, x[:0]).T @ np.ones(5), np.zeros(0))


def test_bad_arguments_are_named() -> None:
    net, x = nk.mlp(1), rng.standard_normal((5, 3))
    with pytest.raises(ValueError, match="kind must be one of 'ntk', 'nngp', got 'both'"):
        net.operator(x, kind="both")
    with pytest.raises(ValueError, match=r"X must be finite|not finite"):
        net.operator(x * np.nan) @ np.ones(5)
    with pytest.raises(ValueError, match="dimension mismatch"):
        net.operator(x) @ np.ones(4)
    with pytest.raises(TypeError, match="V must hold real numbers, got dtype complex128"):
        net.operator(x) @ np.ones(5, complex)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="V must be finite"):
            net.operator(x) @ np.full(5, bad)
    with pytest.raises(KernelOverflowError):
        net.operator((x * 1e30).astype("float32"))
    if not nk.cuda.is_available():
        with pytest.raises(DeviceError, match="is not available"):
            net.operator(x, device="cuda")


def test_memory_is_checked_before_anything_is_computed() -> None:
    x = rng.standard_normal((2000, 4))
    with nk.config(memory_budget="16MiB"), pytest.raises(MemoryBudgetError, match="needed"):
        nk.mlp(1).operator(x, threads=64)
    A = nk.mlp(1).operator(x, threads=1)
    with (
        nk.config(memory_budget="32MiB"),
        pytest.raises(MemoryBudgetError, match=r"kernel of shape \(2000, 2000\) with 5000 vectors"),
    ):
        A @ np.zeros((2000, 5000))


def test_progress_is_that_of_each_product() -> None:
    seen: list[tuple[int, int]] = []
    A = nk.mlp(40).operator(rng.standard_normal((1500, 300)))
    with nk.config(progress=lambda done, total: seen.append((done, total))):
        A @ np.ones(1500)
    assert all(0 <= done <= total for done, total in seen)


PROGRAM = """
import os, re, signal, sys, threading, time
from pathlib import Path
import numpy as np, ntkfast as nk

def status(key):
    return int(re.search(key + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

signal.signal(signal.SIGINT, signal.default_int_handler)
x = np.random.default_rng(0).standard_normal((12000, 20), dtype=np.float32)
V = np.ones((12000, 10))
A = nk.mlp(1).operator(x, threads=2)
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
first = A @ V
print(status("VmHWM") - before)
long = nk.mlp(400, nk.Erf(), W_std=1.5, b_std=0.1).operator(x)
sent = []
def interrupt():
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)
threading.Timer(0.4, interrupt).start()
try:
    long @ V
except KeyboardInterrupt:
    print(time.monotonic() - sent[0])
assert ((A @ V) == first).all()
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux's /proc is read")
def test_memory_stays_small_and_ctrl_c_stops_within_a_second() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
    extra, stopped = (float(line) for line in run.stdout.split())
    assert extra < 64 * 2**20  # K would take 576 MB
    assert stopped <= 1.0


def test_several_threads_may_use_one_operator() -> None:
    from concurrent.futures import ThreadPoolExecutor

    x = rng.standard_normal((600, 5))
    A = nk.mlp(2).operator(x, threads=2)
    vectors: list[Any] = [rng.standard_normal((600, 2)) for _ in range(6)]
    expected = [A @ v for v in vectors]
    with ThreadPoolExecutor(3) as pool:
        for got, want in zip(pool.map(lambda v: A @ v, vectors), expected, strict=True):
            np.testing.assert_array_equal(got, want)
