"""The contenders of tangent.py: the full tangent kernel of one finite ReLU network.

Driven by worker.py. All get the same parameters in NTK parameterization; every layer computes
W_std / sqrt(inputs) a W + b_std b. `NeuralTangents` runs in the peers' environment.
"""

from __future__ import annotations

import importlib
import sys
import time
import types
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

import memory
from worker import timed_calls

Array = NDArray[Any]
Layers = list[tuple[Array, Array]]

W_STD, B_STD = 2**0.5, 0.1
TILE = 512  # side of the tiles of products dealt to threads


class TangentContender(ABC):
    """One way to the kernel (n, n, O, O) of the rows of X."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.way = ""
        self.calls = 1
        self._baseline = 0

    @abstractmethod
    def load(self, layers: Layers, x: Array) -> dict[str, str]:
        """Import what is needed, keep parameters and rows; return the versions of what runs."""

    @abstractmethod
    def call(self) -> Any:
        """Compute the kernel, complete when this returns."""

    def on_prepare(
        self, path: str, way: str, rows: int, calls: int, checked: list[int], block: str
    ) -> dict[str, Any]:
        """Load and call once: the first call holds compilation and lazy set-up."""
        self.way, self.calls = way, calls
        with np.load(path) as file:
            x = np.ascontiguousarray(file["x"][:rows])
            count = sum(name.startswith("w") for name in file.files)
            layers = [(file[f"w{i}"], file[f"b{i}"]) for i in range(count)]
        versions = self.load(layers, x)
        self._baseline = memory.resident()
        found = self.on_check(checked, block)
        return found | {"versions": versions, "first_call": found["seconds"]}

    def on_check(self, checked: list[int], block: str) -> dict[str, Any]:
        """Call once; save the block of some rows; report memory."""
        memory.reset_peak()
        start = time.perf_counter()
        kernel = self.call()
        seconds = time.perf_counter() - start
        peak = memory.peak()
        if kernel is not None:
            np.save(block, np.asarray(kernel)[np.ix_(checked, checked)])
        return {"seconds": seconds, "over_baseline": peak - self._baseline}

    def on_turn(self) -> dict[str, Any]:
        """Time the calls of one turn."""
        return {"seconds": float(np.median(timed_calls(self.call, self.calls)))}


class Ntkfast(TangentContender):
    """`FiniteNetwork.ntk`."""

    def load(self, layers: Layers, x: Array) -> dict[str, str]:
        import ntkfast as nk

        hidden = [step for _ in layers[1:] for step in (nk.Dense(W_STD, B_STD), nk.Relu())]
        net = nk.serial(*hidden, nk.Dense(W_STD, B_STD))
        self.f, self.x = nk.finite.from_parameters(net, layers), x
        nk.config.threads = self.threads
        return {name: version(name) for name in ("ntkfast", "numpy")}

    def call(self) -> Any:
        return self.f.ntk(self.x, outputs="full")


class Products(TangentContender):
    """The matrix products alone, each in the fastest of a few ways; computes no kernel.

    Forward and backward pass, and half of the Gram matrix of the signals of each layer. The Gram
    matrices of the inputs are left out, and so is everything between the products.
    """

    def load(self, layers: Layers, x: Array) -> dict[str, str]:
        n, outputs = len(x), layers[-1][0].shape[1]
        rng = np.random.default_rng(0)

        def normal(*shape: int) -> Array:
            return rng.standard_normal(shape).astype(x.dtype)

        self.pairs = [(normal(n, len(w)), w) for w, _ in layers]
        signals = [normal(n * outputs, w.shape[1]) for w, _ in layers]
        self.pairs += [(s, w.T) for s, (w, _) in list(zip(signals, layers, strict=True))[1:]]
        self.signals = [(s, s.copy()) for s in signals]
        self.out = np.empty((n * outputs, n * outputs), x.dtype)
        self._pool = ThreadPoolExecutor(self.threads)
        self._blas = ThreadpoolController()
        return {"numpy": version("numpy")}

    def call(self) -> Any:
        """Run all products once (the first, untimed call)."""
        for way in self._ways():
            for product, _ in way.values():
                product()

    def on_turn(self) -> dict[str, Any]:
        parts = [
            {
                name: share * float(np.median(timed_calls(product, self.calls)))
                for name, (product, share) in way.items()
            }
            for way in self._ways()
        ]
        return {"seconds": sum(min(times.values()) for times in parts), "parts": parts}

    def _ways(self) -> list[dict[str, tuple[Callable[[], Any], float]]]:
        """For each product the ways to form it, and the share of each that counts."""
        passes = [
            {
                "numpy": (partial(np.matmul, a, w), 1.0),
                "rows, one thread each": (partial(self._rows, a, w), 1.0),
            }
            for a, w in self.pairs
        ]
        grams = [
            {
                "numpy, two matrices": (partial(np.matmul, s, t.T, out=self.out), 0.5),
                # NumPy takes syrk for a matrix with itself: half a product, in another kernel.
                "numpy, one matrix": (partial(np.matmul, s, s.T, out=self.out), 1.0),
                "tiles, one thread each": (partial(self._tiles, s, t), 1.0),
            }
            for s, t in self.signals
        ]
        return [*passes, *grams]

    def _rows(self, a: Array, w: Array) -> None:
        with self._blas.limit(limits=1, user_api="blas"):
            list(self._pool.map(lambda part: part @ w, np.array_split(a, self.threads)))

    def _tiles(self, s: Array, other: Array) -> None:
        """The lower triangle."""
        edges = range(0, len(s), TILE)
        tiles = [(slice(i, i + TILE), slice(j, j + TILE)) for i in edges for j in edges if j <= i]

        def tile(at: tuple[slice, slice]) -> None:
            np.matmul(s[at[0]], other[at[1]].T, out=self.out[at])

        with self._blas.limit(limits=1, user_api="blas"):
            list(self._pool.map(tile, tiles))


class Torch(TangentContender):
    """The two ways of the tutorial of torch.func, "jacobian" and "products"."""

    def load(self, layers: Layers, x: Array) -> dict[str, str]:
        torch: Any = importlib.import_module("torch")
        torch.set_num_threads(self.threads)
        self.torch = torch
        self.x = torch.from_numpy(x)
        self.parameters = [torch.from_numpy(p.copy()) for layer in layers for p in layer]
        return {"torch": version("torch")}

    def _f(self, parameters: Any, x: Any) -> Any:
        for k in range(0, len(parameters), 2):
            w, b = parameters[k : k + 2]
            x = W_STD / len(w) ** 0.5 * (x @ w) + B_STD * b
            x = self.torch.relu(x) if k + 2 < len(parameters) else x
        return x

    def call(self) -> Any:
        with self.torch.no_grad():
            return (self._jacobian() if self.way == "jacobian" else self._products()).numpy()

    def _jacobian(self) -> Any:
        func = self.torch.func
        each = func.vmap(func.jacrev(self._f), (None, 0))(self.parameters, self.x)
        total: Any = 0
        while each:  # a parameter's part is dropped as soon as it is contracted
            j = each.pop().flatten(2)
            total = total + self.torch.einsum("Naf,Mbf->NMab", j, j)
        return total

    def _products(self) -> Any:
        func, outputs = self.torch.func, self.parameters[-1].shape[0]
        basis = self.torch.eye(outputs, dtype=self.x.dtype)

        def entry(x: Any, z: Any) -> Any:
            def f(which: Any) -> Any:
                return lambda parameters: self._f(parameters, which)

            _, pull = func.vjp(f(x), self.parameters)

            def product(signal: Any) -> Any:
                _, moved = func.jvp(f(z), (self.parameters,), pull(signal))
                return moved

            return func.vmap(product)(basis)

        # The vectors of all pairs at once would be terabytes: one row at a time.
        row = func.vmap(entry, (None, 0))
        return self.torch.stack([row(x, self.x) for x in self.x])


class NeuralTangents(TangentContender):
    """`empirical_ntk_fn`, jitted. The way is an implementation, and perhaps its vmap_axes."""

    def load(self, layers: Layers, x: Array) -> dict[str, str]:
        # Its `experimental` part is a bridge to TensorFlow and imports it: nothing here uses it.
        bridge = "neural_tangents.experimental"
        sys.modules[bridge] = types.ModuleType(bridge)
        jax: Any = importlib.import_module("jax")
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_enable_x64", x.dtype.name == "float64")
        # Its structured derivatives read two names where older versions of JAX had them.
        public: Any = importlib.import_module("jax.interpreters.ad")
        private: Any = importlib.import_module("jax._src.interpreters.ad")
        public.source_info_util, public.config = private.source_info_util, jax.config
        nt: Any = importlib.import_module("neural_tangents")
        stax = nt.stax
        steps: list[Any] = []
        parameters: list[Any] = []
        for k, (w, b) in enumerate(layers):
            steps.append(stax.Dense(w.shape[1], W_std=W_STD, b_std=B_STD))
            parameters.append((jax.numpy.asarray(w), jax.numpy.asarray(b[None])))
            if k + 1 < len(layers):
                steps.append(stax.Relu())
                parameters.append(())
        _, apply_fn, _ = stax.serial(*steps)
        name, _, axes = self.way.partition(", vmap_axes=")
        kernel_fn = jax.jit(
            nt.empirical_ntk_fn(
                apply_fn,
                trace_axes=(),
                vmap_axes=int(axes) if axes else None,
                implementation=getattr(nt.NtkImplementation, name),
            )
        )
        rows = jax.block_until_ready(jax.numpy.asarray(x))
        self._call = lambda: jax.block_until_ready(kernel_fn(rows, None, parameters))
        return {name: version(name) for name in ("neural-tangents", "jax", "jaxlib")}

    def call(self) -> Any:
        return self._call()
