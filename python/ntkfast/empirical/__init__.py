"""Tangent kernels of real models: any PyTorch module, or any Jacobian.

>>> import numpy as np
>>> import ntkfast as nk
>>> J = np.array([[[1.0, 2.0]], [[0.0, 1.0]]])  # 2 samples, 1 output, 2 parameters
>>> nk.empirical.from_jacobian(J)
array([[5., 2.],
       [2., 1.]])
"""

from __future__ import annotations

from ._from_jacobian import from_jacobian
from ._kernel import explain, ntk
from ._operator import operator
from ._report import Report

__all__ = ["Report", "explain", "from_jacobian", "ntk", "operator"]
