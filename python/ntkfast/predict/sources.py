"""Where kernels come from: a network and its rows, or arrays that the caller has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import as_given, prepare
from .._gram import Kernels
from .._kernel_matrix import FloatArray, kernel_matrix, real_array
from .._validate import got, require_finite
from ..layers.spatial import positions
from ..network import Network

__all__ = ["ArrayRows", "ArraySource", "NetRows", "NetSource", "Rows", "Source"]


@dataclass(frozen=True)
class NetSource:
    """Kernels of a network, computed in float64 for rows of any dtype."""

    net: Network
    X: FloatArray
    dtype: np.dtype[Any]
    wrap: Callable[[Any], Any]
    threads: int | None
    given: Any

    @classmethod
    def of(cls, net: object, X: Any, threads: int | None) -> NetSource:
        """Check the network and its rows."""
        if not isinstance(net, Network):
            raise TypeError(
                f"net must be a Network, {got(net)}: kernels that you have as arrays go to "
                "from_kernels"
            )
        axes = positions([net.layers])
        data = prepare(X, positions=axes)
        if len(data.x) == 0:
            raise ValueError(f"X must hold at least one sample, got shape {data.x.shape}")
        require_finite("X", data.x)
        x = as_given(data.x, axes).astype(np.float64)
        return cls(net, x, data.x.dtype, data.wrap, threads, X)

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self.X)

    @property
    def epsilon(self) -> float:
        """Machine epsilon of the dtype in which the entries were rounded."""
        return float(np.finfo(np.float64).eps)

    def train(self, kind: str) -> FloatArray:
        """Return a kernel of the training rows as a new float64 matrix."""
        kernel: FloatArray = getattr(self.net, kind)(self.X, threads=self.threads)
        return kernel

    def rows(self, Z: Any) -> NetRows:
        """Return the rows of Z, which must be of the same kind of array and width as X."""
        axes = positions([self.net.layers])
        data = prepare(self.given, Z, positions=axes)
        assert data.z is not None
        require_finite("Z", data.z)
        z = as_given(data.z, axes).astype(np.float64)
        return NetRows(self, z, data.z.dtype, data.wrap)


@dataclass(frozen=True)
class NetRows:
    """Rows of which a network makes kernels block by block."""

    source: NetSource
    Z: FloatArray
    dtype: np.dtype[Any]
    wrap: Callable[[Any], Any]

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self.Z)

    def cross(self, kind: str, start: int, stop: int) -> FloatArray:
        """Return a kernel of the rows from start to stop with the training rows."""
        net, threads = self.source.net, self.source.threads
        block: FloatArray = getattr(net, kind)(self.Z[start:stop], self.source.X, threads=threads)
        return block

    def prior(self, kind: str, diagonal: bool) -> FloatArray:
        """Return a kernel of the rows with themselves, or its diagonal."""
        net, threads = self.source.net, self.source.threads
        prior: FloatArray = (
            net.diag(self.Z, kind=kind, threads=threads)
            if diagonal
            else getattr(net, kind)(self.Z, threads=threads)
        )
        return prior


@dataclass(frozen=True)
class ArraySource:
    """Kernels of the training rows that the caller computed."""

    kernels: dict[str, NDArray[Any]]
    dtype: np.dtype[Any]
    wrap: Callable[[Any], Any]

    @classmethod
    def of(cls, k_train_train: Any, kind: str) -> ArraySource:
        """Check an array, or kernels by name, of which that of `kind` must be there."""
        found = _by_kind("k_train_train", k_train_train, kind)
        data = prepare(found[kind])
        kernels = {name: prepare(value).x for name, value in found.items()}
        n = len(data.x)
        for name, value in kernels.items():
            if value.shape != (n, n) or n == 0:
                raise ValueError(
                    f"k_train_train must hold square kernels of at least one row, {name} has shape "
                    f"{value.shape}"
                )
        return cls(kernels, data.x.dtype, data.wrap)

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(next(iter(self.kernels.values())))

    @property
    def epsilon(self) -> float:
        """Machine epsilon of the dtype in which the entries were rounded."""
        return float(np.finfo(self.dtype).eps)

    def train(self, kind: str) -> FloatArray:
        """Return a kernel of the training rows as a new float64 matrix."""
        if kind not in self.kernels:
            raise ValueError(
                f"the covariance of trained networks needs the {kind.upper()} kernel of the "
                "training rows as well: pass k_train_train as a Kernels(nngp, ntk)"
            )
        return kernel_matrix(self.kernels[kind], overwrite=False)


@dataclass(frozen=True)
class ArrayRows:
    """Kernels of other rows that the caller computed."""

    kernels: dict[str, NDArray[Any]]
    prior_kernel: NDArray[Any] | None
    dtype: np.dtype[Any]
    wrap: Callable[[Any], Any]

    @classmethod
    def of(
        cls, n: int, k_test_train: Any, kind: str, k_test_test: Any = None, initial: str = "nngp"
    ) -> ArrayRows:
        """Check the kernels with n training rows and, if given, that of the rows themselves."""
        found = _by_kind("k_test_train", k_test_train, kind)
        data = prepare(found[kind])
        kernels = {name: prepare(value).x for name, value in found.items()}
        for name, value in kernels.items():
            if value.shape != (len(data.x), n):
                raise ValueError(
                    f"k_test_train must have shape (m, {n}), rows to predict for by training rows; "
                    f"{name} has shape {value.shape}"
                )
            require_finite("k_test_train", value)
        prior = None if k_test_test is None else _prior(k_test_test, len(data.x), initial)
        return cls(kernels, prior, data.x.dtype, data.wrap)

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(next(iter(self.kernels.values())))

    def cross(self, kind: str, start: int, stop: int) -> FloatArray:
        """Return a kernel of the rows from start to stop with the training rows."""
        if kind not in self.kernels:
            raise ValueError(
                f"the covariance of trained networks needs the {kind.upper()} kernel, too: pass "
                "k_test_train as a Kernels(nngp, ntk)"
            )
        return self.kernels[kind][start:stop].astype(np.float64)

    def prior(self, kind: str, diagonal: bool) -> FloatArray:
        """Return a kernel of the rows with themselves, or its diagonal."""
        assert self.prior_kernel is not None  # that of this kind: it was asked for when made
        prior = self.prior_kernel.astype(np.float64)
        return prior.diagonal().copy() if diagonal and prior.ndim == 2 else prior


Source = NetSource | ArraySource
Rows = NetRows | ArrayRows


def _by_kind(name: str, kernels: Any, kind: str) -> dict[str, Any]:
    """Return the kernels by their kind; a plain array is of the kind that is asked for."""
    if isinstance(kernels, Kernels) or hasattr(kernels, "nngp") or hasattr(kernels, "ntk"):
        parts = {each: getattr(kernels, each, None) for each in ("nngp", "ntk")}
        found = {each: value for each, value in parts.items() if value is not None}
    else:
        found = {kind: kernels}
    if kind not in found:
        raise ValueError(f"{name} must hold the {kind.upper()} kernel, which is None")
    return found


def _prior(k_test_test: Any, m: int, kind: str) -> NDArray[Any]:
    prior = real_array(getattr(k_test_test, kind, k_test_test), "k_test_test")
    if prior.shape not in ((m, m), (m,)):
        raise ValueError(
            f"k_test_test must be the {kind.upper()} kernel of shape ({m}, {m}) or its diagonal of "
            f"shape ({m},), got shape {prior.shape}"
        )
    require_finite("k_test_test", prior)
    return prior
