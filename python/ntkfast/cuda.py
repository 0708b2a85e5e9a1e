"""CUDA devices and the reason when there are none.

Kernels are computed on one where ``device="cuda"`` asks for it, or where their arrays are there.
The CUDA extension is optional: a wheel may have been built without it, and a machine may lack a
driver. Importing this module always works; :func:`reason` says what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

from ntkfast.errors import DeviceError

_cuda: ModuleType | None
try:
    from ntkfast import _cuda
except ImportError as error:
    _cuda = None
    _import_error = str(error)

__all__ = ["Device", "device_count", "devices", "is_available", "is_built", "reason"]


@dataclass(frozen=True)
class Device:
    """A CUDA device.

    Attributes
    ----------
    index : int
        Number of the device, as the CUDA runtime counts.
    name : str
        Name that the driver gives.
    compute_capability : tuple of int
        Major and minor version.
    total_memory, free_memory : int
        Bytes.
    """

    index: int
    name: str
    compute_capability: tuple[int, int]
    total_memory: int
    free_memory: int


def is_available() -> bool:
    """Tell whether this build of ntkfast holds code for a CUDA device of this machine.

    Returns
    -------
    bool
        False also where the wheel has no CUDA; :func:`reason` then says why.

    Notes
    -----
    Where a device is found, this creates a CUDA context in the process: a child that is forked
    afterwards cannot use CUDA.

    Examples
    --------
    >>> import ntkfast.cuda
    >>> ntkfast.cuda.is_available() == (ntkfast.cuda.reason() == "")
    True
    """
    return not reason()


def is_built() -> bool:
    """Tell whether this build of ntkfast holds the CUDA extension, with a device or without.

    Returns
    -------
    bool

    Examples
    --------
    >>> import ntkfast.cuda
    >>> ntkfast.cuda.is_built() or not ntkfast.cuda.is_available()
    True
    """
    return _cuda is not None


def device_count() -> int:
    """Count the CUDA devices that the driver shows; creates no context on them.

    Returns
    -------
    int

    Examples
    --------
    >>> import ntkfast.cuda
    >>> ntkfast.cuda.device_count() >= len(ntkfast.cuda.devices())
    True
    """
    return 0 if _cuda is None else int(_cuda.device_count())


def reason() -> str:
    """Say why CUDA is not available.

    Returns
    -------
    str
        Empty where it is available.

    Examples
    --------
    >>> import ntkfast.cuda
    >>> isinstance(ntkfast.cuda.reason(), str)
    True
    """
    if _cuda is None:
        return f"this build of ntkfast has no CUDA extension ({_import_error})"
    return str(_cuda.unavailable_reason())


def devices() -> tuple[Device, ...]:
    """List the CUDA devices of this machine.

    Returns
    -------
    tuple of Device
        Empty without a driver, without a device, or where the wheel has no CUDA.

    Raises
    ------
    ntkfast.errors.DeviceError
        When a device that the driver shows does not answer, for instance because another process
        holds it exclusively.

    Notes
    -----
    Asking a device for its free memory creates a CUDA context on it.

    Examples
    --------
    >>> import ntkfast.cuda
    >>> all(d.free_memory <= d.total_memory for d in ntkfast.cuda.devices())
    True
    """
    if _cuda is None:
        return ()
    try:
        return tuple(Device(*values) for values in _cuda.devices())
    except RuntimeError as error:
        raise DeviceError(f"CUDA devices do not answer: {error}") from error
