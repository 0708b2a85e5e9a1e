"""neural-tangents: both kernels in one jitted function, input already on the device.

Its answer stays a JAX array (no copy to NumPy) and `block_until_ready` stops the clock.
"""

from __future__ import annotations

import importlib
import sys
import types
from importlib.metadata import version
from typing import Any

from cases import Case
from contender import Array, Contender


class NeuralTangents(Contender):
    def load(self, case: Case, x: Array, z: Array | None) -> dict[str, str]:
        # Its `experimental` part is a bridge to TensorFlow and imports it: nothing here uses it.
        bridge = "neural_tangents.experimental"
        sys.modules[bridge] = types.ModuleType(bridge)
        jax: Any = importlib.import_module("jax")
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_enable_x64", x.dtype.name == "float64")
        stax: Any = importlib.import_module("neural_tangents.stax")
        kernel_fn = _network(stax, case)
        self._jax = jax
        self._call = jax.jit(lambda a, b: tuple(kernel_fn(a, b, get=("nngp", "ntk"))))
        self.x = jax.block_until_ready(jax.numpy.asarray(x))
        self.z = None if z is None else jax.block_until_ready(jax.numpy.asarray(z))
        return {name: version(name) for name in ("neural-tangents", "jax", "jaxlib")}

    def call(self) -> tuple[Any, Any]:
        K, T = self._jax.block_until_ready(self._call(self.x, self.z))
        return K, T


def _network(stax: Any, case: Case) -> Any:
    layers: list[Any] = []
    for _ in range(case.depth):
        layers.append(stax.Dense(512, W_std=case.w_std, b_std=case.b_std))
        layers.append(stax.Relu() if case.activation == "relu" else stax.Erf())
    layers.append(stax.Dense(1, W_std=case.w_std, b_std=case.b_std))
    _, _, kernel_fn = stax.serial(*layers)
    return kernel_fn
