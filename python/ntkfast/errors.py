"""Typed errors; each is also the built-in exception that callers already catch."""

from __future__ import annotations

import numpy as np

__all__ = [
    "ArchitectureError",
    "DeviceError",
    "DivergenceError",
    "KernelOverflowError",
    "MemoryBudgetError",
    "SingularKernelError",
    "ToleranceError",
    "UnsupportedLayerError",
]


class ArchitectureError(ValueError):
    """A network that has no kernel, or none that this version can compute."""


class DeviceError(RuntimeError):
    """A device that is absent, or that this installation cannot compute on."""


class KernelOverflowError(OverflowError, ValueError):
    """A kernel entry would be infinite in the dtype of the computation."""


class MemoryBudgetError(MemoryError):
    """A result that would not fit in the available memory or in ``config.memory_budget``."""


class SingularKernelError(np.linalg.LinAlgError, ValueError):
    """A kernel matrix that is not positive definite in floating point."""


class UnsupportedLayerError(ArchitectureError, NotImplementedError):
    """A layer, or an option of one, that exists elsewhere and not in this version."""


class ToleranceError(ArithmeticError, ValueError):
    """A function not computed to the accuracy of the dtype; the message says how far."""


class DivergenceError(ArithmeticError, ValueError):
    """Training left the range of finite numbers; the message says which step size is stable."""
