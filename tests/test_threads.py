"""How many threads: arguments, settings, environment, containers and the pools of others."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import ntkfast as nk
from ntkfast import _cgroup, _core, _threads
from ntkfast._threads import resolve_threads

VARIABLES = ("NTKFAST_NUM_THREADS", "OMP_NUM_THREADS")


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(_threads, "_affinity", lambda: 8)
    monkeypatch.setattr(_threads, "_quota", lambda: float("inf"))
    yield
    nk.config.threads = None
    assert _core.thread_limit() == 0, "a limit stayed behind"


def test_the_default_is_every_core_that_the_process_may_use() -> None:
    assert resolve_threads() == 8


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this platform")
def test_the_affinity_of_the_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert resolve_threads() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("3", 3), (" 3 ", 3), ("3,2", 3), ("64", 8), ("", 8), ("0", 8), ("x", 8), ("-1", 8)],
)
def test_openmp_s_variable_limits_and_nonsense_in_it_is_ignored(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert resolve_threads() == expected


def test_our_own_variable_wins_over_openmp_s_and_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("NTKFAST_NUM_THREADS", "12")
    assert resolve_threads() == 12


@pytest.mark.parametrize("value", ["0", "x", "-1", "2.5", "²"])
def test_nonsense_in_our_own_variable_is_an_error(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("NTKFAST_NUM_THREADS", value)
    with pytest.raises(ValueError, match=f"NTKFAST_NUM_THREADS must be .* got '{value}'"):
        nk.mlp(1).ntk([[1.0]])


def test_config_wins_over_the_environment_and_the_argument_over_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NTKFAST_NUM_THREADS", "5")
    with nk.config(threads=6):
        assert resolve_threads() == 6
        assert resolve_threads(7) == 7
    assert resolve_threads() == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("150000 100000", 1.5),
        ("max 100000", float("inf")),
        ("50000 100000", 0.5),
        ("", float("inf")),
    ],
)
def test_a_container_s_quota_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: float
) -> None:
    (tmp_path / "box").mkdir()
    (tmp_path / "cgroup").write_text("0::/box\n")
    (tmp_path / "box" / "cpu.max").write_text(text)
    monkeypatch.setattr(_cgroup, "_ROOT", tmp_path)
    monkeypatch.setattr(_cgroup, "_MEMBERSHIP", tmp_path / "cgroup")
    assert _cgroup.cpu_quota() == expected


def test_a_quota_of_version_1_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = tmp_path / "cpu,cpuacct" / "box"
    group.mkdir(parents=True)
    (tmp_path / "cgroup").write_text("5:cpu,cpuacct:/box\n")
    (group / "cpu.cfs_period_us").write_text("100000")
    monkeypatch.setattr(_cgroup, "_ROOT", tmp_path)
    monkeypatch.setattr(_cgroup, "_MEMBERSHIP", tmp_path / "cgroup")
    for quota, expected in (("300000", 3.0), ("-1", float("inf"))):
        (group / "cpu.cfs_quota_us").write_text(quota)
        assert _cgroup.cpu_quota() == expected


def test_a_quota_limits_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for quota, expected in ((1.5, 2.0), (0.2, 1.0), (float("inf"), float("inf"))):
        monkeypatch.setattr(_cgroup, "cpu_quota", lambda quota=quota: quota)
        _threads._quota.cache_clear()
        assert _threads._quota() == expected
    monkeypatch.undo()
    _threads._quota.cache_clear()


# --- threadpoolctl ----------------------------------------------------------------------------


def ours() -> dict[str, object]:
    (info,) = [info for info in threadpool_info() if info["user_api"] == "ntkfast"]
    return info


def test_threadpoolctl_finds_the_core_once() -> None:
    assert ours()["num_threads"] == 8
    assert ours()["prefix"] == "_core"
    assert os.path.samefile(str(ours()["filepath"]), str(_core.__file__))


@pytest.mark.parametrize("api", [None, "ntkfast"])
def test_threadpoolctl_limits_and_lifts_the_limit(api: str | None) -> None:
    with threadpool_limits(2, user_api=api):
        assert resolve_threads() == ours()["num_threads"] == 2
        with threadpool_limits(1, user_api=api):
            assert resolve_threads() == 1
        assert resolve_threads() == 2
    assert resolve_threads() == 8


def test_limits_for_blas_are_not_for_us() -> None:
    with threadpool_limits(1, user_api="blas"):
        assert resolve_threads() == 8


def test_a_limit_is_a_cap_but_the_argument_goes_first() -> None:
    with threadpool_limits(4):
        assert resolve_threads(6) == 6
        with nk.config(threads=3):
            assert resolve_threads() == 3
        with nk.config(threads=6):
            assert resolve_threads() == 4


def test_a_limit_holds_in_all_threads() -> None:
    seen: list[int] = []
    with threadpool_limits(1):
        thread = threading.Thread(target=lambda: seen.append(resolve_threads()))
        thread.start()
        thread.join()
    assert seen == [1]


def test_a_limit_at_the_default_leaves_nothing_behind() -> None:
    with threadpool_limits(8):
        assert resolve_threads() == 8
    nk.config.threads = 16
    assert resolve_threads() == 16


def test_the_workers_of_joblib_do_not_take_all_cores() -> None:
    joblib = pytest.importorskip("joblib", reason="joblib is not installed")
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        counts = joblib.Parallel(n_jobs=2)(joblib.delayed(resolve_threads)() for _ in range(2))
    assert counts == [1, 1]
