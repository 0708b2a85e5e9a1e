"""The problems that are timed: plain data, one line each."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Case:
    """One problem: the network, the rows, and how often a turn repeats it.

    The network is `depth` times (Dense, activation) and a Dense readout, every Dense with the same
    `w_std` and `b_std`: with ReLU and w_std**2 = 2 its derivative factor chi is 1 (critical).
    Both kernels (NNGP and NTK) are asked for. `columns` None means a symmetric Gram matrix.
    """

    name: str
    rows: int
    features: int
    depth: int
    activation: str = "relu"
    data: str = "normal"
    columns: int | None = None
    w_std: float = 2.0**0.5
    b_std: float = 0.1
    dtypes: tuple[str, ...] = ("float32", "float64")
    calls: int = 3  # per turn; a turn's time is their median
    default: bool = True

    def entries(self) -> int:
        """Entries of one output matrix."""
        return self.rows * (self.columns or self.rows)

    def quick(self) -> Case:
        """Return the same problem cut down to a smoke test."""
        columns = None if self.columns is None else min(self.columns, 384)
        return replace(self, rows=min(self.rows, 512), columns=columns)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Case:
        return cls(**{**fields, "dtypes": tuple(fields["dtypes"])})


CASES: tuple[Case, ...] = (
    Case("headline", 4096, 784, 3),
    Case("headline-mnist", 4096, 784, 3, data="mnist"),
    Case("depth10", 4096, 784, 10),
    Case("depth10-mnist", 4096, 784, 10, data="mnist"),
    Case("erf", 4096, 784, 3, activation="erf"),
    Case("cross", 4096, 784, 3, columns=2048),
    Case("n1000", 1000, 784, 3, calls=15),
    Case("small", 200, 20, 3, calls=51),
    Case("large", 16384, 784, 3, dtypes=("float32",), calls=1, default=False),
)


def select(names: list[str] | None) -> list[Case]:
    """Return the cases of those names, or the default ones."""
    if not names:
        return [case for case in CASES if case.default]
    return [case for case in CASES if case.name in names]
