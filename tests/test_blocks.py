"""Kernels block by block: into arrays, into files that are continued, and as operators."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse.linalg import cg

import ntkfast as nk
from ntkfast import _blocks, _sinks
from ntkfast.errors import DeviceError, KernelOverflowError, MemoryBudgetError

Array = NDArray[Any]

CONV = nk.Conv((3, 3), padding="SAME", W_std=2**0.5, b_std=0.1)
IMAGES = {
    "gap": nk.serial(CONV, nk.Relu(), CONV, nk.Erf(), nk.GlobalAvgPool(), nk.Dense()),
    "flatten": nk.serial(CONV, nk.Relu(), nk.Flatten(), nk.Dense(), nk.Relu(), nk.Dense(1.1)),
    "pools": nk.serial(
        CONV, nk.Relu(), nk.AvgPool((2, 2), (2, 2)), nk.Conv((2, 2)), nk.Relu(), nk.GlobalAvgPool()
    ),
    "dropout": nk.serial(CONV, nk.Relu(), nk.Dropout(0.6), nk.Conv((2, 2)), nk.GlobalSumPool()),
}


def pictures(n: int, dtype: str = "float32", seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(n, 6, 5, 2)).astype(dtype)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_SMALLEST", "_LARGEST"):
        monkeypatch.setattr(_blocks, name, 7)
    monkeypatch.setattr(_blocks, "_ROWS_EDGE", 7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", IMAGES)
def test_images_have_the_same_bits_block_by_block(name: str, dtype: str) -> None:
    """70 images are more than so many tiles that offsets are not dealt to threads, 7 are fewer."""
    net, x, z = IMAGES[name], pictures(70, dtype), pictures(9, dtype, 1)
    for other, shape in ((None, (70, 70)), (z, (70, 9)), (x[:0], (70, 0))):
        whole = net.kernels(x, other)
        out = (np.full(shape, np.nan, dtype), np.full(shape, np.nan, dtype))
        made = net.kernels(x, other, out=out)
        assert made.nngp is out[0]
        assert made.ntk is out[1]
        np.testing.assert_array_equal(made.nngp, whole.nngp)
        np.testing.assert_array_equal(made.ntk, whole.ntk)


@pytest.mark.parametrize("net", [nk.mlp(2, b_std=0.1), nk.mlp(2, nk.Tanh(), b_std=0.1)], ids=repr)
def test_rows_agree_within_rounding(net: nk.Network) -> None:
    """The tables of Tanh are made for all rows, not block by block."""
    x = np.random.default_rng(2).normal(size=(30, 4))
    x[20:] *= 5
    out = np.empty((30, 30))
    np.testing.assert_allclose(net.ntk(x, out=out), net.ntk(x), rtol=1e-12)
    np.testing.assert_array_equal(out, out.T)
    strided = np.zeros((60, 45))[::2, ::3]
    np.testing.assert_allclose(net.nngp(x, x[:15], out=strided), net.nngp(x, x[:15]), rtol=1e-12)


def test_an_array_that_does_not_suit_is_refused() -> None:
    net, x = IMAGES["flatten"], pictures(4)
    frozen = np.zeros((4, 4), "float32")
    frozen.flags.writeable = False
    shared = np.zeros(x.size + 16, "float32")
    for out, error, message in (
        (np.zeros((4, 3), "float32"), ValueError, "must have shape"),
        (np.zeros((4, 4)), ValueError, "dtype float32"),
        (frozen, ValueError, "writable"),
        ([[0.0] * 4] * 4, TypeError, "NumPy array or the name"),
        ("kernel.txt", ValueError, r"\.npy"),
    ):
        with pytest.raises(error, match=message):
            net.ntk(x, out=out)
    inside = shared[: x.size].reshape(x.shape)
    with pytest.raises(ValueError, match="share memory"):
        net.ntk(inside, out=shared[8:24].reshape(4, 4))
    with pytest.raises(TypeError, match="pair"):
        net.kernels(x, out=frozen)
    with pytest.raises(TypeError, match="not both"):
        net.kernels(x, out=(np.zeros((4, 4), "float32"), "kernel.npy"))
    with pytest.raises(ValueError, match="file for each"):
        net.kernels(x, out=("kernel.npy", "./kernel.npy"))
    with pytest.raises(DeviceError):
        net.ntk(x, out=np.zeros((4, 4), "float32"), device="cuda")


def test_numbers_that_cannot_be_are_refused_with_their_place() -> None:
    x = np.ones((20, 3), "float32")
    x[18] = 1e20
    with pytest.raises(KernelOverflowError, match="counted from row 14"):
        nk.mlp(1).ntk(x, out=np.empty((20, 20), "float32"))
    x[18] = np.nan
    with pytest.raises(ValueError, match="X must be finite"):
        nk.mlp(1).ntk(x, out=np.empty((20, 20), "float32"))


def test_blocks_that_do_not_fit_are_refused() -> None:
    out = np.empty((4, 4), "float32")
    with nk.config(memory_budget=1000), pytest.raises(MemoryBudgetError, match="blocks of 4 x 4"):
        IMAGES["gap"].ntk(pictures(4), out=out)


# --- Files ------------------------------------------------------------------------------------


class _Stop:
    """Ends a computation once so many parts are done, and counts what is done afterwards."""

    def __init__(self, at: int) -> None:
        self.at, self.seen = at, [10**9]

    def __call__(self, done: int, total: int) -> None:
        self.seen = [min(self.seen[0], done)]
        if done >= self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("noted", [0.0, 1e9])
def test_a_file_is_continued_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noted: float
) -> None:
    monkeypatch.setattr(_sinks, "_NOTED", noted)
    net, x = IMAGES["gap"], pictures(30)
    paths = (tmp_path / "nngp.npy", str(tmp_path / "ntk.npy"))
    with nk.config(progress=_Stop(4000)), pytest.raises(KeyboardInterrupt):
        net.kernels(x, out=paths)
    record = json.loads((tmp_path / "ntk.npy.progress.json").read_text())
    assert (record["done"], record["plan"]["edge"]) == (4, 7)
    for other, data in (
        (IMAGES["flatten"], x),
        (net, x + 1),
        (net, x.astype(float)),
        (net, x[:29]),
    ):
        with pytest.raises(ValueError, match="network, kernel, data or dtype differ"):
            other.ntk(data, out=paths[1])
    with pytest.raises(ValueError, match="another computation"):
        net.ntk(x, x, out=paths[1])
    monkeypatch.setattr(_blocks, "_LARGEST", 5)  # the blocks of the record count
    later = _Stop(10**9)
    with nk.config(progress=later):
        made = net.kernels(x, out=paths)
    assert later.seen == [4000]
    whole = net.kernels(x)
    for got, expected in zip(made, whole, strict=True):
        assert isinstance(got, np.memmap)
        assert not got.flags.writeable
        np.testing.assert_array_equal(got, expected)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["nngp.npy", "ntk.npy"]
    np.testing.assert_array_equal(np.load(paths[1]), whole.ntk)
    with pytest.raises(FileExistsError, match="would be overwritten"):
        net.ntk(x, out=paths[1])


PROGRAM = """
import sys
import numpy as np
import ntkfast as nk
from ntkfast import _blocks, _sinks

_blocks._LARGEST = _blocks._SMALLEST = 8
_sinks._NOTED = 0.0
net = nk.models.cntk(3, pool="gap")
x = np.random.default_rng(0).normal(size=(64, 10, 10, 1)).astype("float32")

def tell(done, total):
    if done > 3000:
        print("going", flush=True)

with nk.config(progress=tell):
    net.ntk(x, out=sys.argv[1])
"""


def test_a_file_survives_a_killed_process(tmp_path: Path) -> None:
    if not hasattr(signal, "SIGKILL"):
        pytest.skip("no SIGKILL")
    path = tmp_path / "kernel.npy"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "going\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    record = tmp_path / "kernel.npy.progress.json"
    assert json.loads(record.read_text())["done"] >= 2
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not record.exists()
    x = np.random.default_rng(0).normal(size=(64, 10, 10, 1)).astype("float32")
    net = nk.models.cntk(3, pool="gap")
    np.testing.assert_array_equal(np.load(path), net.ntk(x))


def test_rows_go_to_files_too(tmp_path: Path) -> None:
    x = np.random.default_rng(3).normal(size=(20, 4))
    net = nk.mlp(2)
    np.testing.assert_allclose(net.ntk(x, x[:9], out=tmp_path / "a.npy"), net.ntk(x, x[:9]))
    assert net.nngp(x[:0], x, out=tmp_path / "b.npy").shape == (0, 20)
    assert np.load(tmp_path / "b.npy").shape == (0, 20)


def test_a_disk_without_room_is_refused_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(OSError, match="the disk has") as caught:
        nk.mlp(1).ntk(np.ones((40, 3)), out=tmp_path / "kernel.npy")
    assert caught.value.filename == str(tmp_path / "kernel.npy")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="room cannot be reserved")
def test_the_room_of_a_file_is_reserved(tmp_path: Path) -> None:
    path = tmp_path / "kernel.npy"
    with nk.config(progress=_Stop(1)), pytest.raises(KeyboardInterrupt):
        nk.mlp(1).ntk(np.ones((400, 3)), out=path)
    assert path.stat().st_blocks * 512 >= 400 * 400 * 8


# --- Operators --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", IMAGES)
def test_products_are_those_of_the_kernel(name: str) -> None:
    net, x, z = IMAGES[name], pictures(20), pictures(9, seed=1)
    rng = np.random.default_rng(4)
    for kind in ("ntk", "nngp"):
        for other in (None, z):
            K = getattr(net, kind)(x, other).astype(float)
            A = net.operator(x, other, kind=kind)
            assert A.shape == K.shape
            assert A.dtype == np.float32
            V, U = rng.normal(size=(K.shape[1], 3)), rng.normal(size=20)
            np.testing.assert_allclose(A @ V, K @ V, rtol=1e-13, atol=1e-13 * abs(K).sum())
            np.testing.assert_allclose(A.T @ U, K.T @ U, rtol=1e-13, atol=1e-13 * abs(K).sum())
            np.testing.assert_array_equal(A @ np.eye(K.shape[1]), K)  # the entries, bit for bit
    own = net.operator(x)
    np.testing.assert_array_equal(own.diagonal(), net.diag(x))
    one, many = net.operator(x, threads=1) @ U, net.operator(x, threads=3) @ U
    np.testing.assert_array_equal(one, many)


def test_an_operator_of_images_solves() -> None:
    net, x = IMAGES["flatten"], pictures(20, "float64")
    y = np.random.default_rng(5).normal(size=20)
    found, failed = cg(net.operator(x), y, rtol=1e-12)
    assert failed == 0
    np.testing.assert_allclose(found, np.linalg.solve(net.ntk(x), y), rtol=1e-7)


def test_progress_of_blocks_rises_to_the_end() -> None:
    seen: list[tuple[int, int]] = []
    with nk.config(progress=lambda done, total: seen.append((done, total))):
        IMAGES["gap"].operator(pictures(16)) @ np.ones(16)
    done = [each for each, _ in seen]
    assert done == sorted(done)
    assert seen[-1] == (6000, 6000)
    assert {total for _, total in seen} == {6000}
