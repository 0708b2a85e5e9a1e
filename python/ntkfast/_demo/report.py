"""Results of the demonstration as text and as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from ntkfast._demo.contenders import OURS
from ntkfast._demo.contest import Contest, MethodResult

__all__ = ["as_json", "compare", "print_contest", "verdict"]

CAPTION = (
    "mean ± standard deviation over the splits; seconds: median of a split, "
    "fit includes the choice of hyperparameters"
)

#: Columns of a terminal from which on the table says what each method is.
WIDE = 130

RELATIONS = {"ahead": "ahead of", "level": "level with", "behind": "behind"}


def compare(contest: Contest) -> dict[str, Any]:
    """Compare the NTK with the best baseline, split by split.

    Returns
    -------
    dict
        ``baseline``: its name; ``gain``: how much better the NTK is in the ranking metric, mean
        over the splits; ``margin``: half the width of its 95% interval, at least one test row;
        ``outcome``: ``"ahead"``, ``"level"`` (the interval holds 0) or ``"behind"``.

    Notes
    -----
    Random splits share rows, so their differences are correlated: the variance is corrected as in
    Nadeau and Bengio 2003, Inference for the generalization error.
    """
    from scipy.stats import t as student

    sign = 1.0 if contest.metric == "accuracy" else -1.0
    baselines = [method for method in contest.methods if method.name not in OURS]
    best = max(baselines, key=lambda method: sign * _mean(method, contest.metric))
    ntk = next(method for method in contest.methods if method.name == "NTK")
    gains = sign * (np.array(ntk.scores[contest.metric]) - np.array(best.scores[contest.metric]))
    inflation = 1.0 / gains.size + contest.test_rows / contest.train_rows
    gain, deviation = float(gains.mean()), float(gains.std(ddof=1))
    margin = float(student.ppf(0.975, gains.size - 1)) * deviation * inflation**0.5
    if contest.metric == "accuracy":  # two splits may agree by chance, and the deviation be 0
        margin = max(margin, 1.0 / contest.test_rows)
    outcome = "level" if abs(gain) <= margin else "ahead" if gain > 0 else "behind"
    return {"baseline": best.name, "gain": gain, "margin": margin, "outcome": outcome}


def verdict(contests: list[Contest], seconds: float) -> tuple[bool, str]:
    """Return whether every check passed, and one line that says so and how the NTK did."""
    checks = [check for contest in contests for check in contest.checks]
    failed = [check for check in checks if not check.passed]
    parts = []
    for contest in contests:
        result = compare(contest)
        ntk = next(method for method in contest.methods if method.name == "NTK")
        part = (
            f"{contest.table.name}: NTK {contest.metric} {_with_spread(ntk, contest.metric)}, "
            f"{RELATIONS[result['outcome']]} the best baseline ({result['baseline']})"
        )
        gain = _mean(ntk, contest.metric) - contest.constant_guess
        if (gain if contest.metric == "accuracy" else -gain) <= 0.0:
            part += f", no better than a constant guess ({contest.constant_guess:.4g})"
        parts.append(part)
    if failed:
        reasons = "; ".join(f"{check.name} ({check.detail})" for check in failed)
        return False, f"FAILED: {len(failed)} of {len(checks)} checks: {reasons}"
    return True, f"OK: {len(checks)} checks passed in {seconds:.0f} s. {'; '.join(parts)}."


def as_json(contest: Contest) -> dict[str, Any]:
    """Return everything that was measured on one table, in plain JSON types."""
    table = contest.table
    return {
        "name": table.name,
        "task": table.task,
        "rows": table.X.shape[0],
        "columns": table.X.shape[1],
        "classes": table.classes,
        "notes": [*table.notes, *contest.notes],
        "train_rows": contest.train_rows,
        "test_rows": contest.test_rows,
        "metric": contest.metric,
        "constant_guess": contest.constant_guess,
        "methods": [_method_json(method) for method in contest.methods],
        "ntk_against_best_baseline": compare(contest),
        "learning_curve": {
            "train_rows": contest.curve.rows,
            "error": "1 - accuracy" if contest.metric == "accuracy" else "rmse",
            "mean": contest.curve.mean,
            "spread": contest.curve.spread,
        },
        "kernel": {
            "rows": len(contest.view.ntk),
            "seconds": contest.view.seconds,
            "eigenvalues": {
                name: {"smallest": float(values[0]), "largest": float(values[-1])}
                for name, values in contest.view.spectra.items()
            },
        },
        "checks": [asdict(check) for check in contest.checks],
    }


def print_contest(console: Console, contest: Contest) -> None:
    """Print one table's results; borders and colours on a terminal only."""
    table = contest.table
    kind = f"classification in {table.classes} classes" if table.classes else "regression"
    splits = len(contest.methods[0].fit_seconds)
    head = (
        f"{table.name}: {table.X.shape[0]:,} rows, {table.X.shape[1]:,} columns, {kind}; "
        f"{splits} random splits, {contest.train_rows:,} train and {contest.test_rows:,} test rows"
    )
    console.print(Text(head, style="bold"))
    for note in (*table.notes, *contest.notes):
        console.print(Text(f"note: {note}", style="yellow"))
    console.print(_grid(contest, terminal=console.is_terminal, wide=console.width >= WIDE))
    console.print(Text(CAPTION, style="dim"))


def _grid(contest: Contest, *, terminal: bool, wide: bool) -> RichTable:
    metrics = ["accuracy"] if contest.metric == "accuracy" else ["rmse", "r2"]
    grid = RichTable(box=box.SIMPLE_HEAD if terminal else None, pad_edge=False)
    grid.add_column("method", no_wrap=True)
    for metric in metrics:
        grid.add_column(metric, justify="right", no_wrap=True)
    grid.add_column("fit s", justify="right", no_wrap=True)
    grid.add_column("predict s", justify="right", no_wrap=True)
    if wide:
        grid.add_column("what")
    sign = 1.0 if contest.metric == "accuracy" else -1.0
    for method in sorted(contest.methods, key=lambda m: -sign * _mean(m, contest.metric)):
        grid.add_row(
            Text(method.name),
            *(Text(_with_spread(method, metric)) for metric in metrics),
            Text(f"{np.median(method.fit_seconds):.3f}"),
            Text(f"{np.median(method.predict_seconds):.3f}"),
            *([Text(method.what)] if wide else []),
            style="bold green" if method.name in OURS else "",
        )
    return grid


def _method_json(method: MethodResult) -> dict[str, Any]:
    scores = {
        metric: {
            "mean": float(np.mean(values)),
            "spread": float(np.std(values, ddof=1)),
            "per_split": values,
        }
        for metric, values in method.scores.items()
    }
    return {
        "name": method.name,
        "what": method.what,
        **scores,
        "fit_seconds": float(np.median(method.fit_seconds)),
        "predict_seconds": float(np.median(method.predict_seconds)),
    }


def _mean(method: MethodResult, metric: str) -> float:
    return float(np.mean(method.scores[metric]))


def _with_spread(method: MethodResult, metric: str) -> str:
    mean, spread = _mean(method, metric), float(np.std(method.scores[metric], ddof=1))
    decimals = 3
    if metric == "rmse" and mean > 0.0:  # in the target's unit: four digits, whatever its size
        decimals = max(0, 3 - math.floor(math.log10(mean)))
    return f"{mean:.{decimals}f} ± {spread:.{decimals}f}"
