"""What ``ntkfast info`` reports: versions, build, instruction sets, threads, devices, memory."""

from __future__ import annotations

import math
import os
import platform
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ntkfast
from ntkfast import _core, cuda
from ntkfast._memory import available_bytes
from ntkfast._threads import resolve_threads
from ntkfast.config import config, resolve_isa
from ntkfast.errors import DeviceError

__all__ = ["collect", "engine"]

PACKAGES = ("numpy", "scipy", "scikit-learn", "matplotlib")


def engine(threads: int | None = None) -> dict[str, Any]:
    """Return what a kernel is computed with: device, instruction set, threads."""
    return {
        "device": "cpu" if config.device in ("auto", "cpu") else config.device,
        "isa": resolve_isa() or _core.isa_available()[-1],
        "threads": resolve_threads(threads),
    }


def collect() -> dict[str, Any]:
    """Return everything that a bug report or a slow run needs to be understood.

    Returns
    -------
    dict
        Plain JSON types; memory in bytes, None where unknown.

    Examples
    --------
    >>> from ntkfast._info import collect
    >>> collect()["engine"]["device"]
    'cpu'
    """
    return {
        "version": ntkfast.__version__,
        "build": dict(_core.build_info()),
        "engine": engine(),
        "isa_available": list(_core.isa_available()),
        "activations": list(_core.activations()),
        "cpu": {"model": _cpu_model(), "cores": os.cpu_count()},
        "cuda": _cuda(),
        "libraries": _libraries(),
        "memory": {"available": int(free) if math.isfinite(free := available_bytes()) else None},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "environment": {name: os.environ[name] for name in sorted(os.environ) if _matters(name)},
    }


def _cuda() -> dict[str, Any]:
    reason = cuda.reason()
    names: list[str] = []
    try:
        names = [device.name for device in cuda.devices()]
    except DeviceError as error:  # a report about a broken device must not break on it
        reason = reason or str(error)
    return {"available": not reason, "reason": reason, "devices": names}


def _libraries() -> list[dict[str, Any]]:
    """Return the BLAS and OpenMP libraries that are loaded, and which package brought each."""
    from threadpoolctl import threadpool_info

    for module in ("numpy", "scipy.linalg", "sklearn"):
        import_module(module)
    wanted = ("user_api", "internal_api", "version", "num_threads", "architecture")
    return [
        {"package": _owner(entry["filepath"])} | {key: entry[key] for key in wanted if key in entry}
        for entry in threadpool_info()
        if entry["user_api"] in ("blas", "openmp")
    ]


def _owner(filepath: str) -> str:
    """Return the package that brought a library: its folder or wheel folder under site-packages."""
    parts = Path(filepath).parts
    for package in ("ntkfast", "numpy", "scipy", "scikit_learn"):
        if package in parts or f"{package}.libs" in parts:
            return package.replace("_", "-")
    return "system"


def _cpu_model() -> str:
    """Return the processor's name, or its architecture where no name is known."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _matters(name: str) -> bool:
    """Tell whether an environment variable changes speed: thread counts and BLAS choices."""
    return name.startswith(("NTKFAST_", "OPENBLAS_", "OMP_", "MKL_", "BLIS_", "CUDA_VISIBLE"))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def lines(info: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the report as pairs of a name and a text, for printing."""
    engine_, build, memory = info["engine"], info["build"], info["memory"]
    sets = ", ".join(info["isa_available"])
    return [
        ("ntkfast", info["version"]),
        ("compiler", build["compiler"]),
        ("own BLAS", f"{build['blas']}, {build['blas_detail']}"),
        ("instruction sets", f"{sets}; in use: {engine_['isa']}"),
        ("threads", f"{engine_['threads']} of {info['cpu']['cores']} cores"),
        ("processor", info["cpu"]["model"]),
        ("CUDA", _cuda_line(info["cuda"])),
        *((f"{lib['user_api']} of {lib['package']}", _library(lib)) for lib in info["libraries"]),
        ("memory", f"{_gib(memory['available'])} free"),
        ("activations", ", ".join(info["activations"])),
        ("python", f"{info['python']}, {sys.implementation.name}, {info['platform']}"),
        *((name, found or "not installed") for name, found in info["packages"].items()),
        *((name, value) for name, value in info["environment"].items()),
    ]


def _cuda_line(found: dict[str, Any]) -> str:
    if not found["available"]:
        return f"no: {found['reason']}"
    return f"{', '.join(found['devices'])} (used with device='cuda')"


def _library(entry: dict[str, Any]) -> str:
    name = f"{entry['internal_api']} {entry.get('version') or ''}".strip()
    kernel = f", kernels for {entry['architecture']}" if entry.get("architecture") else ""
    return f"{name}, {entry['num_threads']} threads{kernel}"


def _gib(value: int | None) -> str:
    return "unknown" if value is None else f"{value / 2**30:.1f} GiB"
