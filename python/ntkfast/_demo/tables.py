"""The tables that the methods compete on: bundled with scikit-learn, or the user's own."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ntkfast._demo.reading import DataError, RawTable, read_table
from ntkfast._memory import available_bytes

__all__ = ["Table", "Task", "bundled_tables", "user_table"]

Task = Literal["classification", "regression"]

MIN_ROWS = 30

LARGEST = 1e100

#: A target of whole numbers with at most this many distinct values is read as classes.
MAX_INTEGER_CLASSES = 20

#: Rows used unless ``--max-rows`` says otherwise: about two minutes in all on two cores.
DEFAULT_MAX_ROWS = 3000

#: Square matrices of float64 that are alive at once: kernel, its copy for the leave-one-out
#: eigendecomposition, eigenvectors, LAPACK's workspace (two) and the cross kernel.
MATRICES_AT_ONCE = 6


@dataclass(frozen=True)
class Table:
    """A table ready for the contest.

    Attributes
    ----------
    X : ndarray, shape (n, d)
        Finite float64 features; columns are still in their own units unless `pixels`.
    y : ndarray, shape (n,)
        Float64 for regression; numbers or text for classification.
    pixels : bool
        All columns share one unit; X is then already scaled as a whole.
    notes : tuple of str
        What was done to the data and why; shown to the user.
    floor : float or None
        Accuracy or R2 that the NTK must reach on a bundled table, else something is broken.
    """

    name: str
    X: NDArray[np.float64]
    y: NDArray[Any]
    task: Task
    pixels: bool = False
    notes: tuple[str, ...] = ()
    floor: float | None = None

    @property
    def classes(self) -> int:
        """Number of classes; 0 for regression."""
        return np.unique(self.y).size if self.task == "classification" else 0


def bundled_tables() -> list[Table]:
    """Return scikit-learn's digits and diabetes; nothing is downloaded."""
    from sklearn.datasets import load_diabetes, load_digits

    digits, labels = load_digits(return_X_y=True)
    diabetes, progression = load_diabetes(return_X_y=True)
    return [
        Table("digits", scaled_as_whole(digits), labels, "classification", pixels=True, floor=0.97),
        Table("diabetes", diabetes, progression.astype(np.float64), "regression", floor=0.35),
    ]


def user_table(
    path: Path, target: str | None, task: Task | None, max_rows: int | None, seed: int
) -> Table:
    """Read the user's file, decide the task and cap the number of rows; notes say what was done.

    Parameters
    ----------
    path, target
        As for `ntkfast._demo.reading.read_table`.
    task
        The task, or None to decide by the target.
    max_rows
        Rows to use at most; None for `DEFAULT_MAX_ROWS` or what fits in memory.
    seed
        Seed of the random choice of rows.

    Returns
    -------
    Table
        At least `MIN_ROWS` rows.

    Raises
    ------
    DataError
        The file or its contents cannot be used, or `max_rows` rows do not fit in memory.
    """
    raw = read_table(path, target)
    if len(raw.y) < MIN_ROWS:
        raise DataError(f"{path}: expected at least {MIN_ROWS} rows, got {len(raw.y)}")
    chosen, reason = _decide_task(raw, task)
    X, y, notes = _cap_rows(path, raw, max_rows, seed)
    if not np.ptp(X, axis=0).any():
        raise DataError(f"{path}: every feature column is constant")
    largest = max(np.abs(X).max(), np.abs(y).max() if y.dtype.kind == "f" else 0.0)
    if largest > LARGEST:  # beyond, squares and sums of squares overflow
        raise DataError(f"{path}: expected numbers up to {LARGEST:g}, got {largest:g}")
    if raw.pixels:
        X = scaled_as_whole(X)
    table = Table(path.stem, X, y, chosen, raw.pixels, (*raw.notes, reason, *notes))
    return _check_target(path, table, raw.target)


def scaled_as_whole(X: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shift and scale all entries alike, to mean 0 and variance 1: for columns of one unit."""
    return np.asarray((X - X.mean()) / X.std())


def _decide_task(raw: RawTable, task: Task | None) -> tuple[Task, str]:
    y, name = raw.y, raw.target
    numeric = y.dtype.kind == "f"
    if task == "regression" and not numeric:
        raise DataError(
            f"--task regression: the target {name!r} is not numeric, e.g. {str(y[0])!r}"
        )
    if task is not None:
        return task, f"{task}, as asked by --task"
    distinct = np.unique(y).size
    if not numeric:
        return "classification", f"classification, because {name!r} is text"
    if distinct <= MAX_INTEGER_CLASSES and bool(np.all(y == np.rint(y))):
        return "classification", (
            f"classification, because {name!r} holds {distinct} different whole numbers "
            "(--task regression to change)"
        )
    return "regression", (
        f"regression, because {name!r} holds {distinct:,} different numbers "
        "(--task classification to change)"
    )


def _cap_rows(
    path: Path, raw: RawTable, max_rows: int | None, seed: int
) -> tuple[NDArray[np.float64], NDArray[Any], list[str]]:
    """Draw rows at random where there are too many for the time or for the memory."""
    n, fitting = len(raw.y), _rows_that_fit()
    limit = DEFAULT_MAX_ROWS if max_rows is None else max_rows
    if fitting < min(n, limit):
        gib = MATRICES_AT_ONCE * 8 * min(n, limit) ** 2 / 2**30
        raise DataError(
            f"{path}: {min(n, limit):,} rows need about {gib:.1f} GiB for kernel matrices, more "
            f"than half of the free memory; --max-rows {fitting} fits"
        )
    if n <= limit:
        return raw.X, raw.y, []
    rows = np.sort(np.random.default_rng(seed).choice(n, size=limit, replace=False))
    why = "the default limit, --max-rows changes it" if max_rows is None else "--max-rows"
    note = f"{limit:,} of {n:,} rows, drawn at random with seed {seed} ({why})"
    return raw.X[rows], raw.y[rows], [note]


def _rows_that_fit() -> int:
    return math.floor(math.sqrt(min(available_bytes(), 2.0**60) / 2 / (MATRICES_AT_ONCE * 8)))


def _check_target(path: Path, table: Table, name: str) -> Table:
    if table.task == "regression":
        if np.ptp(table.y) == 0.0:
            raise DataError(f"{path}: the target {name!r} is constant: {table.y[0]:g}")
        return table
    y = table.y
    if y.dtype.kind == "f" and bool(np.all(y == np.rint(y))):
        y = y.astype(np.int64)  # classes are shown as 3, not 3.0
    classes, counts = np.unique(y, return_counts=True)
    if classes.size < 2:
        raise DataError(f"{path}: the target {name!r} has one class only: {str(classes[0])!r}")
    if np.sort(counts)[-2] < 5:
        raise DataError(
            f"{path}: expected at least two classes with 5 rows or more in {name!r}, got "
            f"{classes.size} classes of which the second largest has {np.sort(counts)[-2]} row(s)"
        )
    return replace(table, y=y)
