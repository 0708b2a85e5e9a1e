"""``ntkfast demo``: what it reports agrees with itself and with the data it was given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ntkfast._demo import tables
from ntkfast._demo.reading import DataError, read_table
from ntkfast._demo.tables import Table, bundled_tables, user_table
from ntkfast.cli import main

METHODS = {"NTK", "NNGP", "RBF-SVM", "random forest", "finite MLP"}
LINEAR = {"classification": "logistic", "regression": "ridge"}


def demo(out: Path, *arguments: object, code: int = 0) -> str:
    line = ["demo", "--quick", "--out", str(out), *map(str, arguments)]
    result = CliRunner().invoke(main, line)
    assert result.exit_code == code, result.output
    return result.output


def assert_consistent(table: dict[str, Any], splits: int) -> None:
    """Every number that can be computed from others is; every number is in its range."""
    by_name = {method["name"]: method for method in table["methods"]}
    assert set(by_name) == METHODS | {LINEAR[table["task"]]}
    assert table["train_rows"] + table["test_rows"] == table["rows"]
    for method in by_name.values():
        score = method[table["metric"]]
        assert len(score["per_split"]) == splits
        assert score["mean"] == pytest.approx(np.mean(score["per_split"]))
        assert score["spread"] == pytest.approx(np.std(score["per_split"], ddof=1))
        assert method["fit_seconds"] > 0
        assert method["predict_seconds"] > 0
    curve = table["learning_curve"]
    assert curve["train_rows"][-1] == table["train_rows"]
    assert curve["train_rows"] == sorted(curve["train_rows"])
    assert all(len(errors) == len(curve["train_rows"]) for errors in curve["mean"].values())
    comparison = table["ntk_against_best_baseline"]
    sign = 1 if table["metric"] == "accuracy" else -1
    baseline = by_name[comparison["baseline"]][table["metric"]]["mean"]
    gain = sign * (by_name["NTK"][table["metric"]]["mean"] - baseline)
    assert comparison["gain"] == pytest.approx(gain)
    assert (comparison["outcome"] == "level") == (abs(gain) <= comparison["margin"])


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    out = tmp_path_factory.mktemp("demo")
    printed = json.loads(demo(out, "--json", "--threads", 1))
    assert printed == json.loads((out / "demo.json").read_text())
    return printed, out


def test_bundled_run_is_consistent(bundled: tuple[dict[str, Any], Path]) -> None:
    result, _ = bundled
    assert [table["name"] for table in result["tables"]] == ["digits", "diabetes"]
    for table in result["tables"]:
        assert_consistent(table, splits=2)
        assert all(check["passed"] for check in table["checks"])
    assert result["engine"]["threads"] == 1
    assert result["verdict"]["passed"]


def test_bundled_scores_are_those_of_working_kernels(bundled: tuple[dict[str, Any], Path]) -> None:
    digits, diabetes = bundled[0]["tables"]
    for method in digits["methods"]:
        floor = 0.97 if method["name"] in ("NTK", "NNGP", "RBF-SVM") else 0.9
        assert floor < method["accuracy"]["mean"] <= 1
    for method in diabetes["methods"]:
        assert 0.2 < method["r2"]["mean"] < 0.7
        assert 45 < method["rmse"]["mean"] < 70
    assert digits["learning_curve"]["mean"]["NTK"][0] > digits["learning_curve"]["mean"]["NTK"][-1]


def test_picture_is_a_png_with_two_rows_of_panels(bundled: tuple[dict[str, Any], Path]) -> None:
    from matplotlib.image import imread

    pixels = imread(bundled[1] / "demo.png")
    height, width = pixels.shape[:2]
    assert width >= 1500
    assert 0.5 < height / width < 0.75
    assert pixels.std() > 0.1  # something is drawn


def test_own_csv_is_decided_encoded_and_reported_in_plain_text(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    size, color = draw.normal(size=60), draw.choice(["red", "blue"], size=60)
    price = 2 * size + (color == "red") + 0.1 * draw.normal(size=60)
    lines = [
        f"{s};{c};name {i};{p}" for i, (s, c, p) in enumerate(zip(size, color, price, strict=True))
    ]
    path = tmp_path / "shop.csv"
    path.write_text("size;color;name;price\n" + "\n".join(lines))
    out = tmp_path / "out"
    text = demo(out, "--data", path, "--target", "price")
    result = json.loads((out / "demo.json").read_text())
    (table,) = result["tables"]
    assert table["task"] == "regression"
    assert table["columns"] == 3 + 60  # size, two colours, and the names: below the limit of 100
    assert_consistent(table, splits=2)
    assert "note: regression, because 'price' holds 60 different numbers" in text
    assert "note: one-hot encoded: color (2), name (60)" in text
    assert "\x1b" not in text
    assert text.rstrip().splitlines()[-1] == result["verdict"]["text"]
    assert (out / "demo.png").stat().st_size > 10_000


def test_own_npz_of_pixels_is_classified_with_the_asked_splits(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    images = draw.integers(0, 256, size=(50, 4, 4), dtype=np.uint8)
    kinds = np.where(images.reshape(50, -1).mean(axis=1) > 127, "light", "dark")
    np.savez(tmp_path / "images.npz", images=images, kinds=kinds)
    arguments = ["--data", tmp_path / "images.npz", "--target", "kinds", "--splits", 3, "--json"]
    (table,) = json.loads(demo(tmp_path, *arguments))["tables"]
    assert (table["task"], table["classes"], table["columns"]) == ("classification", 2, 16)
    assert_consistent(table, splits=3)
    assert any("flattened" in note for note in table["notes"])
    assert any("scaled as a whole" in note for note in table["notes"])


def test_failed_check_is_named_and_exits_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(2)
    X = draw.normal(size=(40, 3))
    table = Table("noise", X, draw.normal(size=40), "regression", floor=0.9)
    monkeypatch.setattr(tables, "bundled_tables", lambda: [table])
    text = demo(tmp_path, code=1)
    assert "FAILED: 1 of 5 checks: NTK r2 on noise is at least 0.9" in text


def test_noise_is_no_failure_but_said(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    kinds = np.where(np.arange(60) % 10, "common", "rare")
    path = save(tmp_path, draw.normal(size=(60, 3)), kinds)
    text = demo(tmp_path, "--data", path)
    assert "no better than a constant guess" in text


def save(folder: Path, X: Any, y: Any) -> Path:
    np.savez(folder / "table.npz", X=X, y=y)
    return folder / "table.npz"


@pytest.mark.parametrize(
    ("y", "task", "why"),
    [
        (np.arange(40) % 3, "classification", "3 different whole numbers"),
        (np.arange(40) % 3 * 1.0, "classification", "3 different whole numbers"),
        (np.arange(40) % 3 / 2, "regression", "3 different numbers"),
        (np.arange(40), "regression", "40 different numbers"),
        (np.array(["a", "b"] * 20), "classification", "is text"),
    ],
)
def test_task_is_decided_by_the_target(tmp_path: Path, y: Any, task: str, why: str) -> None:
    table = user_table(save(tmp_path, np.eye(40), y), None, None, None, 0)
    assert table.task == task
    assert any(why in note for note in table.notes)


def test_task_can_be_forced(tmp_path: Path) -> None:
    path = save(tmp_path, np.eye(40), np.arange(40) % 3)
    table = user_table(path, None, "regression", None, 0)
    assert (table.task, table.y.dtype) == ("regression", np.float64)


def test_rows_are_capped_with_a_note_and_the_seed_decides_which(tmp_path: Path) -> None:
    path = save(tmp_path, np.arange(8000.0).reshape(4000, 2), np.arange(4000) % 2)
    default = user_table(path, None, None, None, 0)
    assert len(default.y) == tables.DEFAULT_MAX_ROWS
    assert any("3,000 of 4,000 rows, drawn at random with seed 0" in n for n in default.notes)
    asked = [user_table(path, None, None, 500, seed).X for seed in (0, 0, 1)]
    assert len(asked[0]) == 500
    assert np.array_equal(asked[0], asked[1])
    assert not np.array_equal(asked[0], asked[2])
    assert len(user_table(path, None, None, 10_000, 0).y) == 4000


def test_rows_beyond_memory_are_refused_with_a_number_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path, np.arange(8000.0).reshape(4000, 2), np.arange(4000) % 2)
    monkeypatch.setattr(tables, "available_bytes", lambda: 96.0 * 1000**2)
    with pytest.raises(DataError, match=r"4,000 rows need about .* --max-rows 1000 fits"):
        user_table(path, None, None, 4000, 0)
    assert len(user_table(path, None, None, 1000, 0).y) == 1000


def test_csv_reader_keeps_quotes_separators_and_values(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('\ufeffa,b,kind\n1, 2.5 ,"x,y"\n-3e1,4,z\n', encoding="utf-8")
    raw = read_table(path, "kind")
    assert raw.X.tolist() == [[1.0, 2.5], [-30.0, 4.0]]
    assert raw.y.tolist() == ["x,y", "z"]


def test_text_columns_with_too_many_values_are_left_out_and_said(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,x,y\n" + "\n".join(f"n{i},{i},{i / 7}" for i in range(150)))
    raw = read_table(path, "y")
    assert raw.X.shape == (150, 1)
    assert any("left out" in note and "id (150 different texts)" in note for note in raw.notes)


def test_bundled_tables_need_no_file_and_have_floors() -> None:
    digits, diabetes = bundled_tables()
    assert (digits.X.shape, digits.classes) == ((1797, 64), 10)
    assert (diabetes.X.shape, diabetes.classes) == ((442, 10), 0)
    assert digits.X.mean() == pytest.approx(0, abs=1e-12)
    assert digits.X.std() == pytest.approx(1)
    assert digits.floor is not None
    assert diabetes.floor is not None


def test_rare_and_unbalanced_classes_run_without_a_stratified_split(tmp_path: Path) -> None:
    draw = np.random.default_rng(4)
    y = np.array(["common"] * 50 + ["second"] * 8 + ["single"])
    path = save(tmp_path, draw.normal(size=(59, 3)), y)
    (table,) = json.loads(demo(tmp_path, "--data", path, "--json"))["tables"]
    assert any("not stratified" in note for note in table["notes"])
    assert_consistent(table, splits=2)
