"""The tangent kernel of a network of Dense layers, without its Jacobian.

With the input a of a Dense layer and the signals s_c = df_c/dz, the layer's part of the kernel is
<dz, dz'> (s_c . s'_c'), a Gram matrix of inputs times one of signals: n^2 O^2 units multiplications
for n samples and O outputs, where the Jacobian needs units^2. The core multiplies and adds them
tile by tile; here are the passes through the network, for as many samples as memory allows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._device import contract_on
from ._operations import Affine, large_array
from ._passes import Parameters, forward, signals
from ._tape import Tape

__all__ = ["MODES", "kernel", "result_shape", "row_bytes"]

Array = NDArray[Any]

#: What becomes of the outputs: all pairs, the mean over equal ones, or each equal pair.
MODES = ("full", "trace", "diagonal")

Progress = Callable[[int, int], None]


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
    tape: Tape,
    parameters: Parameters,
    x: Array,
    z: Array | None,
    mode: str,
    rows: int,
    threads: int,
    progress: Progress | None = None,
    device: int | None = None,
) -> Array:
    """Return the tangent kernel of x and z (None: of x with itself), `rows` samples at a time.

    `device` is the number of the CUDA device that contracts inputs and signals, None the CPU.
    """
    other = x if z is None else z
    dtype = np.result_type(x, *(p.weights for p in parameters.values()))
    out = _result(mode, len(x), len(other), tape.outputs, dtype)
    firsts = range(0, len(x), rows)
    blocks = sum(len(range(0, len(other) if z is not None else i + 1, rows)) for i in firsts)
    finished = 0
    for i in firsts:
        left = _weights(tape, parameters, x[i : i + rows], dtype)
        for j in range(0, len(other) if z is not None else i + 1, rows):
            own = z is None and i == j
            right = None if own else _weights(tape, parameters, other[j : j + rows], dtype).sides
            block = out[i : i + rows, j : j + rows]
            counted = _counted(progress, finished, blocks)
            if device is None or not left.sides:
                _core.contract_uses(
                    left.sides, right, left.scales, mode, block, threads, counted, overwrite=True
                )
            else:
                block[...] = contract_on(device, left.sides, right, left.scales, mode, counted)
            finished += 1
    if z is None and blocks > 1:  # a block of its own is complete
        _core.mirror_kernel(out, mode, threads)
    return out


class _Weights(NamedTuple):
    """What the core asks for of all trained Dense layers: inputs with signals, and scales."""

    sides: list[tuple[Array, Array]]
    scales: list[tuple[float, float]]


def _weights(tape: Tape, parameters: Parameters, x: Array, dtype: Any) -> _Weights:
    values = forward(tape, parameters, x)
    outputs = tape.outputs
    start = np.broadcast_to(np.eye(outputs, dtype=dtype), (len(x), outputs, outputs))
    found = _Weights([], [])
    for step, a, signal in signals(tape, parameters, values, start):
        operation = tape.steps[step].operation
        assert isinstance(operation, Affine)
        a, signal = (np.ascontiguousarray(array, dtype) for array in (a, signal))
        found.sides.append((a[:, None], signal[:, :, None]))  # every weight is used once
        found.scales.append(operation.squares(parameters[step]))
    return found


def _result(mode: str, n: int, m: int, outputs: int, dtype: Any) -> Array:
    """Return memory for a kernel; a full one is stored as the matrix (n O, m O), for solvers."""
    shape = (n, outputs, m, outputs) if mode == "full" else result_shape(mode, n, m, outputs)
    out = large_array(shape, dtype)
    return out.transpose(0, 2, 1, 3) if mode == "full" else out


def _counted(progress: Progress | None, finished: int, blocks: int) -> Progress | None:
    """Progress of one of several blocks, as progress of all."""
    if progress is None or blocks == 1:
        return progress
    return lambda done, total: progress(finished * total + done, blocks * total)
