"""Where blocks of a Gram matrix go: into arrays of the caller, or into files."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._blocks import Blocks, Place
from ._gram import Kernels
from ._gram_progress import gram_progress
from ._plan import long_seconds
from ._store import Store, fingerprint
from ._validate import got

__all__ = ["fill", "write"]

# Seconds of work that a crash may cost; an interruption costs no more than the block it stops.
_NOTED = 5.0


def write(blocks: Blocks, out: Sequence[Any]) -> Kernels:
    """Fill `out`, one array or file name per kernel of the blocks, and return what it holds."""
    files = [isinstance(each, (str, os.PathLike)) for each in out]
    if all(files):
        made = _into_files(blocks, out)
    elif not any(files):
        for each in out:
            _require_room(blocks, each)
        fill(blocks, out)
        made = list(out)
    else:
        raise TypeError(f"out must be arrays or file names, not both, {got(out)}")
    return Kernels(**{"nngp": None, "ntk": None, **dict(zip(blocks.kinds, made, strict=True))})


def fill(blocks: Blocks, arrays: Sequence[Any]) -> None:
    """Write all blocks into arrays, mirrored where the Gram is symmetric."""
    with gram_progress(partial(long_seconds, blocks)) as progress:
        for _, place, parts in blocks.walk(progress):
            _put(blocks, place, parts, arrays)


def _put(blocks: Blocks, place: Place, parts: Sequence[Any], arrays: Sequence[Any]) -> None:
    rows, columns = place
    for array, part in zip(arrays, parts, strict=True):
        array[rows, columns] = part
        if blocks.z is None and rows != columns:
            array[columns, rows] = part.T


def _require_room(blocks: Blocks, out: Any) -> None:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array or the name of a .npy file, {got(out)}")
    if out.shape != blocks.shape or out.dtype != blocks.dtype:
        raise ValueError(
            f"out must have shape {blocks.shape} and dtype {blocks.dtype}, got {out.shape} and "
            f"{out.dtype}"
        )
    if not out.flags.writeable:
        raise ValueError("out must be writable, got a read-only array")
    if any(np.may_share_memory(out, each) for each in (blocks.x, blocks.z) if each is not None):
        raise ValueError("out must not share memory with X or Z")


def _into_files(blocks: Blocks, paths: Sequence[Any]) -> list[NDArray[Any]]:
    """Return read-only memory maps of the files, continued where they were left."""
    if len({os.path.abspath(os.fspath(path)) for path in paths}) < len(paths):
        raise ValueError(f"out must name a file for each kernel, {got(paths)}")
    known = [fingerprint(_identity(blocks, kind)) for kind in blocks.kinds]
    decides = "network, kernel, data or dtype"
    stores = [Store(path, key, decides) for path, key in zip(paths, known, strict=True)]
    if 0 in blocks.shape:
        for store in stores:  # a memory map cannot be empty
            np.save(store.path, np.zeros(blocks.shape, blocks.dtype))
        return [np.asarray(np.load(store.path)) for store in stores]
    recorded = [store.continued["plan"]["edge"] for store in stores if store.continued]
    edge = recorded[0] if recorded else blocks.edge
    blocks.require_memory(edge)
    opened = [store.open(blocks.shape, blocks.dtype, {"edge": edge}) for store in stores]
    arrays, finished = [array for array, _ in opened], min(done for _, done in opened)

    def note() -> None:
        for store, array in zip(stores, arrays, strict=True):
            store.note(array, finished)

    noted = time.monotonic()
    try:
        with gram_progress(partial(long_seconds, blocks)) as progress:
            for k, place, parts in blocks.walk(progress, edge, finished):
                _put(blocks, place, parts, arrays)
                finished = k + 1
                if time.monotonic() - noted > _NOTED:
                    note()
                    noted = time.monotonic()
    except BaseException:
        note()
        raise
    return [store.close(array) for store, array in zip(stores, arrays, strict=True)]


def _identity(blocks: Blocks, kind: str) -> list[Any]:
    """Return everything that decides a kernel."""
    parts: list[Any] = [f"{blocks.identity()} {kind} {blocks.dtype} {blocks.x.shape}".encode()]
    parts.append(blocks.x)
    if blocks.z is not None:
        parts += [f"Z {blocks.z.shape}".encode(), blocks.z]
    return parts
