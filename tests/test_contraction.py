"""The core's inner products of Jacobians, against sums written out in double precision."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np
import pytest

from ntkfast import _core
from support import Array

MODES = ("full", "trace", "diagonal")
#: uses, fan_in, units, weight, bias of each weight
LAYERS = {
    "one use": [(1, 3, 4, 0.7, 0.2)],
    "several": [(1, 3, 4, 0.7, 0.2), (1, 17, 1, 1.0, 0.0), (1, 1, 9, 2.0, 1.0)],
    "many uses": [(5, 3, 4, 0.7, 0.2), (1, 2, 2, 1.0, 0.5), (2, 6, 1, 1.0, 0.0)],
    "nothing": [],
    "no inputs": [(1, 0, 4, 1.0, 0.3), (3, 0, 4, 1.0, 0.3)],
    "no units": [(2, 4, 0, 1.0, 0.3)],
    "bias alone": [(2, 4, 3, 0.0, 0.5)],
}


def sides(layers: Any, n: int, outputs: int, dtype: Any, seed: int) -> list[tuple[Array, Array]]:
    rng = np.random.default_rng(seed)
    return [
        (
            rng.standard_normal((n, uses, fan_in)).astype(dtype),
            rng.standard_normal((n, outputs, uses, units)).astype(dtype),
        )
        for uses, fan_in, units, _, _ in layers
    ]


def expected(layers: Any, left: Any, right: Any, n: int, m: int, outputs: int) -> Array:
    """The full kernel by einsum over per-sample gradients of weights and biases."""
    total = np.zeros((n, m, outputs, outputs))
    for (*_, weight, bias), ours, theirs in zip(layers, left, right, strict=True):
        (a, s), (b, t) = ([x.astype(float) for x in side] for side in (ours, theirs))
        gradients = [np.einsum("iuf,icuk->icfk", *side) for side in ((a, s), (b, t))]
        total += weight * np.einsum("icfk,jdfk->ijcd", *gradients)
        total += bias * np.einsum("ick,jdk->ijcd", s.sum(2), t.sum(2))
    return total


def reduced(full: Array, mode: str) -> Array:
    if mode == "full":
        return full
    diagonal = np.einsum("ijcc->ijc", full)
    return diagonal if mode == "diagonal" else diagonal.mean(2)


def shape(mode: str, n: int, m: int, outputs: int) -> tuple[int, ...]:
    return {"full": (n, m, outputs, outputs), "trace": (n, m), "diagonal": (n, m, outputs)}[mode]


def scales(layers: Any) -> list[tuple[float, float]]:
    return [layer[3:] for layer in layers]


@pytest.mark.parametrize("order", ["auto", "pairs", "gradients"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize(("n", "m", "outputs"), [(7, 5, 3), (1, 1, 1), (3, 40, 11), (90, 2, 1)])
def test_any_weights(layers: Any, mode: str, order: str, n: int, m: int, outputs: int) -> None:
    left = sides(layers, n, outputs, np.float64, 1)
    right = sides(layers, m, outputs, np.float64, 2)
    out = np.ones(shape(mode, n, m, outputs))
    _core.contract_uses(left, right, scales(layers), mode, out, 2, None, order)
    want = 1 + reduced(expected(layers, left, right, n, m, outputs), mode)
    np.testing.assert_allclose(out, want, rtol=0, atol=1e-12 * np.abs(want).max())

    own = np.zeros(shape(mode, n, n, outputs))
    _core.contract_uses(left, None, scales(layers), mode, own, 2, None, order)
    upper = np.triu_indices(n, 1)
    assert not own[upper].any()
    _core.mirror_kernel(own, mode, 2)
    want = reduced(expected(layers, left, left, n, n, outputs), mode)
    np.testing.assert_allclose(own, want, rtol=0, atol=1e-12 * (1 + np.abs(want).max()))
    flipped = own.transpose(1, 0, 3, 2) if mode == "full" else own.swapaxes(0, 1)
    assert np.array_equal(own, flipped)


@pytest.mark.parametrize("order", ["auto", "pairs", "gradients"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_a_kernel_that_is_overwritten_is_the_sum_from_zero(
    layers: Any, mode: str, dtype: Any, order: str
) -> None:
    """Whatever it held, in every layout; a symmetric one is complete at once."""
    for n, m, outputs in ((7, 5, 3), (60, 43, 4), (130, 1, 1)):
        left, right = (sides(layers, k, outputs, dtype, k) for k in (n, m))
        for other, cols in ((right, m), (None, n)):
            zeros = np.zeros(shape(mode, n, cols, outputs), dtype)
            _core.contract_uses(left, other, scales(layers), mode, zeros, 2, None, order)
            if other is None:
                _core.mirror_kernel(zeros, mode, 1)
            matrix = np.full((n, outputs, cols, outputs), np.nan, dtype)
            views = [
                np.full(zeros.shape, np.nan, dtype),
                np.full((n + 2, cols + 3, *zeros.shape[2:]), np.nan, dtype)[1:-1, 2:-1],
                np.full(zeros.shape, np.nan, dtype)[::-1],
                *([matrix.transpose(0, 2, 1, 3)] if mode == "full" else []),
            ]
            for view in views:
                _core.contract_uses(
                    left, other, scales(layers), mode, view, 2, None, order, overwrite=True
                )
                assert np.array_equal(view, zeros)


@pytest.mark.parametrize("mode", MODES)
def test_blocks_of_a_jacobian(mode: str) -> None:
    rng = np.random.default_rng(0)
    J, K = rng.standard_normal((37, 4, 5000)), rng.standard_normal((50, 4, 5000))
    out, own = np.zeros(shape(mode, 37, 50, 4)), np.zeros(shape(mode, 37, 37, 4))
    for part in (slice(0, 11), slice(11, 12), slice(12, 12), slice(12, 5000)):
        j, k = J[..., part].copy(), K[..., part].copy()
        _core.contract_jacobians(j, k, mode, out, 2)
        _core.contract_jacobians(j, None, mode, own, 2)
    _core.mirror_kernel(own, mode, 1)
    for got, other in ((out, K), (own, J)):
        want = reduced(np.einsum("icp,jdp->ijcd", J, other, optimize=True), mode)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-13 * 5000)


@pytest.mark.parametrize("order", ["pairs", "gradients"])
@pytest.mark.parametrize("mode", MODES)
def test_the_bits_do_not_depend_on_threads_or_on_the_layout_of_the_result(
    mode: str, order: str
) -> None:
    layers, n, m, outputs = [(1, 30, 40, 0.5, 0.1), (3, 9, 8, 1.0, 0.1)], 70, 90, 5
    left, right = (sides(layers, k, outputs, np.float32, k) for k in (n, m))
    first = np.zeros(shape(mode, n, m, outputs), np.float32)
    _core.contract_uses(left, right, scales(layers), mode, first, 1, None, order)
    for threads in (2, 3, 7):
        again = np.zeros_like(first)
        _core.contract_uses(left, right, scales(layers), mode, again, threads, None, order)
        assert np.array_equal(first, again)
    # A matrix (n O, m O), a block of a larger array, and one stored backwards.
    views = [
        np.zeros((n + 3, m + 4, *first.shape[2:]), np.float32)[1:-2, 3:-1],
        np.zeros(first.shape, np.float32)[::-1, ::-1],
        np.zeros(first.T.shape, np.float32).T,
    ]
    if mode == "full":
        matrix = np.zeros((n, outputs, m, outputs), np.float32)
        views.append(matrix.transpose(0, 2, 1, 3))
    for view in views:
        _core.contract_uses(left, right, scales(layers), mode, view, 2, None, order)
        assert np.array_equal(first, view)
        base = view if view.base is None else view.base
        assert np.count_nonzero(base) == np.count_nonzero(first)


@pytest.mark.parametrize("mode", MODES)
def test_the_error_in_float32(mode: str) -> None:
    """At most 1e-6 of sqrt(Theta_cc(x, x) Theta_c'c'(x', x')) before the result is rounded."""
    layers, n, outputs = [(1, 3000, 512, 1 / 3000, 0.01), (4, 64, 32, 1 / 64, 0.01)], 60, 4

    def kernel(sides: Any, mode: str, dtype: Any) -> Array:
        out = np.zeros(shape(mode, n, n, outputs), dtype)
        _core.contract_uses(sides, None, scales(layers), mode, out, 2)
        _core.mirror_kernel(out, mode, 1)
        return out

    left = sides(layers, n, outputs, np.float32, 3)
    full = kernel([(a.astype(float), s.astype(float)) for a, s in left], "full", np.float64)
    root = np.sqrt(np.einsum("iicc->ic", full))
    scale = reduced(np.einsum("ic,jd->ijcd", root, root), mode)
    got = kernel(left, mode, np.float64)
    assert np.max(np.abs(got - reduced(full, mode)) / scale) < 1e-6
    # Weights used once and those used several times are added one after the other.
    rounded = kernel(left, mode, np.float32)
    assert np.all(np.abs(rounded - got) <= 2 * 2**-24 * 1.01 * np.abs(got).max())


@pytest.mark.parametrize("size", [0.0, 1e-300, 1e150])
def test_rows_of_any_size(size: float) -> None:
    layers, n, outputs = [(2, 3, 4, 1.0, 0.0)], 5, 2
    left = sides(layers, n, outputs, np.float64, 0)
    a, s = left[0]
    for order in ("pairs", "gradients"):
        out, plain = np.zeros((2, n, n, outputs, outputs))
        _core.contract_uses([(size * a, s)], [(a, s)], [(1.0, 0.0)], "full", out, 1, None, order)
        _core.contract_uses([(a, s)], [(a, s)], [(1.0, 0.0)], "full", plain, 1, None, order)
        np.testing.assert_allclose(out, size * plain, rtol=1e-12, atol=1e-14 * size)


def test_empty_kernels() -> None:
    for n, m, outputs in ((0, 4, 2), (4, 0, 2), (3, 3, 0)):
        for mode in MODES:
            out = np.zeros(shape(mode, n, m, outputs))
            left, right = (sides([(2, 3, 4, 1, 1)], k, outputs, float, 0) for k in (n, m))
            for order in ("pairs", "gradients"):
                _core.contract_uses(left, right, [(1.0, 1.0)], mode, out, 2, None, order)
            _core.contract_jacobians(
                np.ones((n, outputs, 3)), np.ones((m, outputs, 3)), mode, out, 1
            )
            assert not out.any()
            if n == m:
                _core.mirror_kernel(out, mode, 2)


def test_what_does_not_fit_is_refused() -> None:
    a, s, out = np.ones((3, 1, 2)), np.ones((3, 2, 1, 4)), np.zeros((3, 3))
    one = [(1.0, 0.0)]

    def call(left: Any = None, right: Any = None, scale: Any = one, **other: Any) -> None:
        left = [(a, s)] if left is None else left
        given = {"mode": "trace", "out": out, "threads": 1} | other
        _core.contract_uses(left, right, scale, **given)

    for options, error, message in [
        ({"mode": "all"}, ValueError, "mode must be 'full', 'trace' or 'diagonal', got 'all'"),
        ({"order": "best"}, ValueError, "order must be 'auto'"),
        ({"scale": []}, ValueError, "one entry for each weight, got 1, 1 and 0"),
        ({"right": []}, ValueError, "got 1, 0 and 1"),
        ({"left": [(a[0], s)]}, ValueError, r"left\[0\] must have shapes .* got \(1, 2\)"),
        ({"left": [(a[:2], s)]}, ValueError, r"inputs of left\[0\] must have shape \(3, 1, 2\)"),
        ({"left": [(a, s[..., ::2])]}, TypeError, r"signals of left\[0\] must be a C-contiguous"),
        ({"left": [(a.astype("f4"), s)]}, TypeError, "of one dtype with all others"),
        ({"right": [(a, s[:2])]}, ValueError, r"signals of right\[0\] must have shape \(3, 2, 1"),
        ({"mode": "full"}, ValueError, r"out must have 4 dimensions .* got shape \(3, 3\)"),
        ({"mode": "diagonal", "out": np.zeros((3, 3, 5))}, ValueError, "out must have 2 outputs"),
        ({"out": np.zeros((3, 2))}, ValueError, "must be square"),
        ({"out": np.zeros((3, 3), "f4")}, TypeError, "inputs must be float32 or float64, and out"),
        ({"out": np.zeros((3, 3), int)}, TypeError, "out float64"),
    ]:
        with pytest.raises(error, match=message):
            call(**options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be square"):
        _core.mirror_kernel(np.zeros((2, 3)), "trace", 1)
    with pytest.raises(TypeError, match="float32 or float64"):
        _core.mirror_kernel(np.zeros((2, 2), int), "trace", 1)
    with pytest.raises(ValueError, match=r"left must have shape \(n, outputs, parameters\)"):
        _core.contract_jacobians(a[0], None, "trace", out, 1)
    with pytest.raises(ValueError, match=r"right must have shape \(3, 1, 2\), got \(3, 1, 1\)"):
        _core.contract_jacobians(a, a[..., :1].copy(), "trace", out, 1)
    frozen = np.zeros((3, 3))
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match=r"writeable|read-only"):
        call(out=frozen)
    assert not out.any()


def test_progress_counts_to_the_end_and_may_stop() -> None:
    layers = [(1, 30, 40, 1.0, 0.0), (9, 4, 4, 1.0, 1.0)]
    left = sides(layers, 200, 1, np.float64, 0)
    seen: list[tuple[int, int]] = []
    out = np.zeros((200, 200))
    _core.contract_uses(
        left, None, scales(layers), "trace", out, 2, lambda *at: seen.append(at), "gradients"
    )
    assert len({total for _, total in seen}) == 1
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]

    def stop(done: int, total: int) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        _core.contract_uses(left, None, scales(layers), "trace", out, 2, stop)


def test_an_interrupt_stops_long_products() -> None:
    # Seconds of work on one thread of a fast machine, many times the interval between polls.
    j, out = np.ones((4000, 1, 20_000), np.float32), np.zeros((4000, 4000))
    polls: list[float] = []

    def interrupt(done: int, total: int) -> None:
        """What Ctrl-C does, in the middle of the work."""
        polls.append(time.monotonic())
        if done < total:
            os.kill(os.getpid(), signal.SIGINT)

    start = time.monotonic()
    # Python leaves the signal alone where it was started with it ignored, as in a background job.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            _core.contract_jacobians(j, None, "trace", out, 1, interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    assert polls
    stopped = np.count_nonzero(out)
    assert stopped < out.size // 4, (stopped, time.monotonic() - start)
