"""NumPy arrays: in which dtype they are computed, in any memory layout, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ntkfast as nk
from ntkfast._arrays import prepare

NET = nk.serial(nk.Dense(1.2, 0.3), nk.Relu(), nk.Dense())
X = np.random.default_rng(0).integers(-4, 5, (6, 3)).astype(float)  # exact in every dtype
Z = X[:2] + 1
WHOLES = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)] + ["bool"]


# --- the promotion table ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_single_and_double_are_computed_as_given(dtype: str) -> None:
    for result in (NET.ntk(X.astype(dtype)), *NET.kernels(X.astype(dtype), Z.astype(dtype))):
        assert result.dtype == dtype
        assert type(result) is np.ndarray


def test_half_is_computed_in_single() -> None:
    np.testing.assert_array_equal(NET.ntk(X.astype("float16")), NET.ntk(X.astype("float32")))
    assert NET.diag(X.astype("float16")).dtype == np.float32


@pytest.mark.parametrize("dtype", WHOLES)
def test_whole_numbers_are_computed_in_double(dtype: str) -> None:
    x = np.abs(X).astype(dtype)
    assert NET.ntk(x).dtype == np.float64
    np.testing.assert_array_equal(NET.ntk(x), NET.ntk(x.astype("float64")))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("float32", "float64", "float64"),
        ("float32", "float16", "float32"),
        ("float16", "float64", "float64"),
        ("float16", "float16", "float32"),
        ("float32", "int8", "float64"),
        ("float16", "bool", "float64"),
        ("int32", "uint64", "float64"),
    ],
)
def test_mixed_dtypes_meet_in_their_common_one(one: str, other: str, expected: str) -> None:
    x, z = np.abs(X).astype(one), np.abs(Z).astype(other)
    for result in (NET.ntk(x, z), NET.ntk(z, x)):
        assert result.dtype == expected
    np.testing.assert_array_equal(NET.ntk(x, z), NET.ntk(x.astype(expected), z.astype(expected)))


def test_bfloat16_is_computed_in_single() -> None:
    # NumPy has no such dtype; ml_dtypes, which JAX brings, adds it under this name.
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    assert NET.ntk(X.astype(ml_dtypes.bfloat16)).dtype == np.float32


@pytest.mark.parametrize(
    "bad",
    [
        X + 0j,
        X.astype(object),
        X.astype(str),
        X.astype("S4"),
        X.astype("M8[s]"),
        X.astype("m8[s]"),
        np.zeros((2, 2), dtype=[("a", float)]),
        [["1", "2"]],
        [[10**30, 1]],
        [[None, 1.0]],
        {"a": 1},
        "text",
        None,
        object(),
        iter([[1.0]]),
    ],
    ids=lambda bad: str(getattr(bad, "dtype", type(bad).__name__)),
)
def test_other_dtypes_are_type_errors(bad: Any) -> None:
    with pytest.raises(TypeError, match=r"^X must hold floats .* got dtype"):
        NET.ntk(bad)
    if bad is not None:  # Z=None is the symmetric kernel
        with pytest.raises(TypeError, match=r"^Z must hold floats"):
            NET.ntk(X, bad)


@pytest.mark.skipif(np.longdouble == np.float64, reason="long double is double on this platform")
def test_long_double_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"longdouble|float128|float96"):
        NET.ntk(X.astype(np.longdouble))


# --- memory layout ----------------------------------------------------------------------------


def layouts(x: np.ndarray[Any, Any]) -> Iterator[tuple[str, Any]]:
    wide = np.zeros((2 * len(x), 3 * x.shape[1]), x.dtype)
    wide[::2, 1::3] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    raw = np.zeros(x.nbytes + 1, np.uint8)
    unaligned = raw[1:].view(x.dtype).reshape(x.shape)
    unaligned[:] = x
    yield "fortran", np.asfortranarray(x)
    yield "strided", wide[::2, 1::3]
    yield "negative strides", x[::-1, ::-1].copy()[::-1, ::-1]
    yield "read-only", read_only
    yield "unaligned", unaligned
    yield "foreign byte order", x.astype(x.dtype.newbyteorder())
    yield "matrix", np.matrix(x)
    yield "masked, nothing masked", np.ma.MaskedArray(x)
    yield "list", x.tolist()
    yield "tuple", tuple(map(tuple, x.tolist()))
    yield "list of rows", list(x)
    yield "memoryview", memoryview(x)
    yield "frame", pd.DataFrame(x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_the_memory_layout_changes_no_bit(dtype: str) -> None:
    x = X.astype(dtype)
    for name, same in layouts(x):
        wanted = x if name not in ("list", "tuple") else x.astype(float)
        result = NET.ntk(same)
        assert type(result) is np.ndarray, name
        assert result.dtype == wanted.dtype, name
        np.testing.assert_array_equal(result, NET.ntk(wanted), err_msg=name)
        np.testing.assert_array_equal(NET.ntk(wanted, same), NET.ntk(wanted, wanted), err_msg=name)


def test_what_needs_no_conversion_is_not_copied() -> None:
    x = X.copy()
    assert prepare(x).x is x
    assert prepare(x, x).z is x


def test_a_broadcast_row_is_read_as_it_looks() -> None:
    np.testing.assert_array_equal(
        NET.ntk(np.broadcast_to(X[:1], (4, 3))), NET.ntk(np.repeat(X[:1], 4, axis=0))
    )


# --- shape and values -------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["ntk", "nngp", "kernels", "diag", "conditioning"])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([1.0, 2.0], r"X must be 2-D .* \(2,\).*reshape\(-1, 1\).*reshape\(1, -1\)"),
        (3.0, r"X must be 2-D .* shape \(\)"),
        (np.zeros((2, 3, 4)), r"\(2, 3, 4\).*X.reshape\(len\(X\), -1\)"),
        (np.zeros((3, 0)), r"at least one column, got shape \(3, 0\)"),
        ([[]], r"at least one column, got shape \(1, 0\)"),
        ([], r"X must be 2-D .* \(0,\)"),
        ([[1.0, 2.0], [3.0]], "X must be a 2-D array of numbers: .*inhomogeneous"),
    ],
)
def test_a_wrong_shape_is_named(method: str, bad: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(NET, method)(bad)


def test_a_wrong_shape_of_z_is_named() -> None:
    with pytest.raises(ValueError, match=r"Z must be 2-D .*Z.reshape\(1, -1\)"):
        NET.ntk(X, X[0])
    with pytest.raises(ValueError, match=r"columns, got X of shape \(6, 3\) and Z of .*\(6, 2\)"):
        NET.ntk(X, X[:, :2])


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (5, 2), (3, 1)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_first_value_that_is_not_finite_is_located(
    dtype: str, value: float, place: tuple[int, int], order: Any
) -> None:
    x = np.array(X, dtype=dtype, order=order)
    x[place] = x[5, 2] = value
    where = f"must be finite, got {value} in row {place[0]}, column {place[1]}"
    with pytest.raises(ValueError, match=f"^X {where}"):
        NET.ntk(x)
    with pytest.raises(ValueError, match=f"^Z {where}"):
        NET.ntk(X, x)
    with pytest.raises(ValueError, match=f"^X {where}"):
        NET.diag(x)


@pytest.mark.parametrize("n", [1, 7, 64, 1001])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_bad_value_is_found_anywhere(n: int, dtype: str) -> None:
    for place in {0, n // 2, n - 1}:
        x = np.ones((n, 3), dtype)
        x[place, 1] = np.nan
        with pytest.raises(ValueError, match=f"row {place}, column 1"):
            NET.diag(x)
        with pytest.raises(ValueError, match=f"row {place}, column 1"):
            NET.ntk(x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_whose_sum_overflows_are_still_finite(dtype: str) -> None:
    x = np.full((100, 10), np.finfo(dtype).max, dtype)
    for signs in (1, -1):
        x[::2] *= signs
        with pytest.raises(OverflowError):  # their squares overflow, which is another matter
            NET.ntk(x)


# --- what importing costs ----------------------------------------------------------------------


def test_importing_the_package_imports_no_optional_library() -> None:
    code = "import sys, ntkfast; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "ntkfast.network" in loaded
    assert not {"torch", "jax", "cupy", "pandas", "matplotlib", "sklearn", "rich"} & set(loaded)
