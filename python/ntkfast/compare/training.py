"""Networks in training: constancy of the kernel, linearization, lazy training."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import finite
from .._validate import finite_number, whole_number
from ..finite import DenseParameters, FiniteNetwork
from ..finite._parameters import flat, shifted
from ..finite._training import Gradient, targets
from ..network import Network
from ..predict import GradientDescent
from .checks import check_network, fingerprint, rows
from .sweep import Sweep, measure

__all__ = ["kernel_change", "lazy_training", "training"]

Array = NDArray[Any]


class _Problem(NamedTuple):
    """Checked arguments that all these functions share."""

    x: Array
    y: Array
    step_size: float
    settings: dict[str, Any]


def _problem(net: Network, X: Any, y: Any, rate: float) -> _Problem:
    """Check a training problem; the step is so many times the infinite network's largest one."""
    check_network(net)
    x = rows("X", X)
    rate = finite_number("rate", rate, minimum=0)
    y = targets("y", y, len(x), 1)[:, 0]
    step_size = rate * GradientDescent(net, x, y).max_learning_rate
    data = [fingerprint(x), fingerprint(y)]
    return _Problem(x, y, step_size, {"net": fingerprint(net), "data": data, "rate": rate})


def training(
    net: Network,
    X: Any,
    y: Any,
    Z: Any = None,
    *,
    steps: int = 200,
    rate: float = 0.5,
    widths: Iterable[int] = (64, 128, 256, 512, 1024),
    seeds: int | Iterable[int] = 10,
    path: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
) -> Sweep:
    """Train networks of several widths beside their Taylor models and the infinite network.

    In the limit the tangent kernel does not change in training (Jacot et al. 2018), networks follow
    their first-order Taylor models, and these the closed form with the infinite kernel (Lee et al.
    2019).

    Parameters
    ----------
    net : Network
    X : array, shape (n, d)
        Training samples.
    y : array, shape (n,)
        Targets.
    Z : array, shape (m, d), optional
        Samples at which outputs are compared; those of X by default.
    steps : int, default 200
        Steps of full-batch gradient descent on half the mean of ``(f(X) - y)**2``.
    rate : float, default 0.5
        Step size, in units of the infinite network's largest stable one.
    widths, seeds, path, jobs
        As in `kernel_deviation`.

    Returns
    -------
    Sweep
        "kernel change": Frobenius norm of the change of the kernel of X over its norm at the start.
        "from Taylor model": root of the mean square of the difference at Z to the Taylor model
        trained the same way. "from infinite kernel": the same to the closed form with the infinite
        network's kernel, from the network's own start. "loss": at the end. The bound that Lee et
        al. prove for the first three is ``width**-0.5``; the first two of smooth networks are found
        to fall like ``width**-1`` (Dyer and Gur-Ari 2020).

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.
    DivergenceError
        If a narrow network explodes at this step size: take a smaller `rate`.

    Examples
    --------
    >>> import numpy as np
    >>> import ntkfast as nk
    >>> X = np.random.default_rng(0).normal(size=(8, 3))
    >>> sweep = nk.compare.training(
    ...     nk.mlp(1, "erf"), X, X[:, 0], widths=[32, 512], seeds=4, steps=50
    ... )
    >>> bool(sweep.slope("kernel change").value < -0.2)
    True
    """
    x, y, step_size, settings = _problem(net, X, y, rate)
    z = x if Z is None else rows("Z", Z)
    steps = whole_number("steps", steps, minimum=1)
    infinite = GradientDescent(net, x, y, learning_rate=step_size)

    def task(width: int, seed: int) -> dict[str, float]:
        f = finite.init(net, width, seed, dtype=x.dtype)
        before = f.ntk(x)
        trained = f.train(x, y, steps=steps, learning_rate=step_size, records=1)
        taylor = f.linearize().train(x, y, steps=steps, learning_rate=step_size, records=1)
        after = trained.network.ntk(x)
        limit = infinite.predict(z, steps, f0=f(x)[:, 0], f0_Z=f(z)[:, 0])
        end = trained.network(z)
        return {
            "kernel change": float(np.linalg.norm(after - before) / np.linalg.norm(before)),
            "from Taylor model": _root_mean_square(end - taylor.network(z)),
            "from infinite kernel": _root_mean_square(end[:, 0] - limit),
            "loss": float(trained.losses[-1]),
        }

    return measure(
        "Networks in training",
        task,
        widths,
        seeds,
        {"kernel change": -0.5, "from Taylor model": -0.5, "from infinite kernel": -0.5},
        path=path,
        jobs=jobs,
        settings={**settings, "Z": fingerprint(z), "steps": steps},
    )


def kernel_change(
    net: Network,
    X: Any,
    y: Any,
    *,
    steps: Iterable[int] = (10, 30, 100, 300),
    rate: float = 0.5,
    widths: Iterable[int] = (64, 128, 256, 512, 1024),
    seeds: int | Iterable[int] = 10,
    path: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
) -> Sweep:
    """Measure how far tangent kernels move along training.

    Parameters
    ----------
    net, X, y, rate, widths, seeds, path, jobs
        As in `training`.
    steps : sequence of int, default (10, 30, 100, 300)
        After so many steps of gradient descent the kernel is taken.

    Returns
    -------
    Sweep
        "after k steps": Frobenius norm of the change of the kernel of X over its norm at the start,
        for which the bound ``width**-0.5`` is proved (Lee et al. 2019).

    Raises
    ------
    TypeError, ValueError, DivergenceError
        As `training` says.

    Examples
    --------
    >>> import numpy as np
    >>> import ntkfast as nk
    >>> X = np.random.default_rng(0).normal(size=(8, 3))
    >>> sweep = nk.compare.kernel_change(
    ...     nk.mlp(1, "erf"), X, X[:, 0], steps=[5, 50], widths=[32, 512], seeds=4
    ... )
    >>> list(sweep.values)
    ['after 5 steps', 'after 50 steps']
    """
    x, y, step_size, settings = _problem(net, X, y, rate)
    moments = sorted({whole_number("steps", k, minimum=1) for k in steps})
    if not moments:
        raise ValueError("steps must hold at least one number, got none")

    def task(width: int, seed: int) -> dict[str, float]:
        f = finite.init(net, width, seed, dtype=x.dtype)
        start, changes = f.ntk(x), {}
        for k in moments:
            trained = f.train(x, y, steps=k, learning_rate=step_size, records=1).network
            moved = np.linalg.norm(trained.ntk(x) - start) / np.linalg.norm(start)
            changes[f"after {k} steps"] = float(moved)
        return changes

    return measure(
        "Change of the tangent kernel in training",
        task,
        widths,
        seeds,
        {f"after {k} steps": -0.5 for k in moments},
        path=path,
        jobs=jobs,
        settings={**settings, "steps": moments},
    )


def lazy_training(
    net: Network,
    X: Any,
    y: Any,
    *,
    steps: int = 200,
    rate: float = 0.5,
    widths: Iterable[int] = (64, 128, 256, 512, 1024),
    seeds: int | Iterable[int] = 10,
    iterations: int = 30,
    path: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
) -> Sweep:
    """Measure how lazy training is: whether parameters move less than derivatives vary.

    Training is lazy where ``kappa = |f(T) - f(0)| ||Hessian|| / ||gradient||**2`` is small, all at
    the start and for every sample (Chizat, Oyallon, Bach 2019).

    Parameters
    ----------
    net, X, y, steps, rate, widths, seeds, path, jobs
        As in `training`.
    iterations : int, default 30
        Of the power iteration for the norm of each Hessian, on differences of gradients.

    Returns
    -------
    Sweep
        "lazy_kappa": median over samples; "largest lazy_kappa": the largest; "gradient change":
        ``||g(T) - g(0)|| / ||g(0)||``, the largest over samples. All fall like ``width**-0.5``.

    Raises
    ------
    TypeError, ValueError, DivergenceError
        As `training` says.

    Examples
    --------
    >>> import numpy as np
    >>> import ntkfast as nk
    >>> X = np.random.default_rng(0).normal(size=(4, 3))
    >>> sweep = nk.compare.lazy_training(
    ...     nk.mlp(1, "erf"), X, X[:, 0], widths=[32, 512], seeds=3, steps=50
    ... )
    >>> bool(sweep.slope("lazy_kappa").value < -0.2)
    True
    """
    x, y, step_size, settings = _problem(net, X, y, rate)
    x = x.astype(np.float64)
    steps = whole_number("steps", steps, minimum=1)
    iterations = whole_number("iterations", iterations, minimum=1)

    def task(width: int, seed: int) -> dict[str, float]:
        f = finite.init(net, width, seed)
        start = f(x)[:, 0]
        trained = f.train(x, y, steps=steps, learning_rate=step_size, records=1).network
        moved = trained(x)[:, 0] - start
        kappa, change = [], []
        for i in range(len(x)):
            gradient = _gradient(f, x[i : i + 1])
            size = _norm(gradient)
            curvature = _hessian_norm(f, x[i : i + 1], iterations, seed)
            kappa.append(abs(moved[i]) * curvature / size**2)
            change.append(_norm(_difference(_gradient(trained, x[i : i + 1]), gradient)) / size)
        return {
            "lazy_kappa": float(np.median(kappa)),
            "largest lazy_kappa": float(np.max(kappa)),
            "gradient change": float(np.max(change)),
        }

    return measure(
        "Lazy training",
        task,
        widths,
        seeds,
        dict.fromkeys(("lazy_kappa", "largest lazy_kappa", "gradient change"), -0.5),
        path=path,
        jobs=jobs,
        settings={**settings, "steps": steps, "iterations": iterations},
    )


def _root_mean_square(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def _gradient(f: FiniteNetwork, x: Array) -> Gradient:
    """Return the derivative of the output at one sample by the trained parameters."""
    outputs, seen = f.outputs_and_pass(x)
    return f.gradient(seen, np.ones_like(outputs))


def _norm(gradient: Gradient) -> float:
    return float(np.linalg.norm(flat(gradient.values())))


def _difference(a: Gradient, b: Gradient) -> Gradient:
    return {i: shifted(own, b[i], -1.0) for i, own in a.items()}


def _hessian_norm(f: FiniteNetwork, x: Array, iterations: int, seed: int) -> float:
    """Return the spectral norm of the Hessian of the output at one sample by the parameters.

    Power iteration; products with the Hessian are central differences of gradients, exact to nine
    digits in float64. For kinked activations it is the Hessian almost everywhere: the step is so
    small that hardly a unit's sign changes within it, which would count as curvature.
    """
    rng = np.random.default_rng(seed)
    step = 1e-7
    direction = {
        i: DenseParameters(
            rng.standard_normal(own.weights.shape),
            None if own.bias is None else rng.standard_normal(own.bias.shape),
        )
        for i, own in _gradient(f, x).items()
    }
    norm = 0.0
    for _ in range(iterations):
        size = _norm(direction)
        if size == 0:
            return 0.0
        ahead, behind = (_gradient(f.moved(direction, h / size), x) for h in (step, -step))
        direction = _difference(ahead, behind)
        norm = _norm(direction) / (2 * step)
    return norm
