"""How far a computed kernel is from the truth, and how far it may be.

The error budget. An entry is `P (1 - delta)` or a sum of such terms, so one rounding moves it by
up to u (6e-8 in float32) times its *scale* `sqrt(k(x, x) k(z, z))`, with a root mean square of
0.4 u. Twenty layers of three roundings of random sign make 3 u; five standard deviations, which the
largest of a million entries has, are 1e-6 of the scale. The 2e-6 that the project asks for is
therefore relative down to entries of half their scale, and 1e-6 of the scale below that (an entry
whose true value is 0 has no relative error at all). In float64 the 1e-12 allow thousands of
roundings. Neither hides a lost half of the digits: that would be 3e-4 and 1e-8.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Flat relative tolerance for chi <= 1; multiply by the conditioning beyond.
TOLERANCE = {np.dtype(np.float32): 2e-6, np.dtype(np.float64): 1e-12}

#: Entries below this fraction of their scale are compared with this fraction of it.
SMALL = 0.5


def errors(got: ArrayLike, true: ArrayLike, scale: ArrayLike) -> NDArray[np.float64]:
    """Return the error of every entry relative to its value, or to `SMALL` times its scale."""
    value, want, size = (np.asarray(a, dtype=np.float64) for a in (got, true, scale))
    assert value.shape == want.shape, f"shape {value.shape}, expected {want.shape}"
    reference = np.maximum(np.abs(want), SMALL * size)
    gap = np.abs(value - want)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gap == 0, 0.0, gap / reference)  # nan - x stays nan: never below a bound


def assert_close(
    got: ArrayLike, true: ArrayLike, scale: ArrayLike, tolerance: float, what: str = ""
) -> None:
    """Assert that no entry is off by more than `tolerance`, and show the worst one if it is."""
    error = errors(got, true, scale)
    if error.size == 0 or bool(np.all(error <= tolerance)):
        return
    worst = np.unravel_index(np.argmax(np.where(np.isnan(error), np.inf, error)), error.shape)
    bad = int(np.sum(~(error <= tolerance)))
    raise AssertionError(
        f"{what}: {bad} of {error.size} entries exceed {tolerance:.1e}; "
        f"worst {error[worst]:.3e} at {tuple(map(int, worst))}: "
        f"got {float(np.asarray(got)[worst])!r}, true {float(np.asarray(true)[worst])!r}, "
        f"scale {float(np.asarray(scale)[worst])!r}"
    )
