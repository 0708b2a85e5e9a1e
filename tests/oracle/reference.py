"""The reference kernels of tests/reference that the supported layers cover."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oracle import highprec
from oracle.arch import layer_types

FOLDER = Path(__file__).parent.parent / "reference"
Matrix = NDArray[np.float64]

#: The layer types that the oracles of this folder know.
SUPPORTED = frozenset({"serial", "Dense", *highprec.LAYERS, *highprec.DUALS})


class Part(NamedTuple):
    """One Gram (z is None) or cross kernel; exact: the stored values are the 60-digit ones."""

    x: Matrix
    z: Matrix | None
    nngp: Matrix
    ntk: Matrix
    exact: bool


class Case(NamedTuple):
    """One file."""

    arch: dict[str, Any]
    parts: list[Part]


def jumps(arch: dict[str, Any]) -> bool:
    """Whether an activation jumps: files lose half their digits of K on the diagonal behind it."""
    return "Sign" in layer_types(arch)


def applies(arch: dict[str, Any]) -> bool:
    """Whether every layer is a supported one."""
    return layer_types(arch) <= SUPPORTED


def _names() -> list[str]:
    names = []
    for path in sorted(FOLDER.glob("*.npz")):
        with np.load(path, allow_pickle=False) as file:
            kernel = str(file["kind"]) in ("kernel", "edge")
            if kernel and applies(json.loads(str(file["arch"]))):
                names.append(path.stem)
    return names


#: Names of the files that apply.
CASES = _names()


@cache
def load(name: str) -> Case:
    """Read one file, taking the 60-digit values where it has them."""
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        parts = []
        for which in ("11", "12"):
            if f"nngp_{which}" not in file:
                continue
            suffix = "_hp" if f"nngp_{which}_hp" in file else ""
            nngp, ntk = (file[f"{kind}_{which}{suffix}"] for kind in ("nngp", "ntk"))
            z = file["x2"] if which == "12" else None
            parts.append(Part(file["x1"], z, nngp, ntk, bool(suffix)))
        return Case(json.loads(str(file["arch"])), parts)
