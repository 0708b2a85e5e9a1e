"""Plots draw what they are given, and say what to install when they cannot."""

from __future__ import annotations

import doctest
import sys

import numpy as np
import pytest

import ntkfast.plot
from ntkfast.plot import plot_kernel, plot_learning_curve, plot_spectrum

matplotlib = pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")
matplotlib.use("Agg")
from matplotlib.figure import Figure  # noqa: E402


def drawn(ax: object) -> np.ndarray:
    return np.asarray(ax.images[0].get_array())  # type: ignore[attr-defined]


def test_kernel_is_normalized_and_sorted_by_class() -> None:
    K = np.array([[4.0, 1.0, 2.0], [1.0, 1.0, 0.0], [2.0, 0.0, 4.0]])
    ax = plot_kernel(K, Figure().subplots(), labels=["b", "a", "b"], title="K")
    expected = [[1.0, 0.5, 0.0], [0.5, 1.0, 0.5], [0.0, 0.5, 1.0]]
    assert drawn(ax).tolist() == expected
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b"]
    assert ax.get_title() == "K"


def test_kernel_can_be_drawn_as_it_is_and_is_never_changed() -> None:
    K = np.diag([4.0, 0.0])
    kept = K.copy()
    assert drawn(plot_kernel(K, Figure().subplots(), normalize=False)).tolist() == K.tolist()
    assert np.isfinite(drawn(plot_kernel(K, Figure().subplots()))).all()
    assert np.array_equal(K, kept)


def test_kernel_sorted_by_a_continuous_target_shows_its_quantiles() -> None:
    target = np.linspace(5, -5, 41)
    ax = plot_kernel(np.eye(41), Figure().subplots(), labels=target)
    texts = [tick.get_text() for tick in ax.get_yticklabels()]
    assert texts == ["-5", "-2.5", "0", "2.5", "5"]


@pytest.mark.parametrize(
    ("K", "labels", "message"),
    [
        (np.ones((2, 3)), None, r"K: expected a square matrix, got shape \(2, 3\)"),
        (np.eye(3), [1, 2], r"labels: expected shape \(3,\), got \(2,\)"),
    ],
)
def test_kernel_refuses_wrong_shapes(K: np.ndarray, labels: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_kernel(K, Figure().subplots(), labels=labels)  # type: ignore[arg-type]


def test_spectrum_falls_from_one_and_leaves_rounding_out() -> None:
    ax = plot_spectrum({"NTK": [1.0, -1e-20, 4.0]}, Figure().subplots())
    (line,) = ax.lines
    assert line.get_xdata().tolist() == [1, 2]
    assert line.get_ydata().tolist() == [1.0, 0.25]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_learning_curve_draws_a_line_per_method_and_a_band_for_the_strong_ones() -> None:
    errors = {"NTK": [0.4, 0.1], "linear": [0.5, 0.3]}
    ax = plot_learning_curve(
        [10, 1000],
        errors,
        Figure().subplots(),
        spread={"NTK": [0.1, 0.01], "linear": [0.1, 0.1]},
        highlight=["NTK"],
    )
    assert {line.get_label(): line.get_ydata().tolist() for line in ax.lines} == errors
    assert len(ax.collections) == 1
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["10", "1,000"]
    assert ax.get_yscale() == "log"


@pytest.mark.parametrize("errors", [[0.2, 0.0], [55.0, 52.0]])
def test_learning_curve_is_linear_where_a_logarithm_does_not_help(errors: list[float]) -> None:
    ax = plot_learning_curve([10, 20], {"NTK": errors}, Figure().subplots())
    assert ax.get_yscale() == "linear"


def test_missing_matplotlib_is_an_import_error_that_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'ntkfast\[plot\]'"):
        plot_kernel(np.eye(2))


def test_examples_in_docstrings_run() -> None:
    import matplotlib.pyplot as plt

    failed, attempted = doctest.testmod(ntkfast.plot)
    assert attempted > 0
    assert failed == 0
    plt.close("all")
