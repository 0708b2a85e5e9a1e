"""Exact kernels of infinitely wide neural networks: NTK and NNGP, fast and accurate.

Describe a network with `serial` or `mlp`, then ask for its kernels:

>>> import ntkfast as nk
>>> net = nk.serial(nk.Dense(W_std=2**0.5), nk.Relu(), nk.Dense())
>>> net.ntk([[1.0, 0.0], [0.0, 1.0]]).shape
(2, 2)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import _core, errors, layers, models
from ._composition import repeat, serial
from ._elsewhere import HINTS
from ._flips import FlipAverage
from ._gram import Kernels, kernels_of
from ._text import from_text
from .config import config
from .layers import *
from .models import mlp
from .network import Network
from .serialization import from_dict

if TYPE_CHECKING:
    from . import compare, cuda, empirical, finite, phase, plot, predict, sklearn, solvers, stax
    from .solvers import solve

__version__ = _core.build_info()["version"]

__all__ = [
    "FlipAverage",
    "Kernels",
    "Network",
    "compare",
    "config",
    "cuda",
    "empirical",
    "errors",
    "finite",
    "from_dict",
    "from_text",
    "kernels_of",
    "layers",
    "mlp",
    "models",
    "phase",
    "plot",
    "predict",
    "repeat",
    "serial",
    "sklearn",
    "solve",
    "solvers",
    "stax",
]
__all__ += layers.__all__

# Imported on first use: not everybody needs them, and some bring in SciPy, scikit-learn,
# matplotlib or a GPU driver.
_LAZY_MODULES = frozenset(
    {
        "compare",
        "cuda",
        "empirical",
        "finite",
        "phase",
        "plot",
        "predict",
        "sklearn",
        "solvers",
        "stax",
    }
)


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        return import_module(f"{__name__}.{name}")
    if name == "solve":
        return import_module(f"{__name__}.solvers").solve
    hint = f": {HINTS[name]}" if name in HINTS else ""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
