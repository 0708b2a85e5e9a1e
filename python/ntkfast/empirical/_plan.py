"""Choose the method, the way of each parameter, and the blocks that fit into the budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import _memory
from ..config import config
from ..errors import ArchitectureError
from . import _costs, _products
from ._blocks import Grid, steps
from ._costs import Cost
from ._jacobian import VMAP
from ._model import Model
from ._probe import Findings, jacobian_way, look
from ._report import Report
from ._samples import Samples
from ._sources import Served
from ._terms import GATHERED, PAIRS
from ._torch import torch
from ._uses import record

__all__ = ["METHODS", "Plan", "grid_for", "make", "workspace"]

METHODS = ("auto", "structured", "jacobian", "operator")

# Samples of a pass at most: more are no faster, and a pass cannot be interrupted.
_MOST_ROWS = 256
# Samples that the probe and the timings see.
_PROBED, _TIMED = 3, 16
# Workspace without a budget: enough for large products, however much memory there is.
_DEFAULT_WORKSPACE = 2 << 30
# The part of the space that is planned for. The rest is what no count sees: scratch memory of
# PyTorch's operations, and freed blocks that the allocator keeps.
_PLANNED = 0.7


@dataclass(frozen=True)
class Plan:
    """All decisions for one kernel."""

    report: Report
    served: Served
    grid: Grid
    groups: tuple[frozenset[str], ...]
    outputs: int
    push: str = ""  # how J w is computed, of the method "operator"


def make(
    model: Model,
    x: Samples,
    z: Samples | None,
    *,
    mode: str,
    method: str,
    batch_size: int | None,
    result_bytes: Callable[[int], int],
) -> Plan:
    """Probe the module on the first samples, time what is possible, and choose."""
    n, m = len(x), None if z is None else len(z)
    inputs = _first(x, z, _PROBED)
    findings = look(model, inputs)
    space = workspace(result_bytes(findings.outputs))
    chosen = _Choice(model, x, z, mode, findings, inputs, space)
    served, seconds, cost, name = chosen.by(method)
    push = ""
    if name == "operator":
        push = chosen.push
        size = 2 * model.size() * torch.finfo(model.dtype).bits // 8
        per_row = findings.graph_bytes * 3
        rows = batch_size or _fitting(space - size, max(per_row, 1), n)
        no_groups: tuple[frozenset[str], ...] = ()
        grid, groups, needed = Grid(rows, 1), no_groups, size + rows * per_row
    else:
        grid, groups, needed = grid_for(n, m, cost, model, served, space, batch_size)
    _memory.require(
        result_bytes(findings.outputs),
        needed,
        f"the {mode} tangent kernel of {n} x {n if m is None else m} samples",
        'a file for the result (out="kernel.npy"), outputs="trace", fewer parameters, or '
        'method="operator"',
    )
    report = Report(
        name,
        _told(model, findings, served, name),
        {**findings.refused, **chosen.reasons},
        seconds,
        model.size(),
        grid.rows,
        grid.held,
        grid.groups,
        int(needed),
        str(model.device),
        str(model.dtype).removeprefix("torch."),
    )
    return Plan(report, served, grid, groups, findings.outputs, push)


class _Choice:
    """What is possible, and how long it would take."""

    def __init__(
        self,
        model: Model,
        x: Samples,
        z: Samples | None,
        mode: str,
        findings: Findings,
        probed: tuple[Any, ...],
        space: int,
    ) -> None:
        self.model, self.mode, self.findings, self._probed = model, mode, findings, probed
        self.n, self.m = len(x), None if z is None else len(z)
        self.pairs = _costs.pair_count(self.n, self.m)
        self.samples = float(self.n + (self.m or 0))
        self.reasons: dict[str, str] = {}
        self.push = ""
        jacobian = model.size() * findings.outputs * torch.finfo(model.dtype).bits // 8
        widest = max(1, findings.graph_bytes * (1 + findings.outputs) + 3 * jacobian)
        # A small part of all samples, or the timing would take longer than the kernel.
        few = max(2, max(self.n, self.m or 0) // 16)
        self._inputs = _first(x, z, max(1, min(_TIMED, few, space // 4 // widest)))

    def by(self, method: str) -> tuple[Served, dict[str, float], Cost, str]:
        """Return how parameters are served, predicted times, the cost, and the method's name."""
        options: dict[str, tuple[Served, Cost, float]] = {}
        if method in ("auto", "structured"):
            options["structured"] = self._structured()
        everything = not self.findings.layers and "structured" in options
        if method in ("auto", "jacobian") and not everything:
            options["jacobian"] = self._jacobian()
        seconds = {name: each[2] for name, each in options.items()}
        if method in ("auto", "operator"):
            seconds |= self._operator(method, min(seconds.values(), default=float("inf")))
        name = min(seconds, key=lambda key: seconds[key])
        if name == "operator":
            return Served((), {}, (), VMAP), seconds, Cost(0.0, 0.0, 0, 0), name
        served, cost, _ = options[name]
        if name == "structured" and not served.layers and served.jacobian:
            name = "jacobian"  # hooks see nothing
            seconds = {("jacobian" if k == "structured" else k): v for k, v in seconds.items()}
        return served, seconds if method == "auto" else {}, cost, name

    def _structured(self) -> tuple[Served, Cost, float]:
        findings, model = self.findings, self.model
        ways: dict[str, str] = {}
        if findings.pairable:
            done = record(model, self._inputs, frozenset(findings.layers))
            done.backward()
            work = (self.samples, self.pairs)
            ways = _costs.best_ways(model, done, findings.pairable, self.mode, work)
            del done
        rest = tuple(name for name in model.names if name in findings.refused)
        served = Served(findings.layers, ways, rest, VMAP)
        cost = Cost(0.0, 0.0, 0, 0)
        if findings.layers:
            cost = _costs.layer_cost(model, self._inputs, served, self.mode, findings.graph_bytes)
        if rest:
            more, how = self._functional(rest)
            served = Served(findings.layers, ways, rest, how)
            cost = _sum(cost, more)
        return served, cost, self._total(cost)

    def _jacobian(self) -> tuple[Served, Cost, float]:
        names = tuple(name for name in self.model.names if name not in self.findings.unused)
        if not names:
            return Served((), {}, (), VMAP), Cost(0.0, 0.0, 0, 0), 0.0
        cost, how = self._functional(names)
        return Served((), {}, names, how), cost, self._total(cost)

    def _functional(self, names: tuple[str, ...]) -> tuple[Cost, str]:
        how, why = jacobian_way(self.model, self._probed, names, self.findings)
        if why:
            self.reasons["jacobian"] = why
        graph = self.findings.graph_bytes
        cost = _costs.jacobian_cost(self.model, self._inputs, names, how, self.mode, graph)
        return cost, how

    def _operator(self, method: str, best: float) -> dict[str, float]:
        columns = float(self.n if self.m is None else self.m) * self.findings.outputs
        pull = columns * _costs.pull_seconds(self.model, self._inputs, self.findings.outputs)
        if pull > best:  # the backward passes alone take longer
            return {"operator": pull}
        self.push, why = _products.choose(self.model, self._probed, self.findings.sums)
        if not self.push and method == "operator":
            raise ArchitectureError(f"method 'operator' cannot be used: {why}")
        if not self.push:
            self.reasons["operator"] = why
            return {}
        push = _costs.push_seconds(self.model, self._inputs, self.push)
        return {"operator": pull + columns * self.n * push}

    def _total(self, cost: Cost) -> float:
        return self.samples * cost.row + self.pairs * cost.pair


def _sum(one: Cost, other: Cost) -> Cost:
    return Cost(
        one.row + other.row,
        one.pair + other.pair,
        one.terms + other.terms,
        max(one.working, other.working + one.terms),
    )


def _first(x: Samples, z: Samples | None, count: int) -> tuple[Any, ...]:
    """Return the first samples, of Z where X has too few of the same shape."""
    source = z if z is not None and len(z) > len(x) else x
    return source.rows(0, min(count, len(source)))


def _told(model: Model, findings: Findings, served: Served, name: str) -> dict[str, str]:
    told: dict[str, str] = {}
    for each in model.names:
        if each in findings.unused:
            told[each] = "unused"
        elif name == "operator":
            told[each] = "products"
        elif each in served.jacobian:
            told[each] = served.how
        else:
            told[each] = served.ways.get(each, GATHERED)
    # A bias goes with its weight.
    for each, way in told.items():
        weight = each.removesuffix("bias") + "weight"
        if each.endswith("bias") and way == GATHERED and told.get(weight) == PAIRS:
            told[each] = PAIRS
    return told


# --- Blocks ------------------------------------------------------------------------------------


def workspace(result: int) -> int:
    """Return the bytes beside the result that may be used."""
    budget = config.memory_budget
    if isinstance(budget, int):
        return int(_PLANNED * (budget - result))
    free = (_memory.available_bytes() - result) / 2
    return int(_PLANNED * min(_DEFAULT_WORKSPACE, max(0.0, free)))


def _fitting(space: int, per_row: int, n: int) -> int:
    return max(1, min(_MOST_ROWS, n, space // max(per_row, 1)))


def grid_for(
    n: int,
    m: int | None,
    cost: Cost,
    model: Model,
    served: Served,
    space: int,
    batch_size: int | None,
) -> tuple[Grid, tuple[frozenset[str], ...], int]:
    """Return the blocks, the groups of parameters, and the bytes that they need.

    A third of the space is for a pass, the rest for terms that are kept. Where not even four
    samples fit, the parameters are handled in groups.
    """
    longest = max(n, m or 0, 1)
    few = min(longest, batch_size or 4)
    per_row = cost.working + 2 * cost.terms
    names = served.layers + served.jacobian
    count = 1
    if few * per_row > space > 0:
        count = min(len(names), -(-few * per_row // space))
    groups = _groups(model, names, count)
    share = max((model.size(group) for group in groups), default=1) / max(model.size(names), 1)
    terms = int(cost.terms * share) + 1
    working = cost.working - cost.terms + terms + 1
    rows = min(longest, batch_size) if batch_size else _fitting(space // 3, working, longest)
    held = max(1, (space - rows * (working + terms)) // (rows * terms))
    held = min(held, -(-n // rows) or 1)
    grid = Grid(rows, int(held), len(groups))
    return grid, groups, rows * (working + terms) + int(held) * rows * terms


def _groups(model: Model, names: tuple[str, ...], count: int) -> tuple[frozenset[str], ...]:
    """Cut the parameters, in order, into so many groups of about equal size."""
    bound, groups, size = model.size(names) / max(count, 1), [], 0.0
    current: list[str] = []
    for name in names:
        own = model.size((name,))
        if current and size + own > bound * 1.001:
            groups.append(frozenset(current))
            current, size = [], 0.0
        current.append(name)
        size += own
    return (*groups, frozenset(current))


def step_count(n: int, m: int | None, grid: Grid) -> int:
    """Return how many steps `fill` takes."""
    return sum(1 for _ in steps(n, m, grid))
