"""Training on any differentiable loss, by SciPy's solvers of ordinary differential equations."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.integrate import solve_ivp

from .. import _memory
from .._kernel_matrix import FloatArray
from ..errors import ToleranceError
from .losses import Gradient

__all__ = ["METHODS", "Path", "Problem"]

METHODS = ("LSODA", "DOP853", "RK45", "RK23", "BDF", "Radau")
_STIFF = ("LSODA", "BDF", "Radau")


class Path(NamedTuple):
    """What training has accumulated at each time: ``f_t(Z) = f_0(Z) - K(Z, X) total``.

    `total` and its derivative `speed` have the shape (times, n, outputs).
    """

    total: FloatArray
    speed: FloatArray


class Problem(NamedTuple):
    """The differential equation in the space of training rows.

    Without momentum ``total' = rate grad L(f)``, with it ``total'' = rate grad L(f) - damping
    total'``, where ``f = start(t) - kernel total``. Its size does not depend on the rows that are
    predicted for, and one solution serves all of them.
    """

    kernel: FloatArray
    y: FloatArray
    gradient: Gradient
    rate: float
    damping: float | None
    method: str
    rtol: float
    atol: float

    def solve(self, start: Callable[[float], FloatArray], moments: FloatArray) -> Path:
        """Return the path at times in any order, 0 included, some perhaps equal."""
        shape, size = self.y.shape, self.y.size
        states = size if self.damping is None else 2 * size
        if self.method in _STIFF:
            _memory.require(
                0,
                8 * states * states,
                f"the Jacobian of {states} unknowns of method={self.method!r}",
                "use fewer samples, or method='DOP853', which has none but takes small steps",
            )
        # The unknown is of the size of the outputs: so the tolerances are in their units.
        unit = float(np.abs(self.kernel).sum(axis=1).max()) or 1.0

        def slope(t: float, state: FloatArray) -> FloatArray:
            total = state[:size].reshape(shape)
            f = start(t) - self.kernel @ total / unit
            force = (self.rate * unit) * self.gradient(f, self.y).ravel()
            if self.damping is None:
                return force
            speed = state[size:]
            return np.concatenate([speed, force - self.damping * speed])

        ordered, places = np.unique(moments, return_inverse=True)
        solution = np.zeros((states, len(ordered)))
        late = ordered > 0
        if late.any():
            found = solve_ivp(
                slope,
                (0.0, float(ordered[-1])),
                np.zeros(states),
                method=self.method,
                t_eval=ordered[late],
                rtol=self.rtol,
                atol=self.atol,
            )
            if not found.success:
                reached = found.t[-1] if len(found.t) else 0.0
                raise ToleranceError(
                    f"method={self.method!r} stopped after t = {reached:g}: {found.message} Take a "
                    "smaller learning_rate, larger tolerances or another method"
                )
            solution[:, late] = found.y
        speeds = np.zeros((len(ordered), size))
        for i, t in enumerate(ordered):
            speeds[i] = slope(t, solution[:, i])[:size]
        again = places.ravel()
        path = (solution[:size].T[again], speeds[again])
        return Path(*(part.reshape(len(again), *shape) / unit for part in path))
