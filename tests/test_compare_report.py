"""``ntkfast compare``: the plan, runs that go on, the files, and the page in a browser."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ntkfast import finite
from ntkfast._report import plan, session
from ntkfast._report.claims import CLAIMS
from ntkfast.cli import main
from ntkfast.errors import DivergenceError

pytest.importorskip("matplotlib").use("Agg")

#: As small as it gets: three widths, a handful of seeds.
TINY = plan.Level(1.0, (32, 64, 128), (64, 96, 128), (4, 8), (2, 5), 1, 100)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


def call(out: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["compare", "--out", str(out), "--jobs", "2", *arguments])


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Result]]:
    out = tmp_path_factory.mktemp("compare") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(plan.BUDGETS, "1min", TINY)
        yield out, call(out)


# --- Seeds within a time -----------------------------------------------------------------------


def part(key: str, **arguments: Any) -> plan.Part:
    return plan.Part(key, "deviation", key, lambda: None, **arguments)


def test_seeds_fill_the_time_and_leave_none_without() -> None:
    parts = [part("a"), part("b", weight=3.0), part("c", batch=100, most=1000)]
    units = {"a": 1.0, "b": 1.0, "c": 0.001}
    found = plan.seeds_within(41.0, units, parts, least=1)
    assert found["c"] == 1000  # as many as it may have; what it leaves goes to the others
    assert found["a"] + found["b"] in (39, 40)
    assert 2.3 < found["b"] / found["a"] < 3.3
    assert sum(units[key] * n for key, n in found.items()) <= 41.0
    # A slow machine: everybody has the least, whatever it takes.
    assert plan.seeds_within(1.0, units, parts, least=2) == {"a": 2, "b": 2, "c": 200}


def test_every_budget_plans_every_claim() -> None:
    for budget, level in plan.BUDGETS.items():
        parts = plan.parts(budget)
        assert {p.claim for p in parts} == set(CLAIMS), budget
        assert len({p.key for p in parts}) == len(parts)
        assert len(level.widths) >= 3
    assert [level.seconds for level in plan.BUDGETS.values()] == [60, 600, 3600]


# --- The run -----------------------------------------------------------------------------------


def test_a_run_says_its_estimate_before_and_writes_page_and_record(
    report: tuple[Path, Result],
) -> None:
    out, result = report
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].startswith("budget 1min, 2 networks at a time")
    assert lines[1].startswith("estimate: ")
    assert lines[-1].startswith("written: ")
    record = json.loads((out / "report.json").read_text())
    assert [claim["claim"] for claim in record["claims"]] == list(CLAIMS)
    for claim in record["claims"]:
        for measured in claim["parts"]:
            assert measured["seeds"] >= 2
            assert measured["result"]["widths"]
    assert record["environment"]["packages"]["numpy"]
    deviation = record["claims"][0]["parts"][0]["result"]
    assert len(deviation["values"]["ntk"][0]) == len(deviation["seeds"])
    page = (out / "report.html").read_text()
    assert "$" not in re.sub(r"base64,[^\"]*", "", page)  # nothing left of the template
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)  # nor any address outside


def test_a_finished_run_is_only_written_again(
    report: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(report[0], tmp_path / "run")
    out = tmp_path / "run"
    before = (out / "report.json").read_text()
    monkeypatch.setattr(session, "page", lambda *a: "")
    monkeypatch.setattr(finite, "init", lambda *a, **k: pytest.fail("a network is drawn again"))
    monkeypatch.setitem(plan.BUDGETS, "1min", TINY)
    result = call(out, "--json")
    assert result.exit_code == 0, result.output
    assert (
        json.loads(result.output)["claims"]
        == json.loads((out / "report.json").read_text())["claims"]
    )
    values = [
        json.loads(text)["claims"][0]["parts"][0]["result"] for text in (before, result.output)
    ]
    assert values[0] == values[1]


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    todo = [p for p in plan.parts("1min") if p.claim in ("deviation", "misprint")]
    monkeypatch.setattr(session, "parts", lambda budget: todo)
    monkeypatch.setitem(plan.BUDGETS, "1min", TINY)
    stopped = todo[2].measure
    said: list[str] = []

    def stop(**arguments: Any) -> Any:
        stopped(**{**arguments, "seeds": 1})
        raise KeyboardInterrupt

    object.__setattr__(todo[2], "measure", stop)
    with pytest.raises(KeyboardInterrupt):
        session.run("1min", tmp_path, 1, "test", said.append)
    kept = json.loads((tmp_path / "plan.json").read_text())
    assert list(kept["units"]) == [p.key for p in todo[:2]]  # the third was not timed to its end
    object.__setattr__(todo[2], "measure", stopped)
    record = session.run("1min", tmp_path, 1, "test", said.append)
    assert {len(claim["parts"]) for claim in record["claims"]} == {0, 2, 3}
    assert json.loads((tmp_path / "plan.json").read_text())["units"].keys() == {p.key for p in todo}


def test_an_exploding_network_costs_its_own_part_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(**arguments: Any) -> Any:
        raise DivergenceError("training diverged & ended")

    good = plan.parts("1min")[0]
    bad = plan.Part("bad", "lazy", "a bad one", explode)
    monkeypatch.setattr(session, "parts", lambda budget: [good, bad])
    monkeypatch.setitem(plan.BUDGETS, "1min", TINY)
    said: list[str] = []
    record = session.run("1min", tmp_path, 1, "test", said.append)
    measured = {each["key"]: each for claim in record["claims"] for each in claim["parts"]}
    assert measured["bad"]["result"] is None
    assert measured["bad"]["problem"] == "training diverged & ended"
    assert measured[good.key]["result"]["values"]
    assert "  no result: training diverged & ended" in said
    assert "No result: training diverged &amp; ended" in (tmp_path / "report.html").read_text()


#: A background job starts with SIGINT ignored.
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from ntkfast.cli import main
main()
"""


def test_control_c_ends_the_command_and_keeps_what_is_finished(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-c", PROGRAM, "compare", "--budget", "10min", "--out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        begun = out / "runs" / "deviation-relu-1-hidden-layer.jsonl"
        while process.poll() is None and not begun.exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert said.startswith(f"stopped; finished networks are in {out}"), said
    assert len(begun.read_text().splitlines()) > 1
    assert not (out / "report.html").exists()


def test_another_run_is_not_mixed_in(report: tuple[Path, Result]) -> None:
    result = call(report[0], "--budget", "1h")
    assert result.exit_code == 2
    assert "holds another run" in result.output
    assert "budget 1min" in result.output
    assert result.output.count("\n") == 1


def test_folders_and_budgets_are_checked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert call(tmp_path / "file").exit_code == 2
    assert call(tmp_path, "--budget", "2min").exit_code == 2


# --- The page in a browser ---------------------------------------------------------------------

#: Appended to a copy of the page: tells what a reader's browser has made of it.
PROBE = """
<script>
const errors = [];
addEventListener("error", event => errors.push(String(event.message || event.target.src)), true);
addEventListener("load", () => {
  const images = [...document.images].map(image => {
    const canvas = document.createElement("canvas");
    canvas.width = 200; canvas.height = 100;
    const pen = canvas.getContext("2d");
    let ink = 0;
    if (image.naturalWidth > 0) {
      pen.drawImage(image, 0, 0, 200, 100);
      const data = pen.getImageData(0, 0, 200, 100).data;
      for (let i = 0; i < data.length; i += 4)
        ink += data[i + 3] > 0 && Math.min(data[i], data[i + 1], data[i + 2]) < 200;
    }
    const box = image.getBoundingClientRect();
    return {alt: image.alt, width: image.naturalWidth, height: image.naturalHeight,
            shown: [box.width, box.height], ink};
  });
  const page = document.documentElement;
  const out = document.createElement("pre");
  out.id = "probe";
  out.textContent = JSON.stringify(
    {images, errors, overflow: page.scrollWidth - page.clientWidth,
     tables: document.querySelectorAll("table").length});
  document.body.append(out);
});
</script>
"""


def opened(page: str, folder: Path, width: int = 1200) -> tuple[dict[str, Any], str]:
    """Return what the browser says of a page, and its messages."""
    assert CHROMIUM is not None
    path = folder / "page.html"
    path.write_text(page.replace("<head>", "<head>" + PROBE, 1))
    run = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            f"--user-data-dir={folder / 'profile'}",
            f"--window-size={width},900",
            "--virtual-time-budget=20000",
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r'<pre id="probe">(.*?)</pre>', run.stdout, re.DOTALL)
    assert found, run.stderr[-2000:]
    return json.loads(found[1]), "\n".join(x for x in run.stderr.splitlines() if "CONSOLE" in x)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_shows_every_picture(report: tuple[Path, Result], tmp_path: Path) -> None:
    out, _ = report
    page = (out / "report.html").read_text()
    found, console = opened(page, tmp_path)
    parts = plan.parts("1min")
    assert len(found["images"]) == 1 + len(parts)  # that of all exponents, and one of every part
    names = " ".join(image["alt"] for image in found["images"])
    for each in parts:
        assert each.name in names
    for image in found["images"]:
        assert min(image["width"], image["height"]) > 100, image
        assert min(image["shown"]) > 100, image
        assert image["ink"] > 100, image  # something is drawn: of 20,000 points
    assert found["tables"] == 3 + len(parts)
    assert found["errors"] == []
    assert console == ""
    assert found["overflow"] <= 0
    # On a telephone, too.
    assert opened(page, tmp_path, width=500)[0]["overflow"] <= 0


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_broken_picture_would_be_seen(report: tuple[Path, Result], tmp_path: Path) -> None:
    page = (report[0] / "report.html").read_text()
    broken = re.sub(r"base64,[^\"]{1000}", "base64,", page, count=1)
    found, _ = opened(broken, tmp_path)
    assert [image["ink"] > 100 for image in found["images"]].count(False) == 1
    assert len(found["errors"]) == 1
