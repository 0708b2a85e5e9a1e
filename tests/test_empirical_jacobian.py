"""Kernels of Jacobians that somebody else computed, and what happens without PyTorch."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from ntkfast.errors import MemoryBudgetError

RNG = np.random.default_rng(0)
TREE = {"b": [RNG.standard_normal((7, 3, 4)), None], "a": (RNG.standard_normal((7, 3, 2, 5)),)}
J = np.concatenate([TREE["a"][0].reshape(7, 3, 10), TREE["b"][0]], 2)
MODES = ("full", "trace", "diagonal")


def plain(j: Any, other: Any, mode: str) -> Any:
    full = np.einsum("icp,jdp->ijcd", j, other)
    each = np.diagonal(full, axis1=2, axis2=3)
    return {"full": full, "diagonal": each, "trace": each.mean(2)}[mode]


def block(start: int, stop: int) -> Any:
    return {"a": (TREE["a"][0][start:stop],), "b": TREE["b"][0][start:stop]}


@pytest.mark.parametrize("mode", MODES)
def test_trees_callables_and_arrays_agree_with_the_definition(mode: str) -> None:
    for jacobian, n in ((TREE, None), (J, None), (block, 7)):
        kernel = nk.empirical.from_jacobian(jacobian, n=n, outputs=mode, batch_size=2)
        np.testing.assert_allclose(kernel, plain(J, J, mode), rtol=1e-13, atol=1e-13)
        axes = (1, 0, 3, 2) if mode == "full" else (1, 0, 2)[: kernel.ndim]
        np.testing.assert_array_equal(kernel, kernel.transpose(axes))
    cross = nk.empirical.from_jacobian(block(0, 3), block, m=7, outputs=mode, batch_size=4)
    np.testing.assert_allclose(cross, plain(J[:3], J, mode), rtol=1e-13, atol=1e-13)


def test_layout_dtype_and_number_of_output_axes_are_as_given() -> None:
    expected = plain(J, J, "trace")
    transposed = np.asfortranarray(J)[::-1][::-1]
    np.testing.assert_allclose(nk.empirical.from_jacobian(transposed), expected, rtol=1e-13)
    single = nk.empirical.from_jacobian(J.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-5)
    one = nk.empirical.from_jacobian(J[:, 0], output_axes=0)
    np.testing.assert_allclose(one, J[:, 0] @ J[:, 0].T, rtol=1e-13)
    image = nk.empirical.from_jacobian(J.reshape(7, 3, 2, 7), output_axes=2, outputs="full")
    assert image.shape == (7, 7, 6, 6)
    assert nk.empirical.from_jacobian(J[:0], outputs="full").shape == (0, 0, 3, 3)
    assert nk.empirical.from_jacobian(J[:0], J).shape == (0, 7)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"jacobian": block}, TypeError, "n must say how many"),
        ({"jacobian": J, "n": 5}, ValueError, "n must be 7"),
        ({"jacobian": {}}, ValueError, "at least one array"),
        ({"jacobian": [J, J[:3]]}, ValueError, "must hold 7 samples"),
        ({"jacobian": [J, J[:, :2]]}, ValueError, "same number of outputs"),
        ({"jacobian": J[:, 0, 0]}, ValueError, "see output_axes"),
        ({"jacobian": J.astype(complex)}, TypeError, "real numbers"),
        ({"jacobian": np.where(J > 2, np.nan, J)}, ValueError, "must be finite"),
        ({"jacobian": J, "other": J[:, :2]}, ValueError, "the same outputs"),
        ({"jacobian": J, "other": TREE}, ValueError, "the same outputs"),
        ({"jacobian": J, "outputs": "sum"}, ValueError, "outputs must be one of"),
        ({"jacobian": block, "n": 7, "batch_size": 0}, ValueError, "batch_size"),
        ({"jacobian": lambda a, b: J, "n": 7, "batch_size": 3}, ValueError, "must hold 1 samples"),
    ],
)
def test_bad_jacobians_are_refused_by_name(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    if text == "must be finite":
        assert (J > 2).any()
    with pytest.raises(error, match=text):
        nk.empirical.from_jacobian(**arguments)


def test_what_does_not_fit_is_refused_before_it_starts() -> None:
    def never(start: int, stop: int) -> Any:
        assert stop - start <= 1  # the one sample that shows the shapes
        return np.ones((stop - start, 2, 3))

    with pytest.raises(MemoryBudgetError, match="full tangent kernel of 4000 x 4000"):
        nk.empirical.from_jacobian(never, n=4000, outputs="full", memory_budget="100 MB")


def test_progress_counts_to_the_end() -> None:
    seen: list[tuple[int, int]] = []
    nk.empirical.from_jacobian(J, batch_size=3, progress=lambda *step: seen.append(step))
    assert seen[-1][0] == seen[-1][1] == len(seen)


def test_without_pytorch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError, match=r"ntkfast\[torch\]"):
        nk.empirical.ntk(object(), J)
    with pytest.raises(ModuleNotFoundError, match=r"ntkfast\[torch\]"):
        nk.empirical.operator(object(), J)
    assert nk.empirical.from_jacobian(J).shape == (7, 7)
