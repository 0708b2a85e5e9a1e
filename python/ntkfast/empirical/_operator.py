"""The kernel as an operator, and column by column, without any Jacobian."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _memory
from .._validate import whole_number
from ..errors import ArchitectureError
from ._model import Model
from ._plan import workspace
from ._probe import look
from ._products import Products, choose
from ._samples import Samples
from ._torch import torch

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

__all__ = ["fill_by_columns", "operator"]


def operator(
    module: Any,
    X: Any,
    Z: Any = None,
    *,
    parameters: Any = None,
    batch_size: int | None = None,
    device: Any = None,
    dtype: Any = None,
) -> LinearOperator:
    """Return the tangent kernel of a PyTorch module as an operator ``v -> J_X (J_Z^T v)``.

    Nothing of the size of the kernel or of a Jacobian is kept: a product costs one backward and
    one forward-mode pass over the data (Novak et al. 2022, "NTK-vector products").

    Parameters
    ----------
    module, X, Z, parameters, device, dtype
        As in `ntk`.
    batch_size : int, optional
        Samples of a pass; as many as fit into the memory budget, up to 1024, by default.

    Returns
    -------
    scipy.sparse.linalg.LinearOperator, shape (n * outputs, m * outputs)
        Vectors are NumPy arrays and hold the outputs of the first sample first. Its attribute
        ``way`` says how J w is computed: "forward mode", or "double backward" for a module with an
        operation that has no forward derivative.

    Raises
    ------
    ModuleNotFoundError, TypeError, ValueError, ArchitectureError, MemoryBudgetError
        As `ntk`.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from scipy.sparse.linalg import cg
    >>> import ntkfast as nk
    >>> net = torch.nn.Sequential(torch.nn.Linear(3, 64), torch.nn.Tanh(), torch.nn.Linear(64, 1))
    >>> X = np.random.default_rng(0).standard_normal((20, 3))
    >>> A = nk.empirical.operator(net.double(), X)
    >>> bool(np.allclose(A @ np.ones(20), nk.empirical.ntk(net, X) @ np.ones(20)))
    True
    """
    from scipy.sparse.linalg import LinearOperator

    model = Model(module, parameters, device, dtype)
    x = Samples("X", X, model.device, model.dtype)
    z = x if Z is None else Samples("Z", Z, model.device, model.dtype)
    probed = x if len(x) else z
    if not len(probed):
        raise ValueError("X must hold at least one sample, got 0")
    inputs = probed.rows(0, min(3, len(probed)))
    findings = look(model, inputs)
    outputs = findings.outputs
    way, why = choose(model, inputs, findings.sums)
    if not way:
        raise ArchitectureError(f"the operator cannot be made: {why}")
    itemsize = torch.finfo(model.dtype).bits // 8
    fixed, per_row = 3 * model.size() * itemsize, 3 * max(1, findings.graph_bytes)
    if batch_size is not None:
        rows = whole_number("batch_size", batch_size, minimum=1)
    else:
        rows = max(1, min(1024, (workspace(0) - fixed) // per_row))
    _memory.require(0, fixed + rows * per_row, "a product with the tangent kernel", "batch_size=")
    products = Products(model, rows, way)

    def product(to: Samples, of: Samples) -> Callable[[NDArray[Any]], NDArray[Any]]:
        def apply(v: NDArray[Any]) -> NDArray[Any]:
            given = torch.from_numpy(np.ascontiguousarray(v, dtype=np.float64))
            given = given.reshape(len(of), outputs).to(model.device, model.dtype)
            moved = products.pushed(to, products.pulled(of, given))
            return np.asarray(moved.reshape(-1).cpu().numpy())

        return apply

    made = LinearOperator(
        (len(x) * outputs, len(z) * outputs),
        product(x, z),
        rmatvec=product(z, x),
        dtype=np.dtype(str(model.dtype).removeprefix("torch.")),
    )
    made.way = way
    return made


def fill_by_columns(
    out: Any,
    mode: str,
    model: Model,
    x: Samples,
    z: Samples | None,
    rows: int,
    way: str,
    *,
    skip: int,
    done: Callable[[int, int], None],
) -> None:
    """Write the kernel into out, one sample of the other side after the other."""
    products, other = Products(model, rows, way), x if z is None else z
    one = Products(model, 1, way)
    for j in range(skip, len(other)):
        sample = _One(other, j)
        outputs = model(sample.rows(0, 1)).shape[1]
        out[:, j] = 0
        for c in range(outputs):
            unit = torch.zeros((1, outputs), dtype=model.dtype, device=model.device)
            unit[0, c] = 1
            moved = products.pushed(x, one.pulled(sample, unit))
            column = moved.cpu().numpy() if isinstance(out, np.ndarray) else moved
            if mode == "full":
                out[:, j, :, c] = column
            elif mode == "diagonal":
                out[:, j, c] = column[:, c]
            else:
                out[:, j] += column[:, c] / outputs
        done(j + 1, len(other))


class _One(Samples):
    """One sample of several."""

    def __init__(self, samples: Samples, index: int) -> None:
        self._of, self._index = samples, index

    def __len__(self) -> int:
        return 1

    def rows(self, start: int, stop: int) -> tuple[Any, ...]:
        return self._of.rows(self._index, self._index + 1)
