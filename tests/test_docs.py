"""What the documents and examples show runs as it is printed there."""

from __future__ import annotations

import doctest
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

import ntkfast as nk

ROOT = Path(__file__).resolve().parents[1]


#: Arguments that keep an example short and off the network.
ARGUMENTS = {"image_classification": ["--digits", "--train", "60", "--test", "100"]}


@pytest.mark.parametrize("script", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_example_runs(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(script), *ARGUMENTS.get(script.stem, [])])
    runpy.run_path(str(script), run_name="__main__")
    assert capsys.readouterr().out


DOCUMENTS = [
    "quickstart.md",
    "images.md",
    "phase.md",
    "finite.md",
    "compare.md",
    "predict.md",
    "empirical.md",
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_sessions_of_a_document_run(document: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if document == "empirical.md":
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        torch.set_num_threads(1)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    failed, attempted = doctest.testfile(
        str(ROOT / "docs" / document), module_relative=False, optionflags=flags
    )
    assert attempted > 0
    assert failed == 0


@pytest.mark.parametrize("document", ["README.md", "docs/estimators.md"])
def test_the_blocks_of_a_document_run_one_after_the_other(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 2
    names: dict[str, Any] = {"net": nk.mlp(2, b_std=1.0)}
    for block in blocks:
        exec(compile(block, document, "exec"), names)
    assert names["a" if document.endswith("estimators.md") else "predicted"].ndim == 1


def test_the_blocks_of_the_migration_page_run() -> None:
    text = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "migration.md", "exec"), names)
    assert names["both"]._fields == ("nngp", "ntk")
    assert names["fx_test"].shape == (30, 1)


@pytest.mark.parametrize("document", ["README.md", *sorted(p.name for p in ROOT.glob("docs/*.md"))])
def test_links_inside_the_repository_lead_somewhere(document: str) -> None:
    path = ROOT / document if document == "README.md" else ROOT / "docs" / document
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / link).exists(), f"{document}: {link}"
