"""The check for machines with a GPU: its verdict, its report, and that no step stops it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ntkfast import cuda

BENCH = Path(__file__).parents[1] / "bench"
STEPS = ["packages", "build", "smoke", "tests on the device", "Gram matrices"]
STEPS += ["solves and products", "ways of multiplying", "tangent kernels", "images", "contenders"]
STEPS += ["memcheck", "racecheck", "registers", "C++ tests"]


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


report = _module("gpu_report")

#: What a run on a GPU would write down. Invented figures, to test the report.
GRAM = {
    "device": "imagined",
    "compute_capability": [9, 0],
    "floors": {"write": {"gb_per_s": 1000.0}, "copy": {"error": "RuntimeError: no"}},
    "cases": [
        {"what": "difference from CPU", "net": "Relu", "dtype": "float32", "n": 2048}
        | {"result": {"nngp": 1e-7, "ntk": 2e-7}},
        {"what": "product floor", "n": 65536, "d": 784, "dtype": "float32"}
        | {"result": {"half_seconds": 0.1, "all": [1, 2]}},
        {"what": "on the device", "n": 65536, "d": 784, "dtype": "float32", "net": "Relu"}
        | {"kernels": 2, "result": {"seconds": 0.14, "all_seconds": [0.14]}},
    ],
}
SOLVES = {
    "cases": [
        {"what": "fit", "n": 50_000, "result": {"seconds": 9.0, "device": "cuda:0"}},
        {"what": "operator", "n": 262_144, "result": {"seconds": 1.2}},
        {"what": "product", "n": 262_144, "result": {"seconds": 1.0}},
    ]
}
CONTENDERS = {
    "cases": [
        {"n": 4096, "dtype": "float32"}
        | {"result": {"ntkfast": {"seconds": 0.1}, "PyTorch": {"absent": "E: a|b\nc"}}}
    ],
    "error of PyTorch's recursion in float32": {"nngp": 1e-6, "ntk": 1e-4},
}


IMAGES = {
    "cases": [
        {"what": "rate", "depth": 10, "readout": "pool", "dtype": "float32"}
        | {"result": {"pairs_per_second": 40_000.0, "projected_hours_of_CIFAR_10": 12.2}}
    ]
}


def _folder(path: Path, statuses: dict[str, str] | None = None, **changed: Any) -> Path:
    """Write the results of a run: all well but for what is changed."""
    statuses = dict.fromkeys(STEPS, "0") | (statuses or {})
    lines = [f"{name}\t{status}\t12" for name, status in statuses.items()]
    (path / "steps.tsv").write_text("\n".join(lines) + "\n")
    (path / "environment.txt").write_text("- date: never\n")
    whole = {"gpu_gram": GRAM, "gpu_solves": SOLVES, "gpu_contenders": CONTENDERS}
    whole |= {"gpu_images": IMAGES} | changed
    for name, content in whole.items():
        if content is not None:
            text = content if isinstance(content, str) else json.dumps(content)
            (path / f"{name}.json").write_text(text)
    return path


def test_a_complete_run_passes_and_shows_its_figures(tmp_path: Path) -> None:
    text, status = report.page(_folder(tmp_path))
    assert status == 0
    assert "**PASSED.**" in text
    # The floor is the slower of 0.1 s of product and two writes of 65536^2 floats at 1000 GB/s.
    assert "part_of_floor 0.714" in text
    assert "| 71% | yes |" in text
    assert "| 1.20 x | yes |" in text
    assert "| 9.0 s | yes |" in text
    assert "| 4096 | float32 | PyTorch | absent E: a/b c |" in text


@pytest.mark.parametrize(
    ("statuses", "changed", "status", "verdict"),
    [
        ({"smoke": "1"}, {}, 1, r"FAILED: smoke\."),
        ({"contenders": "124"}, {}, 1, r"FAILED: contenders\."),
        ({"memcheck": "9"}, {}, 1, "FAILED: memcheck, compute-sanitizer"),
        ({"memcheck": "not available"}, {}, 3, "INCOMPLETE.*memcheck, compute-sanitizer"),
        ({"C++ tests": "skipped"}, {}, 3, r"INCOMPLETE.*not seen: C\+\+ tests"),
        ({}, {"gpu_gram": None}, 3, "not seen: both kernels"),
        ({}, {"gpu_gram": '{"cases": ['}, 3, "not seen: both kernels"),
        ({}, {"gpu_gram": "[]"}, 3, "not seen: both kernels"),
        ({}, {"gpu_solves": {"cases": []}}, 3, "not seen: product without.*fit of n"),
        ({}, {"gpu_images": None}, 3, "not seen: pairs of images"),
        ({"GPU": "none"}, {}, 2, "NO GPU: 12. Nothing here was seen on a device"),
    ],
)
def test_the_verdict_tells_what_is_missing(
    tmp_path: Path, statuses: dict[str, str], changed: dict[str, Any], status: int, verdict: str
) -> None:
    import re

    text, found = report.page(_folder(tmp_path, statuses, **changed))
    assert found == status
    assert re.search(verdict, text), text[:400]


@pytest.mark.parametrize(
    ("what", "seconds", "figure"),
    [("fit", 16.0, "16.0 s"), ("operator", 1.5, "1.50 x")],
)
def test_a_missed_goal_is_a_failure(tmp_path: Path, what: str, seconds: float, figure: str) -> None:
    cases = [
        case | ({"result": {"seconds": seconds}} if case["what"] == what else {})
        for case in SOLVES["cases"]
    ]
    text, status = report.page(_folder(tmp_path, gpu_solves={"cases": cases}))
    assert status == 1
    assert f"| {figure} | NO |" in text


def test_errors_instead_of_figures_make_a_page(tmp_path: Path) -> None:
    failed = [case | {"result": {"error": "CUDA: x"}} for case in GRAM["cases"]]  # type: ignore[attr-defined,index]
    floors = {"write": {"error": "no"}}
    text, status = report.page(
        _folder(tmp_path, gpu_gram=GRAM | {"cases": failed, "floors": floors})
    )
    assert status == 3
    assert "error CUDA: x" in text
    empty = tmp_path / "empty"
    empty.mkdir()
    text, status = report.page(empty)
    assert status == 1
    assert "FAILED: no step was run" in text


# --- the script ---------------------------------------------------------------------------------

no_gpu = pytest.mark.skipif(cuda.device_count() > 0, reason="this machine has a GPU")


def _run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(BENCH / "gpu_check.sh"), str(folder / "out")],
        env={**os.environ, "PYTHON": sys.executable, "NTKFAST_GPU_WORK": str(folder / "work")}
        | environment,
        capture_output=True,
        text=True,
        timeout=100,
    )


@no_gpu
def test_without_a_gpu_the_script_says_so_and_fails(tmp_path: Path) -> None:
    done = _run(tmp_path)
    assert done.returncode == 2, done.stderr
    assert "**NO GPU: " in done.stdout
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "report.md",
        "steps.tsv",
        "environment.txt",
        "logs.txt",
    }


@no_gpu
def test_no_failing_step_stops_the_script(tmp_path: Path) -> None:
    """Every tool fails at once; every step is tried, written down and reported."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "gpu_gram.json").write_text(json.dumps(GRAM))  # of an earlier run
    for name in ("cmake", "nvcc", "ctest", "cc", "compute-sanitizer", "pip"):
        (tools / name).write_text("#!/bin/sh\necho this tool fails >&2\nexit 5\n")
    python = tools / "python"
    python.write_text(
        f'#!/bin/sh\ncase "$*" in *gpu_report.py*|-) exec {sys.executable} "$@";; esac\nexit 5\n'
    )
    for path in tools.iterdir():
        path.chmod(0o755)
    done = _run(
        tmp_path,
        NTKFAST_GPU_DRY="1",
        PYTHON=str(python),
        PATH=f"{tools}:{os.environ['PATH']}",
    )
    lines = (tmp_path / "out" / "steps.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["GPU", *STEPS], done.stdout + done.stderr
    assert done.returncode == 2
    assert "| build | FAILED (" in done.stdout
    assert "not measured" in done.stdout
    assert "imagined" not in done.stdout


def test_the_recursion_of_the_contender_is_the_kernel() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    found = _module("gpu_contenders").difference(
        np.random.default_rng(0).standard_normal((200, 30), dtype=np.float32)
    )
    assert found["nngp"] < 1e-5
    assert found["ntk"] < 1e-3  # the textbook recursion in float32
