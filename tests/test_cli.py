"""The command line: help, info, and errors that are one line with exit code 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import ntkfast as nk
from ntkfast import _core, _info
from ntkfast._progress import progress_bar
from ntkfast.cli import main


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("command", [[], ["demo"], ["compare"], ["info"]])
def test_help_names_the_command_and_its_options(command: list[str]) -> None:
    result = call(*command, "--help")
    assert result.exit_code == 0
    assert "Usage: " in result.output
    assert "--json" in result.output or not command


def test_version_is_the_package_version() -> None:
    assert nk.__version__ in call("--version").output


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "ntkfast", "--version"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == f"ntkfast, version {nk.__version__}\n"


def test_unknown_command_is_refused() -> None:
    assert call("train").exit_code == 2


def test_info_json_tells_build_instruction_set_threads_and_versions() -> None:
    result = call("info", "--json")
    assert result.exit_code == 0
    info = json.loads(result.output)
    assert info["version"] == nk.__version__
    assert info["build"] == _core.build_info()
    assert info["engine"]["isa"] in info["isa_available"] == _core.isa_available()
    assert info["engine"]["threads"] >= 1
    assert info["cuda"]["available"] == (info["cuda"]["reason"] == "")
    assert info["packages"]["numpy"] == np.__version__
    assert {library["package"] for library in info["libraries"]} - {"system"}


def test_info_shows_a_forced_instruction_set_and_thread_count() -> None:
    with nk.config(isa="baseline", threads=1):
        assert _info.engine() == {"device": "cpu", "isa": "baseline", "threads": 1}


def test_info_text_has_one_line_per_fact_and_no_escape_codes() -> None:
    output = call("info").output
    assert "instruction sets" in output
    assert "CUDA" in output
    assert "\x1b" not in output


def test_info_reports_variables_that_change_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NTKFAST_NUM_THREADS", "1")
    assert _info.collect()["environment"]["NTKFAST_NUM_THREADS"] == "1"


def write_csv(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def rows(count: int, line: str = "{i},{z},{y}") -> str:
    body = (line.format(i=i, z=i % 7, y="ab"[i % 2]) for i in range(count))
    return "\n".join(["first,second,kind", *body])


BAD_CSV = {
    "empty": ("", "header line and rows"),
    "header only": ("first,second,kind\n", "header line and rows"),
    "few rows": (rows(29), "at least 30 rows, got 29"),
    "no such column": (rows(40).replace("kind", "sort"), "no column 'kind'; columns: first"),
    "column twice": (rows(40).replace("second", "first"), "names the column 'first' twice"),
    "missing cell": (rows(40).replace("\n7,0,", "\n7,,"), "row 8 (after the header), column 'sec"),
    "NaN cell": (rows(40).replace("\n7,0,", "\n7,NaN,"), "column 'second': 'NaN'"),
    "infinite cell": (rows(40).replace("\n7,0,", "\n7,inf,"), "finite number, got 'inf'"),
    "missing target": (
        rows(40).replace("\n7,0,b", "\n7,0,"),
        "row 8 (after the header), column 'k",
    ),
    "ragged row": (rows(40).replace("\n7,0,b", "\n7,0"), "row 8 has 2 cells, the header has 3"),
    "one class": (rows(40).replace("a", "b"), "one class only: 'b'"),
    "rare class": (rows(40).replace("a", "b").replace("\n4,4,b", "\n4,4,a"), "two classes with 5"),
    "constant features": (rows(40, "1,2,{y}"), "every feature column is constant"),
    "target alone": ("kind\n" + "a\nb\n" * 30, "no usable feature column"),
    "huge number": (rows(40).replace("\n7,0,", "\n7,1e200,"), "up to 1e+100, got 1e+200"),
    "not text": ("first,second,kind\n\udcff", "UTF-8"),
}


@pytest.mark.parametrize("case", BAD_CSV)
def test_bad_csv_is_one_line_and_exit_code_2(tmp_path: Path, case: str) -> None:
    text, expected = BAD_CSV[case]
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode("utf-8", errors="surrogateescape"))
    result = call("demo", "--data", path, "--target", "kind", "--out", tmp_path / "out")
    assert_one_line(result, expected)


def assert_one_line(result: Result, expected: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1
    assert expected in result.output


X40, Y40 = np.linspace(-1, 1, 80).reshape(40, 2), np.arange(40) % 2
BAD_NPZ = {
    "no target": ({"X": X40, "label": Y40}, "no array 'y'; arrays: X, label"),
    "no features": ({"a": X40, "b": X40, "y": Y40}, "features in an array 'X'"),
    "lengths differ": ({"X": X40, "y": Y40[:39]}, "got (40, 2) and (39,)"),
    "NaN": ({"X": np.where(X40 == -1, np.nan, X40), "y": Y40}, "first: row 0, column 0"),
    "NaN target": ({"X": X40, "y": np.full(40, np.nan)}, "row 0 (counted from 0) is not finite"),
    "text features": ({"X": X40.astype(str), "y": Y40}, "expected numbers, got dtype <U"),
    "pickled": ({"X": X40.astype(object), "y": Y40}, "without pickles"),
    "constant target": ({"X": X40, "y": np.full(40, 0.5)}, "constant: 0.5"),
}


@pytest.mark.parametrize("case", BAD_NPZ)
def test_bad_npz_is_one_line_and_exit_code_2(tmp_path: Path, case: str) -> None:
    arrays, expected = BAD_NPZ[case]
    np.savez(tmp_path / "table.npz", **arrays)
    result = call("demo", "--data", tmp_path / "table.npz", "--out", tmp_path / "out")
    assert_one_line(result, expected)


def test_unusable_files_are_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and then nothing")
    (tmp_path / "table.xls").write_bytes(b"")
    good = write_csv(tmp_path, rows(40))
    out = ["--out", tmp_path / "out"]
    for arguments, expected in [
        (["--data", tmp_path / "absent.csv"], "no such file"),
        (["--data", tmp_path], "not a file"),
        (["--data", tmp_path / "broken.npz"], "cannot be read as NPZ"),
        (["--data", tmp_path / "table.xls"], "ending in .csv or .npz, got '.xls'"),
        (["--data", good], "name the target column with --target; columns: first, second, kind"),
        (["--data", good, "--target", "kind", "--task", "regression"], "is not numeric, e.g. 'a'"),
        (["--target", "kind"], "--target needs --data"),
        (["--max-rows", "100"], "--max-rows needs --data"),
    ]:
        assert_one_line(call("demo", *arguments, *out), expected)


def test_output_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_one_line(call("demo", "--out", tmp_path / "file"), "File exists")


def test_missing_matplotlib_is_said_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert_one_line(call("demo", "--out", tmp_path), "pip install 'ntkfast[plot]'")


def test_progress_bar_is_silent_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress_bar(2) as step:
        for text in ("one", "two", ""):
            step(text)
    assert capsys.readouterr() == ("", "")


def test_progress_bar_names_the_step_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(1, enabled=True) as step:
        step("computing")
    assert "computing" in capsys.readouterr().err
