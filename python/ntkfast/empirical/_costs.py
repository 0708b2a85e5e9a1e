"""What each way costs on this machine, measured on a few samples."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _contract
from ._blocks import result_shape
from ._jacobian import jacobians
from ._model import Model
from ._products import FORWARD, double_backward, jvp, vjp
from ._sources import Served
from ._terms import GATHERED, PAIRS, Term, explicit, terms_of
from ._torch import torch
from ._uses import Pass, record

__all__ = [
    "Cost",
    "best_ways",
    "jacobian_cost",
    "layer_cost",
    "pair_count",
    "pull_seconds",
    "push_seconds",
]

# Multiplications of a contraction that is timed: some hundredths of a second.
_TIMED = 2e8


@dataclass(frozen=True)
class Cost:
    """Time and memory of a way.

    Attributes
    ----------
    row, pair : float
        Seconds to make the terms of one sample, and to multiply those of a pair.
    terms, working : int
        Bytes per sample of the terms, and of everything while they are made.
    """

    row: float
    pair: float
    terms: int
    working: int


def _seconds(action: Callable[[], Any], device: Any, runs: int = 2) -> float:
    """Return the shortest of some runs: the first one may load or compile something."""
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return best


def _multiplications(term: Term, mode: str) -> float:
    outputs, positions, units = term.s.shape[1:]
    each = outputs**2 if mode == "full" else outputs
    fan_in = 0 if term.a is None else term.a.shape[2] if term.a.ndim == 3 else positions
    return float(positions**2 * (fan_in + each * units))


def _pair_seconds(terms: list[Term], mode: str, device: Any) -> float:
    """Return the time of a product of two samples."""
    if not terms:
        return 0.0
    work = sum(_multiplications(term, mode) for term in terms)
    k = max(1, min(len(terms[0].s), int((_TIMED / max(work, 1.0)) ** 0.5)))
    few = [Term(None if t.a is None else t.a[:k], t.s[:k].contiguous(), t.bias) for t in terms]
    shape, dtype = result_shape(mode, k, k, few[0].s.shape[1]), few[0].s.dtype
    out = torch.zeros(shape, dtype=dtype, device=device)
    kernel: Any = out.numpy() if device.type == "cpu" else out
    return _seconds(lambda: _contract.add(kernel, few, few, mode), device) / k**2


def best_ways(
    model: Model, done: Pass, pairable: tuple[str, ...], mode: str, work: tuple[float, float]
) -> dict[str, str]:
    """Return the faster way of each weight for so many (samples, pairs)."""
    samples, pairs = work
    n = len(done.out)
    ways: dict[str, str] = {}
    for weight in pairable:
        uses = [use for use in done.uses if use.weight == weight and use.signal is not None]
        positions = sum(use.signal.shape[2] for use in uses)
        if positions == 1:  # fewer multiplications by the units of the layer: nothing to measure
            ways[weight] = PAIRS
            continue
        total: dict[str, float] = {}
        for way in (PAIRS, GATHERED):
            made: list[list[Term]] = []

            def make(way: str = way, made: list[list[Term]] = made, weight: str = weight) -> None:
                made[:] = [terms_of(done, {weight: way}, frozenset({weight}))]

            row = _seconds(make, model.device) / n
            total[way] = samples * row + pairs * _pair_seconds(made[0], mode, model.device)
        ways[weight] = min(total, key=lambda way: total[way])
    return ways


def layer_cost(
    model: Model, inputs: tuple[Any, ...], served: Served, mode: str, graph_bytes: int
) -> Cost:
    """Return what hooks and contractions take for the parameters that they serve."""
    names, n = frozenset(served.layers), len(inputs[0])
    made: list[Any] = []

    def make() -> None:
        done = record(model, inputs, names)
        done.backward()
        made[:] = [done, terms_of(done, dict(served.ways), names)]

    row = _seconds(make, model.device) / n
    done, terms = made
    signals = sum(
        use.signal.numel() * use.signal.element_size()
        for use in done.uses
        if use.signal is not None
    )
    held = sum(term.bytes() for term in terms)
    # The terms are concatenated from parts of the same size, and the backward pass has its own
    # signals beside those that are kept.
    working = graph_bytes * 2 + (2 * signals + 2 * held) // n
    return Cost(row, _pair_seconds(terms, mode, model.device), held // n, working)


def jacobian_cost(
    model: Model,
    inputs: tuple[Any, ...],
    names: tuple[str, ...],
    how: str,
    mode: str,
    graph_bytes: int,
) -> Cost:
    """Return what functional Jacobians take."""
    made: list[Term] = []

    def make() -> None:
        made[:] = [explicit(jacobians(model, inputs, names, how))]

    # One run: the check of the way was the first one.
    row = _seconds(make, model.device, 1) / len(inputs[0])
    held = made[0].bytes() // len(inputs[0])
    outputs = made[0].s.shape[1]
    working = 3 * held + graph_bytes * (1 + outputs)
    return Cost(row, _pair_seconds(made, mode, model.device), held, working)


def pull_seconds(model: Model, inputs: tuple[Any, ...], outputs: int) -> float:
    """Return the time of J^T v of one sample."""
    one = tuple(x[:1] for x in inputs)
    v = torch.ones((1, outputs), dtype=model.dtype, device=model.device)
    return _seconds(lambda: vjp(model, one, v), model.device)


def push_seconds(model: Model, inputs: tuple[Any, ...], way: str) -> float:
    """Return the time of J w per sample."""
    w = [torch.ones_like(model.state[name]) for name in model.names]
    push = jvp if way == FORWARD else double_backward
    return _seconds(lambda: push(model, inputs, w), model.device, 1) / len(inputs[0])


def pair_count(n: int, m: int | None) -> float:
    """Return how many pairs of samples are multiplied."""
    return float(np.float64(n) * (n + 1) / 2 if m is None else np.float64(n) * m)
