"""The three functions of a layer, made from its piece."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from .._arrays import prepare
from .._validate import got, known
from ..errors import UnsupportedLayerError
from ..layers.spatial import positions
from ..network import Network
from ._kernel import FIELDS, Kernel, Origin
from ._pieces import FlattenPiece, Piece, Signal
from ._random import generator
from ._spatial_pieces import settled

__all__ = ["KernelFunction", "StaxLayer", "piece_of", "triple"]


class StaxLayer(NamedTuple):
    """A layer or a network: ``init_fn, apply_fn, kernel_fn``."""

    init_fn: Callable[..., tuple[Any, Any]]
    apply_fn: Callable[..., Any]
    kernel_fn: KernelFunction


def triple(piece: Piece) -> StaxLayer:
    """Return the three functions of a piece."""

    def init_fn(rng: Any, input_shape: Any) -> tuple[Any, Any]:
        signal = _signals(input_shape)
        params = piece.init(generator(rng), signal)
        return _shapes(piece.infer(signal)), params

    def apply_fn(params: Any, inputs: Any, *, rng: Any = None) -> Any:
        return piece.apply(params, _floats(inputs), None if rng is None else generator(rng))

    return StaxLayer(init_fn, apply_fn, KernelFunction(piece))


def piece_of(layer: Any) -> Piece:
    """Return the piece that a triple of this module was made from."""
    functions = tuple(layer) if isinstance(layer, Iterable) else ()
    if len(functions) != 3:
        hint = ": write stax.Relu(), with parentheses" if callable(layer) else ""
        raise TypeError(f"expected a triple (init_fn, apply_fn, kernel_fn), {got(layer)}{hint}")
    if not isinstance(functions[2], KernelFunction):
        raise UnsupportedLayerError(
            "ntkfast.stax combines its own layers only: a kernel_fn written in JAX cannot be "
            f"computed here, {got(functions[2])}. An activation can be given by its function, "
            "stax.Elementwise(fn)"
        )
    return functions[2].piece


@dataclass(frozen=True, repr=False)
class KernelFunction:
    """``kernel_fn(x1, x2=None, get=None)``: the kernels of the infinitely wide network.

    Parameters
    ----------
    x1 : array, shape (n1, d), of images (n1, height, width, channels), or Kernel
        Rows; with a `Kernel` of another ``kernel_fn``, this layer is applied behind that network.
        Images are taken where the network starts with Flatten.
    x2 : array, shape (n2, d), optional
        Other rows. None or rows equal to ``x1`` give the kernel of ``x1`` with itself.
    get : str or tuple of str, optional
        "nngp", "ntk" or another attribute of `Kernel` gives that array; a tuple gives a named tuple
        in that order; None gives a `Kernel`.
    diagonal_batch : bool, optional
        False makes ``cov1`` and ``cov2`` full matrices; it changes neither kernel.
    diagonal_spatial, pattern, mask_constant
        As in the original; the first changes nothing here, masks are not supported.

    Attributes
    ----------
    network : Network
        The same network in the interface of `ntkfast`.
    """

    piece: Piece

    @property
    def network(self) -> Network:
        """The same network in the interface of `ntkfast`."""
        return Network(settled(self.piece))

    def __repr__(self) -> str:
        layers = ", ".join(map(repr, settled(self.piece)))
        return f"<kernel_fn of serial({layers})>"

    def __call__(
        self,
        x1: Any,
        x2: Any = None,
        get: str | Iterable[str] | None = None,
        *,
        pattern: Any = None,
        mask_constant: float | None = None,
        diagonal_batch: bool | None = None,
        diagonal_spatial: bool | None = None,
    ) -> Any:
        del diagonal_spatial  # rows are vectors: there are no positions
        for name, value in (("pattern", pattern), ("mask_constant", mask_constant)):
            if value is not None:
                raise UnsupportedLayerError(f"kernel_fn({name}=...) is not in this version")
        if isinstance(x1, Kernel):
            return self._behind(x1, x2, get)
        names = _names(get)
        task = _Task(self.piece, x1, x2, diagonal_batch is not False)
        if get is None:
            return task.kernel()
        found = task.arrays(names)
        return found[names[0]] if isinstance(get, str) else _tuple_type(names)(**found)

    def _behind(self, kernel: Kernel, x2: Any, get: Any) -> Any:
        """Return the kernels of this piece behind the network that the kernel is of."""
        from ._combinators import SerialPiece

        if x2 is not None:
            raise ValueError(f"x2 must be None where x1 is a Kernel, {got(x2)}")
        if kernel._origin is None:
            raise ValueError(
                "kernel_fn takes a Kernel as another kernel_fn returned it: this one was changed "
                "by replace(), and a network, not arrays, is what ntkfast computes with"
            )
        front, first, second = kernel._origin.piece, kernel._origin.x1, kernel._origin.x2
        whole = KernelFunction(SerialPiece((front, self.piece)))
        return whole(first, second, get, diagonal_batch=kernel.diagonal_batch)


class _Task:
    """One call of a ``kernel_fn``: computes what is asked for, both kernels in one pass."""

    def __init__(self, piece: Piece, x1: Any, x2: Any, diagonal_batch: bool) -> None:
        self.piece, self.diagonal_batch = piece, diagonal_batch
        self.network = Network(settled(piece))
        self.shape1 = np.shape(x1)
        self.shape2 = self.shape1 if x2 is None else np.shape(x2)
        self.x1, self.x2 = _rows(piece, x1), None if x2 is None else _rows(piece, x2)
        self.one = x2 is None or _equal(self.network, self.x1, self.x2)

    def arrays(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Return the attributes of these names, in this order."""
        z = None if self.one else self.x2
        found: dict[str, Any] = {}
        if {"nngp", "ntk"} <= set(names):
            found.update(self.network.kernels(self.x1, z)._asdict())
        elif "nngp" in names:
            found["nngp"] = self.network.nngp(self.x1, z)
        elif "ntk" in names:
            found["ntk"] = self.network.ntk(self.x1, z)
        if "cov1" in names:
            found["cov1"] = self._covariance(self.x1)
        if "cov2" in names:
            found["cov2"] = None if self.x2 is None else self._covariance(self.x2)
        if set(names) - found.keys():
            found = {**self._facts(), **found}
        return {name: found[name] for name in names}

    def kernel(self) -> Kernel:
        """Return everything."""
        arrays = self.arrays(("nngp", "ntk", "cov1", "cov2"))
        return Kernel(**arrays, **self._facts(), _origin=Origin(self.piece, self.x1, self.x2))

    def _covariance(self, x: Any) -> Any:
        return self.network.diag(x, "nngp") if self.diagonal_batch else self.network.nngp(x)

    def _facts(self) -> dict[str, Any]:
        """Return all attributes of the kernel but its arrays."""
        out1, out2 = (self.piece.infer(Signal(shape)) for shape in (self.shape1, self.shape2))
        defaults = {name: getattr(Kernel, name) for name in FIELDS if hasattr(Kernel, name)}
        return {
            **defaults,
            "x1_is_x2": self.one,
            "is_gaussian": out1.gaussian,
            "shape1": out1.shape,
            "shape2": out2.shape,
            "diagonal_batch": self.diagonal_batch,
        }


def _rows(piece: Piece, x: Any) -> Any:
    """Return the rows as vectors where the network starts with Flatten."""
    while isinstance(pieces := getattr(piece, "pieces", None), tuple) and pieces:
        piece = pieces[0]
    if isinstance(piece, FlattenPiece) and len(np.shape(x)) > 2:
        return (x if hasattr(x, "reshape") else np.asarray(x)).reshape(len(x), -1)
    return x


def _equal(net: Network, x1: Any, x2: Any) -> bool:
    if x1 is x2:
        return True
    data = prepare(x1, x2, positions=positions([net.layers]))
    return np.array_equal(data.x, data.z)  # type: ignore[arg-type]  # x2 is not None here


def _names(get: str | Iterable[str] | None) -> tuple[str, ...]:
    """Check ``get`` and return what it names, in order."""
    if get is None:
        return ()
    names = (get,) if isinstance(get, str) else tuple(get)
    for name in names:
        if not isinstance(name, str) or name.lower() not in FIELDS:
            raise ValueError(f"get must name attributes of Kernel ({known(FIELDS)}), {got(name)}")
    names = tuple(name.lower() for name in names)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"get must have entries, each of them once, {got(get)}")
    return names


@lru_cache(maxsize=64)
def _tuple_type(names: tuple[str, ...]) -> Callable[..., Any]:
    return namedtuple("AnalyticKernel", names)  # its fields are known at run time


def _signals(shape: Any) -> Any:
    """Return the signal, or the list of signals, of an input shape."""
    if shape and not isinstance(shape[0], (int, np.integer)):
        return [_signals(part) for part in shape]
    return Signal(tuple(int(size) for size in shape))


def _shapes(signals: Any) -> Any:
    return [s.shape for s in signals] if isinstance(signals, list) else signals.shape


def _floats(inputs: Any) -> Any:
    """Return the input as a NumPy array of float32 or float64, other numbers as float64."""
    if isinstance(inputs, (list, tuple)) and any(np.ndim(x) > 1 for x in inputs):
        return [_floats(x) for x in inputs]
    x = np.asarray(inputs)
    return x if x.dtype in (np.float32, np.float64) else x.astype(np.float64)
