"""The layers: frozen, hashable descriptions that know how to lower themselves to the core.

A new layer is one class in one of these modules, listed in its ``__all__``; reading, writing and
printing follow from its dataclass fields. The formulas are in the C++ core.
"""

from __future__ import annotations

from . import (
    arc_cosine,
    branches,
    dense,
    error_function,
    exponentials,
    normalization,
    numerical,
    piecewise_linear,
    polynomials,
    sinusoids,
    spatial,
)
from .arc_cosine import *
from .base import Activation, Layer
from .branches import *
from .dense import *
from .error_function import *
from .exponentials import *
from .normalization import *
from .numerical import *
from .piecewise_linear import *
from .polynomials import *
from .sinusoids import *
from .spatial import *

__all__ = ["LAYERS", "Activation", "Layer"]
__all__ += dense.__all__
__all__ += piecewise_linear.__all__
__all__ += error_function.__all__
__all__ += arc_cosine.__all__
__all__ += polynomials.__all__
__all__ += sinusoids.__all__
__all__ += exponentials.__all__
__all__ += normalization.__all__
__all__ += branches.__all__
__all__ += spatial.__all__

# Of no use in the file format, where "parallel" is written as "serial" is.
_NOT_LAYERS = ("LAYERS", "Activation", "Layer", "Parallel", "parallel")
__all__ += numerical.__all__

# The one registry: name in the file format and at the top level of the package -> class.
LAYERS: dict[str, type[Layer]] = {
    name: globals()[name] for name in __all__ if name not in _NOT_LAYERS
}
