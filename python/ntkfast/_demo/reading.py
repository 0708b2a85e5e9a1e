"""Read a user's table: a CSV file with a header, or an NPZ file with X and y."""

from __future__ import annotations

import csv
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkfast._memory import available_bytes

__all__ = ["DataError", "RawTable", "read_table"]

#: Texts that stand for "no value", in lower case.
MISSING = frozenset({"", "na", "n/a", "nan", "null", "?"})

#: A text column with more distinct values than this is a name or a free text, not a category.
MAX_CATEGORIES = 100

#: Bytes that one byte of CSV takes while it is parsed into Python strings (measured: 8 to 11).
CSV_EXPANSION = 12


class DataError(ValueError):
    """The user's data cannot be used; the message is one line that says where and why."""


@dataclass(frozen=True)
class RawTable:
    """Features and target as read, with notes on what was done to them.

    `pixels` says that all columns share one unit, so that they must not be scaled one by one.
    """

    X: NDArray[np.float64]
    y: NDArray[Any]
    target: str
    notes: tuple[str, ...] = ()
    pixels: bool = False


def read_table(path: Path, target: str | None) -> RawTable:
    """Read `path` by its suffix.

    Parameters
    ----------
    path
        ``.npz`` with a 2-D array of features and a 1-D target, or ``.csv``, ``.tsv``, ``.txt`` with
        a header line.
    target
        Name of the target's column (CSV) or array (NPZ; default ``"y"``).

    Returns
    -------
    RawTable
        Finite float64 features (n, d) and the target (n,), float64 or text.

    Raises
    ------
    DataError
        The file is missing, unreadable, has no such target, or holds missing or infinite cells.
    """
    if not path.is_file():
        raise DataError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _read_npz(path, target)
    if suffix in {".csv", ".tsv", ".txt"}:
        return _read_csv(path, target)
    raise DataError(
        f"{path}: expected a file ending in .csv or .npz, got {suffix or 'no suffix'!r}"
    )


def _read_csv(path: Path, target: str | None) -> RawTable:
    header, columns = _csv_columns(path)
    if target is None:
        raise DataError(f"{path}: name the target column with --target; columns: {_some(header)}")
    if target not in header:
        raise DataError(f"{path}: no column {target!r}; columns: {_some(header)}")
    _refuse_missing(path, header, columns)
    features: list[NDArray[np.float64]] = []
    encoded, dropped = [], []
    y: NDArray[Any] = np.empty(0)
    for name, cells in zip(header, columns, strict=True):
        values = _as_numbers(path, name, cells)
        if name == target:
            y = np.array(cells) if values is None else values
        elif values is not None:
            features.append(values[:, None])
        else:
            categories, codes = np.unique(cells, return_inverse=True)
            if categories.size > MAX_CATEGORIES:
                dropped.append(f"{name} ({categories.size:,} different texts)")
                continue
            features.append(np.eye(categories.size)[codes])
            encoded.append(f"{name} ({categories.size})")
    if not features:
        raise DataError(f"{path}: no usable feature column beside the target {target!r}")
    notes = []
    if encoded:
        notes.append(f"one-hot encoded: {_some(encoded)}")
    if dropped:
        notes.append(f"left out, more than {MAX_CATEGORIES} categories: {_some(dropped)}")
    return RawTable(np.hstack(features), y, target, tuple(notes))


def _csv_columns(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return the header and the stripped cells, column by column."""
    _refuse_too_large(path, path.stat().st_size * CSV_EXPANSION)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            # The header tells the separator: names rarely hold one, cells may.
            separator = max(",;\t|", key=first.count)
            file.seek(0)
            rows = [row for row in csv.reader(file, delimiter=separator, strict=True) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 CSV: {error}") from error
    if len(rows) < 2:
        raise DataError(f"{path}: expected a header line and rows, got {len(rows)} line(s)")
    header = [name.strip() for name in rows.pop(0)]
    for name in header:
        if header.count(name) > 1:
            raise DataError(f"{path}: the header names the column {name!r} twice")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise DataError(
                f"{path}: row {number} has {len(row)} cells, the header has {len(header)}"
            )
    return header, [[cell.strip() for cell in column] for column in zip(*rows, strict=True)]


def _refuse_missing(path: Path, header: list[str], columns: list[list[str]]) -> None:
    holes = [
        (number, name, cell)
        for name, cells in zip(header, columns, strict=True)
        for number, cell in enumerate(cells, start=1)
        if cell.lower() in MISSING
    ]
    if holes:
        number, name, cell = min(holes, key=lambda hole: hole[0])
        count = "1 missing value" if len(holes) == 1 else f"{len(holes):,} missing values, first"
        raise DataError(
            f"{path}: {count}: row {number} (after the header), column {name!r}: {cell!r}; "
            "fill it in or delete the row"
        )


def _as_numbers(path: Path, name: str, cells: list[str]) -> NDArray[np.float64] | None:
    """Return the column as finite numbers, or None when it holds text."""
    try:
        values = np.array(cells, dtype=np.float64)
    except ValueError:
        return None
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        row = int(bad[0])
        raise DataError(
            f"{path}: row {row + 1} (after the header), column {name!r}: "
            f"expected a finite number, got {cells[row]!r}"
        )
    return values


def _read_npz(path: Path, target: str | None) -> RawTable:
    target = "y" if target is None else target
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = list(archive.files)
            if target not in names:
                raise DataError(f"{path}: no array {target!r}; arrays: {_some(names)}")
            y = archive[target]
            source = _feature_name(path, names, target)
            X = archive[source]
    except DataError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read as NPZ without pickles: {error}") from error
    return _from_arrays(path, source, X, target, y)


def _feature_name(path: Path, names: list[str], target: str) -> str:
    others = [name for name in names if name != target]
    for name in ("X", "x"):
        if name in others:
            return name
    if len(others) == 1:
        return others[0]
    raise DataError(f"{path}: expected features in an array 'X'; arrays: {_some(names)}")


def _from_arrays(
    path: Path, source: str, X: NDArray[Any], target: str, y: NDArray[Any]
) -> RawTable:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if X.ndim < 2 or y.ndim != 1 or len(X) != len(y):
        raise DataError(
            f"{path}: expected {source!r} of shape (n, d) and {target!r} of shape (n,), "
            f"got {X.shape} and {y.shape}"
        )
    if X.dtype.kind not in "fiub":
        raise DataError(f"{path}: {source!r}: expected numbers, got dtype {X.dtype}")
    notes = []
    if X.ndim > 2:
        notes.append(f"{source} of shape {X.shape} flattened to rows")
    if X.dtype == np.uint8:
        notes.append(f"{source} holds uint8 pixels: scaled as a whole, not column by column")
    _refuse_too_large(path, X.size * 8)
    flat = X.reshape(len(X), -1).astype(np.float64)
    bad = np.argwhere(~np.isfinite(flat))
    if bad.size:
        row, column = bad[0]
        raise DataError(
            f"{path}: {len(bad):,} cell(s) of {source!r} are not finite, "
            f"first: row {row}, column {column} (counted from 0): {flat[row, column]}"
        )
    if y.dtype.kind in "fiub":
        y = y.astype(np.float64)
        if not np.isfinite(y).all():
            row = int(np.flatnonzero(~np.isfinite(y))[0])
            raise DataError(
                f"{path}: {target!r}: row {row} (counted from 0) is not finite: {y[row]}"
            )
    else:
        y = y.astype(str)
    return RawTable(flat, y, target, tuple(notes), pixels=X.dtype == np.uint8)


def _refuse_too_large(path: Path, needed: int) -> None:
    free = available_bytes()
    if needed > free / 2:
        raise DataError(
            f"{path}: reading it takes about {needed / 2**30:.1f} GiB, more than half of the "
            f"{free / 2**30:.1f} GiB that are free; give a smaller table"
        )


def _some(names: list[str], limit: int = 12) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown}, ... ({len(names)} in all)"
