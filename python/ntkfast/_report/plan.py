"""What is measured at each budget, and how a budget becomes numbers of seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkfast import compare, mlp, models
from ntkfast._report.textbook import textbook_ntk

__all__ = ["BUDGETS", "Part", "parts", "seeds_within"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Level:
    """Sizes at a budget."""

    seconds: float
    widths: tuple[int, ...]  # of networks at initialization
    trained: tuple[int, ...]  # of networks in training
    scored: tuple[int, ...]  # of networks trained on all of a table
    steps: tuple[int, ...]  # of gradient descent after which kernels are taken
    epochs: int
    samples: int  # of the digits, for those


def _ladder(first: int, last: int, factor: int = 2) -> tuple[int, ...]:
    return tuple(first * factor**k for k in range(20) if first * factor**k <= last)


#: Every budget has its widths and lengths of training; seeds fill it up.
BUDGETS = {
    "1min": Level(60, _ladder(64, 1024, 4), _ladder(64, 576, 3), (16, 64), (10, 100), 20, 600),
    "10min": Level(
        seconds=600,
        widths=_ladder(64, 4096),
        trained=_ladder(64, 1024),
        scored=_ladder(16, 256, 4),
        steps=(10, 30, 100, 300),
        epochs=60,
        samples=1797,
    ),
    "1h": Level(
        seconds=3600,
        widths=_ladder(64, 8192),
        trained=_ladder(64, 2048),
        scored=_ladder(16, 1024, 4),
        steps=(10, 30, 100, 300),
        epochs=100,
        samples=1797,
    ),
}


@dataclass(frozen=True)
class Part:
    """One measurement: a table and pictures of a claim.

    Attributes
    ----------
    key : str
        Of its files.
    claim : str
        Key of `claims.CLAIMS`.
    name : str
        What tells it from others of that claim.
    measure : callable
        ``measure(seeds=..., path=..., jobs=...)`` returns a result with table, plot and to_json.
    weight : float
        Its share of the time.
    batch, most : int
        Seeds come in so many at once, and are never more.
    plots : tuple of callables
        ``plot(result, ax)`` draws a panel.
    note : callable, optional
        Makes a sentence of the result.
    """

    key: str
    claim: str
    name: str
    measure: Callable[..., Any]
    weight: float = 1.0
    batch: int = 1
    most: int = 50
    plots: tuple[Callable[..., Any], ...] = (compare.Sweep.plot,)
    note: Callable[[Any], str] | None = None


def parts(budget: str) -> list[Part]:
    """Return all measurements of a budget, on digits and diabetes of scikit-learn."""
    level = BUDGETS[budget]
    digits, classes = _digits()
    order = np.random.default_rng(0).permutation(len(digits))
    few, unseen = order[:8], order[8:16]
    X, Z = digits[few], digits[unseen]
    y = np.where(classes[few] % 2 == 0, 1.0, -1.0)
    relu, smooth = models.arora(2), mlp(2, "erf")
    trained, last = level.trained, level.steps[-1]
    # The kernels of narrow networks scatter, and with them the largest stable rate.
    rate = 0.25
    found: list[Part] = []
    for name, net, depth in (
        ("ReLU, 1 hidden layer", models.arora(1), 1),
        ("ReLU, 3 hidden layers", models.arora(3), 3),
        ("erf, 3 hidden layers", mlp(3, "erf"), None),
    ):
        measure = partial(compare.kernel_deviation, net, X, widths=level.widths)
        note = None if depth is None else partial(_smallest_width, depth=depth)
        found.append(Part(f"deviation-{_slug(name)}", "deviation", name, measure, note=note))
    for wrong in (False, True):
        name = "misprinted" if wrong else "right"
        kernel = textbook_ntk(X, 3, "erf", misprinted=wrong)
        measure = partial(
            compare.kernel_deviation, mlp(3, "erf"), X, widths=level.widths, against=kernel
        )
        what = f"{name} formula, erf, 3 hidden layers"
        key = f"misprint-{name}"
        found.append(Part(key, "misprint", what, measure, weight=0.3, note=_exponent))
    for name, net in (("ReLU", relu), ("erf", smooth)):
        arguments = f"{name}, 2 hidden layers"
        change = partial(
            compare.kernel_change, net, X, y, steps=level.steps, widths=trained, rate=rate
        )
        found.append(Part(f"change-{_slug(name)}", "constancy", arguments, change))
        taylor = partial(compare.training, net, X, y, Z, steps=last, widths=trained, rate=rate)
        shown = _panels(["from Taylor model", "from infinite kernel"])
        found.append(Part(f"taylor-{_slug(name)}", "linearization", arguments, taylor, plots=shown))
        kappa = partial(
            compare.lazy_training, net, X[:4], y[:4], steps=last, widths=trained, rate=rate
        )
        found.append(Part(f"lazy-{_slug(name)}", "lazy", arguments, kappa))
    scales = (1.0, 0.3, 0.1)
    gap = partial(compare.equivalence, 1, X, y, Z, output_scales=scales, widths=trained)
    names = [*(f"scale {s:g}" for s in scales), "scale width^-1/4"]
    panels = _panels(names, [f"{name}, same start" for name in names])
    what = "ReLU, 1 hidden layer"
    found.append(Part("equivalence", "equivalence", what, gap, weight=2.0, plots=panels))
    for depth in (1, 3):
        name = "ReLU, 1 hidden layer (Neal)" if depth == 1 else f"ReLU, {depth} hidden layers"
        outputs = partial(compare.gaussian_limit, models.arora(depth), X)
        shown = (compare.GaussianLimit.plot, compare.GaussianLimit.plot_density)
        found.append(Part(f"gaussian-{depth}", "gaussian", name, outputs, 1.0, 200, 10_000, shown))
    practical, some = mlp(2, b_std=0.1), order[: level.samples]
    for name, (features, target) in {
        "digits": (8 * digits[some], classes[some]),
        "diabetes": _diabetes(),
    }.items():
        score = partial(
            compare.accuracy, practical, features, target, widths=level.scored, epochs=level.epochs
        )
        what = f"{name}, ReLU, 2 hidden layers"
        found.append(Part(f"accuracy-{name}", "accuracy", what, score, weight=2.0, most=20))
    return found


def seeds_within(
    seconds: float, units: Mapping[str, float], parts: Sequence[Part], least: int
) -> dict[str, int]:
    """Return the seeds of every part that fill a time.

    Parameters
    ----------
    seconds : float
        For all parts.
    units : dict of str to float
        Seconds that one seed of each part takes.
    parts : sequence of Part
    least : int
        Batches that each has at any rate.

    Returns
    -------
    dict of str to int
    """
    found = {part.key: min(part.most, least * part.batch) for part in parts}
    growing = list(parts)
    while growing:
        left = seconds - sum(units[key] * n for key, n in found.items())
        total = sum(part.weight for part in growing)
        grown = {}
        for part in growing:
            share = left * part.weight / total
            more = int(share / units[part.key]) // part.batch * part.batch
            grown[part.key] = min(part.most, found[part.key] + max(0, more))
        # Those that have all they may leave their share to the others.
        still = [p for p in growing if found[p.key] < grown[p.key] < p.most]
        done = grown == {part.key: found[part.key] for part in growing}
        found |= grown
        growing = [] if done else still
    return found


def _smallest_width(result: Any, depth: int) -> str:
    bound = (depth + 1) * 0.1
    width = compare.smallest_width(result, bound, delta=0.1)
    where = "at none of these widths" if width is None else f"from width {width} on"
    return (
        f"Theorem 3.1 with epsilon = 0.1 and delta = 0.1: a largest deviation of at most "
        f"{bound:g} with probability 0.9 holds {where}."
    )


def _exponent(result: Any) -> str:
    slope = result.slope("ntk")
    return (
        f"The largest deviation goes like width to the power {slope.value:.2f} "
        f"({slope.low:.2f} to {slope.high:.2f})."
    )


def _panels(*names: Sequence[str]) -> tuple[Callable[..., Any], ...]:
    """Return one panel for every group of quantities."""
    return tuple(partial(compare.Sweep.plot, names=group) for group in names)


def _slug(name: str) -> str:
    return name.lower().replace(", ", "-").replace(" ", "-")


def _digits() -> tuple[Array, NDArray[np.int64]]:
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return X / np.linalg.norm(X, axis=1, keepdims=True), y


def _diabetes() -> tuple[Array, Array]:
    from sklearn.datasets import load_diabetes

    X, y = load_diabetes(return_X_y=True)
    return X / X.std(), y
