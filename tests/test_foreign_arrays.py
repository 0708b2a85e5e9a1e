"""Arrays of other libraries: tables, sparse and masked arrays, tensors and tracers, GPUs."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import ntkfast as nk
from ntkfast.errors import DeviceError

NET = nk.serial(nk.Dense(1.2, 0.3), nk.Relu(), nk.Dense())
X = np.random.default_rng(0).integers(-4, 5, (6, 3)).astype(float)  # exact in every dtype


# --- tables, sparse and masked input ----------------------------------------------------------


def test_a_frame_of_mixed_numbers_is_read_in_their_common_dtype() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5], "c": [True, False]})
    assert NET.ntk(frame).dtype == np.float64
    np.testing.assert_array_equal(NET.ntk(frame), NET.ntk(frame.to_numpy(dtype=float)))
    assert NET.ntk(frame[["b"]].astype("float32")).dtype == np.float32
    np.testing.assert_array_equal(NET.ntk(frame, frame.to_numpy(float)), NET.ntk(frame, frame))


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "Float32", "boolean", "uint8"])
def test_nullable_columns_are_read(dtype: str) -> None:
    frame = pd.DataFrame({"a": [1, 0, 1], "b": [0, 1, 1]}).astype(dtype)
    np.testing.assert_allclose(NET.ntk(frame), NET.ntk(frame.to_numpy(float)), rtol=1e-6)


def test_a_missing_value_in_a_frame_is_located() -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "b": pd.array([1, None, 3], dtype="Int64")})
    with pytest.raises(ValueError, match="got nan in row 1, column 1"):
        NET.ntk(frame)


@pytest.mark.parametrize(
    "column",
    [
        ["x", "y"],
        pd.to_datetime(["2020-01-01", "2020-01-02"]),
        pd.Categorical([1, 2]),
        [1j, 2],
        [None, object()],
        pd.arrays.SparseArray([0.0, 1.0]),
    ],
    ids=["text", "date", "category", "complex", "object", "sparse"],
)
def test_a_column_that_is_not_numeric_is_named(column: Any) -> None:
    frame = pd.DataFrame({"good": [1.0, 2.0], "bad": column})
    with pytest.raises(TypeError, match=r"numeric columns only, got dtype .* in column 'bad'"):
        NET.ntk(frame)


def test_frames_with_equal_column_names_are_checked_column_by_column() -> None:
    frame = pd.DataFrame([["x", 1.0]], columns=["a", "a"])
    with pytest.raises(TypeError, match="column 'a'"):
        NET.ntk(frame)


def test_a_series_is_one_dimensional() -> None:
    with pytest.raises(ValueError, match="reshape"):
        NET.ntk(pd.Series([1.0, 2.0]))


@pytest.mark.parametrize("make", ["csr_matrix", "csc_array", "coo_matrix", "dok_array"])
def test_sparse_input_is_refused_by_name(make: str) -> None:
    sparse = getattr(scipy.sparse, make)(X)
    with pytest.raises(TypeError, match=rf"X is sparse \(scipy.sparse.*{make}.*toarray\(\)"):
        NET.ntk(sparse)
    with pytest.raises(TypeError, match="Z is sparse"):
        NET.ntk(X, sparse)


def test_masked_entries_are_refused() -> None:
    with pytest.raises(ValueError, match="X is a masked array with masked entries"):
        NET.ntk(np.ma.masked_greater(X, 2))


# --- other libraries, imitated: what is refused before anything of theirs is called ------------


def imitation(module: str, name: str, **attributes: Any) -> Any:
    return type(name, (), {"__module__": module, **attributes})()


@pytest.mark.parametrize(
    "array",
    [
        imitation("cupy", "ndarray", shape=(2, 2)),
        imitation("numba.cuda.devicearray", "DeviceNDArray", __cuda_array_interface__={}),
    ],
    ids=lambda array: type(array).__module__,
)
def test_arrays_on_a_gpu_are_a_device_error(array: Any) -> None:
    with pytest.raises(DeviceError, match=r"X \(.*\) is on a GPU.*cannot compute.*asnumpy"):
        NET.ntk(array)
    with pytest.raises(TypeError, match=r"numpy.ndarray \(numpy\) for X .*\((cupy|numba)\) for Z"):
        NET.ntk(X, array)


def test_sparse_arrays_on_a_gpu_are_refused_by_name() -> None:
    sparse = imitation("cupyx.scipy.sparse", "csr_matrix", shape=(2, 2))
    with pytest.raises(DeviceError, match=r"X \(cupyx.*csr_matrix\) .*sparse.*X.toarray\(\)"):
        NET.ntk(sparse)


def test_a_jax_tracer_is_refused() -> None:
    tracer = imitation("jax._src.core", "Tracer")
    with pytest.raises(TypeError, match=r"X is a JAX tracer .*jit, grad or vmap"):
        NET.ntk(tracer)


def test_a_jax_array_on_a_gpu_is_a_device_error() -> None:
    device = types.SimpleNamespace(platform="gpu")
    array = imitation("jaxlib._jax", "ArrayImpl", devices=lambda self: [device])
    with pytest.raises(DeviceError, match=r"jax\.device_get"):
        NET.ntk(array)


def test_a_torch_tensor_on_a_gpu_is_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    device = types.SimpleNamespace(type="cuda", __str__=lambda self: "cuda:0")
    no_tangent = types.SimpleNamespace(tangent=None)
    forward_ad = types.SimpleNamespace(unpack_dual=lambda tensor: no_tangent)
    tensor = imitation("torch", "Tensor", requires_grad=False, layout="strided", device=device)
    fake = types.SimpleNamespace(
        Tensor=type(tensor),
        strided="strided",
        autograd=types.SimpleNamespace(forward_ad=forward_ad),
    )
    monkeypatch.setitem(sys.modules, "torch", fake)  # type: ignore[arg-type]
    with pytest.raises(DeviceError, match=r"X \(torch.Tensor\).*X.cpu\(\)"):
        NET.ntk(tensor)


def test_two_kinds_of_arrays_in_one_call_are_refused_by_name() -> None:
    tracer = imitation("jax._src.core", "Tracer")
    with pytest.raises(TypeError, match=r"numpy.ndarray \(numpy\) for X .*Tracer \(jax\) for Z"):
        NET.ntk(X, tracer)


# --- the real libraries, where they are installed ----------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.filterwarnings("ignore::FutureWarning:torch")
def test_torch_tensors_go_in_and_come_back() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for dtype, expected in [
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.int64, torch.float64),
        (torch.bool, torch.float64),
    ]:
        x = torch.tensor(X).to(dtype)
        for result in (NET.ntk(x), NET.diag(x), *NET.kernels(x, x[:2])):
            assert isinstance(result, torch.Tensor)
            assert result.dtype == expected
    x = torch.tensor(X)
    np.testing.assert_array_equal(NET.ntk(x).numpy(), NET.ntk(X))
    np.testing.assert_array_equal(NET.ntk(torch.tensor(X.T.copy()).T).numpy(), NET.ntk(X))
    for bad, message in [
        (x.clone().requires_grad_(), r"requires gradients.*X.detach\(\)"),
        (torch.nn.Parameter(x), "requires gradients"),
        (x.to_sparse(), "is sparse"),
        (x + 0j, "complex128"),
        (x.to(torch.float8_e4m3fn), "cannot be read"),
    ]:
        with pytest.raises(TypeError, match=message):
            NET.ntk(bad)
    with pytest.raises(TypeError, match=r"torch.Tensor \(torch\) for X and numpy.ndarray"):
        NET.ntk(x, X)
    with pytest.raises(DeviceError, match="on meta"):
        NET.ntk(x.to("meta"))
    for transform in (torch.vmap(NET.ntk), lambda y: torch.func.jvp(NET.ntk, (y[0],), (y[0],))):
        with pytest.raises(TypeError, match=r"cannot be read|requires gradients"):
            transform(x[None])


def test_jax_arrays_go_in_and_come_back() -> None:
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    x = jax.numpy.asarray(X, dtype="float32")
    result = NET.ntk(x)
    assert isinstance(result, jax.Array)
    np.testing.assert_array_equal(np.asarray(result), NET.ntk(X.astype("float32")))
    assert NET.ntk(x.astype("bfloat16")).dtype == np.float32
    for transform in (jax.jit(NET.ntk), jax.grad(lambda y: NET.ntk(y).sum())):
        with pytest.raises(TypeError, match="JAX tracer"):
            transform(x)
