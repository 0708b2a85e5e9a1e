"""Random numbers from whatever users hold: a seed, a NumPy generator, or a key of JAX."""

from __future__ import annotations

from importlib import import_module
from numbers import Integral
from typing import Any

import numpy as np

from .._validate import got

__all__ = ["generator"]

_EXPECTED = (
    "a seed >= 0, a numpy.random.Generator or SeedSequence, or a key such as jax.random.PRNGKey(0)"
)


def generator(rng: Any) -> np.random.Generator:
    """Return a generator; the same seed or key gives the same numbers each time.

    A Generator is used as it is, so its state moves on.
    """
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, np.random.SeedSequence):
        return np.random.default_rng(rng)
    if isinstance(rng, Integral) and not isinstance(rng, bool):
        words = [int(rng)]
    else:
        words = _words_of_a_key(rng)
    if min(words) < 0:
        raise ValueError(f"rng must be {_EXPECTED}, {got(rng)}")
    return np.random.default_rng(words)


def _words_of_a_key(rng: Any) -> list[int]:
    """Return the integers that a key array consists of."""
    if _is_typed_key(rng):
        rng = import_module("jax").random.key_data(rng)
    words = np.asarray(rng)
    if words.dtype.kind not in "iu" or words.size == 0:
        raise TypeError(f"rng must be {_EXPECTED}, {got(rng)}")
    return [int(word) for word in words.ravel()]


def _is_typed_key(rng: Any) -> bool:
    """Whether this is a key made by jax.random.key, which NumPy cannot read."""
    return str(getattr(rng, "dtype", "")).startswith("key<")
