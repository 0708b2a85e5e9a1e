"""The tangent kernel of a PyTorch module: `ntk` and `explain`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .._gram_progress import gram_progress
from .._store import Store, fingerprint
from .._validate import choice, whole_number
from ..config import config
from . import _contract
from ._blocks import Grid, fill, result_shape
from ._model import Model
from ._operator import fill_by_columns
from ._plan import METHODS, Plan, make
from ._report import Report
from ._samples import Samples
from ._sources import ModuleSource, Served
from ._torch import torch

__all__ = ["explain", "ntk"]

MODES = ("full", "trace", "diagonal")

# Seconds between two notes of what a file holds.
_NOTED = 5.0
# What an unfinished kernel in a file must have in common with the call.
_DECIDES = "module, parameters, data, outputs or dtype"


def ntk(
    module: Any,
    X: Any,
    Z: Any = None,
    *,
    outputs: str = "trace",
    parameters: Any = None,
    method: str = "auto",
    batch_size: int | None = None,
    memory_budget: int | str | None = None,
    device: Any = None,
    dtype: Any = None,
    out: Any = None,
    progress: Any = None,
    return_report: bool = False,
) -> Any:
    """Return the tangent kernel of a PyTorch module: inner products of its derivatives.

    ``K(x, x')_cc' = sum over parameters df_c(x)/dp df_c'(x')/dp`` for the parameters as they stand.
    The module is neither changed nor moved. Its samples must not depend on each other, which is
    checked: a BatchNorm or Dropout in training mode is refused.

    Parameters
    ----------
    module : torch.nn.Module
        Returns one row of outputs for each sample; further axes of the output are joined.
    X : array, tensor, or tuple of them
        The input of the module, or all its inputs; samples along the first axis of each. Floats
        are converted to the dtype of the computation; a memory map is read block by block.
    Z : as X, optional
        Without it the kernel of X with itself, exactly symmetric.
    outputs : {"trace", "full", "diagonal"}, default "trace"
        "full": every pair of outputs. "trace": the mean over outputs of each with itself.
        "diagonal": each output with itself.
    parameters : optional
        Which are differentiated: names or patterns such as ``"layer1.*"``, parameters of the
        module, or a function of (name, parameter). By default all that require gradients.
    method : {"auto", "structured", "jacobian", "operator"}, default "auto"
        "structured": Linear, Conv1d, Conv2d, Embedding, LayerNorm, GroupNorm and BatchNorm layers
        by their inputs and signals, in products of pairs of positions or gathered to a Jacobian,
        whichever is measured to be faster for each; parameters that are also used otherwise through
        functional Jacobians. "jacobian": all through those. "operator": no Jacobian, column by
        column from products with it. "auto": the one that measurements on a few samples predict to
        be the fastest.
    batch_size : int, optional
        Samples of a pass; by default what fits into the budget, up to 256.
    memory_budget : int or str, optional
        Most bytes for the result and all that is computed on the way, such as "2GiB", beyond what
        the process and the module take already; ``config.memory_budget`` by default. Without either
        2 GiB, or half of the free memory if that is less, are taken beside the result.
    device : optional
        Where to compute; where the parameters are by default.
    dtype : float32 or float64, optional
        Of the computation; that of the parameters by default (float32 for shorter ones).
    out : str or path, optional
        A ``.npy`` file to write the kernel to. The result is then a read-only memory map of it. An
        interrupted computation is continued by the same call.
    progress : optional
        As ``config.progress``, which is the default.
    return_report : bool, default False
        Whether to return also a `Report` of what was chosen and why.

    Returns
    -------
    array, shape (n, m), (n, m, outputs, outputs) or (n, m, outputs)
        NumPy array or tensor as X, on the device of X.
    Report
        If asked for.

    Raises
    ------
    ModuleNotFoundError
        If PyTorch is not installed.
    TypeError, ValueError
        If an argument has the wrong type or is out of range, or data are not finite.
    ArchitectureError
        If outputs of a sample depend on other samples, or are random.
    MemoryBudgetError
        If it would not fit, before it starts.

    References
    ----------
    Novak, Sohl-Dickstein and Schoenholz, Fast finite width neural tangent kernel, ICML 2022.

    Examples
    --------
    >>> import torch
    >>> import ntkfast as nk
    >>> net = torch.nn.Sequential(torch.nn.Linear(3, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    >>> nk.empirical.ntk(net, torch.randn(5, 3)).shape
    torch.Size([5, 5])
    >>> nk.empirical.ntk(net, torch.randn(5, 3), torch.randn(2, 3), outputs="full").shape
    torch.Size([5, 2, 10, 10])
    """
    settings: dict[str, Any] = {}
    if memory_budget is not None:
        settings["memory_budget"] = memory_budget
    if progress is not None:
        settings["progress"] = progress
    with config(**settings):
        task = _Task(module, X, Z, outputs, parameters, method, batch_size, device, dtype)
        kernel = task.wrapped(task.empty(out) if task.is_empty else task.kernel(out), out)
        return (kernel, task.report) if return_report else kernel


def explain(
    module: Any,
    X: Any,
    Z: Any = None,
    *,
    outputs: str = "trace",
    parameters: Any = None,
    method: str = "auto",
    batch_size: int | None = None,
    memory_budget: int | str | None = None,
    device: Any = None,
    dtype: Any = None,
) -> Report:
    """Return how `ntk` would compute the kernel, without computing it.

    Parameters
    ----------
    module, X, Z, outputs, parameters, method, batch_size, memory_budget, device, dtype
        As in `ntk`.

    Returns
    -------
    Report

    Raises
    ------
    ModuleNotFoundError, TypeError, ValueError, ArchitectureError, MemoryBudgetError
        As `ntk`.

    Examples
    --------
    >>> import torch
    >>> import ntkfast as nk
    >>> net = torch.nn.Sequential(torch.nn.Linear(3, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    >>> report = nk.empirical.explain(net, torch.randn(5, 3), method="structured")
    >>> report.served["0.weight"]
    'pairs'
    """
    settings = {} if memory_budget is None else {"memory_budget": memory_budget}
    with config(**settings):
        task = _Task(module, X, Z, outputs, parameters, method, batch_size, device, dtype)
        return task.report if task.is_empty else task.plan().report


class _Task:
    """One kernel to be computed."""

    def __init__(
        self,
        module: Any,
        X: Any,
        Z: Any,
        outputs: str,
        parameters: Any,
        method: str,
        batch_size: int | None,
        device: Any,
        dtype: Any,
    ) -> None:
        self._mode = choice("outputs", outputs, MODES)
        self._method = choice("method", method, METHODS)
        if batch_size is not None:
            whole_number("batch_size", batch_size, minimum=1)
        self._batch_size = batch_size
        self._model = Model(module, parameters, device, dtype)
        self._x = Samples("X", X, self._model.device, self._model.dtype)
        self._z = None
        if Z is not None:
            self._z = Samples("Z", Z, self._model.device, self._model.dtype)
            _check_alike(self._x, self._z)
        self.is_empty = not len(self._x) or (self._z is not None and not len(self._z))
        self.report = Report("structured", {}, dtype=self._dtype.name)

    @property
    def _dtype(self) -> np.dtype[Any]:
        return np.dtype(str(self._model.dtype).removeprefix("torch."))

    def _shape(self, outputs: int) -> tuple[int, ...]:
        other = self._x if self._z is None else self._z
        return result_shape(self._mode, len(self._x), len(other), outputs)

    def _bytes(self, outputs: int) -> int:
        return int(np.prod(self._shape(outputs), dtype=np.float64)) * self._dtype.itemsize

    def empty(self, path: Any) -> Any:
        """Return a kernel without entries, in a file too if there is a path."""
        filled = self._z if self._z is not None and len(self._z) else self._x
        with torch.no_grad():
            outputs = self._model(filled.rows(0, 1)).shape[1]
        kernel = np.zeros(self._shape(outputs), self._dtype)
        if path is not None:  # a memory map cannot be empty
            np.save(Store(path, "", _DECIDES).path, kernel)
        return kernel

    def plan(self, in_file: bool = False) -> Plan:
        """Return what to do."""
        return make(
            self._model,
            self._x,
            self._z,
            mode=self._mode,
            method=self._method,
            batch_size=self._batch_size,
            result_bytes=(lambda outputs: 0) if in_file else self._bytes,
        )

    def kernel(self, path: Any) -> Any:
        """Return the kernel, a read-only memory map if there is a path."""
        if path is None:
            plan = self.plan()
            self.report = plan.report
            kernel = self._allocated(plan)
            with gram_progress() as progress:
                self._fill(kernel, plan, 0, progress or _quiet)
            return kernel
        store = Store(path, fingerprint(self._identity()), _DECIDES)
        plan = self.plan(in_file=True)
        if store.continued is not None:
            plan = _as_recorded(plan, store.continued["plan"])
        self.report = plan.report
        kernel, skip = store.open(self._shape(plan.outputs), self._dtype, _recorded(plan))
        noted = time.monotonic()
        # With several groups of parameters a block is added to more than once: only whole rounds
        # may be skipped.
        safe = plan.grid.groups == 1

        with gram_progress() as progress:

            def done(step: int, total: int) -> None:
                nonlocal noted
                (progress or _quiet)(step, total)
                if safe and time.monotonic() - noted > _NOTED:
                    store.note(kernel, step)
                    noted = time.monotonic()

            try:
                self._fill(kernel, plan, skip, done)
            finally:
                if isinstance(kernel, np.memmap):
                    kernel.flush()
        return store.close(kernel)

    def _fill(self, kernel: Any, plan: Plan, skip: int, done: Callable[[int, int], None]) -> None:
        if plan.report.method == "operator":
            fill_by_columns(
                kernel,
                self._mode,
                self._model,
                self._x,
                self._z,
                plan.grid.rows,
                plan.push,
                skip=skip,
                done=done,
            )
            if self._z is None:
                _contract.mirror(kernel, self._mode)
            return
        left = ModuleSource(self._model, self._x, plan.served, plan.groups)
        right = None
        if self._z is not None:
            right = ModuleSource(self._model, self._z, plan.served, plan.groups)
        fill(kernel, self._mode, left, right, plan.grid, skip=skip, done=done)

    def _allocated(self, plan: Plan) -> Any:
        """Return room for the kernel: full ones so that rows of the tiles are contiguous."""
        shape = self._shape(plan.outputs)
        if self._model.device.type != "cpu" and self._x.home == self._model.device:
            return torch.zeros(shape, dtype=self._model.dtype, device=self._model.device)
        if self._mode != "full":
            return np.empty(shape, self._dtype)
        n, m, outputs, _ = shape
        return np.empty((n, outputs, m, outputs), self._dtype).transpose(0, 2, 1, 3)

    def wrapped(self, kernel: Any, path: Any) -> Any:
        """Return the kernel as the same kind of array as X."""
        if path is not None or not self._x.is_torch:
            return kernel
        tensor = torch.from_numpy(kernel) if isinstance(kernel, np.ndarray) else kernel
        return tensor.to(self._x.home)

    def _identity(self) -> Iterator[Any]:
        """Yield everything that decides the kernel."""
        model = self._model
        yield f"{model.module!r} {self._mode} {self._method} {self._dtype} {model.names}".encode()
        for name, value in sorted(model.state.items()):
            yield name.encode()
            yield value.detach().cpu().numpy()
        for samples in (self._x, self._z):
            yield b"none" if samples is None else b"some"
            if samples is not None:
                yield from samples.bytes()


def _quiet(done: int, total: int) -> None:
    pass


def _check_alike(x: Samples, z: Samples) -> None:
    if x.is_torch != z.is_torch:
        kinds = ["PyTorch tensors" if each.is_torch else "NumPy arrays" for each in (x, z)]
        raise TypeError(f"X and Z must be arrays of one kind, got {kinds[0]} and {kinds[1]}")
    if len(x.parts) != len(z.parts):
        raise ValueError(f"X and Z must hold as many inputs, got {len(x.parts)} and {len(z.parts)}")


# --- What a continued computation takes over ---------------------------------------------------


def _recorded(plan: Plan) -> dict[str, Any]:
    served, grid = plan.served, plan.grid
    return {
        "method": plan.report.method,
        "push": plan.push,
        "layers": served.layers,
        "ways": dict(served.ways),
        "jacobian": served.jacobian,
        "how": served.how,
        "grid": [grid.rows, grid.held, grid.groups],
        "groups": [sorted(group) for group in plan.groups],
    }


def _as_recorded(plan: Plan, record: dict[str, Any]) -> Plan:
    """Return the plan of the first run: blocks and ways decide the last bits of the kernel."""
    from dataclasses import replace

    served = Served(
        tuple(record["layers"]), record["ways"], tuple(record["jacobian"]), record["how"]
    )
    grid = Grid(*record["grid"])
    report = replace(
        plan.report, method=record["method"], rows=grid.rows, held=grid.held, groups=grid.groups
    )
    groups = tuple(frozenset(group) for group in record["groups"])
    return Plan(report, served, grid, groups, plan.outputs, record["push"])
