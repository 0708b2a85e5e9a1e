"""The tangent kernel of any function whose Jacobian somebody else computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _memory
from .._gram_progress import gram_progress
from .._validate import choice, got, require_finite, whole_number
from ..config import config
from ._blocks import Grid, fill, result_shape

__all__ = ["from_jacobian"]

# Samples of a block at most, and bytes of its Jacobian.
_MOST_ROWS, _BLOCK_BYTES = 256, 1 << 28


def from_jacobian(
    jacobian: Any,
    other: Any = None,
    *,
    n: int | None = None,
    m: int | None = None,
    outputs: str = "trace",
    output_axes: int = 1,
    batch_size: int | None = None,
    memory_budget: int | str | None = None,
    progress: Any = None,
) -> NDArray[Any]:
    """Return the tangent kernel ``J J'^T`` of Jacobians, of JAX or of anything else.

    Parameters
    ----------
    jacobian : array, nested dict, list or tuple of arrays, or callable
        Every array has shape (n, outputs, ...): the derivative by one parameter, as
        ``jax.jacrev(f)(params, X)`` gives it. A callable ``jacobian(start, stop)`` returns the same
        for some of the samples: then never more of the Jacobian is in memory than the budget says.
    other : as jacobian, optional
        Of the other samples; without it the kernel of the samples with themselves, exactly
        symmetric.
    n, m : int, optional
        Numbers of samples, where callables do not show them.
    outputs : {"trace", "full", "diagonal"}, default "trace"
        As in `ntk`.
    output_axes : int, default 1
        Axes of the outputs in every array, after that of the samples; 0 for a function of one
        number without an axis.
    batch_size : int, optional
        Samples that a callable is asked for at a time; as many as have 256 MiB, up to 256, by
        default.
    memory_budget, progress
        As in `ntk`.

    Returns
    -------
    numpy.ndarray, shape (n, m), (n, m, outputs, outputs) or (n, m, outputs)
        float64, or float32 where the Jacobian is in float32.

    Raises
    ------
    TypeError, ValueError
        If arrays do not fit together, or hold other than finite real numbers.
    MemoryBudgetError
        If it would not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import ntkfast as nk
    >>> J = {"W": np.ones((4, 2, 3, 5)), "b": np.ones((4, 2, 5))}  # 4 samples, 2 outputs
    >>> nk.empirical.from_jacobian(J).shape
    (4, 4)
    >>> part = lambda start, stop: {name: each[start:stop] for name, each in J.items()}
    >>> float(nk.empirical.from_jacobian(part, n=4)[0, 0])
    20.0
    """
    choice("outputs", outputs, ("full", "trace", "diagonal"))
    whole_number("output_axes", output_axes, minimum=0)
    if batch_size is not None:
        whole_number("batch_size", batch_size, minimum=1)
    settings: dict[str, Any] = {}
    if memory_budget is not None:
        settings["memory_budget"] = memory_budget
    if progress is not None:
        settings["progress"] = progress
    with config(**settings):
        left = _Blocks("jacobian", jacobian, n, "n", output_axes)
        right = None if other is None else _Blocks("other", other, m, "m", output_axes)
        return _kernel(left, right, outputs, batch_size)


def _kernel(
    left: _Blocks, right: _Blocks | None, mode: str, batch_size: int | None
) -> NDArray[Any]:
    n, m = len(left), len(left if right is None else right)
    first = left.arrays(0, min(n, 1))
    if right is not None:
        other = right.arrays(0, min(m, 1))
        if [each.shape[1:] for each in first] != [each.shape[1:] for each in other]:
            raise ValueError(
                "jacobian and other must hold arrays of the same outputs and parameters, got "
                f"{[each.shape for each in first]} and {[each.shape for each in other]}"
            )
        first = first if n else other
    count = first[0].shape[1]
    dtype = np.result_type(*first)
    shape = result_shape(mode, n, m, count)
    result = int(np.prod(shape, dtype=np.float64)) * dtype.itemsize
    per_row = max(1, sum(each.nbytes for each in first))
    rows = batch_size or max(1, min(_MOST_ROWS, _BLOCK_BYTES // per_row))
    rows = min(rows, max(n, m, 1))
    budget = config.memory_budget
    space = (budget if isinstance(budget, int) else _memory.available_bytes() / 2) - result
    held = int(max(1, min(space // (rows * per_row) - 1, -(-n // rows) or 1)))
    # Views of an array take nothing.
    needed = (held + 1) * rows * per_row if left.computed else 0
    _memory.require(
        result, needed, f"the {mode} tangent kernel of {n} x {m} samples", "a smaller batch_size"
    )
    kernel = np.empty(shape, dtype)
    if mode == "full":
        kernel = np.empty((n, count, m, count), dtype).transpose(0, 2, 1, 3)
    if n and m:
        with gram_progress() as update:
            report = update or (lambda done, total: None)
            fill(kernel, mode, left, right, Grid(rows, held), done=report)
    return kernel


class _Blocks:
    """Jacobians of samples, block by block."""

    def __init__(
        self, name: str, jacobian: Any, count: int | None, count_name: str, output_axes: int
    ) -> None:
        self._name, self._output_axes = name, output_axes
        self.computed = callable(jacobian)
        self._block: Callable[[int, int], list[Any]]
        if self.computed:
            if count is None:
                raise TypeError(f"{count_name} must say how many samples a callable {name} has")
            self._count = whole_number(count_name, count, minimum=0)
            self._block = lambda start, stop: _leaves(name, jacobian(start, stop))
            return
        leaves = [_read(name, each) for each in _leaves(name, jacobian)]
        self._count = len(leaves[0])
        if count is not None and count != self._count:
            raise ValueError(f"{count_name} must be {self._count}, as {name} has, {got(count)}")
        self._block = lambda start, stop: [each[start:stop] for each in leaves]
        self._check_counts(leaves, self._count)

    def __len__(self) -> int:
        return self._count

    def _check_counts(self, leaves: list[Any], count: int) -> None:
        for each in leaves:
            if len(each) != count:
                raise ValueError(
                    f"every array of {self._name} must hold {count} samples, got shape {each.shape}"
                )

    def arrays(self, start: int, stop: int) -> list[NDArray[Any]]:
        """Return the arrays of some samples, shape (n, outputs, parameters)."""
        leaves = [_read(self._name, each) for each in self._block(start, stop)]
        self._check_counts(leaves, stop - start)
        dtype = np.result_type(*leaves)
        found: list[NDArray[Any]] = []
        for each in leaves:
            axes = 1 + self._output_axes
            if each.ndim < axes:
                raise ValueError(
                    f"every array of {self._name} must have shape (samples, outputs, ...), got "
                    f"{each.shape}: see output_axes"
                )
            count = int(np.prod(each.shape[1:axes]))
            size = int(np.prod(each.shape[axes:]))
            flat = np.ascontiguousarray(each.reshape(len(each), count, size), dtype)
            require_finite(self._name, flat)
            if found and count != found[0].shape[1]:
                raise ValueError(
                    f"every array of {self._name} must have the same number of outputs, got "
                    f"{found[0].shape[1]} and {count}"
                )
            found.append(flat)
        return found

    def terms(self, start: int, stop: int, group: int) -> list[Any]:
        """Return the terms of some samples."""
        return self.arrays(start, stop)


def _leaves(name: str, tree: Any) -> list[Any]:
    """Return the arrays of nested containers, in an order that depends on the keys alone."""
    if tree is None:
        return []
    if isinstance(tree, Mapping):
        found = [leaf for key in sorted(tree, key=str) for leaf in _leaves(name, tree[key])]
    elif isinstance(tree, (list, tuple)):
        found = [leaf for each in tree for leaf in _leaves(name, each)]
    else:
        return [tree]
    if not found:
        raise ValueError(f"{name} must hold at least one array, {got(tree)}")
    return found


def _read(name: str, value: Any) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except (TypeError, RuntimeError, ValueError) as error:
        raise TypeError(f"{name} cannot be read as a NumPy array: {error}") from error
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if array.ndim == 0:
        raise ValueError(f"{name} must have samples along the first axis, got a single number")
    wide = array.dtype == np.float64 or array.dtype.kind in "iu"
    return array.astype(np.float64 if wide else np.float32, copy=False)
