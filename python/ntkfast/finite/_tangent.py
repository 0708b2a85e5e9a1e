"""The tangent kernel of a network of Dense layers, without its Jacobian.

With the input a of a Dense layer and the signals s_c = df_c/dz, the layer's part of the kernel is
<dz, dz'> (s_c . s'_c'), a Gram matrix of inputs times one of signals: n^2 O^2 units multiplications
for n samples and O outputs, where the Jacobian needs units^2. Tiles of the result are small enough
that both factors stay in cache while they are multiplied and added.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._operations import Affine
from ._passes import Arrival, Parameters, forward, signals
from ._tape import Tape

__all__ = ["MODES", "kernel", "result_shape", "row_bytes"]

Array = NDArray[Any]

#: What becomes of the outputs: all pairs, the mean over equal ones, or each equal pair.
MODES = ("full", "trace", "diagonal")

_TILE_BYTES = 1 << 20  # of one factor of a tile: two of them stay in a core's second-level cache


def result_shape(mode: str, n: int, m: int, outputs: int) -> tuple[int, ...]:
    """Shape of the kernel of n and m samples."""
    return {"full": (n, m, outputs, outputs), "trace": (n, m), "diagonal": (n, m, outputs)}[mode]


def row_bytes(tape: Tape, itemsize: int) -> int:
    """Bytes that one sample needs: its values, and the signals that are kept."""
    units = tape.features + sum(step.units for step in tape.steps)
    kept = sum(tape.steps[i].units for i in tape.dense)
    widest = max((step.units for step in tape.steps), default=0)
    return itemsize * (units + tape.outputs * (kept + 2 * widest))


def kernel(
    tape: Tape, parameters: Parameters, x: Array, z: Array | None, mode: str, rows: int
) -> Array:
    """Return the tangent kernel of x and z (None: of x with itself), `rows` samples at a time."""
    other = x if z is None else z
    dtype = np.result_type(x, *(p.weights for p in parameters.values()))
    outputs = tape.outputs
    full = np.zeros((len(x), outputs, len(other), outputs), dtype) if mode == "full" else None
    flat = None if full is not None else np.zeros((len(x), len(other), outputs), dtype)
    if mode == "trace":
        flat = np.zeros((len(x), len(other)), dtype)
    for i in range(0, len(x), rows):
        left = _arrivals(tape, parameters, x[i : i + rows])
        for j in range(0, len(other), rows):
            if z is None and j > i:
                break
            right = (
                left if z is None and i == j else _arrivals(tape, parameters, other[j : j + rows])
            )
            block = (slice(i, i + rows), slice(j, j + rows))
            if full is not None:
                _add_full(tape, parameters, left, right, full[block[0], :, block[1]])
            else:
                assert flat is not None
                _add_equal(tape, parameters, left, right, flat[block], mode)
    if full is not None:
        flat = full.transpose(0, 2, 1, 3)
    assert flat is not None
    if z is None:
        _mirror(flat)
    return flat


def _arrivals(tape: Tape, parameters: Parameters, x: Array) -> list[Arrival]:
    """Return inputs and signals of all trained Dense layers."""
    values = forward(tape, parameters, x)
    outputs = tape.outputs
    start = np.broadcast_to(np.eye(outputs, dtype=values[-1].dtype), (len(x), outputs, outputs))
    return list(signals(tape, parameters, values, start))


def _pairs(
    tape: Tape, parameters: Parameters, left: list[Arrival], right: list[Arrival]
) -> Iterable[tuple[Arrival, Arrival, Affine, bool]]:
    for ours, theirs in zip(left, right, strict=True):
        operation = tape.steps[ours.step].operation
        assert isinstance(operation, Affine)
        yield ours, theirs, operation, parameters[ours.step].bias is not None


def _add_full(
    tape: Tape, parameters: Parameters, left: list[Arrival], right: list[Arrival], out: Array
) -> None:
    """Add to out (n, O, m, O), tile by tile of sample pairs."""
    n, outputs, m, _ = out.shape
    edge = max(1, int((_TILE_BYTES / out.itemsize) ** 0.5) // outputs)
    factor = np.empty((edge * outputs) ** 2, out.dtype)
    for i in range(0, n, edge):
        a = slice(i, min(n, i + edge))
        for j in range(0, i + 1 if left is right else m, edge):
            b = slice(j, min(m, j + edge))
            tile = out[a, :, b]
            shape = tile.shape
            product = factor[: tile.size].reshape(shape[0] * outputs, shape[2] * outputs)
            for ours, theirs, operation, bias in _pairs(tape, parameters, left, right):
                s, t = ours.signal[a], theirs.signal[b]
                np.matmul(s.reshape(-1, s.shape[2]), t.reshape(-1, t.shape[2]).T, out=product)
                inputs = operation.products(ours.a[a], theirs.a[b], bias)
                scaled = product.reshape(shape)
                scaled *= inputs[:, None, :, None]
                tile += scaled


def _add_equal(
    tape: Tape,
    parameters: Parameters,
    left: list[Arrival],
    right: list[Arrival],
    out: Array,
    mode: str,
) -> None:
    """Add to out (n, m) the mean over outputs, or to (n, m, O) each output's own kernel."""
    n, m = out.shape[:2]
    edge = max(1, int((_TILE_BYTES / out.itemsize) ** 0.5))
    for i in range(0, n, edge):
        a = slice(i, min(n, i + edge))
        for j in range(0, i + 1 if left is right else m, edge):
            b = slice(j, min(m, j + edge))
            for ours, theirs, operation, bias in _pairs(tape, parameters, left, right):
                s, t = ours.signal[a], theirs.signal[b]
                inputs = operation.products(ours.a[a], theirs.a[b], bias)
                if mode == "trace":
                    product = s.reshape(len(s), -1) @ t.reshape(len(t), -1).T
                    product *= inputs
                    out[a, b] += product / s.shape[1]
                    continue
                for c in range(s.shape[1]):
                    out[a, b, c] += inputs * (s[:, c] @ t[:, c].T)


def _mirror(kernel: Array) -> None:
    """Fill what lies above the diagonal, of the pairs of outputs on the diagonal too."""
    for i in range(len(kernel)):
        below = kernel[i + 1 :, i]
        kernel[i, i + 1 :] = below.transpose(0, 2, 1) if kernel.ndim == 4 else below
        if kernel.ndim == 4:
            own = np.tril(kernel[i, i])
            kernel[i, i] = own + np.tril(own, -1).T
