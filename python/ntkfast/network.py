"""Networks: a sequence of layers, and the kernels of its infinite-width limit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray

from . import _core, _memory, serialization
from ._arrays import Prepared, prepare
from ._gram_progress import gram_progress
from ._lowering import compile_program, flatten
from ._threads import resolve_threads
from ._validate import choice
from .config import resolve_isa
from .errors import KernelOverflowError
from .layers import Layer

__all__ = ["Kernels", "Network", "serial"]


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


@dataclass(frozen=True, repr=False)
class Network:
    """A sequence of layers, with its infinite-width kernels; made by `serial`.

    Immutable, hashable and compared by its layers; pickles and prints as them.

    Every kernel method takes X of shape (n, d) and, where it has one, Z of shape (m, d), rows
    being samples: NumPy arrays and whatever converts to one (lists, numeric pandas tables), PyTorch
    or JAX arrays on the CPU. The answer is of the same kind. float32 and float64 are computed as
    given, float16 and bfloat16 in float32, integers and bools in float64; X and Z of different
    dtypes in their common one. ``threads`` overrides `ntkfast.config` for one call.

    Every kernel method raises TypeError for another dtype or kind of array (sparse matrices,
    tensors that require gradients and JAX tracers among them), ValueError for another shape, NaN
    or infinity, `KernelOverflowError` when a kernel entry would be infinite in its dtype,
    `DeviceError` for an array on a GPU, and `MemoryBudgetError` when the result would not fit.

    Attributes
    ----------
    layers : tuple of Layer
        The layers from input to output; nested networks are flattened.

    Examples
    --------
    >>> import ntkfast as nk
    >>> net = nk.serial(nk.Dense(W_std=2**0.5), nk.Relu(), nk.Dense())
    >>> net.ntk([[1.0, 0.0], [0.0, 1.0]]).round(6)
    array([[1.      , 0.159155],
           [0.159155, 1.      ]])
    """

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", flatten(self.layers))
        compile_program(self.layers, 1)  # an illegal network fails here, not at its first use

    def __repr__(self) -> str:
        return f"serial({', '.join(map(repr, self.layers))})"

    def __reduce__(self) -> tuple[type[Network], tuple[tuple[Layer, ...]]]:
        return Network, (self.layers,)

    def to_dict(self) -> dict[str, Any]:
        """Return the network as a dictionary for JSON; `ntkfast.from_dict` reads it.

        Returns
        -------
        dict
            ``{"type": "serial", "layers": [{"type": "Dense", "W_std": ..., ...}, ...]}``.

        Examples
        --------
        >>> import ntkfast as nk
        >>> nk.serial(nk.Identity()).to_dict()
        {'type': 'serial', 'layers': [{'type': 'Identity'}]}
        """
        return serialization.to_dict(self)

    def ntk(self, X: Any, Z: Any = None, *, threads: int | None = None) -> Any:
        """Return the neural tangent kernel.

        Parameters
        ----------
        X : array, shape (n, d)
            Samples in rows.
        Z : array, shape (m, d), optional
            Without it the kernel of X with itself, exactly symmetric. With it a cross kernel, even
            where Z equals X.
        threads : int, optional
            Number of threads for this call.

        Returns
        -------
        array, shape (n, n) or (n, m)
            Same kind of array as X.

        Raises
        ------
        TypeError, ValueError, DeviceError, MemoryBudgetError
            As the class says.

        Examples
        --------
        It is a kernel function for scikit-learn:

        >>> import ntkfast as nk
        >>> from sklearn.svm import SVC
        >>> X, y = [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]], [1, 1, 0, 0]
        >>> SVC(kernel=nk.mlp(1, b_std=1.0).ntk, C=1e6).fit(X, y).predict(X).tolist()
        [1, 1, 0, 0]
        """
        return self._gram(X, Z, nngp=False, ntk=True, threads=threads).ntk

    def nngp(self, X: Any, Z: Any = None, *, threads: int | None = None) -> Any:
        """Return the covariance of the network's output at initialisation.

        Parameters, result and errors are those of `ntk`.

        Examples
        --------
        >>> import ntkfast as nk
        >>> nk.serial(nk.Dense(b_std=0.5)).nngp([[2.0], [1.0]])
        array([[4.25, 2.25],
               [2.25, 1.25]])
        """
        return self._gram(X, Z, nngp=True, ntk=False, threads=threads).nngp

    def kernels(self, X: Any, Z: Any = None, *, threads: int | None = None) -> Kernels:
        """Return both kernels, computed in one pass.

        Parameters and errors are those of `ntk`.

        Returns
        -------
        Kernels
            Named tuple ``(nngp, ntk)``.

        Examples
        --------
        >>> import ntkfast as nk
        >>> k = nk.serial(nk.Dense(), nk.Erf(), nk.Dense()).kernels([[0.5], [2.0]])
        >>> k.ntk.shape, bool((k.ntk >= k.nngp).all())
        ((2, 2), True)
        """
        return self._gram(X, Z, nngp=True, ntk=True, threads=threads)

    def diag(self, X: Any, kind: str = "ntk", *, threads: int | None = None) -> Any:
        """Return the diagonal of the kernel of X with itself, in O(n d).

        Parameters
        ----------
        X : array, shape (n, d)
            Samples in rows.
        kind : {"ntk", "nngp", "both"}, default "ntk"
            Which kernel; "both" gives `Kernels`.
        threads : int, optional
            Number of threads for this call.

        Returns
        -------
        array, shape (n,), or Kernels of two such arrays
            Equal to the diagonal of `ntk` or `nngp`.

        Raises
        ------
        TypeError, ValueError, DeviceError
            As the class says.

        Examples
        --------
        >>> import ntkfast as nk
        >>> nk.models.arora(3).diag([[0.6, 0.8], [0.0, 1.0]]).round(12)
        array([4., 4.])
        """
        choice("kind", kind, ("ntk", "nngp", "both"))
        n_threads = resolve_threads(threads)
        isa = resolve_isa()
        x, _, wrap = prepare(X)
        with _translated(self):
            K, T = _core.diag(self._program(x), x, kind != "ntk", kind != "nngp", n_threads, isa)
        result = Kernels(wrap(K[0]), wrap(T[0]))
        return result if kind == "both" else getattr(result, kind)

    def conditioning(self, X: Any, *, threads: int | None = None) -> float:
        """Return the factor by which the layers can amplify rounding errors, at least 1.

        The product over the layers of ``max(1, chi)``, chi being the expansion of distances of that
        layer, for the worst row of X. It is 1 up to the edge of chaos; beyond, the relative
        error of a kernel entry is about machine epsilon times this.

        Parameters
        ----------
        X : array, shape (n, d)
            Samples in rows.
        threads : int, optional
            Number of threads for this call.

        Returns
        -------
        float

        Raises
        ------
        TypeError, ValueError, DeviceError
            As the class says.

        Examples
        --------
        >>> import ntkfast as nk
        >>> round(nk.mlp(5, nk.Relu(), b_std=0.1).conditioning([[1.0, 2.0]]), 6)
        1.0
        """
        n_threads = resolve_threads(threads)
        isa = resolve_isa()
        x = prepare(X).x
        with _translated(self):
            return _core.conditioning(self._program(x), x, n_threads, isa)

    def _gram(self, X: Any, Z: Any, *, nngp: bool, ntk: bool, threads: int | None) -> Kernels:
        n_threads = resolve_threads(threads)
        isa = resolve_isa()
        data = prepare(X, Z)
        program = self._program(data.x)
        _require_memory(program, data, nngp + ntk, n_threads)
        with _translated(self), gram_progress() as progress:
            K, T = _core.gram(program, data.x, data.z, nngp, ntk, n_threads, isa, progress)
        return Kernels(data.wrap(K[0]), data.wrap(T[0]))

    def _program(self, x: NDArray[Any]) -> _core.Program:
        return compile_program(self.layers, x.shape[1])


def serial(*layers: Layer | Network) -> Network:
    """Return the network that applies the layers one after the other.

    Parameters
    ----------
    *layers : Layer or Network
        At least one; a network stands for its layers.

    Returns
    -------
    Network

    Raises
    ------
    TypeError
        If an argument is not a layer.
    ArchitectureError
        If the sequence has no kernel, such as two activations in a row; the message says where.

    Examples
    --------
    >>> import ntkfast as nk
    >>> block = nk.serial(nk.Dense(), nk.Relu())
    >>> nk.serial(block, block, nk.Dense())
    serial(Dense(), Relu(), Dense(), Relu(), Dense())
    """
    return Network(layers)  # type: ignore[arg-type]  # flattened to layers there


def _require_memory(program: _core.Program, data: Prepared, outputs: int, threads: int) -> None:
    n, d = data.x.shape
    m = n if data.z is None else data.z.shape[0]
    itemsize = data.x.dtype.itemsize
    workspace = _core.workspace_bytes(program, n, m, d, itemsize, threads)
    _memory.require(
        outputs * n * m * itemsize,
        workspace,
        f"{outputs} kernel{'s' * (outputs > 1)} of shape ({n}, {m}) in {data.x.dtype}",
    )


@contextmanager
def _translated(net: Network) -> Iterator[None]:
    """Turn an overflow seen by the core, whose message says the row and the way out, into ours."""
    try:
        yield
    except OverflowError as error:
        raise KernelOverflowError(f"the kernel of {net!r} overflows: {error}") from error
