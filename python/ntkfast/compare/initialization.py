"""Networks as they are drawn: their tangent kernel beside the infinite network's."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import finite
from .._validate import finite_number, got, require_finite, whole_number
from ..network import Network
from .checks import check_network, fingerprint, rows
from .sweep import Sweep, measure

__all__ = ["kernel_deviation", "smallest_width"]


def kernel_deviation(
    net: Network,
    X: Any,
    *,
    widths: Iterable[int] = (64, 128, 256, 512, 1024, 2048),
    seeds: int | Iterable[int] = 20,
    outputs: int = 1,
    against: Any = None,
    path: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
) -> Sweep:
    """Measure how far tangent kernels of random networks are from the infinite network's.

    The NTK is deterministic at infinite width (Jacot et al. 2018, Arora et al. 2019, theorem 3.1);
    deviations fall like ``width**-0.5``.

    Parameters
    ----------
    net : Network
        Of any pointwise layers that are functions at finite width.
    X : array, shape (n, d)
        Samples.
    widths : sequence of int
        Units of a hidden layer for each of its ``out_dim``.
    seeds : int or sequence of int, default 20
        Networks per width, or their seeds.
    outputs : int, default 1
        Outputs of the networks; the mean of their kernels is taken.
    against : array, shape (n, n), optional
        Another kernel to compare with, for which no theory is claimed; ``net.ntk(X)`` by default.
    path : path, optional
        File that finished networks are written to, one line each: the same call goes on from it.
    jobs : int, optional
        Networks at a time; by default the number of threads.

    Returns
    -------
    Sweep
        "ntk": largest ``|f.ntk(X) - net.ntk(X)|`` over the pairs; "relative": Frobenius norm of the
        difference over that of ``net.ntk(X)``, or of `against`.

    Raises
    ------
    TypeError, ValueError, MemoryBudgetError
        If an argument has the wrong type or is out of range, or a network does not fit.
    UnsupportedLayerError
        As `ntkfast.finite.init` says.

    Examples
    --------
    >>> import ntkfast as nk
    >>> X = [[1.0, 0.0], [0.6, 0.8]]
    >>> sweep = nk.compare.kernel_deviation(nk.models.arora(1), X, widths=[64, 1024], seeds=8)
    >>> sweep.values["ntk"].shape
    (2, 8)
    """
    check_network(net)
    x = rows("X", X)
    exact = np.asarray(net.ntk(x)) if against is None else _kernel(against, len(x))
    size = float(np.linalg.norm(exact))
    outputs = whole_number("outputs", outputs, minimum=1)

    def task(width: int, seed: int) -> dict[str, float]:
        gap = finite.init(net, width, seed, outputs=outputs, dtype=x.dtype).ntk(x) - exact
        return {
            "ntk": float(np.abs(gap).max(initial=0.0)),
            "relative": float(np.linalg.norm(gap)) / size if size > 0 else 0.0,
        }

    settings = {"net": fingerprint(net), "X": fingerprint(x), "outputs": outputs}
    if against is not None:
        settings["against"] = fingerprint(exact)
    return measure(
        "Tangent kernels at initialization",
        task,
        widths,
        seeds,
        {"ntk": -0.5, "relative": -0.5} if against is None else {},
        path=path,
        jobs=jobs,
        settings=settings,
    )


def _kernel(value: Any, n: int) -> NDArray[np.float64]:
    kernel = np.asarray(value)
    if kernel.shape != (n, n) or kernel.dtype.kind != "f":
        raise ValueError(
            f"against must be a kernel of floats, shape {(n, n)}, got {kernel.dtype} of shape "
            f"{kernel.shape}"
        )
    require_finite("against", kernel)
    return kernel.astype(np.float64)


def smallest_width(sweep: Sweep, bound: float, delta: float = 0.1) -> int | None:
    """Return the smallest measured width at which a bound holds with probability 1 - delta.

    With ``bound = (L + 1) * eps`` and ``ntkfast.models.arora(L)`` on rows of unit norm this is the
    statement of Arora et al. 2019, theorem 3.1.

    Parameters
    ----------
    sweep : Sweep
        Of `kernel_deviation`.
    bound : float
        On the largest deviation, > 0.
    delta : float, default 0.1
        Share of networks that may be beyond, in (0, 1).

    Returns
    -------
    int or None
        None if it holds at no width that was measured.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import ntkfast as nk
    >>> X = [[1.0, 0.0], [0.6, 0.8]]
    >>> sweep = nk.compare.kernel_deviation(nk.models.arora(1), X, widths=[16, 4096], seeds=8)
    >>> nk.compare.smallest_width(sweep, bound=2 * 0.1)
    4096
    """
    if not isinstance(sweep, Sweep) or "ntk" not in sweep.values:
        raise TypeError(f"sweep must be one of kernel_deviation(), {got(sweep)}")
    bound = finite_number("bound", bound)
    delta = finite_number("delta", delta)
    if bound <= 0 or not 0 < delta < 1:
        raise ValueError(f"bound must be positive and delta in (0, 1), got {bound:g} and {delta:g}")
    within = (sweep.values["ntk"] <= bound).mean(1) >= 1 - delta
    # A width counts if all larger ones hold the bound too.
    holds = np.logical_and.accumulate(within[::-1])[::-1]
    return sweep.widths[int(np.argmax(holds))] if holds.any() else None
