"""Networks: a sequence of layers, and the kernels of its infinite-width limit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _core, _variants, serialization
from ._arrays import prepare
from ._gram import Kernels, diagonals, grams, kernels_of, prepared, translated
from ._kernel_function import KernelFunction
from ._lowering import compile_program, flatten
from ._resolution import Approximation, approximations, program_for
from ._text import to_text
from ._threads import resolve_threads
from .config import resolve_isa
from .layers import Layer
from .layers.spatial import refuse_positions

if TYPE_CHECKING:
    from ._blocks import NetworkBlocks
    from ._summary import Summary

__all__ = ["Kernels", "Network"]


@dataclass(frozen=True, repr=False)
class Network(KernelFunction):
    """A sequence of layers, with its infinite-width kernels; made by `serial`.

    Immutable, hashable and compared by its layers; pickles and prints as them.

    Every kernel method takes X of shape (n, d) and, where it has one, Z of shape (m, d), rows
    being samples: NumPy arrays and whatever converts to one (lists, numeric pandas tables), PyTorch
    tensors, JAX and CuPy arrays, others with DLPack, in host memory or on a CUDA device. A network
    with `Conv` or pools takes images, (n, height, width, channels), on the CPU. The answer is of
    the same kind, in the same memory. float32 and float64 are computed as given, half precision in
    float32, integers and bools in float64; X and Z of different dtypes in their common one.
    ``threads`` overrides `ntkfast.config` for one call.

    Every kernel method raises TypeError for another dtype or kind of array (sparse matrices,
    tensors that require gradients and JAX tracers among them), ValueError for another shape, NaN
    or infinity, `KernelOverflowError` when a kernel entry would be infinite in its dtype,
    `DeviceError` for a device that cannot be used, `MemoryBudgetError` for what would not fit.

    Attributes
    ----------
    layers : tuple of Layer
        From input to output; nested networks are flattened, branches are held by `Parallel`.

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
        # An illegal network fails here, not at its first use.
        compile_program(self.layers, width=None)

    def __repr__(self) -> str:
        return to_text(self.layers)

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

    def summary(self, q: float = 1.0, shape: tuple[int, ...] | None = None) -> Summary:
        """Return a table of what every layer does to a signal.

        Parameters
        ----------
        q : float, default 1.0
            Variance ``|x|**2 / d`` of the input, >= 0; 1 is also that of a unit-norm input in the
            convention of `ntkfast.models.arora`. Of images, of one colour, away from borders.
        shape : tuple of int, optional
            Of one image or sequence, as in X: adds positions, and what a pair costs.

        Returns
        -------
        Summary
            A sequence of rows with the fields ``layer``, ``q``, ``gain``, ``chi``, ``ntk`` and
            ``state``; it prints as a table.

        Raises
        ------
        TypeError, ValueError
            If q is not a finite number >= 0, or shape not that of a sample.
        KernelOverflowError
            If a variance is not finite.

        Examples
        --------
        >>> import ntkfast as nk
        >>> nk.serial(nk.Dense(1.5, 0.5), nk.Relu(), nk.Dense()).summary()
           layer                           q    chi   ntk  state
           input                           1
        1  Dense(W_std=1.5, b_std=0.5)   2.5          2.5  Gaussian
        2  Relu()                       1.25  1.125  1.25  not Gaussian
        3  Dense()                      1.25          2.5  Gaussian
        """
        from ._summary import summarise

        return summarise(self.layers, q, shape)

    def variants(
        self, depths: Iterable[int] | None = None, fixed: Iterable[int] | str = (0,)
    ) -> dict[tuple[int, int], Network]:
        """Return this network at other depths and with the first layers fixed.

        Depth l keeps what stands up to the l-th activation, and the readout: what follows the last
        one. Fixing j layers leaves the first j Dense layers at their initial weights (Arora et al.
        2020); the last Dense layer always stays as it is.

        Parameters
        ----------
        depths : iterable of int, optional
            Numbers of activations, at most those of this network. By default 1, 2, ... up to it.
        fixed : iterable of int or "all", default (0,)
            Numbers of fixed layers. A depth that has not so many is left out; "all" are all that
            it has, up to the readout alone being trained.

        Returns
        -------
        dict
            ``(depth, fixed)`` to network, in ascending order.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or is out of range.
        ArchitectureError
            If activations stand within branches, so that depth is not defined.

        References
        ----------
        S. Arora et al., "Harnessing the power of infinitely wide deep nets on small-data tasks",
        ICLR 2020.

        Examples
        --------
        >>> import ntkfast as nk
        >>> nk.mlp(2).variants(fixed="all")[1, 1] == nk.mlp(1, fixed_layers=1)
        True
        """
        made = _variants.variants(self.layers, depths, fixed)
        return {key: Network(layers) for key, layers in made.items()}

    def depth_sweep(
        self,
        X: Any,
        Z: Any = None,
        *,
        depths: Iterable[int] | None = None,
        fixed: Iterable[int] | str = (0,),
        kind: str = "both",
        threads: int | None = None,
    ) -> dict[tuple[int, int], Any]:
        """Return the kernels of all `variants`, computed in one pass.

        Parameters
        ----------
        X, Z, threads
            As for `ntk`.
        depths, fixed
            As for `variants`.
        kind : {"both", "ntk", "nngp"}, default "both"
            Which kernels; "both" gives `Kernels`.

        Returns
        -------
        dict
            ``(depth, fixed)`` to `Kernels` or array, as `ntkfast.kernels_of` returns them.

        Raises
        ------
        TypeError, ValueError, DeviceError, MemoryBudgetError
            As the class and `variants` say; the memory is that of all results together.

        Examples
        --------
        >>> import ntkfast as nk
        >>> sweep = nk.mlp(3).depth_sweep([[3.0, 4.0]], fixed="all", kind="ntk")
        >>> {key: float(T.round(9)[0, 0]) for key, T in sweep.items() if key[0] > 1}
        {(2, 0): 37.5, (2, 1): 25.0, (2, 2): 12.5, (3, 0): 50.0, (3, 1): 37.5, (3, 2): 25.0, (3, 3): 12.5}
        """  # noqa: E501
        return kernels_of(self.variants(depths, fixed), X, Z, kind=kind, threads=threads)

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
        refuse_positions("conditioning()", self.layers)
        n_threads = resolve_threads(threads)
        isa = resolve_isa()
        data = prepare(X)
        with translated([self], data):
            program = program_for([self.layers], data.x, None, n_threads, isa, pairs=False)
            return _core.conditioning(program, data.x, n_threads, isa)

    def approximations(
        self, X: Any, Z: Any = None, *, threads: int | None = None
    ) -> tuple[Approximation, ...]:
        """Return how every activation without closed form is computed on these data, and its error.

        Such activations (`Tanh`, ...) are evaluated from a table that is fitted to the range of
        ``K(x, x)`` in front of them, at all positions of images, once for such data.

        Parameters
        ----------
        X, Z : array
            As in `ntk`.
        threads : int, optional
            Number of threads for this call.

        Returns
        -------
        tuple of Approximation
            Named tuples ``(layer, K, method, error, terms)``; empty where all have closed forms.

        Raises
        ------
        ToleranceError
            If an activation cannot be computed to the accuracy of the dtype.

        Examples
        --------
        >>> import ntkfast as nk
        >>> table, = nk.mlp(1, nk.Tanh()).approximations([[1.0, 0.0], [0.0, 1.0]])
        >>> table.method, table.error < 1e-13
        ('Hermite series of 256 terms', True)
        """
        n_threads = resolve_threads(threads)
        data = prepared([self], X, Z)
        with translated([self], data):
            return approximations(self.layers, data.x, data.z, n_threads, resolve_isa())

    def _gram(self, X: Any, Z: Any, **options: Any) -> Kernels:
        return grams([self], X, Z, **options)[0]

    def _blocks(self, X: Any, Z: Any, **options: Any) -> NetworkBlocks:
        from ._blocks import NetworkBlocks

        return NetworkBlocks(self, prepared([self], X, Z, options.get("precision")), **options)

    def _diagonals(self, X: Any, **options: Any) -> Kernels:
        return diagonals([self], X, **options)[0]
