"""What training does to one eigendirection of the kernel, as a function of time.

Along an eigenvector with eigenvalue lam every method here shrinks the residual ``f_t - y`` by a
factor ``decay`` = g(lam, t) with g(lam, 0) = 1, and what has been learned is carried to other rows
by ``gain`` = h(lam, t) = (1 - g)/lam. h is what must be computed with care: its limit at lam = 0 is
finite at every finite t, and eigenvalues of kernels go down to rounding noise.

`rate` is that of the loss ``|f - y|**2 / 2``: the learning rate times what the loss is scaled by.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .._kernel_matrix import FloatArray

__all__ = ["Descent", "Flow", "Law"]


@dataclass(frozen=True)
class Flow:
    """Gradient flow: ``g = exp(-rate t lam)``."""

    rate: float

    def duration(self, t: float) -> float:
        """Return h at lam = 0, the largest gain."""
        return self.rate * t if self.rate > 0 else 0.0  # nothing ever moves, not even at infinity

    def factors(self, values: FloatArray, t: float) -> tuple[FloatArray, FloatArray]:
        """Return decay and gain for eigenvalues >= 0; at t = infinity for those > 0."""
        duration = self.duration(t)
        if math.isinf(duration):
            return np.zeros_like(values), 1.0 / values
        with np.errstate(over="ignore"):  # exp(-inf) is the zero that is meant
            exponent = -values * duration
        small = values * duration < 1e-300  # lam = 0, or so small that only its product counts
        gain = np.full_like(values, duration)
        np.divide(-np.expm1(exponent), values, out=gain, where=~small)
        return np.exp(exponent), gain


@dataclass(frozen=True)
class Descent:
    """Full-batch gradient descent in whole steps, with heavy-ball momentum.

    ``v <- momentum v + grad, theta <- theta - learning_rate v`` makes the residual r of an
    eigendirection follow ``r[k+1] = (1 + m - a) r[k] - m r[k-1]``, r[0] = 1, r[1] = 1 - a, with
    a = rate lam. Its powers are taken by repeated squaring: O(log t) operations.
    """

    rate: float
    momentum: float = 0.0

    def duration(self, t: float) -> float:
        """Return a bound of h, reached at lam = 0 after many steps."""
        return self.rate * t / (1.0 - self.momentum) if self.rate > 0 else 0.0

    def stable(self, largest: float) -> bool:
        """Return whether training converges for eigenvalues up to `largest`."""
        return self.rate * largest < 2.0 * (1.0 + self.momentum)

    def factors(self, values: FloatArray, t: float) -> tuple[FloatArray, FloatArray]:
        """Return decay and gain for eigenvalues >= 0; at t = infinity for those > 0."""
        if math.isinf(self.duration(t)):
            return np.zeros_like(values), 1.0 / values
        steps = int(t) if self.rate > 0 else 0
        a = self.rate * values
        gain = _learned(a, self.momentum, steps)
        decay = 1.0 - a * gain
        return decay, self.rate * gain


Law = Flow | Descent


def _learned(a: FloatArray, momentum: float, steps: int) -> FloatArray:
    """Return (1 - r[steps])/a, with full relative accuracy down to a = 0.

    The shift of the recursion is a root of z**2 - (1 + m - a) z + m. With w = 1 - z, for which
    w**2 = (1 - m + a) w - a, every power is 1 - S with S = a p + q w, and S of j + k steps is
    S_j + S_k - S_j S_k: no difference of nearly equal numbers where training has hardly begun.
    r[1] = 1 - a makes 1 - r = a p + a q.
    """
    trace = 1.0 - momentum + a
    p, q = np.zeros_like(a), np.zeros_like(a)  # no step
    power_p, power_q = np.zeros_like(a), np.ones_like(a)  # one step, two, four, ...
    while steps:
        if steps & 1:
            p, q = _joined(p, q, power_p, power_q, a, trace)
        steps >>= 1
        if steps:
            power_p, power_q = _joined(power_p, power_q, power_p, power_q, a, trace)
    return p + q


def _joined(
    p1: FloatArray, q1: FloatArray, p2: FloatArray, q2: FloatArray, a: FloatArray, trace: FloatArray
) -> tuple[FloatArray, FloatArray]:
    both = q1 * q2
    return (
        p1 + p2 - (a * p1 * p2 - both),
        q1 + q2 - (a * (p1 * q2 + p2 * q1) + both * trace),
    )
