"""What a Gram matrix will cost, before it is computed: memory by formula, time by measurement."""

from __future__ import annotations

import textwrap
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ._duration import duration
from ._memory import available_bytes, size_text
from ._validate import choice, got
from .config import config

if TYPE_CHECKING:
    from ._blocks import Blocks
    from ._kernel_function import KernelFunction

__all__ = ["Plan", "long_seconds", "make_plan"]

Array = NDArray[Any]

# A measurement is long enough to be believed when it took so many seconds.
_ENOUGH = 0.1
# Samples a side that are measured at most.
_MOST = 2048
# Entries of maps that take some seconds: shorter work needs no estimate.
_LONG_ENTRIES = 4e9


@dataclass(frozen=True)
class Plan:
    """What will be computed, how, and what it costs; made by `Network.plan`, prints as a table.

    Attributes
    ----------
    network : str
        In one line.
    kernels : tuple of str
        "nngp", "ntk" or both.
    shape : tuple of int
        Of each kernel.
    sample : tuple of int
        Shape of one sample: (d,), or (height, width, channels).
    dtype : str
        Of computation and result.
    pairs : int
        Of samples; each pair of a symmetric kernel is computed once.
    method : str
        How a pair is computed.
    offsets : int or None
        Of images: maps of pairs of positions per pair of images.
    stages : int or None
        Of images: parts of the network between pools and readout.
    entries_per_pair : float or None
        Of images: entries of all these maps in all layers.
    result_bytes, workspace_bytes : int
        Of all kernels, and beside inputs and results.
    seconds : float or None
        For everything, from a measurement; None if there was none.
    seconds_per_pair, seconds_per_sample : float or None
        What a pair costs, and what each sample costs beside its pairs.
    measured : str
        On which samples.
    threads : int
    device : str
        "cpu" with the instruction set, or names of CUDA devices.
    """

    network: str
    kernels: tuple[str, ...]
    shape: tuple[int, int]
    sample: tuple[int, ...]
    dtype: str
    pairs: int
    method: str
    offsets: int | None
    stages: int | None
    entries_per_pair: float | None
    result_bytes: int
    workspace_bytes: int
    seconds: float | None
    seconds_per_pair: float | None
    seconds_per_sample: float | None
    measured: str
    threads: int
    device: str

    @property
    def fits(self) -> bool:
        """Whether results and workspace fit into the memory that is free or allowed now."""
        return self.result_bytes + self.workspace_bytes <= _allowed_bytes()

    def __str__(self) -> str:
        kernels, size = " and ".join(self.kernels), " x ".join(map(str, self.sample))
        room = "fits" if self.fits else f"does not fit: {size_text(_allowed_bytes())} available"
        rows = [
            ("network", textwrap.shorten(self.network, 88, placeholder=" ...")),
            ("result", f"{kernels}, {self.shape[0]} x {self.shape[1]}, {self.dtype}"),
            ("samples", f"of {size}, {self.pairs:,} pairs"),
            ("method", self.method),
            (
                "memory",
                f"{size_text(self.result_bytes)} result, "
                f"{size_text(self.workspace_bytes)} workspace ({room})",
            ),
            ("where", f"{self.device}, {self.threads} thread{'s' * (self.threads > 1)}"),
        ]
        if self.seconds is not None and self.seconds_per_pair is not None:
            rows.append(
                (
                    "time",
                    f"about {duration(self.seconds)} ({duration(self.seconds_per_pair)} a "
                    f"pair), measured on {self.measured}",
                )
            )
        return "\n".join(f"{name:8} {text}" for name, text in rows)

    __repr__ = __str__


def make_plan(
    net: KernelFunction,
    X: Any,
    Z: Any,
    *,
    nngp: bool,
    ntk: bool,
    dtype: Any,
    measure: bool,
    threads: int | None,
    device: Any,
) -> Plan:
    """Return the plan of one call; X and Z are samples or their shapes."""
    shapes = [_shape("X", X), None if Z is None else _shape("Z", Z)]
    given = shapes[0] is None
    if Z is not None and (shapes[1] is None) != given:
        raise TypeError("X and Z must both be arrays or both be shapes")
    options: dict[str, Any] = {"nngp": nngp, "ntk": ntk, "threads": threads, "device": device}
    if given:
        if dtype is not None:
            raise TypeError("dtype is for shapes: arrays are computed in their own")
        blocks = net._blocks(X, Z, **options)
        n, m = len(blocks.x), None if blocks.z is None else len(blocks.z)
    else:
        name = choice(
            "dtype", "float32" if dtype is None else str(np.dtype(dtype)), ("float32", "float64")
        )
        made = [None if shape is None else _random(shape, name) for shape in shapes]
        blocks = net._blocks(*made, **options)
        n, m = shapes[0][0], None if shapes[1] is None else shapes[1][0]  # type: ignore[index]
    columns = n if m is None else m
    pairs = n * (n + 1) // 2 if m is None else n * m
    itemsize = blocks.dtype.itemsize
    images = blocks.x.ndim > 2
    offsets, entries = None, None
    if images:
        offsets, entries = blocks.offsets_and_entries()
    pace = _measured(blocks) if measure and pairs else None
    samples = n if m is None else n + m
    return Plan(
        network=blocks.identity(),
        kernels=tuple(blocks.kinds),
        shape=(n, columns),
        sample=blocks.x.shape[1:],
        dtype=str(blocks.dtype),
        pairs=pairs,
        method=blocks.method(),
        offsets=offsets,
        stages=blocks.stages(),
        entries_per_pair=entries,
        result_bytes=n * columns * itemsize * (nngp + ntk),
        workspace_bytes=blocks.whole_workspace(n, m, blocks.threads),
        seconds=None if pace is None else pace.seconds(pairs, samples),
        seconds_per_pair=None if pace is None else pace.pair,
        seconds_per_sample=None if pace is None else pace.sample,
        measured="" if pace is None else pace.samples(given),
        threads=blocks.threads,
        device=blocks.where(),
    )


def long_seconds(blocks: Blocks) -> float | None:
    """Return how long a Gram of images will take, from a measurement; None if it is short."""
    if blocks.x.ndim == 2 or not all(blocks.shape):
        return None
    n, m = blocks.shape
    pairs = n * (n + 1) // 2 if blocks.z is None else n * m
    if pairs * blocks.offsets_and_entries()[1] < _LONG_ENTRIES:
        return None
    return _measured(blocks).seconds(pairs, n if blocks.z is None else n + m)


@dataclass(frozen=True)
class _Pace:
    pair: float
    sample: float
    count: int

    def samples(self, given: bool) -> str:
        plural = "s" * (self.count > 1 or given)
        return f"{self.count} {'of the given' if given else 'random'} sample{plural}"

    def seconds(self, pairs: int, samples: int) -> float:
        return self.pair * pairs + self.sample * samples


def _measured(blocks: Blocks) -> _Pace:
    """Time the pairs of some samples, and what the samples cost without any pair.

    Of more and more samples, up to a believable time in which pairs outweigh samples: what is left
    for the pairs is then not a small difference.
    """
    x, z = blocks.x, blocks.x if blocks.z is None else blocks.z
    blocks.compute(x[:1], z[:1], None)  # what is made once is not counted
    most = min(len(x), len(z), _MOST)
    s = 1
    while True:
        left, right = _spread(x, s), _spread(z, s)
        both = _seconds(blocks, left, right)
        alone = 2 * _seconds(blocks, left, right[:0])
        enough = both >= _ENOUGH and (2 * alone <= both or both >= 10 * _ENOUGH)
        if enough or s == most:
            break
        s = min(most, 2 * s if both < _ENOUGH / 8 else int(1.5 * s) + 1)
    pairs = max(both - alone, both / 4)
    return _Pace(pairs / s**2, (both - pairs) / (2 * s), s)


def _seconds(blocks: Blocks, x: Array, z: Array) -> float:
    start = time.perf_counter()
    blocks.compute(x, z, None)
    return time.perf_counter() - start


def _spread(samples: Array, count: int) -> Array:
    """Return so many samples from all over the array."""
    return np.ascontiguousarray(samples[np.linspace(0, len(samples) - 1, count).astype(np.int64)])


def _shape(name: str, value: Any) -> tuple[int, ...] | None:
    """Return a shape if the value is one: a tuple of whole numbers."""
    if not isinstance(value, tuple) or not all(
        isinstance(each, (int, np.integer)) and not isinstance(each, bool) for each in value
    ):
        return None
    if len(value) not in (2, 3, 4) or min(value) < 0:
        raise ValueError(
            f"{name} must be an array, or a shape (n, d) or (n, height, width, channels), "
            f"{got(value)}"
        )
    return tuple(map(int, value))


def _random(shape: tuple[int, ...], dtype: str) -> Array:
    """Return some samples of a shape, no more than are measured."""
    count = min(shape[0], _MOST if len(shape) == 2 else 256)
    rng = np.random.default_rng(0)
    return rng.standard_normal((count, *shape[1:])).astype(dtype)


def _allowed_bytes() -> float:
    budget = config.memory_budget
    free = available_bytes()
    return min(free, budget) if isinstance(budget, int) else free
