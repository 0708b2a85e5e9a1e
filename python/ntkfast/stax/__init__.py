"""The interface of the archived library neural_tangents.stax, computed by ntkfast.

Networks written for it, fully-connected ones and convolutions of images or sequences that end with
Flatten or a global pool, run after a change of one import:

>>> from ntkfast import stax  # instead of: from neural_tangents import stax
>>> init_fn, apply_fn, kernel_fn = stax.serial(
...     stax.Dense(512, W_std=1.5, b_std=0.05), stax.Erf(), stax.Dense(1)
... )
>>> x1, x2 = [[1.0, 0.0], [0.0, 1.0]], [[0.6, 0.8]]
>>> kernel_fn(x1, x2, "ntk").shape
(2, 1)
>>> kernels = kernel_fn(x1, x2, ("nngp", "ntk"))
>>> kernels.nngp.shape, kernels._fields
((2, 1), ('nngp', 'ntk'))

A layer is the triple ``(init_fn, apply_fn, kernel_fn)``. ``init_fn(rng, input_shape)`` and
``apply_fn(params, x)`` draw and apply a finite random network in NumPy, and ``kernel_fn.network``
is the same network in the interface of ntkfast. The migration page of the documents says what
differs.
"""

from __future__ import annotations

from typing import Any, NoReturn

from ..errors import UnsupportedLayerError
from . import activations, combinators, linear, spatial
from ._kernel import Kernel
from ._triple import KernelFunction, StaxLayer
from .activations import *
from .combinators import *
from .linear import *
from .spatial import *

__all__ = ["Kernel", "KernelFunction", "StaxLayer"]
__all__ += combinators.__all__
__all__ += linear.__all__
__all__ += activations.__all__
__all__ += spatial.__all__

_CONVOLUTIONAL = frozenset(
    {
        "Aggregate",
        "ConvLocal",
        "ConvTranspose",
        "DotGeneral",
        "GlobalSelfAttention",
        "ImageResize",
        "Index",
    }
)


def __getattr__(name: str) -> Any:
    if name not in _CONVOLUTIONAL:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    # The name can be imported, so that the error comes where the layer is used and says why.
    def layer(*arguments: Any, **keywords: Any) -> NoReturn:
        del arguments, keywords
        raise UnsupportedLayerError(
            f"stax.{name} is not in this version of ntkfast, which computes fully-connected "
            "networks, and convolutions with pools and Flatten or a global pool at the end"
        )

    return layer
