"""The first-order Taylor model of a network in its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ._parameters import shifted, zero_parameters
from ._training import Gradient, Trainable

if TYPE_CHECKING:
    from .._arrays import Prepared
    from ._network import FiniteNetwork

__all__ = ["TaylorModel"]

Array = NDArray[Any]


class TaylorModel(Trainable):
    """f_0(X) + J_0(X) displacement, linear in its parameters (Lee et al. 2019).

    Made by `FiniteNetwork.linearize`; immutable, training returns a new one.

    Attributes
    ----------
    network : FiniteNetwork
        The network at the point of expansion.

    Examples
    --------
    >>> import ntkfast as nk
    >>> f = nk.finite.init(nk.mlp(1), width=8)
    >>> X = [[1.0, 2.0]]
    >>> bool((f.linearize()(X) == f(X)).all())
    True
    """

    def __init__(self, network: FiniteNetwork, displacement: Gradient) -> None:
        self.network, self._displacement = network, displacement

    def __repr__(self) -> str:
        return f"<TaylorModel of {self.network!r}>"

    def _data(self, X: Any) -> Prepared:
        return self.network._data(X)

    def _rows_per_pass(self, x: Array) -> int:
        return self.network._rows_per_pass(x)

    def outputs_and_pass(self, x: Array) -> tuple[Array, list[Array]]:
        outputs, values = self.network.outputs_and_pass(x)
        return outputs + self.network.along(x, self._displacement), values

    def gradient(self, seen: list[Array], signal: Array) -> Gradient:
        return self.network.gradient(seen, signal)

    def moved(self, direction: Gradient, step: float) -> TaylorModel:
        sums = dict(self._displacement)
        for i, new in direction.items():
            sums[i] = shifted(sums.get(i, zero_parameters(new)), new, step)
        return TaylorModel(self.network, sums)

    def max_learning_rate(
        self, X: Any, *, momentum: float = 0.0, loss_scale: float | str = "mean"
    ) -> float:
        return self.network.max_learning_rate(X, momentum=momentum, loss_scale=loss_scale)
