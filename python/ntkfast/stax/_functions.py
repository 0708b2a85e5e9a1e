"""Functions that users pass as activations: those with a layer of their own, and all others."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["InDoublePrecision", "double_precision", "name_of"]

# Layer with its default arguments -> modules that have the function, and its names there. Functions
# that only resemble a layer are left out: jax.nn.gelu is the form with tanh.
_KNOWN: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Abs": (("numpy", "jax.numpy"), ("abs", "absolute")),
    "Cos": (("numpy", "jax.numpy"), ("cos",)),
    "Elu": (("jax.nn",), ("elu",)),
    "Erf": (("scipy.special", "jax.scipy.special"), ("erf",)),
    "Exp": (("numpy", "jax.numpy"), ("exp",)),
    "Hardtanh": (("jax.nn",), ("hard_tanh",)),
    "Relu": (("jax.nn",), ("relu",)),
    "Relu6": (("jax.nn",), ("relu6",)),
    "Selu": (("jax.nn",), ("selu",)),
    "Sigmoid": (("scipy.special", "jax.scipy.special", "jax.nn"), ("expit", "sigmoid")),
    "Sign": (("numpy", "jax.numpy"), ("sign",)),
    "Silu": (("jax.nn",), ("silu", "swish")),
    "Sin": (("numpy", "jax.numpy"), ("sin",)),
    "Softplus": (("jax.nn",), ("softplus",)),
    "Tanh": (("numpy", "jax.numpy", "jax.nn"), ("tanh",)),
}


def name_of(fn: Any) -> str | None:
    """Return the layer that is exactly this function, or None."""
    for layer, (modules, names) in _KNOWN.items():
        for module in filter(None, map(sys.modules.get, modules)):
            if any(getattr(module, name, None) is fn for name in names):
                return layer
    return None


def double_precision() -> AbstractContextManager[Any]:
    """Return the context in which JAX, if it is loaded, keeps float64."""
    jax: Any = sys.modules.get("jax")
    if jax is None:
        return nullcontext()
    # jax.experimental had the context before jax did.
    switch = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
    context: AbstractContextManager[Any] = switch(True)
    return context


@dataclass(frozen=True)
class InDoublePrecision:
    """A function whose JAX operations, if it has any, keep float64.

    JAX rounds to float32 by default, which would be the accuracy of the kernels.
    """

    fn: Callable[[Any], Any]

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        with double_precision():
            return np.asarray(self.fn(x))

    @property
    def __name__(self) -> str:
        return getattr(self.fn, "__name__", repr(self.fn))
