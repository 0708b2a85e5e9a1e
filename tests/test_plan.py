"""Plans: what they say is what happens."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from ntkfast import _gram_progress, _plan
from ntkfast.errors import ArchitectureError

CONV = nk.Conv((3, 3), padding="SAME")
GAP = nk.serial(CONV, nk.Relu(), nk.GlobalAvgPool(), nk.Dense())
FLAT = nk.serial(CONV, nk.Relu(), nk.Flatten(), nk.Dense())


def test_a_plan_of_images_counts_what_is_there() -> None:
    plan = GAP.plan((10, 5, 4, 3), (7, 5, 4, 3), dtype="float64", measure=False, threads=3)
    assert plan.shape == (10, 7)
    assert plan.pairs == 70
    assert plan.sample == (5, 4, 3)
    assert plan.offsets == 9 * 7
    assert plan.kernels == ("nngp", "ntk")
    assert plan.result_bytes == 2 * 70 * 8
    assert plan.threads == 3
    assert plan.seconds is None
    assert "time" not in str(plan)
    assert FLAT.plan((10, 5, 4, 3), measure=False).offsets == 1
    assert FLAT.plan((10, 5, 4, 3), kind="ntk", measure=False).result_bytes == 400
    # The input, Conv and Relu hand on all pairs of positions, and maps have borders.
    entries = GAP.plan((10, 16, 16, 3), measure=False).entries_per_pair
    assert entries is not None
    assert 3 * 256**2 <= entries <= 6 * 256**2


def test_the_time_is_that_of_the_computation() -> None:
    """Within a factor, as machines with other work on them allow: what matters is the model."""
    x = np.random.default_rng(0).normal(size=(64, 10, 10, 1)).astype(np.float32)
    net = nk.models.cntk(3, pool="gap")
    plan = net.plan(x)
    start = time.perf_counter()
    net.kernels(x)
    took = time.perf_counter() - start
    assert plan.seconds is not None
    assert plan.seconds_per_pair is not None
    assert plan.seconds >= plan.pairs * plan.seconds_per_pair
    assert took / 10 < plan.seconds < took * 10
    assert "of the given samples" in str(plan)
    assert "random samples" in str(net.plan((64, 10, 10, 1)))
    assert "2,080 pairs" in str(plan)


@pytest.mark.parametrize("n", [0, 1, 2, 50])
def test_plans_of_any_number_of_samples(n: int) -> None:
    for net, shape in ((GAP, (n, 4, 4, 1)), (nk.mlp(2), (n, 5))):
        given = net.plan(np.ones(shape))
        named = net.plan(shape, dtype=np.float64)
        assert given.pairs == named.pairs == n * (n + 1) // 2
        assert given.result_bytes == named.result_bytes
        assert (given.seconds is None) == (n == 0)
        assert str(given).startswith("network  serial(")


def test_a_plan_of_rows() -> None:
    plan = nk.mlp(3).plan((100_000, 50), (1000, 50))
    assert plan.offsets is None
    assert plan.stages is None
    assert plan.entries_per_pair is None
    assert plan.result_bytes == 2 * 100_000 * 1000 * 4
    assert plan.seconds is not None
    assert plan.device.startswith("cpu (")


def test_a_plan_counts_stages_between_pools() -> None:
    plan = nk.models.myrtle(5).plan((4, 8, 8, 1), measure=False)
    assert plan.stages == 3
    assert ", 3 stages," in str(plan)
    assert GAP.plan((4, 8, 8, 1), measure=False).stages == 1
    conv = nk.Conv((3, 3), padding="SAME")
    branch = nk.serial(conv, nk.Relu(), nk.AvgPool((2, 2), (2, 2)), conv)
    both = nk.serial(nk.FanOut(2), nk.parallel(branch, branch), nk.FanInSum(), nk.Flatten())
    assert both.plan((4, 8, 8, 1), measure=False).stages == 2  # a pool in each branch


def test_a_plan_says_what_does_not_fit_and_refuses_nothing() -> None:
    with nk.config(memory_budget="1MiB"):
        plan = GAP.plan((5000, 8, 8, 1), measure=False)
        assert not plan.fits
        assert "does not fit: 1 MiB available" in str(plan)
    assert GAP.plan((10, 8, 8, 1), measure=False).fits


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (((5, 4, 4, 1), np.ones((5, 4, 4, 1))), {}, TypeError, "both be shapes"),
        (((5, 4, 4, 1, 1),), {}, ValueError, "X must be an array, or a shape"),
        (((5, -4, 4, 1),), {}, ValueError, "X must be an array, or a shape"),
        (((5, 4),), {}, ValueError, "X must be 4-D"),
        (((5, 4, 4, 1), (5, 4, 3, 1)), {}, ValueError, "same size"),
        ((np.ones((5, 4, 4, 1)),), {"dtype": "float32"}, TypeError, "dtype is for shapes"),
        (((5, 4, 4, 1),), {"dtype": "int8"}, ValueError, "dtype must be one of"),
        (((5, 4, 4, 1),), {"kind": "all"}, ValueError, "kind must be one of"),
        (((5, 4, 4, 1),), {"threads": 0}, ValueError, "threads"),
        (((5, 4, 4, 1),), {"device": "cuda"}, nk.errors.DeviceError, "cuda|CPU only"),
    ],
)
def test_bad_arguments_are_named(
    arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        GAP.plan(*arguments, **options)


def test_what_has_no_kernel_has_no_plan() -> None:
    with pytest.raises(ArchitectureError, match="at least 3 positions"):
        nk.serial(nk.Conv((3, 3)), nk.Flatten()).plan((5, 2, 2, 1))


def test_a_long_gram_shows_its_estimate(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.setattr(_gram_progress, "_PATIENCE", 0.0)
    monkeypatch.setattr(_plan, "_LONG_ENTRIES", 1e5)
    x = np.random.default_rng(1).normal(size=(40, 6, 6, 1)).astype(np.float32)
    with nk.config(progress=True):
        expected = GAP.ntk(x)
        assert "kernel, about" in capfd.readouterr().err
        np.testing.assert_array_equal(GAP.ntk(x, out=np.empty_like(expected)), expected)
        assert "kernel, about" in capfd.readouterr().err
        GAP.ntk(x[:3])
        assert "about" not in capfd.readouterr().err
