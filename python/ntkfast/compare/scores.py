"""Trained networks beside kernel regression on real data."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import finite
from .._validate import finite_number, whole_number
from ..finite import FiniteNetwork
from ..network import Network
from .checks import check_network, fingerprint, rows
from .sweep import Sweep, measure

__all__ = ["accuracy"]

Array = NDArray[Any]

#: Ridges to choose from, in units of the kernel's mean diagonal.
RIDGES = tuple(10.0**k for k in range(-8, 2))
FIT, VALIDATION = 0.6, 0.2  # of all samples; the rest is for the test


def accuracy(
    net: Network,
    X: Any,
    y: Any,
    *,
    epochs: int = 60,
    batch_size: int = 32,
    momentum: float = 0.9,
    rate: float = 0.5,
    widths: Iterable[int] = (16, 64, 256),
    seeds: int | Iterable[int] = 5,
    path: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
) -> Sweep:
    """Compare trained networks with kernel regression by four kernels, on data of one's own.

    In the limit a trained network is kernel regression with the NTK. Whether networks of ordinary
    width and training do as well, or better, is a question to the data. All see the same samples: a
    random 60 % to learn from, 20 % to choose by, 20 % to be tested on. By the second part it is
    chosen when training stops, and the ridge of each kernel, out of 1e-8 ... 10 times the mean
    diagonal.

    Parameters
    ----------
    net : Network
    X : array, shape (n, d)
        Samples, scaled as the network wants them.
    y : array, shape (n,)
        Classes (integers, booleans or strings), or numbers to predict (floats).
    epochs : int, default 60
        Of stochastic gradient descent on the mean squared error; classes are centred one-hot
        vectors.
    batch_size : int, default 32
    momentum : float, default 0.9
        Taken up anew in every epoch.
    rate : float, default 0.5
        Step size, in units of the largest stable one of gradient descent on all samples.
    widths : sequence of int, default (16, 64, 256)
    seeds : int or sequence of int, default 5
        Of the network, its batches and the split.
    path, jobs
        As in `kernel_deviation`.

    Returns
    -------
    Sweep
        "network"; "own kernel, end" and "own kernel, start": kernel regression with the network's
        empirical kernel after and before training; "NTK" and "NNGP". Share of samples that are
        classified correctly, or the coefficient of determination R^2.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.
    DivergenceError
        If a network explodes at this step size: take a smaller `rate`.

    Examples
    --------
    >>> import ntkfast as nk
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> sweep = nk.compare.accuracy(
    ...     nk.mlp(1, b_std=0.1), (X - X.mean(0)) / X.std(0), y, widths=[32], seeds=2, epochs=10
    ... )
    >>> bool(sweep.quantiles("network", 0.5)[0] > 0.8)
    True
    """
    check_network(net)
    x = rows("X", X)
    if len(x) < 10:
        raise ValueError(f"X must have at least 10 samples to be split, got {len(x)}")
    question = _task(y, len(x))
    epochs = whole_number("epochs", epochs, minimum=1)
    batch_size = whole_number("batch_size", batch_size, minimum=1)
    rate = finite_number("rate", rate, minimum=0)

    def measured(width: int, seed: int) -> dict[str, float]:
        parts = _split(len(x), seed)
        fit, held, test = parts
        task = question.seen_from(fit)
        start = finite.init(net, width, seed, outputs=question.targets.shape[1], dtype=x.dtype)
        step_size = rate * start.max_learning_rate(x[fit])

        def train(f: FiniteNetwork, epoch: int) -> FiniteNetwork:
            return f.train(
                x[fit],
                task.targets[fit],
                steps=-(-len(fit) // batch_size),
                learning_rate=step_size,
                momentum=momentum,
                batch_size=min(batch_size, len(fit)),
                seed=seed + epoch,
                records=1,
            ).network

        f, best, highest = start, start, -np.inf
        for epoch in range(epochs):
            f = train(f, epoch)
            score = task.score(f(x[held]), held)
            if score > highest:
                best, highest = f, score
        kernels: dict[str, Callable[[Array, Array], Array]] = {
            "own kernel, end": best.ntk,
            "own kernel, start": start.ntk,
            "NTK": net.ntk,
            "NNGP": net.nngp,
        }
        return {
            "network": task.score(best(x[test]), test),
            **{name: _kernel_score(kernel, x, task, parts) for name, kernel in kernels.items()},
        }

    return measure(
        question.title,
        measured,
        widths,
        seeds,
        {},
        path=path,
        jobs=jobs,
        settings={
            "net": fingerprint(net),
            "data": [fingerprint(x), fingerprint(question.targets)],
            "training": [epochs, batch_size, momentum, rate],
        },
        scale="linear",
    )


@dataclass(frozen=True)
class _Task:
    """What is to be predicted: targets (n, outputs), and the classes (n,) if these are classes."""

    title: str
    targets: Array
    classes: Array | None

    def seen_from(self, fit: Array) -> _Task:
        """Return the task with numbers standardized by those that may be learned from."""
        if self.classes is not None:
            return self
        known = self.targets[fit]
        spread = known.std()
        return replace(self, targets=(self.targets - known.mean()) / (spread if spread > 0 else 1))

    def score(self, outputs: Array, at: Array) -> float:
        """Return accuracy or R^2 of outputs for the samples that are numbered `at`."""
        if self.classes is not None:
            return float(np.mean(outputs.argmax(1) == self.classes[at]))
        truth = self.targets[at]
        return float(1 - np.sum((outputs - truth) ** 2) / np.sum((truth - truth.mean()) ** 2))


def _task(y: Any, n: int) -> _Task:
    values = np.asarray(y)
    if values.shape != (n,):
        raise ValueError(f"y must have shape {(n,)}, got {values.shape}")
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise ValueError("y must be finite, got NaN or infinity")
        if values.std() == 0:
            raise ValueError("y must hold different numbers, got one alone")
        return _Task("R^2 on unseen samples", values[:, None].astype(np.float64), None)
    if values.dtype.kind not in "iubUSO":
        raise TypeError(f"y must hold classes or real numbers, got dtype {values.dtype}")
    names, classes = np.unique(values, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"y must hold at least two classes, got {names.tolist()}")
    return _Task(
        "Accuracy on unseen samples", np.eye(len(names))[classes] - 1 / len(names), classes
    )


def _split(n: int, seed: int) -> tuple[Array, Array, Array]:
    order = np.random.default_rng(seed).permutation(n)
    first, second = round(FIT * n), round((FIT + VALIDATION) * n)
    return order[:first], order[first:second], order[second:]


def _kernel_score(
    kernel: Callable[..., Array], x: Array, task: _Task, parts: tuple[Array, Array, Array]
) -> float:
    """Return the test score of kernel ridge regression, with the ridge that is best before."""
    from scipy.linalg import eigh

    fit, held, test = parts
    within, across = kernel(x[fit]), kernel(x[np.concatenate([held, test])], x[fit])
    values, vectors = eigh(within)
    turned, seen = across @ vectors, vectors.T @ task.targets[fit]
    # Eigenvalues that are rounding errors, negative ones among them, are none.
    floor = len(fit) * np.finfo(within.dtype).eps * values[-1]
    values = np.maximum(values, 0)
    mean = values.mean()
    best, highest = -np.inf, -np.inf
    for ridge in RIDGES:
        weights = np.where(values > floor, 1 / (values + ridge * mean + floor), 0)
        outputs = turned @ (weights[:, None] * seen)
        score = task.score(outputs[: len(held)], held)
        if score > highest:
            highest, best = score, task.score(outputs[len(held) :], test)
    return best
