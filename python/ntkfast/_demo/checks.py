"""What must hold wherever this library works: properties of the kernels, sane scores."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkfast._demo.tables import Table
from ntkfast._estimators.networks import default_network

__all__ = ["Check", "KernelView", "kernel_checks", "kernel_view", "score_checks"]

#: The kernel matrix and its spectrum are computed for this many rows at most.
VIEW_ROWS = 2000


@dataclass(frozen=True)
class KernelView:
    """Kernel matrix and spectra of (a part of) the table, for the figure and the checks."""

    ntk: NDArray[np.float64]
    diagonal: NDArray[np.float64]
    labels: NDArray[Any]
    spectra: dict[str, NDArray[np.float64]]
    seconds: float


@dataclass(frozen=True)
class Check:
    """Something that must hold wherever this library works."""

    name: str
    passed: bool
    detail: str


def kernel_view(table: Table, seed: int) -> KernelView:
    """Compute both kernels of the default network, and their spectra, for (a part of) the table."""
    from scipy.linalg import eigvalsh

    rows = np.arange(table.y.size)
    if rows.size > VIEW_ROWS:
        chosen = np.random.default_rng(seed).choice(rows.size, VIEW_ROWS, replace=False)
        rows = np.sort(chosen)
    X = table.X[rows]
    if not table.pixels:
        scale = X.std(axis=0)
        X = (X - X.mean(axis=0)) / np.where(scale == 0.0, 1.0, scale)
    net = default_network()
    start = perf_counter()
    kernels = net.kernels(X)
    seconds = perf_counter() - start
    return KernelView(
        ntk=kernels.ntk,
        diagonal=net.diag(X),
        labels=table.y[rows],
        spectra={"NTK": eigvalsh(kernels.ntk), "NNGP": eigvalsh(kernels.nngp)},
        seconds=seconds,
    )


def kernel_checks(view: KernelView) -> list[Check]:
    """Check symmetry, diagonal and positive semi-definiteness up to rounding."""
    skew = float(np.abs(view.ntk - view.ntk.T).max())
    off = float((np.abs(np.diag(view.ntk) - view.diagonal) / view.diagonal).max())
    # Rounding moves an eigenvalue by at most about n eps times the largest.
    bound = -len(view.ntk) * float(np.finfo(np.float64).eps)
    checks = [
        Check("the NTK is symmetric", skew == 0.0, f"largest difference {skew:.1e}"),
        Check("its diagonal equals net.diag", off <= 1e-12, f"relative difference {off:.1e}"),
    ]
    for name, values in view.spectra.items():
        lowest = float(values[0] / values[-1])
        detail = f"smallest / largest eigenvalue {lowest:.1e}, rounding bound {bound:.1e}"
        checks.append(Check(f"the {name} is positive semi-definite", lowest >= bound, detail))
    return checks


def score_checks(table: Table, scores: dict[str, list[float]]) -> list[Check]:
    """Compare the NTK's scores with what it reaches on a bundled table when all is well."""
    if table.floor is None:
        return []
    name = "accuracy" if table.task == "classification" else "r2"
    mean = float(np.mean(scores[name]))
    what = f"NTK {name} on {table.name} is at least {table.floor:g}"
    return [Check(what, mean >= table.floor, f"{mean:.3f}")]
