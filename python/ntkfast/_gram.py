"""Kernels of one or several networks from one pass over the pairs of rows."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

from . import _core, _memory
from ._arrays import Prepared, in_float64, prepare
from ._device import kernels_on, resolve_devices
from ._device_arrays import to_cupy
from ._gram_progress import gram_progress
from ._resolution import program_for
from ._text import one_line
from ._threads import resolve_threads
from ._validate import choice, got, require_finite
from .config import config, resolve_isa, resolve_precision
from .errors import ArchitectureError, KernelOverflowError
from .layers.spatial import positions

if TYPE_CHECKING:
    from .network import Network

__all__ = [
    "Kernels",
    "diagonals",
    "grams",
    "kernels_of",
    "prepared",
    "translated",
    "workspace_bytes",
]

Key = TypeVar("Key", bound=Hashable)


class Kernels(NamedTuple):
    """Both kernels of one pass.

    Attributes
    ----------
    nngp : array
        Covariance of the network's output at initialisation (the NNGP kernel).
    ntk : array
        Neural tangent kernel; same shape, dtype and kind of array.
    """

    nngp: Any
    ntk: Any


@overload
def kernels_of(
    nets: Mapping[Key, Network],
    X: Any,
    Z: Any = ...,
    *,
    kind: str = ...,
    threads: int | None = ...,
    device: str | tuple[str, ...] | list[str] | None = ...,
    precision: str | None = ...,
) -> dict[Key, Any]: ...


@overload
def kernels_of(
    nets: Sequence[Network],
    X: Any,
    Z: Any = ...,
    *,
    kind: str = ...,
    threads: int | None = ...,
    device: str | tuple[str, ...] | list[str] | None = ...,
    precision: str | None = ...,
) -> list[Any]: ...


def kernels_of(
    nets: Mapping[Any, Network] | Sequence[Network],
    X: Any,
    Z: Any = None,
    *,
    kind: str = "both",
    threads: int | None = None,
    device: str | tuple[str, ...] | list[str] | None = None,
    precision: str | None = None,
) -> dict[Any, Any] | list[Any]:
    """Return the kernels of several networks from one pass over the pairs of rows.

    The product of the rows, most of the work for wide data, is made once, and so is every
    beginning, layer for layer, that networks have in common. All results are in memory at once.

    Parameters
    ----------
    nets : sequence or mapping of Network
        Networks of any kind.
    X : array, shape (n, d)
        Samples in rows, as for `Network.ntk`.
    Z : array, shape (m, d), optional
        Samples in rows of a cross kernel.
    kind : {"both", "ntk", "nngp"}, default "both"
        Which kernels; "both" gives `Kernels`.
    threads : int, optional
        Number of threads for this call.
    device : {"auto", "cpu", "cuda", "cuda:<number>", "cuda:all"} or tuple of them, optional
        Where to compute, for this call.
    precision : {"ieee", "tf32x3", "tf32"}, optional
        How a CUDA device multiplies rows of float32, as for `Network.ntk`.

    Returns
    -------
    list or dict
        One entry per network, in order or under its key: what ``net.kernels(X, Z)``, ``net.ntk(X,
        Z)`` or ``net.nngp(X, Z)`` returns. The numbers are bit for bit the same, but for pairs that
        one of the networks wants computed once more from the rows, mostly nearly parallel or
        opposite ones: then all networks get the more exact start.

    Raises
    ------
    TypeError, ValueError, DeviceError, MemoryBudgetError
        As `Network` says; the memory is that of all results together.

    Examples
    --------
    >>> import ntkfast as nk
    >>> shallow, deep = nk.kernels_of([nk.mlp(1), nk.mlp(9)], [[1.0, 0.0], [0.0, 1.0]], kind="ntk")
    >>> shallow.round(3).tolist(), deep.round(3).tolist()
    ([[1.0, 0.159], [0.159, 1.0]], [[5.0, 1.578], [1.578, 5.0]])
    """
    from .network import Network

    choice("kind", kind, ("both", "ntk", "nngp"))
    if not isinstance(nets, Iterable):
        raise TypeError(f"nets must be a list or a mapping of networks, {got(nets)}")
    members = list(nets.values() if isinstance(nets, Mapping) else nets)
    for net in members:
        if not isinstance(net, Network):
            raise TypeError(f"kernels_of() takes networks, {got(net)} among them")
    wanted = {"nngp": kind != "ntk", "ntk": kind != "nngp"}
    found = grams(members, X, Z, **wanted, threads=threads, device=device, precision=precision)
    results = found if kind == "both" else [getattr(each, kind) for each in found]
    return dict(zip(nets, results, strict=True)) if isinstance(nets, Mapping) else results


def grams(
    nets: Sequence[Network],
    X: Any,
    Z: Any,
    *,
    nngp: bool,
    ntk: bool,
    threads: int | None,
    device: str | tuple[str, ...] | list[str] | None = None,
    precision: str | None = None,
    resident: bool = False,
) -> list[Kernels]:
    """Return the kernels that are asked for, the other ones being None.

    `resident`: kernels made on a CUDA device stay there, as CuPy arrays, wherever the rows are.
    """
    n_threads = resolve_threads(threads)
    isa = resolve_isa()
    precision = resolve_precision(precision)
    data = prepared(nets, X, Z, precision)
    index = resolve_devices(device, data.device)
    if resident and index is not None:
        data = data._replace(wrap=partial(to_cupy, index[0]), device=index[0])
    if not nets:
        return []
    with translated(nets, data):
        program = _program(nets, data, n_threads, isa)
        _require_memory(program, data, len(nets) * (nngp + ntk), n_threads, on_cpu=index is None)
    wanted: dict[str, Any] = {"nngp": nngp, "ntk": ntk, "threads": threads, "device": device}
    long = partial(_seconds, nets, data, **wanted)
    with translated(nets, data), gram_progress(long) as progress:
        if index is None:
            reuse = config.reuse_memory
            K, T = _core.gram(program, data.x, data.z, nngp, ntk, n_threads, isa, reuse, progress)
        else:
            K, T = kernels_on(
                index, program, data, nngp, ntk, n_threads, isa, progress, precision=precision
            )
    return [Kernels(data.wrap(k), data.wrap(t)) for k, t in zip(K, T, strict=True)]


def diagonals(
    nets: Sequence[Network], X: Any, *, nngp: bool, ntk: bool, threads: int | None
) -> list[Kernels]:
    """Return the diagonals of the kernels of X with itself, in O(n)."""
    n_threads = resolve_threads(threads)
    isa = resolve_isa()
    data = prepared(nets, X, None)
    with translated(nets, data):
        program = _program(nets, data, n_threads, isa, pairs=False)
        K, T = _core.diag(program, data.x, nngp, ntk, n_threads, isa)
    return [Kernels(data.wrap(k), data.wrap(t)) for k, t in zip(K, T, strict=True)]


def _seconds(nets: Sequence[Network], data: Prepared, **options: Any) -> float | None:
    """Return how long one network takes with many images, from a measurement; else None."""
    if data.x.ndim == 2 or len(nets) > 1:
        return None
    from ._blocks import NetworkBlocks
    from ._plan import long_seconds

    return long_seconds(NetworkBlocks(nets[0], data, **options))


def prepared(nets: Sequence[Network], X: Any, Z: Any, precision: str | None = None) -> Prepared:
    """Return checked samples in the dtype of the computation."""
    data = prepare(X, Z, positions=positions([net.layers for net in nets]))
    if data.x.ndim > 2:  # rows are checked while their norms are taken
        for name, array in (("X", data.x), ("Z", data.z)):
            if array is not None:
                require_finite(name, array)
    return in_float64(data) if resolve_precision(precision) == "float64" else data


def _program(
    nets: Sequence[Network], data: Prepared, threads: int, isa: str, *, pairs: bool = True
) -> _core.Program:
    return program_for([net.layers for net in nets], data.x, data.z, threads, isa, pairs=pairs)


def _require_memory(
    program: _core.Program, data: Prepared, outputs: int, threads: int, *, on_cpu: bool
) -> None:
    """Refuse what would not fit in host memory; a device looks after its own."""
    n, d = data.x.shape[:2]
    other = None if data.z is None else len(data.z)
    m = n if other is None else other
    itemsize = data.x.dtype.itemsize
    images = data.x.ndim == 4
    workspace = workspace_bytes(program, n, other, d, itemsize, threads, images, on_cpu)
    rounded = 4 if data.rounded else 0  # a copy in float32 may follow
    on_host = data.device is None or images
    _memory.require(
        outputs * n * m * (itemsize + rounded) if on_host else 0,
        workspace,
        f"{outputs} kernel{'s' * (outputs > 1)} of shape ({n}, {m}) in {data.x.dtype}",
    )


def workspace_bytes(
    program: _core.Program,
    n: int,
    m: int | None,
    d: int,
    itemsize: int,
    threads: int,
    images: bool,
    on_cpu: bool,
) -> int:
    """Return the bytes of host memory beside inputs and results; m None: a symmetric Gram."""
    if images and not on_cpu:
        return _core.image_job_bytes(program, n, n if m is None else m, itemsize)
    if images:
        return _core.spatial_cost(program, n, n if m is None else m, itemsize, threads)[2]
    if on_cpu:
        return _core.workspace_bytes(program, n, n if m is None else m, d, itemsize, threads)
    return _core.device_job_bytes(program, n, m or 0, d, itemsize)


@contextmanager
def translated(nets: Sequence[Network], data: Prepared) -> Iterator[None]:
    """Turn errors of the core, whose messages say what to do, into ours."""
    try:
        yield
    except _core.ArchitectureError as error:  # of images, whose size is known now
        raise ArchitectureError(str(error)) from error
    except OverflowError as error:
        net = nets[0] if len(nets) == 1 else _overflowing(nets, data)
        text = one_line(net.layers)
        raise KernelOverflowError(f"the kernel of {text} overflows: {error}") from error


def _overflowing(nets: Sequence[Network], data: Prepared) -> Network:
    """Return the first network that overflows alone."""
    for net in nets:
        for rows in (data.x, data.z):
            try:
                if rows is not None:
                    program = program_for([net.layers], rows, None, 1, "", pairs=False)
                    _core.diag(program, rows, True, True)
            except OverflowError:
                return net
    return nets[0]
