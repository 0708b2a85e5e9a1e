"""``device=`` and ``config.device``: what is refused, and why, with CUDA or without."""

from __future__ import annotations

import types
from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from ntkfast import _core, _device, cuda
from ntkfast._resolution import program_for
from ntkfast.errors import DeviceError, MemoryBudgetError

X = np.array([[1.0, 0.0], [0.5, 2.0], [0.0, -1.0]])
NET = nk.mlp(2, b_std=0.1)


@pytest.fixture
def without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = types.SimpleNamespace(
        unavailable_reason=lambda: "no NVIDIA driver is installed", device_count=lambda: 0
    )
    monkeypatch.setattr(cuda, "_cuda", fake)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:3"])
def test_without_a_driver_cuda_is_an_error_that_says_what_is_missing(
    without_cuda: None, device: str
) -> None:
    message = f'="{device}" is not available: no NVIDIA driver is installed: install .*device="cpu"'
    for call in (NET.ntk, NET.nngp, NET.kernels):
        with pytest.raises(DeviceError, match="device" + message):
            call(X, device=device)
    with pytest.raises(DeviceError, match="device" + message):
        nk.kernels_of([NET], X, device=device)
    with pytest.raises(DeviceError, match="config.device" + message):
        nk.config.device = device
    with pytest.raises(DeviceError, match="config.device" + message):
        nk.config(device=device)
    assert nk.config.device == "auto"


def test_a_build_without_cuda_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_cuda", None)
    monkeypatch.setattr(cuda, "_import_error", "no such file", raising=False)
    with pytest.raises(DeviceError, match=r"no CUDA extension.*nvcc on PATH.*from source"):
        NET.ntk(X, device="cuda")
    assert cuda.device_count() == 0
    assert not cuda.is_built()


def test_a_device_without_code_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = types.SimpleNamespace(unavailable_reason=lambda: "this build holds code for 80-real")
    monkeypatch.setattr(cuda, "_cuda", fake)
    with pytest.raises(DeviceError, match="is not available: this build holds code for 80-real"):
        NET.ntk(X, device="cuda")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1", "cuda 0", "CUDA", ""])
def test_unknown_names_are_refused(device: str) -> None:
    with pytest.raises(ValueError, match=r'device must be "auto", "cpu", "cuda" or'):
        NET.ntk(X, device=device)


@pytest.mark.parametrize("device", [0, True, b"cuda"])
def test_other_types_are_refused(device: Any) -> None:
    with pytest.raises(TypeError, match="device must be"):
        NET.ntk(X, device=device)


@pytest.mark.parametrize("device", [None, "auto", "cpu"])
def test_the_cpu_is_the_default_for_rows_in_host_memory(device: str | None) -> None:
    np.testing.assert_array_equal(NET.ntk(X, device=device), NET.ntk(X))


# --- the call to a device, imitated ------------------------------------------------------------


class OutOfMemoryError(MemoryError):
    """As the extension has it."""


@pytest.fixture
def imitated(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A device whose kernels are what the fixture is told to return or raise."""
    told: dict[str, Any] = {"calls": []}

    def gram(*arguments: Any) -> Any:
        told["calls"].append(arguments)
        if isinstance(told.get("result"), Exception):
            raise told["result"]
        return [np.eye(3)], [2 * np.eye(3)]

    fake = types.SimpleNamespace(
        unavailable_reason=lambda: "",
        device_count=lambda: 2,
        gram=gram,
        OutOfMemoryError=OutOfMemoryError,
    )
    monkeypatch.setattr(cuda, "_cuda", fake)
    monkeypatch.setattr(_device, "_extension", lambda: fake)
    return told


def test_kernels_come_from_the_device_that_is_asked_for(imitated: dict[str, Any]) -> None:
    got = NET.kernels(X, device="cuda:1")
    np.testing.assert_array_equal(got.ntk, 2 * np.eye(3))
    ((job, nngp, ntk, device, host, edge, progress),) = imitated["calls"]
    assert "ntkfast.device.HostJob" in repr(job)
    assert (nngp, ntk, device, host, edge, progress) == (True, True, 1, True, 0, None)


def test_config_chooses_and_the_argument_goes_first(imitated: dict[str, Any]) -> None:
    with nk.config(device="cuda"):
        NET.ntk(X)
        NET.ntk(X, device="cpu")
        NET.ntk(X, device="cuda:1")
    assert [call[3] for call in imitated["calls"]] == [0, 1]


def test_a_device_that_does_not_exist_is_refused(imitated: dict[str, Any]) -> None:
    with pytest.raises(DeviceError, match="there are 2 devices, index 2 is none"):
        NET.ntk(X, device="cuda:2")


def test_failures_of_the_device_are_typed(imitated: dict[str, Any]) -> None:
    imitated["result"] = OutOfMemoryError("9 GiB needed")
    with pytest.raises(MemoryBudgetError, match="9 GiB needed: compute block by block"):
        NET.ntk(X, device="cuda")
    imitated["result"] = RuntimeError("cudaMalloc: cudaErrorUnknown")
    with pytest.raises(DeviceError, match="cuda:0 failed: cudaMalloc"):
        NET.ntk(X, device="cuda")


def test_a_job_needs_no_device_and_checks_the_rows() -> None:
    program = program_for([NET.layers], X, None, 1, "")
    for dtype in (np.float32, np.float64):
        job = _core.device_job(program, X.astype(dtype), X[:2].astype(dtype), True, 1, "")
        assert f"HostJob:{np.dtype(dtype).itemsize}:" in repr(job)
    with pytest.raises(ValueError, match="X must be finite"):
        _core.device_job(program, X * np.nan, None, True, 1, "")
    with pytest.raises(OverflowError):
        _core.device_job(program, X.astype(np.float32) * np.float32(1e30), None, True, 1, "")
    with pytest.raises(ValueError, match="same number of columns"):
        _core.device_job(program, X, X[:, :1].copy(), True, 1, "")
    assert _core.device_job_bytes(program, 1000, 0, 10, 8) >= 1000 * 10 * 8
