"""The contenders of activations.py: cross kernels of one network at several depths.

Driven by worker.py. A network is `depth` times (Dense, activation) and a Dense readout; the
activation is a dictionary with its `type`. The second class runs in the peers' environment.
"""

from __future__ import annotations

import importlib
import sys
import time
import types
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker import timed_calls

Array = NDArray[Any]
Call = Callable[[], Any]


class LayerContender(ABC):
    """Computes both kernels of X and Z (or of X alone) at each depth."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._calls: dict[int, Call] = {}

    @abstractmethod
    def load(self, dtype: str) -> dict[str, str]:
        """Import what is needed; return the versions of what runs."""

    @abstractmethod
    def build(
        self, activation: dict[str, Any], depth: int, dense: dict[str, float], x: Array, z: Any
    ) -> Call:
        """Return a function that computes (K, T), complete when it returns."""

    def on_prepare(
        self,
        activation: dict[str, Any],
        depths: list[int],
        dense: dict[str, float],
        x: str,
        z: str | None,
        calls: int,
    ) -> dict[str, Any]:
        """Build the networks and call each once; say how long that took and where NaN came out."""
        rows, others = np.load(x), np.load(z) if z else None
        versions = self.load(rows.dtype.name)
        self._repeat = calls
        first: dict[str, float] = {}
        finite = True
        for depth in depths:
            self._calls[depth] = self.build(activation, depth, dense, rows, others)
            start = time.perf_counter()
            answer = self._calls[depth]()
            first[str(depth)] = time.perf_counter() - start
            finite &= all(bool(np.all(np.isfinite(np.asarray(kernel)))) for kernel in answer)
        return {"versions": versions, "first_calls": first, "finite": finite}

    def on_turn(self) -> dict[str, Any]:
        """Time every depth; the median of a few calls each, in seconds."""
        times = {depth: timed_calls(call, self._repeat) for depth, call in self._calls.items()}
        return {"seconds": {str(depth): float(np.median(t)) for depth, t in times.items()}}

    def on_answer(self, path: str) -> dict[str, Any]:
        """Save the kernels of the first depth."""
        K, T = next(iter(self._calls.values()))()
        np.savez(path, nngp=np.asarray(K), ntk=np.asarray(T))
        return {}


class Ntkfast(LayerContender):
    def load(self, dtype: str) -> dict[str, str]:
        del dtype
        self._nk: Any = importlib.import_module("ntkfast")
        return {"ntkfast": self._nk.__version__}

    def build(
        self, activation: dict[str, Any], depth: int, dense: dict[str, float], x: Array, z: Any
    ) -> Call:
        readout = {"type": "Dense", **dense}
        layers = [*[readout, activation] * depth, readout]
        net = self._nk.from_dict({"type": "serial", "layers": layers})
        return lambda: net.kernels(x, z, threads=self.threads)


class NeuralTangents(LayerContender):
    def load(self, dtype: str) -> dict[str, str]:
        # Its `experimental` part is a bridge to TensorFlow and imports it: nothing here uses it.
        bridge = "neural_tangents.experimental"
        sys.modules[bridge] = types.ModuleType(bridge)
        warnings.simplefilter("ignore")
        self._jax: Any = importlib.import_module("jax")
        self._jax.config.update("jax_platforms", "cpu")
        self._jax.config.update("jax_enable_x64", dtype == "float64")
        self._stax: Any = importlib.import_module("neural_tangents.stax")
        return {name: version(name) for name in ("neural-tangents", "jax", "jaxlib")}

    def build(
        self, activation: dict[str, Any], depth: int, dense: dict[str, float], x: Array, z: Any
    ) -> Call:
        jax, stax = self._jax, self._stax
        arguments = dict(activation)
        kind = arguments.pop("type")
        if kind == "ElementwiseNumerical":
            arguments["fn"] = self._function(arguments["fn"])
        affine = stax.Dense(1, **dense)
        layers = [*[affine, getattr(stax, kind)(**arguments)] * depth, affine]
        kernel_fn = stax.serial(*layers)[2]
        call = jax.jit(lambda a, b: tuple(kernel_fn(a, b, get=("nngp", "ntk"))))
        first = jax.block_until_ready(jax.numpy.asarray(x))
        second = None if z is None else jax.block_until_ready(jax.numpy.asarray(z))
        return lambda: jax.block_until_ready(call(first, second))

    def _function(self, name: str) -> Any:
        module = self._jax.nn if hasattr(self._jax.nn, name) else self._jax.numpy
        return getattr(module, name)
