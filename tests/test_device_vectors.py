"""Operators multiply vectors of an imitated CUDA device: what comes back, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse.linalg import cg

import imitated_cupy
from imitated_cupy import State, on_device
from ntkfast import _device
from ntkfast.errors import DeviceError
from support import Array
from test_device_arrays import KINDS, NET, Foreign, Jax, Tensor, X, _host, device, libraries

__all__ = ["device", "libraries"]  # fixtures

V = np.random.default_rng(2).standard_normal((7, 4))
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def multiplies(libraries: State, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """An extension whose operator multiplies on the CPU; returns the devices of each operator."""
    made: list[Any] = []

    class Operator:
        def __init__(self, job: object, ntk: bool, devices: list[int], edge: int) -> None:
            made.append(devices)

        def multiply(self, v: Array, transposed: bool, progress: Any) -> Array:
            assert v.flags.c_contiguous
            K = NET.ntk(X, X[:3] if len(v) == 3 or transposed else None, device="cpu")
            return np.asarray((K.T if transposed else K) @ v)

    monkeypatch.setattr(_device._extension(), "Operator", Operator, raising=False)
    return made


@every_kind
def test_products_are_the_same_kind_of_array(multiplies: list[Any], kind: str) -> None:
    make = KINDS[kind]
    K = NET.ntk(X)
    for rows in (X, make(X)):  # wherever the rows are
        A = NET.operator(rows, device="cuda")
        for product in (A @ make(V), A.dot(make(V)), A.matmat(make(V)), A.T @ make(V), A * make(V)):
            assert type(product) is type(make(V))
            np.testing.assert_allclose(_host(product), K @ V, rtol=1e-12)
        for product in (A @ make(V[:, 0]), A.matvec(make(V[:, 0])), A.H.rmatvec(make(V[:, 0]))):
            assert _host(product).shape == (7,)
            np.testing.assert_allclose(_host(product), K @ V[:, 0], rtol=1e-12)
        # Vectors of the host as before, and SciPy's solvers.
        assert type(A @ V) is np.ndarray
        np.testing.assert_allclose(A @ V, K @ V, rtol=1e-12)
        assert cg(A, V[:, 0], rtol=1e-10)[1] == 0
    assert multiplies == [[0], [0]]


@every_kind
def test_cross_kernels_and_their_transposes(multiplies: list[Any], kind: str) -> None:
    make = KINDS[kind]
    K = NET.ntk(X, X[:3])
    A = NET.operator(make(X), make(X[:3]))
    assert A.T.shape == (3, 7)
    np.testing.assert_allclose(_host(A @ make(V[:3])), K @ V[:3], rtol=1e-12)
    for product in (A.T @ make(V), A.rmatmat(make(V)), A.H @ make(V), A.T.T.T @ make(V)):
        np.testing.assert_allclose(_host(product), K.T @ V, rtol=1e-12)
    np.testing.assert_allclose(_host(A.rmatvec(make(V[:, 1]))), K.T @ V[:, 1], rtol=1e-12)
    np.testing.assert_allclose(_host(A.T.rmatmat(make(V[:3]))), K @ V[:3], rtol=1e-12)
    np.testing.assert_allclose(A.T @ V, K.T @ V, rtol=1e-12)


def test_dtypes_and_strides(multiplies: list[Any]) -> None:
    A = NET.operator(X.astype("float32"), device="cuda")
    assert (A @ on_device(V)).dtype == "float64"
    assert (A @ on_device(V.astype("float32"))).dtype == "float32"
    view = imitated_cupy.ndarray(np.repeat(V, 2, axis=1)[:, ::2])
    np.testing.assert_allclose((A @ view).get(), A @ V, rtol=1e-12)
    with pytest.raises(TypeError, match="V must hold real numbers, got dtype complex128"):
        A @ on_device(V + 0j)


def test_the_stream_of_the_vectors_is_the_callers(multiplies: list[Any]) -> None:
    given = Foreign(V)
    NET.operator(X, device="cuda") @ given
    assert given.streams == [1]  # CuPy's current stream


def test_a_device_that_does_not_compute_is_refused(multiplies: list[Any]) -> None:
    with pytest.raises(DeviceError, match=r"V is on cuda:0, but the operator computes on the CPU"):
        NET.operator(X) @ on_device(V)
    A = NET.operator(X, device="cuda:1")
    with pytest.raises(DeviceError, match=r"computes on cuda:1: make it with device=\"cuda:0\""):
        A @ on_device(V)
    np.testing.assert_allclose((A @ on_device(V, 1)).get(), NET.ntk(X) @ V, rtol=1e-12)
    both = NET.operator(X, device=("cuda:0", "cuda:1"))
    for index in (0, 1):
        assert (both @ on_device(V, index)).device.id == index
    with pytest.raises(DeviceError, match="several devices"):
        A @ Jax(V, devices=2)


def test_wrong_shapes_and_gradients_are_refused(multiplies: list[Any]) -> None:
    A = NET.operator(X, device="cuda")
    for wrong in (V[:5], V[:5, 0], V[None], np.float64(3.0)):
        with pytest.raises(ValueError, match=r"V must have shape \(7,\) or \(7, k\), got"):
            A @ on_device(wrong) if np.ndim(wrong) else A.dot(on_device(wrong))
    tensor = Tensor(V)
    tensor.requires_grad = True
    with pytest.raises(TypeError, match="gradient"):
        A @ tensor


def test_empty_vectors_and_kernels(multiplies: list[Any]) -> None:
    A = NET.operator(X, device="cuda")
    assert (A @ on_device(V[:, :0])).shape == (7, 0)
