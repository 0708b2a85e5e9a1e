"""A kernel in a file: written block by block, and continued after an interruption."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Store", "fingerprint"]


def fingerprint(parts: Iterable[Any]) -> str:
    """Return what tells one computation from another."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).data)
    return digest.hexdigest()


class Store:
    """A ``.npy`` file, and beside it a record of the steps that are finished.

    The record, ``<file>.progress.json``, is there as long as the kernel is not complete.

    Parameters
    ----------
    path : str or path
    fingerprint : str
        Of everything that decides the kernel.

    Raises
    ------
    FileExistsError
        If there is a file without a record.
    ValueError
        If the record is that of another computation.
    """

    def __init__(self, path: Any, fingerprint: str) -> None:
        self.path = Path(path)
        if self.path.suffix != ".npy":
            raise ValueError(f"out must be the name of a .npy file, got {str(path)!r}")
        self._record = self.path.with_name(self.path.name + ".progress.json")
        self._own: dict[str, Any] = {"fingerprint": fingerprint}
        self.continued: dict[str, Any] | None = None
        if self._record.exists():
            self.continued = json.loads(self._record.read_text(encoding="utf-8"))
            if self.continued["fingerprint"] != fingerprint:
                raise ValueError(
                    f"{self.path} holds the unfinished kernel of another computation (module, "
                    f"parameters, data, outputs or dtype differ): remove it and {self._record.name}"
                )
            if not self.path.exists():
                self.continued = None
        elif self.path.exists():
            raise FileExistsError(f"{self.path} exists already and would be overwritten: remove it")

    def open(
        self, shape: tuple[int, ...], dtype: Any, plan: dict[str, Any]
    ) -> tuple[NDArray[Any], int]:
        """Return the array in the file, and how many steps are finished."""
        if self.continued is not None:
            self._own = self.continued
            array = np.load(self.path, mmap_mode="r+")
            return array, int(self.continued["done"])
        self._own.update(plan=plan, done=0)
        array = np.lib.format.open_memmap(self.path, mode="w+", dtype=dtype, shape=shape)
        self._write()
        return array, 0

    def note(self, array: Any, done: int) -> None:
        """Make sure that the steps so far are on the disk, then say so in the record."""
        array.flush()
        self._own["done"] = done
        self._write()

    def close(self, array: Any) -> NDArray[Any]:
        """Return the complete kernel, to be read only; the record is gone."""
        array.flush()
        self._record.unlink(missing_ok=True)
        return np.asanyarray(np.load(self.path, mmap_mode="r"))

    def _write(self) -> None:
        # Replaced in one go: an interruption leaves the old record or the new one.
        temporary = self._record.with_name(self._record.name + ".new")
        temporary.write_text(json.dumps(self._own), encoding="utf-8")
        os.replace(temporary, self._record)
