"""Settings: checked when set, local in a with block, and the memory check that reads them."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from ntkfast import _cgroup, _core, _memory
from ntkfast.config import resolve_isa
from ntkfast.errors import DeviceError, MemoryBudgetError

X = np.random.default_rng(0).standard_normal((50, 3))
NET = nk.mlp(2, b_std=0.1)
DEFAULTS = {
    "device": "auto",
    "threads": None,
    "memory_budget": None,
    "progress": False,
    "reuse_memory": True,
    "isa": "",
    "precision": "ieee",
}
GIB = 1024**3


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    for name, value in DEFAULTS.items():
        setattr(nk.config, name, value)


def test_the_defaults() -> None:
    assert {name: getattr(nk.config, name) for name in DEFAULTS} == DEFAULTS
    assert repr(nk.config).startswith("config(device='auto', threads=None")
    assert set(DEFAULTS) <= set(dir(nk.config))


def test_an_assignment_holds_for_all_threads() -> None:
    nk.config.threads = 3
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.append(nk.config.threads))
    thread.start()
    thread.join()
    assert seen == [3]


def test_a_with_block_nests_and_ends_also_after_an_error() -> None:
    with nk.config(threads=2, isa=_core.isa_available()[0]):
        with nk.config(threads=1):
            assert nk.config.threads == 1
            assert nk.config.isa == _core.isa_available()[0]
        assert nk.config.threads == 2
        with pytest.raises(KeyError), nk.config(threads=5):
            raise KeyError
        assert nk.config.threads == 2
    assert nk.config.threads is None


def test_none_in_a_with_block_overrides_too() -> None:
    nk.config.threads = 3
    with nk.config(threads=None):
        assert nk.config.threads is None


def test_a_with_block_is_invisible_to_other_threads() -> None:
    inside, done = threading.Event(), threading.Event()
    seen: list[Any] = []

    def other() -> None:
        inside.wait(10)
        seen.append(nk.config.threads)
        with nk.config(threads=7):
            done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with nk.config(threads=1):
        inside.set()
        assert done.wait(10)
        assert nk.config.threads == 1
    thread.join()
    assert seen == [None]


def test_a_with_block_is_invisible_to_other_tasks() -> None:
    async def task(n: int) -> int | None:
        with nk.config(threads=n):
            await asyncio.sleep(0)
            return nk.config.threads

    async def both() -> list[int | None]:
        return list(await asyncio.gather(task(1), task(2)))

    assert asyncio.run(both()) == [1, 2]


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("device", "gpu", ValueError),
        ("device", 0, TypeError),
        ("device", "cuda:99", DeviceError),
        ("threads", 0, ValueError),
        ("threads", 2.0, TypeError),
        ("threads", True, TypeError),
        ("threads", "2", TypeError),
        ("memory_budget", 0, ValueError),
        ("memory_budget", -5, ValueError),
        ("memory_budget", 1.5e9, TypeError),
        ("memory_budget", "8 apples", ValueError),
        ("memory_budget", "GiB", ValueError),
        ("memory_budget", "-1GiB", ValueError),
        ("memory_budget", "1e3", ValueError),
        ("memory_budget", "0.1 B", ValueError),
        ("memory_budget", "", ValueError),
        ("progress", "yes", TypeError),
        ("progress", 1, TypeError),
        ("isa", "sse9", ValueError),
        ("isa", None, TypeError),
    ],
)
def test_a_bad_value_is_refused_and_changes_nothing(
    name: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=rf"config\.{name}"):
        setattr(nk.config, name, value)
    with pytest.raises(error, match=rf"config\.{name}"):
        nk.config(**{name: value})  # here, not at the with statement
    assert getattr(nk.config, name) == DEFAULTS[name]


def test_an_unknown_setting_lists_the_known_ones() -> None:
    known = (
        "no setting '?thread'?; known are device, isa, memory_budget, precision, progress, "
        "reuse_memory, threads"
    )
    with pytest.raises(AttributeError, match=known):
        nk.config.thread = 1
    with pytest.raises(AttributeError, match=known):
        _ = nk.config.thread
    with pytest.raises(TypeError, match=known):
        nk.config(thread=1)


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("8GiB", 8 * GIB),
        ("8 gib", 8 * GIB),
        ("1.5GiB", 3 * GIB // 2),
        ("500 MB", 500 * 10**6),
        ("2kB", 2000),
        (" 1 TiB ", 1024**4),
        ("1TB", 10**12),
        ("123", 123),
        ("123B", 123),
        (np.int64(77), 77),
    ],
)
def test_a_budget_is_bytes_or_a_string(text: Any, n_bytes: int) -> None:
    nk.config.memory_budget = text
    assert nk.config.memory_budget == n_bytes


# --- progress and instruction set -------------------------------------------------------------


def test_a_progress_function_is_called_up_to_the_end() -> None:
    calls: list[tuple[int, int]] = []
    with nk.config(progress=lambda done, total: calls.append((done, total))):
        NET.ntk(X)
    assert calls
    assert calls[-1][0] == calls[-1][1]
    assert all(0 <= done <= total for done, total in calls)


def test_an_error_of_a_progress_function_reaches_the_caller() -> None:
    def fail(done: int, total: int) -> None:
        raise KeyError("mine")

    with nk.config(progress=fail), pytest.raises(KeyError, match="mine"):
        NET.ntk(X)
    NET.ntk(X)


@pytest.mark.parametrize("progress", [False, None, True])
def test_a_short_computation_prints_nothing(progress: Any, capfd: Any) -> None:
    with nk.config(progress=progress):
        NET.kernels(X)
    assert capfd.readouterr() == ("", "")


def test_a_bar_is_drawn_only_where_asked_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ntkfast._gram_progress._PATIENCE", 0.0)
    with nk.config(progress=None):  # not a terminal
        NET.ntk(X)
    assert capfd.readouterr().err == ""
    with nk.config(progress=True):
        NET.ntk(X)
    out, err = capfd.readouterr()
    assert "kernel" in err
    assert out == ""


def test_the_instruction_set_is_taken_from_config_then_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, last = _core.isa_available()[0], _core.isa_available()[-1]
    monkeypatch.delenv("NTKFAST_ISA", raising=False)
    assert resolve_isa() == ""
    monkeypatch.setenv("NTKFAST_ISA", first)
    assert resolve_isa() == first
    NET.ntk(X)
    with nk.config(isa=last):
        assert resolve_isa() == last
    monkeypatch.setenv("NTKFAST_ISA", "sse9")
    with pytest.raises(ValueError, match=r"NTKFAST_ISA must be one of .*, got 'sse9'"):
        NET.ntk(X)


# --- memory -----------------------------------------------------------------------------------


def test_the_budget_counts_results_and_workspace() -> None:
    one = 8 * len(X) ** 2
    with nk.config(memory_budget=one), pytest.raises(MemoryBudgetError, match="allowed by"):
        NET.ntk(X)
    with nk.config(memory_budget="1GiB"):
        NET.kernels(X)
        with pytest.raises(MemoryBudgetError, match=r"2 kernels of shape \(20000, 20000\)"):
            NET.kernels(np.zeros((20_000, 1)))


def test_a_budget_does_not_lend_memory_that_is_not_there() -> None:
    with nk.config(memory_budget=2**70), pytest.raises(MemoryBudgetError, match="GiB available"):
        NET.ntk(np.zeros((5_000_000, 1)))


def test_the_available_memory_is_plausible() -> None:
    free = _memory.available_bytes()
    assert 2**24 < free
    if hasattr(os, "sysconf"):
        assert free <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="no sysconf on this platform")
def test_without_linux_s_figures_all_physical_memory_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_memory, "_MEMINFO", tmp_path / "absent")
    monkeypatch.setattr(_cgroup, "_MEMBERSHIP", tmp_path / "absent")
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert _memory.available_bytes() == physical
    monkeypatch.delattr(os, "sysconf")
    assert _memory.available_bytes() == float("inf")


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_s_limit_counts_and_its_page_cache_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    names = {
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
        2: ("memory.max", "memory.current", ""),
    }[version]
    member, base = (("4:memory", "memory"), ("0:", "."))[version - 1]
    group = tmp_path / base / "outer" / "inner"
    group.mkdir(parents=True)
    (tmp_path / "cgroup").write_text(f"{member}:/outer/inner\n9:other,name:/x\n")
    monkeypatch.setattr(_cgroup, "_ROOT", tmp_path)
    monkeypatch.setattr(_cgroup, "_MEMBERSHIP", tmp_path / "cgroup")
    assert _cgroup.free_memory() == float("inf")
    (group / names[0]).write_text(f"{3 * GIB}\n")
    (group / names[1]).write_text(f"{2 * GIB}\n")
    assert _cgroup.free_memory() == GIB
    (group / "memory.stat").write_text(
        f"anon 1\n{names[2]}inactive_file {GIB // 2}\n{names[2]}active_file {GIB // 4}\n"
    )
    assert _cgroup.free_memory() == GIB * 7 // 4
    (group.parent / names[0]).write_text(f"{GIB}\n")  # the parent is tighter
    (group.parent / names[1]).write_text(f"{GIB // 2}\n")
    assert _cgroup.free_memory() == GIB // 2
    assert _memory.available_bytes() <= GIB // 2
    (group.parent / names[0]).write_text("max\n")
    assert _cgroup.free_memory() == GIB * 7 // 4


def test_config_survives_a_copy_without_recursion() -> None:
    with pytest.raises(AttributeError):
        _ = type(nk.config).__new__(type(nk.config)).nothing
    assert pickle.loads(pickle.dumps(nk.config)).threads is None
