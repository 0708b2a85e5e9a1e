"""What every network offers of its kernels, however it computes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from ._gram import Kernels
from ._validate import choice, got

if TYPE_CHECKING:
    from ._blocks import Blocks
    from ._plan import Plan
    from .operator import KernelOperator

__all__ = ["Devices", "KernelFunction"]

Devices: TypeAlias = str | tuple[str, ...] | list[str] | None


class KernelFunction:
    """Base of what has an NTK and an NNGP kernel: a network, or a mean over flips of its images."""

    def ntk(
        self,
        X: Any,
        Z: Any = None,
        *,
        out: Any = None,
        threads: int | None = None,
        device: Devices = None,
        precision: str | None = None,
    ) -> Any:
        """Return the neural tangent kernel.

        Parameters
        ----------
        X : array, shape (n, d)
            Samples in rows.
        Z : array, shape (m, d), optional
            Without it the kernel of X with itself, exactly symmetric. With it a cross kernel, even
            where Z equals X.
        out : array, str or path, optional
            Where the kernel goes, block by block: a writable NumPy array of its shape and dtype, or
            the name of a ``.npy`` file that is made. The same call continues a file after an
            interruption. Of images the numbers are bit for bit those without `out`, of rows within
            rounding.
        threads : int, optional
            Number of threads for this call.
        device : {"auto", "cpu", "cuda", "cuda:<number>", "cuda:all"} or tuple of them, optional
            Where to compute, for this call, as in `ntkfast.config`; "auto" is where X is.
        precision : {"ieee", "tf32x3", "tf32", "float64"}, optional
            Instead of ``config.precision``: how a CUDA device multiplies rows of float32; float64
            and the CPU are always "ieee". "float64": float32 samples are computed in float64.

        Returns
        -------
        array, shape (n, n) or (n, m)
            Same kind of array as X; `out` where it is an array, a read-only memory map of the file
            where it is a name.

        Raises
        ------
        TypeError, ValueError, DeviceError, MemoryBudgetError
            As the class says. ValueError also if the file holds part of another kernel.
        FileExistsError
            If the file exists and is no unfinished kernel.
        OSError
            If the disk has not enough room for it.

        Examples
        --------
        It is a kernel function for scikit-learn:

        >>> import ntkfast as nk
        >>> from sklearn.svm import SVC
        >>> X, y = [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]], [1, 1, 0, 0]
        >>> SVC(kernel=nk.mlp(1, b_std=1.0).ntk, C=1e6).fit(X, y).predict(X).tolist()
        [1, 1, 0, 0]
        """
        where = {"threads": threads, "device": device, "precision": precision}
        return self._made(X, Z, nngp=False, ntk=True, out=(out,), **where).ntk

    def nngp(
        self,
        X: Any,
        Z: Any = None,
        *,
        out: Any = None,
        threads: int | None = None,
        device: Devices = None,
        precision: str | None = None,
    ) -> Any:
        """Return the covariance of the network's output at initialisation.

        Parameters, result and errors are those of `ntk`.

        Examples
        --------
        >>> import ntkfast as nk
        >>> nk.serial(nk.Dense(b_std=0.5)).nngp([[2.0], [1.0]])
        array([[4.25, 2.25],
               [2.25, 1.25]])
        """
        where = {"threads": threads, "device": device, "precision": precision}
        return self._made(X, Z, nngp=True, ntk=False, out=(out,), **where).nngp

    def kernels(
        self,
        X: Any,
        Z: Any = None,
        *,
        out: Any = None,
        threads: int | None = None,
        device: Devices = None,
        precision: str | None = None,
    ) -> Kernels:
        """Return both kernels, computed in one pass.

        Parameters and errors are those of `ntk`; `out` is a pair, for the NNGP kernel and the NTK.

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
        pair = (None, None) if out is None else out
        if (
            not isinstance(pair, (tuple, list))
            or len(pair) != 2
            or (pair[0] is None) != (pair[1] is None)
        ):
            raise TypeError(
                f"out must be a pair (nngp, ntk) of arrays or of file names, {got(out)}"
            )
        where = {"threads": threads, "device": device, "precision": precision}
        return self._made(X, Z, nngp=True, ntk=True, out=pair, **where)

    def operator(
        self,
        X: Any,
        Z: Any = None,
        *,
        kind: str = "ntk",
        threads: int | None = None,
        device: Devices = None,
        precision: str | None = None,
    ) -> KernelOperator:
        """Return a kernel as a linear operator: ``A @ V`` without the matrix.

        Parameters
        ----------
        X, Z, threads, device, precision
            As for `ntk`; X and Z are read again in every product and must not be changed.
        kind : {"ntk", "nngp"}, default "ntk"
            Which kernel.

        Returns
        -------
        KernelOperator, shape (n, n) or (n, m)
            A `scipy.sparse.linalg.LinearOperator`.

        Raises
        ------
        TypeError, ValueError, DeviceError, MemoryBudgetError
            As the class says; the memory is that of a product.

        Examples
        --------
        >>> import ntkfast as nk
        >>> (nk.mlp(1).operator([[1.0, 0.0], [0.0, 1.0]]) @ [1.0, 1.0]).round(6)
        array([1.159155, 1.159155])
        """
        from .operator import KernelOperator

        return KernelOperator(
            self, X, Z, kind=kind, threads=threads, device=device, precision=precision
        )

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
        wanted = {"nngp": kind != "ntk", "ntk": kind != "nngp"}
        result = self._diagonals(X, **wanted, threads=threads)
        return result if kind == "both" else getattr(result, kind)

    def plan(
        self,
        X: Any,
        Z: Any = None,
        *,
        kind: str = "both",
        dtype: Any = None,
        measure: bool = True,
        threads: int | None = None,
        device: Devices = None,
    ) -> Plan:
        """Return how `kernels` would be computed, how much memory it takes, and how long.

        The time comes from a short measurement (a fraction of a second, or a few pairs of samples
        if these take longer) on some of the given samples, or on random ones of the same shape.

        Parameters
        ----------
        X, Z : array or tuple of int
            As for `ntk`, or the shapes of such arrays: ``(50000, 32, 32, 3)``.
        kind : {"both", "ntk", "nngp"}, default "both"
            Which kernels.
        dtype : {"float32", "float64"}, optional
            Of the computation, where a shape is given; float32 by default.
        measure : bool, default True
            False leaves the time out.
        threads, device
            As for `ntk`.

        Returns
        -------
        Plan
            It prints as a table.

        Raises
        ------
        TypeError, ValueError, DeviceError
            As the class says; nothing is refused for its size.

        Examples
        --------
        >>> import ntkfast as nk
        >>> net = nk.models.cntk(3, pool="gap")
        >>> plan = net.plan((1000, 8, 8, 3), measure=False)
        >>> plan.pairs, plan.offsets, plan.result_bytes
        (500500, 225, 8000000)
        """
        from ._plan import make_plan

        choice("kind", kind, ("both", "ntk", "nngp"))
        wanted = {"nngp": kind != "ntk", "ntk": kind != "nngp"}
        return make_plan(
            self, X, Z, **wanted, dtype=dtype, measure=measure, threads=threads, device=device
        )

    # --- What a kernel function has to say of itself ---------------------------------------------

    def _gram(self, X: Any, Z: Any, **options: Any) -> Kernels:
        """Return the kernels that ``nngp`` and ``ntk`` ask for, in memory."""
        raise NotImplementedError

    def _blocks(self, X: Any, Z: Any, **options: Any) -> Blocks:
        """Return the same as blocks that are not computed yet."""
        raise NotImplementedError

    def _diagonals(self, X: Any, **options: Any) -> Kernels:
        """Return the diagonals that are asked for."""
        raise NotImplementedError

    def _made(self, X: Any, Z: Any, *, out: Sequence[Any], **options: Any) -> Kernels:
        if out[0] is None:
            return self._gram(X, Z, **options)
        from ._sinks import write

        return write(self._blocks(X, Z, **options), out)
