"""The contenders: this library, plain NumPy, the floor, scikit-ntk, neural-tangents."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import peer_env


@dataclass(frozen=True)
class Entry:
    """Where a contender's class lives and which Python runs it."""

    name: str
    module: str
    cls: str
    note: str
    peer: bool = False  # runs in the environment of peer_env.py

    def python(self) -> str:
        return str(peer_env.PYTHON) if self.peer else sys.executable


SUBJECT = "ntkfast"  # whose speed the ratios are about
NEW_MEMORY = "ntkfast, new memory"
FLOOR = "floor"

CONTENDERS: tuple[Entry, ...] = (
    Entry(SUBJECT, "contender_ntkfast", "Ntkfast", "this library, both kernels"),
    Entry(NEW_MEMORY, "contender_ntkfast", "NewMemory", "the same, results in new memory"),
    Entry(
        FLOOR, "floor", "Floor", "product of that shape (half if symmetric) + writing both outputs"
    ),
    Entry("numpy", "contender_numpy", "PlainNumpy", "plain NumPy, both kernels, threaded blocks"),
    Entry("scikit-ntk", "contender_scikit_ntk", "ScikitNtk", "NTK alone, no bias", peer=True),
    Entry(
        "neural-tangents",
        "contender_neural_tangents",
        "NeuralTangents",
        "both kernels, jit",
        peer=True,
    ),
)


def select(names: list[str] | None, peers: bool) -> list[Entry]:
    """Return the contenders of those names (default: all), without the peers if asked."""
    return [e for e in CONTENDERS if (not names or e.name in names) and (peers or not e.peer)]
