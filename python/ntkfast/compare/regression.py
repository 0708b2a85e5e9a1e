"""Trained networks beside kernel regression: theorem 3.2 of Arora et al. 2019."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import finite, models
from .._validate import finite_number, whole_number
from ..finite import FiniteNetwork
from ..finite._training import targets
from ..predict import GradientFlow
from .checks import fingerprint, rows
from .sweep import Sweep, measure

__all__ = ["equivalence"]

Array = NDArray[Any]

_SHRINKING = "scale width^-1/4"
_STEPS_AT_A_TIME = 50  # of training, between two looks at the residual


def equivalence(
    depth: int,
    X: Any,
    y: Any,
    Z: Any,
    *,
    output_scales: Iterable[float] = (1.0, 0.1),
    tolerance: float = 1e-3,
    max_steps: int = 20_000,
    rate: float = 0.25,
    widths: Iterable[int] = (64, 128, 256, 512, 1024),
    seeds: int | Iterable[int] = 10,
    path: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
) -> Sweep:
    """Compare networks that are trained to convergence with kernel regression by the NTK.

    Arora et al. 2019, theorem 3.2: ``f_nn = output_scale * f``, with f of `ntkfast.models.arora`
    and all its layers trained on ``1/2 sum (f_nn(X) - y)**2``, is as near to kernel regression as
    asked, where the scale is small enough and the width large enough for that scale. Two errors
    work against each other: what remains of the initial function, proportional to the scale at any
    width, and the finite network's own, which falls with width and grows as the scale gets small.
    At the scale ``width**-1/4`` both vanish together.

    Parameters
    ----------
    depth : int
        Hidden layers.
    X : array, shape (n, d)
        Training samples of unit norm, in general position: the NTK must be positive definite.
    y : array, shape (n,)
        Targets.
    Z : array, shape (m, d)
        Samples of unit norm to compare at.
    output_scales : sequence of float, default (1, 0.1)
        The theorem's kappa, > 0; ``width**-1/4`` is always measured, too.
    tolerance : float, default 1e-3
        Training ends when the residual is below it: ``|f_nn(X) - y| <= tolerance |y|``.
    max_steps : int, default 20000
        Training ends here at the latest, or when all units of a narrow network have died; the
        largest residual is among the values and says so.
    rate : float, default 0.25
        Step size, in units of the largest stable one of the network as it stands, which is
        proportional to ``output_scale**-2``; it is taken anew every 50 steps.
    widths, seeds, path, jobs
        As in `kernel_deviation`.

    Returns
    -------
    Sweep
        "scale s" and "scale width^-1/4": the largest ``|f_nn - f_ntk|`` over Z, f_ntk kernel
        regression by the infinite network's NTK. "..., same start": the same to the closed form of
        the infinite network from the finite one's initial function, where the first of the two
        errors is gone; for a fixed scale its bound is ``width**-0.5`` (Lee et al. 2019).
        "residual": the largest of all scales.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or rows have not unit norm.
    SingularKernelError
        If rows of X are equal or opposite, say.
    DivergenceError
        If a narrow network explodes at this step size: take a smaller `rate`.

    Examples
    --------
    >>> import numpy as np
    >>> import ntkfast as nk
    >>> angle = np.linspace(0, 3, 6)
    >>> X = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    >>> sweep = nk.compare.equivalence(
    ...     1, X[::2], [1.0, -1.0, 1.0], X[1::2], output_scales=[0.3], widths=[32, 2048], seeds=3
    ... )
    >>> narrow, wide = sweep.quantiles("scale 0.3", 0.5)
    >>> bool(wide < narrow)
    True
    """
    net = models.arora(depth)
    x, z = _unit_rows("X", X), _unit_rows("Z", Z)
    y = targets("y", y, len(x), 1)[:, 0]
    scales = sorted({_positive("output_scales", s) for s in output_scales}, reverse=True)
    if not scales:
        raise ValueError("output_scales must hold at least one number, got none")
    named = {f"scale {s:g}": s for s in scales}
    tolerance = _positive("tolerance", tolerance)
    max_steps = whole_number("max_steps", max_steps, minimum=1)
    rate = _positive("rate", rate)
    infinite = GradientFlow(net, x, y)
    regression = infinite.predict(z)

    def task(width: int, seed: int) -> dict[str, float]:
        start = finite.init(net, width, seed, dtype=x.dtype)
        before, before_z = start(x)[:, 0], start(z)[:, 0]
        found, residuals = {}, []
        for name, scale in [*named.items(), (_SHRINKING, width**-0.25)]:
            # 1/2 sum (s f - y)**2 is s**2 times 1/2 sum (f - y/s)**2: training f on y/s is the
            # same, with the stable step multiplied by s**2.
            f, residual = _converged(start, x, y / scale, rate, tolerance, max_steps)
            outputs = scale * f(z)[:, 0]
            same_start = infinite.predict(z, f0=scale * before, f0_Z=scale * before_z)
            found[name] = _largest(outputs - regression)
            found[f"{name}, same start"] = _largest(outputs - same_start)
            residuals.append(residual)
        return {**found, "residual": max(residuals)}

    return measure(
        f"Trained networks beside kernel regression, depth {depth}",
        task,
        widths,
        seeds,
        {_SHRINKING: -0.25} | {f"{name}, same start": -0.5 for name in named},
        path=path,
        jobs=jobs,
        settings={
            "depth": depth,
            "data": [fingerprint(a) for a in (x, y, z)],
            "output_scales": scales,
            "tolerance": tolerance,
            "max_steps": max_steps,
            "rate": rate,
        },
    )


def _converged(
    f: FiniteNetwork, x: Array, y: Array, rate: float, tolerance: float, max_steps: int
) -> tuple[FiniteNetwork, float]:
    """Train until the residual is within the tolerance; return it, too."""
    done, size = 0, float(np.linalg.norm(y))
    while True:
        residual = float(np.linalg.norm(f(x)[:, 0] - y)) / size if size > 0 else 0.0
        if residual <= tolerance or done >= max_steps:
            return f, residual
        steps = min(_STEPS_AT_A_TIME, max_steps - done)
        step_size = rate * f.max_learning_rate(x)
        if step_size == np.inf:  # all units are dead: nothing can be trained any more
            return f, residual
        f = f.train(x, y, steps=steps, learning_rate=step_size, records=1).network
        done += steps


def _largest(difference: Array) -> float:
    return float(np.abs(difference).max())


def _positive(name: str, value: object) -> float:
    number = finite_number(name, value)
    if number <= 0:
        raise ValueError(f"{name} must be positive, got {number:g}")
    return number


def _unit_rows(name: str, value: Any) -> Array:
    x = rows(name, value)
    norms = np.linalg.norm(x, axis=1)
    worst = norms[np.abs(norms - 1).argmax()]
    if abs(worst - 1) > 1e-3:
        raise ValueError(f"{name} must have rows of unit norm, got one of norm {worst:g}")
    return x
