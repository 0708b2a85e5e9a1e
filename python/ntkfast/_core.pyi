"""Types of the C++ core (private: use the package's functions)."""

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

class ArchitectureError(ValueError): ...

class DualTable:
    def __init__(
        self,
        *,
        low: float,
        high: float,
        stretch: float,
        at_zero: float,
        rows: Sequence[Sequence[float]],
        odd: bool,
        even: bool,
        pure: bool,
        mixed: bool,
        nonnegative: bool,
        degree_t: int,
        degree_x: int,
        kinked: bool,
        roots: int,
        kappa: float,
        pair: Sequence[float],
        excess: Sequence[float],
    ) -> None: ...
    def map_numbers(self, single: bool) -> int: ...
    @staticmethod
    def map_error(single: bool) -> float: ...

class Builder:
    def __init__(self) -> None: ...
    def input(self, columns: int = -1) -> int: ...
    def image(self, height: int, width: int, channels: int) -> int: ...
    def conv(
        self,
        value: int,
        W_std: float,
        b_std: float | None,
        trainable: bool,
        filter_shape: tuple[int, int],
        strides: tuple[int, int],
        padding: str,
        out_chan: int,
        scale: float | None,
    ) -> int: ...
    def pool(
        self,
        value: int,
        mean: bool,
        window_shape: tuple[int, int],
        strides: tuple[int, int],
        padding: str,
        normalize_edges: bool,
    ) -> int: ...
    def flatten(self, value: int) -> int: ...
    def global_pool(self, value: int, mean: bool) -> int: ...
    def dense(
        self, value: int, W_std: float, b_std: float, trainable: bool, width: int = 1
    ) -> int: ...
    def dense_standard(
        self,
        value: int,
        W_std: float,
        b_std: float | None,
        trainable: bool,
        width: int,
        scale: float,
    ) -> int: ...
    def activation(self, value: int, name: str, params: Sequence[float]) -> int: ...
    def hermite_series(
        self, value: int, name: str, variance: float, coefficients: Sequence[float]
    ) -> int: ...
    def layer_norm(self, value: int, eps: float) -> int: ...
    def dropout(self, value: int, keep: float) -> int: ...
    def fan_in_sum(self, value: int, other: int) -> int: ...
    def fan_in_product(self, value: int, other: int) -> int: ...
    def fan_in_concat(self, value: int, other: int) -> int: ...
    def table(self, value: int, table: DualTable, name: str) -> int: ...
    def output(self, value: int) -> None: ...
    def probe(self, value: int) -> None: ...
    def build(self) -> Program: ...

class Program: ...

def gram(
    program: Program,
    x: NDArray[Any],
    z: NDArray[Any] | None,
    nngp: bool,
    ntk: bool,
    threads: int,
    isa: str,
    reuse_memory: bool,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[NDArray[Any] | None], list[NDArray[Any] | None]]: ...
def spatial_cost(
    program: Program, n: int, m: int, itemsize: int, threads: int
) -> tuple[int, float, int, int]: ...

class FloatOperator:
    def __init__(
        self,
        program: Program,
        x: NDArray[Any],
        z: NDArray[Any] | None,
        ntk: bool,
        threads: int,
        isa: str,
    ) -> None: ...
    def multiply(
        self,
        v: NDArray[Any],
        transposed: bool,
        progress: Callable[[int, int], None] | None,
    ) -> NDArray[Any]: ...

class DoubleOperator(FloatOperator): ...

def operator_bytes(
    program: Program, n: int, m: int, d: int, itemsize: int, threads: int, count: int
) -> int: ...
def device_job(
    program: Program,
    x: NDArray[Any],
    z: NDArray[Any] | None,
    ntk: bool,
    threads: int,
    isa: str,
    kind: int = 0,
) -> object: ...
def image_job(
    program: Program,
    x: NDArray[Any],
    z: NDArray[Any] | None,
    nngp: bool,
    ntk: bool,
    threads: int,
    isa: str,
    reuse_memory: bool,
) -> tuple[object, list[NDArray[Any] | None], list[NDArray[Any] | None]]: ...
def image_job_bytes(program: Program, n: int, m: int, itemsize: int) -> int: ...
def device_job_bytes(program: Program, n: int, m: int, d: int, itemsize: int) -> int: ...
def diag(
    program: Program, x: NDArray[Any], nngp: bool, ntk: bool, threads: int = 1, isa: str = ""
) -> tuple[list[NDArray[Any] | None], list[NDArray[Any] | None]]: ...
def input_roots(x: NDArray[Any], threads: int = 1, isa: str = "") -> list[float]: ...
def output_roots(program: Program, p: Sequence[float], name: str) -> list[float]: ...
def root_range(
    program: Program, x: NDArray[Any], name: str, threads: int = 1, isa: str = ""
) -> tuple[float, float]: ...
def conditioning(program: Program, x: NDArray[Any], threads: int = 1, isa: str = "") -> float: ...
def workspace_bytes(
    program: Program, n: int, m: int, d: int, itemsize: int, threads: int
) -> int: ...
def product(
    a: NDArray[Any],
    b: NDArray[Any],
    transposed: bool,
    scale: float,
    threads: int,
    reuse: bool = False,
) -> NDArray[Any]:
    """Return ``scale * a @ b``, or ``b.T``, of C-contiguous matrices of one dtype.

    `reuse` as for `large_array`.
    """

def large_array(shape: Sequence[int], narrow: bool, reuse: bool) -> NDArray[Any]:
    """Return an array that holds nothing yet, of float32 if `narrow`, else of float64.

    With `reuse`, memory that was kept from dropped results is taken, and this is kept.
    """

def contract_uses(
    left: Sequence[tuple[NDArray[Any], NDArray[Any]]],
    right: Sequence[tuple[NDArray[Any], NDArray[Any]]] | None,
    scales: Sequence[tuple[float, float]],
    mode: str,
    out: NDArray[Any],
    threads: int,
    progress: Callable[[int, int], None] | None = None,
    order: str = "auto",
    overwrite: bool = False,
) -> None:
    """Add to a tangent kernel the parts of weights, from their inputs and signals.

    Parameters
    ----------
    left : list of (a, s)
        For each weight its inputs, shape (n, uses, fan_in), and the signals by its value, shape
        (n, O, uses, units): C-contiguous, all float32 or all float64. `uses` is how often a sample
        uses the weight (1 for Dense, positions of a convolution times calls of the module).
    right : list of (a, s), optional
        The same of m other samples; None for the symmetric kernel, whose lower triangle alone is
        added to (see `mirror_kernel`).
    scales : list of (weight, bias)
        Adds ``sum_{u,v} (weight <a_u, a'_v> + bias) <s_cu, s'_c'v>``: the squares of what
        multiplies weight and bias in the layer, bias 0 where it has none.
    mode : {"full", "trace", "diagonal"}
        Whether `out` is (n, m, O, O), (n, m) with the mean over outputs, or (n, m, O).
    out : array
        Of any strides, so that it may be a block of a larger array. float64, or float32 for float32
        inputs (float64 is added up without rounding in between).
    threads : int
    progress : callable, optional
        Called with (done, total) now and then, total being the same throughout.
    order : {"auto", "pairs", "gradients"}
        Over pairs of uses, or per-sample weight gradients first; "auto" takes the one with fewer
        multiplications for each weight. Gradients take up to 32 MiB per side, or n O units entries.
    overwrite : bool, default False
        `out` holds nothing yet: it is written instead of added to, and a symmetric kernel is
        complete when this returns. Fastest where `out` is stored as a matrix.
    """

def contract_jacobians(
    left: NDArray[Any],
    right: NDArray[Any] | None,
    mode: str,
    out: NDArray[Any],
    threads: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Add to a tangent kernel the part of some parameters, from their blocks of the Jacobian.

    `left` has shape (n, O, parameters), `right` (m, O, parameters), or it is None for the symmetric
    kernel; everything else as for `contract_uses`.
    """

def mirror_kernel(out: NDArray[Any], mode: str, threads: int) -> None:
    """Copy the lower triangle of a symmetric kernel, complete by now, to the upper one."""

def thread_limit() -> int: ...
def isa_available() -> list[str]: ...
def build_info() -> dict[str, str]: ...
def activations() -> list[str]: ...
