"""What was chosen for a kernel, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Report"]


@dataclass(frozen=True)
class Report:
    """How an empirical kernel is computed; ``print(report)`` says it in words.

    Attributes
    ----------
    method : {"structured", "jacobian", "operator"}
        Of the whole kernel.
    served : dict
        For every differentiated parameter how its part is computed: "pairs" (products of inputs
        times products of signals), "gathered" (its Jacobian from inputs and signals), "vmap" or
        "loop" (its Jacobian from functional transforms), "products" (no Jacobian), or "unused".
    reasons : dict
        Why a parameter is not served by hooks, or a method was not possible.
    seconds : dict
        Predicted from measurements on this machine, by method; empty if nothing was to be chosen.
        Of "operator" the backward passes alone where these take longer than another method.
    parameters : int
        How many numbers are differentiated.
    rows, held, groups : int
        Samples per pass, passes whose result is kept, groups of parameters.
    workspace_bytes : int
        Expected beside the result.
    device, dtype : str
        Of the computation.
    """

    method: str
    served: Mapping[str, str]
    reasons: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    parameters: int = 0
    rows: int = 0
    held: int = 1
    groups: int = 1
    workspace_bytes: int = 0
    device: str = "cpu"
    dtype: str = ""

    def __str__(self) -> str:
        lines = [
            f"method {self.method}: {self.parameters:,} parameters, {self.dtype} on {self.device}"
        ]
        if self.seconds:
            told = ", ".join(f"{name} {each:.2g} s" for name, each in sorted(self.seconds.items()))
            lines.append(f"predicted from measurements here: {told}")
        by_way: dict[str, list[str]] = defaultdict(list)
        for name, way in self.served.items():
            by_way[way].append(name)
        lines += [f"{way}: {', '.join(names)}" for way, names in sorted(by_way.items())]
        lines += [f"{name}: {why}" for name, why in self.reasons.items()]
        lines.append(
            f"{self.rows} samples per pass, {self.held} passes kept, {self.groups} groups of "
            f"parameters, {self.workspace_bytes / 2**20:.3g} MiB workspace"
        )
        return "\n".join(lines)
