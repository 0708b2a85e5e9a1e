"""Run the methods on a table: same splits for all, scores, timings, learning curve."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkfast._demo.checks import Check, KernelView, kernel_checks, kernel_view, score_checks
from ntkfast._demo.contenders import Contender, contenders
from ntkfast._demo.tables import Table

__all__ = ["Contest", "Curve", "MethodResult", "run", "steps"]

TEST_SHARE = 0.2

#: The learning curve averages over this many of the splits at most.
CURVE_SPLITS = 3

Split = tuple[NDArray[np.intp], NDArray[np.intp]]


@dataclass(frozen=True)
class MethodResult:
    """Scores of one method, one number per split.

    `scores` holds "accuracy", or "rmse" and "r2"; `fit_seconds` includes the choice of
    hyperparameters.
    """

    name: str
    what: str
    scores: dict[str, list[float]]
    fit_seconds: list[float]
    predict_seconds: list[float]


@dataclass(frozen=True)
class Curve:
    """Test error (1 - accuracy, or RMSE) by method and number of training rows."""

    rows: list[int]
    mean: dict[str, list[float]]
    spread: dict[str, list[float]]


@dataclass(frozen=True)
class Contest:
    """All results for one table.

    `constant_guess` is the mean score of guessing the most frequent class, or the mean.
    """

    table: Table
    train_rows: int
    test_rows: int
    methods: list[MethodResult]
    constant_guess: float
    curve: Curve
    view: KernelView
    checks: list[Check]
    notes: list[str]

    @property
    def metric(self) -> str:
        """Name of the score that ranks the methods."""
        return "accuracy" if self.table.task == "classification" else "rmse"


@dataclass(frozen=True)
class _Plan:
    """What will run, known before anything runs: the progress bar needs the total."""

    splits: list[Split]
    sizes: list[int]
    notes: list[str]


def steps(table: Table, splits: int, *, quick: bool) -> int:
    """Return how many times `run` will call its `step` argument."""
    methods = len(contenders(table, seed=0, threads=1, quick=quick))
    sizes = len(_plan(table, splits, 0, quick=quick).sizes)
    return methods * (splits + min(splits, CURVE_SPLITS) * (sizes - 1)) + 1


def run(
    table: Table,
    *,
    splits: int,
    seed: int,
    threads: int,
    quick: bool,
    step: Callable[[str], None],
) -> Contest:
    """Let every method compete on the same random splits.

    Parameters
    ----------
    table
        The data.
    splits
        Number of random 80/20 splits, at least 2.
    seed
        Seed of splits and methods.
    threads
        Cores for the methods that take a number.
    quick
        Smaller grids, fewer trees, epochs and training sizes.
    step
        Called with a short text before each piece of work.

    Returns
    -------
    Contest
        Scores, timings, curve, kernel and checks.
    """
    plan = _plan(table, splits, seed, quick=quick)
    methods = contenders(table, seed=seed, threads=threads, quick=quick)
    with _quiet_baselines():
        results = [_method(table, method, plan, step) for method in methods]
        curve = _curve(table, methods, results, plan, step)
    step(f"{table.name}: spectrum")
    view = kernel_view(table, seed)
    train, test = plan.splits[0]
    checks = kernel_checks(view) + score_checks(table, results[0].scores)
    return Contest(
        table=table,
        train_rows=len(train),
        test_rows=len(test),
        methods=results,
        constant_guess=_constant_guess(table, plan.splits),
        curve=curve,
        view=view,
        checks=checks,
        notes=plan.notes,
    )


def _plan(table: Table, count: int, seed: int, *, quick: bool) -> _Plan:
    from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

    notes = []
    splitter: Any = ShuffleSplit(count, test_size=TEST_SHARE, random_state=seed)
    if table.task == "classification":
        _, counts = np.unique(table.y, return_counts=True)
        test_rows = int(np.ceil(TEST_SHARE * table.y.size))
        if counts.min() >= 2 and test_rows >= counts.size:
            splitter = StratifiedShuffleSplit(count, test_size=TEST_SHARE, random_state=seed)
        else:
            notes.append("splits are not stratified: some classes are too small")
    pairs = [
        (_prefix_order(table, train, seed + number), test)
        for number, (train, test) in enumerate(splitter.split(table.X, table.y))
    ]
    return _Plan(pairs, _sizes(table, pairs, quick=quick), notes)


def _prefix_order(table: Table, train: NDArray[np.intp], seed: int) -> NDArray[np.intp]:
    """Order training rows so that every prefix has about the classes' shares of the whole."""
    if table.task == "regression":
        return train
    jitter = np.random.default_rng(seed).random(train.size)
    place = np.empty(train.size)
    for label in np.unique(table.y[train]):
        rows = np.flatnonzero(table.y[train] == label)
        place[rows] = (np.arange(rows.size) + jitter[rows]) / rows.size
    return train[np.argsort(place)]


def _sizes(table: Table, pairs: list[Split], *, quick: bool) -> list[int]:
    """Training sizes, each twice the one before, that leave 3-fold CV two classes to learn."""
    full = pairs[0][0].size
    smallest = 20
    if table.task == "classification":
        for train, _ in pairs:
            codes = np.unique(table.y[train], return_inverse=True)[1]
            second = np.argsort(np.bincount(codes))[-2]
            third_member = np.flatnonzero(codes == second)[2] + 1
            smallest = max(smallest, int(third_member), 2 * table.classes)
    halvings = range(2 if quick else 4, -1, -1)
    return [full // 2**h for h in halvings if h == 0 or full // 2**h >= smallest]


def _method(
    table: Table, method: Contender, plan: _Plan, step: Callable[[str], None]
) -> MethodResult:
    result = MethodResult(method.name, method.what, {}, [], [])
    for number, (train, test) in enumerate(plan.splits, start=1):
        step(f"{table.name}: {method.name}, split {number}")
        scores, fit_seconds, predict_seconds = _fit_and_score(table, method, train, test)
        for metric, value in scores.items():
            result.scores.setdefault(metric, []).append(value)
        result.fit_seconds.append(fit_seconds)
        result.predict_seconds.append(predict_seconds)
    return result


def _fit_and_score(
    table: Table, method: Contender, train: NDArray[np.intp], test: NDArray[np.intp]
) -> tuple[dict[str, float], float, float]:
    estimator = method.make()
    X, y = table.X[train], table.y[train]
    start = perf_counter()
    estimator.fit(X, y)
    fitted = perf_counter()
    predicted = estimator.predict(table.X[test])
    end = perf_counter()
    return _scores(table, table.y[test], predicted), fitted - start, end - fitted


def _scores(table: Table, truth: NDArray[Any], predicted: NDArray[Any]) -> dict[str, float]:
    if table.task == "classification":
        return {"accuracy": float(np.mean(truth == predicted))}
    residual = float(np.mean((truth - predicted) ** 2))
    return {"rmse": residual**0.5, "r2": 1.0 - residual / float(np.var(truth))}


def _curve(
    table: Table,
    methods: list[Contender],
    results: list[MethodResult],
    plan: _Plan,
    step: Callable[[str], None],
) -> Curve:
    """Test errors at smaller training sizes; the full size is taken from the results."""
    mean: dict[str, list[float]] = {}
    spread: dict[str, list[float]] = {}
    metric = "accuracy" if table.task == "classification" else "rmse"
    for method, result in zip(methods, results, strict=True):
        rows = []
        for size in plan.sizes[:-1]:
            errors = []
            for train, test in plan.splits[:CURVE_SPLITS]:
                step(f"{table.name}: learning curve, {method.name}, {size:,} rows")
                scores = _fit_and_score(table, method, train[:size], test)[0]
                errors.append(_error(scores[metric], metric))
            rows.append(errors)
        rows.append([_error(score, metric) for score in result.scores[metric][:CURVE_SPLITS]])
        mean[method.name] = [float(np.mean(errors)) for errors in rows]
        spread[method.name] = [float(np.std(errors, ddof=1)) for errors in rows]
    return Curve(plan.sizes, mean, spread)


def _constant_guess(table: Table, splits: list[Split]) -> float:
    scores = []
    for train, test in splits:
        known, truth = table.y[train], table.y[test]
        if table.task == "classification":
            classes, counts = np.unique(known, return_counts=True)
            scores.append(float(np.mean(truth == classes[np.argmax(counts)])))
        else:
            scores.append(float(np.mean((truth - known.mean()) ** 2)) ** 0.5)
    return float(np.mean(scores))


def _error(score: float, metric: str) -> float:
    return 1.0 - score if metric == "accuracy" else score


@contextmanager
def _quiet_baselines() -> Iterator[None]:
    """Silence two expected remarks of the baselines: epochs used up, class smaller than a fold."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="The least populated class in y has only")
        yield
