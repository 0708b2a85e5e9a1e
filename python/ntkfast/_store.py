"""A kernel in a file: written block by block, and continued after an interruption."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._memory import size_text

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
    decides : str
        In words what that is.

    Raises
    ------
    FileExistsError
        If there is a file without a record.
    ValueError
        If the record is that of another computation.
    OSError
        If the disk has not enough room, before the computation starts.
    """

    def __init__(self, path: Any, fingerprint: str, decides: str) -> None:
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
                    f"{self.path} holds the unfinished kernel of another computation "
                    f"({decides} differ): remove it and {self._record.name}"
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
        array = self._made(shape, dtype)
        self._write()
        return array, 0

    def _made(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Return the new file with its room: a disk that is full later would end the process."""
        needed = int(np.prod(shape, dtype=np.float64)) * np.dtype(dtype).itemsize
        free = shutil.disk_usage(self.path.absolute().parent).free
        if needed > free:
            raise OSError(
                errno.ENOSPC,
                f"the kernel takes {size_text(needed)}, and the disk has {size_text(free)} left",
                str(self.path),
            )
        array = np.lib.format.open_memmap(self.path, mode="w+", dtype=dtype, shape=shape)
        if hasattr(os, "posix_fallocate"):
            with self.path.open("r+b") as file:
                try:
                    os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:  # a file system that cannot reserve
                        return array
                    self.path.unlink()
                    raise
        return array

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
