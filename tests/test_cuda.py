"""``ntkfast.cuda`` with the extension as this build has it, absent, and with devices imitated."""

from __future__ import annotations

import types
from typing import Any

import pytest

from ntkfast import _info, cuda
from ntkfast.errors import DeviceError


def extension(found: list[Any] | Exception, reason: str = "") -> Any:
    def devices() -> list[Any]:
        if isinstance(found, Exception):
            raise found
        return found

    return types.SimpleNamespace(devices=devices, unavailable_reason=lambda: reason)


def test_this_build_says_why_or_lists_devices() -> None:
    assert cuda.is_available() == (cuda.reason() == "")
    assert bool(cuda.devices()) or not cuda.is_available()


def test_without_the_extension_there_are_no_devices_and_a_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cuda, "_cuda", None)
    monkeypatch.setattr(cuda, "_import_error", "no such file", raising=False)
    assert not cuda.is_available()
    assert cuda.devices() == ()
    assert cuda.reason() == "this build of ntkfast has no CUDA extension (no such file)"


def test_devices_are_listed_with_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_cuda", extension([(0, "Model T", (9, 0), 80, 60)]))
    (device,) = cuda.devices()
    assert device == cuda.Device(0, "Model T", (9, 0), total_memory=80, free_memory=60)
    assert _info.collect()["cuda"] == {"available": True, "reason": "", "devices": ["Model T"]}
    assert "Model T (used with device='cuda')" in dict(_info.lines(_info.collect())).get("CUDA", "")


def test_a_device_that_does_not_answer_is_an_error_but_not_for_the_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cuda, "_cuda", extension(RuntimeError("busy")))
    with pytest.raises(DeviceError, match="CUDA devices do not answer: busy"):
        cuda.devices()
    found = _info.collect()["cuda"]
    assert not found["available"]
    assert "busy" in found["reason"]
