"""Tangent kernels of PyTorch modules against plain autograd, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ntkfast as nk

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch_nets import cases, plain_jacobian, plain_kernel  # noqa: E402

CASES = cases()
MODES = ("full", "trace", "diagonal")
METHODS = ("structured", "jacobian", "operator", "auto")


def close(found: Any, expected: Any, bound: float = 1e-10) -> None:
    found, expected = (
        np.asarray(each.detach() if hasattr(each, "detach") else each) for each in (found, expected)
    )
    assert found.shape == expected.shape
    assert np.abs(found - expected).max(initial=0.0) <= bound * np.abs(expected).max(initial=0.0)


# PyTorch's own about even kernels with padding="same", which one of the networks has.
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", CASES)
def test_every_module_and_method_agrees_with_autograd(name: str, method: str) -> None:
    module, x = CASES[name]
    j = plain_jacobian(module, x)
    some = tuple(part[:2] for part in x) if isinstance(x, tuple) else x[:2]
    for mode in MODES:
        kernel = nk.empirical.ntk(module, x, outputs=mode, method=method, batch_size=2)
        close(kernel, plain_kernel(j, j, mode))
        cross = nk.empirical.ntk(module, some, x, outputs=mode, method=method)
        close(cross, plain_kernel(j[:2], j, mode))
        axes = (1, 0, 3, 2) if mode == "full" else (1, 0, 2)[: kernel.ndim]
        assert torch.equal(kernel, kernel.permute(axes))  # symmetric to the last bit
