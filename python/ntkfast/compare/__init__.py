"""Finite networks beside their infinite limit: what theory says, measured against width.

>>> import numpy as np
>>> import ntkfast as nk
>>> X = np.random.default_rng(0).normal(size=(6, 4))
>>> sweep = nk.compare.kernel_deviation(nk.mlp(1, "erf"), X, widths=[64, 256, 1024], seeds=20)
>>> bool(-0.8 < sweep.slope("ntk").value < -0.2)  # theory: -1/2
True
"""

from __future__ import annotations

from .gaussian import GaussianLimit, gaussian_limit
from .initialization import kernel_deviation, smallest_width
from .regression import equivalence
from .scores import accuracy
from .sweep import Slope, Sweep
from .training import kernel_change, lazy_training, training

__all__ = [
    "GaussianLimit",
    "Slope",
    "Sweep",
    "accuracy",
    "equivalence",
    "gaussian_limit",
    "kernel_change",
    "kernel_deviation",
    "lazy_training",
    "smallest_width",
    "training",
]
