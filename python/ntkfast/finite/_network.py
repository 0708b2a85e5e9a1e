"""Networks of finite width: `init`, and what can be done with one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _memory
from .._arrays import Prepared, prepare
from .._device import require_host, resolve_device
from .._gram_progress import gram_progress
from .._text import one_line
from .._threads import resolve_threads
from .._validate import choice, got, require_finite, whole_number
from ..errors import ArchitectureError
from ..layers import Dense
from ..layers.spatial import refuse_positions
from ..network import Network
from ..predict.arguments import loss_weight
from . import _tangent
from ._operations import Affine
from ._parameters import (
    DenseParameters,
    check_shapes,
    locked,
    read_parameters,
    shape_of,
    shifted,
    zero_parameters,
)
from ._passes import directional, forward, parameter_gradients
from ._tape import Tape, record
from ._taylor import TaylorModel
from ._training import Gradient, Trainable, targets

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

__all__ = ["FiniteNetwork", "from_parameters", "init"]

Array = NDArray[Any]

# Samples of a pass are as many as fit into this.
_PASS_BYTES = 1 << 28
# Of a thread that contracts them: a tile with its factors, and what BLAS packs.
_THREAD_BYTES = 4 << 20


def init(
    network: Network,
    width: int | None = None,
    seed: int = 0,
    *,
    features: int | None = None,
    outputs: int | None = None,
    dtype: Any = np.float64,
) -> FiniteNetwork:
    """Draw a network of finite width from the description of an infinite one.

    Parameters
    ----------
    network : Network
        Of any pointwise layers.
    width : int, optional
        Units of a hidden Dense layer for each of its ``out_dim``, which is 1 by default. Without
        it every layer has ``out_dim`` units.
    seed : int, default 0
        The same seed, features and dtype give the same parameters.
    features : int, optional
        Columns of the data. Without it the parameters are drawn when the first data arrive.
    outputs : int, optional
        Units of the last Dense layer; its ``out_dim`` by default.
    dtype : float32 or float64, default float64
        Of the parameters.

    Returns
    -------
    FiniteNetwork

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.
    ArchitectureError
        If the units of joined branches do not fit together, or for a network of images.
    UnsupportedLayerError
        For a layer that is no function at finite width: a kernel without one, Dropout in training.

    Examples
    --------
    >>> import ntkfast as nk
    >>> f = nk.finite.init(nk.mlp(2), width=512, seed=0)
    >>> f([[1.0, 2.0], [3.0, -1.0]]).shape
    (2, 1)
    """
    if not isinstance(network, Network):
        raise TypeError(f"network must be a Network, {got(network)}")
    refuse_positions("finite.init()", network.layers)
    drawn = FiniteNetwork(
        network,
        None if width is None else whole_number("width", width, minimum=1),
        whole_number("seed", seed, minimum=0),
        None if outputs is None else whole_number("outputs", outputs, minimum=1),
        _float(dtype),
    )
    if features is not None:
        drawn._bind(whole_number("features", features, minimum=1))
    return drawn


def from_parameters(network: Network, parameters: Sequence[Any]) -> FiniteNetwork:
    """Return the network with given parameters.

    Parameters
    ----------
    network : Network
    parameters : sequence
        ``(weights, bias)`` or `DenseParameters` of every Dense layer in order, branch after
        branch, as they are trained: N(0, 1) at the start in NTK parameterization. Weights have
        shape (units before, units), biases (units,); None where the layer has none.

    Returns
    -------
    FiniteNetwork

    Raises
    ------
    TypeError, ValueError
        If numbers or shapes of parameters are not those of the network.

    Examples
    --------
    >>> import numpy as np
    >>> import ntkfast as nk
    >>> f = nk.finite.from_parameters(nk.serial(nk.Dense(2.0)), [(np.ones((4, 1)), None)])
    >>> f([[1.0, 2.0, 3.0, 4.0]])
    array([[10.]])
    """
    if not isinstance(network, Network):
        raise TypeError(f"network must be a Network, {got(network)}")
    given = [read_parameters("parameters", i, each) for i, each in enumerate(parameters)]
    if not given:
        raise ValueError("parameters must hold those of every Dense layer, got none")
    dtype = np.result_type(*(own.weights for own in given))
    made = FiniteNetwork(network, None, 0, None, _float(dtype))
    made._adopt(given)
    return made


class FiniteNetwork(Trainable):
    """A network of finite width with its parameters; made by `init` or `from_parameters`.

    Immutable: training returns a new one. Data X of shape (n, d) are taken as everywhere in the
    package, and answers come back as the same kind of array.

    Attributes
    ----------
    network : Network
        The description.
    """

    def __init__(
        self,
        network: Network,
        width: int | None,
        seed: int,
        outputs: int | None,
        dtype: np.dtype[Any],
    ) -> None:
        self.network = network
        self._width, self._seed, self._outputs, self._dtype = width, seed, outputs, dtype
        self._tape: Tape | None = None
        self._own: dict[int, DenseParameters] = {}

    def __repr__(self) -> str:
        drawn = "" if self._tape is None else f", {self.parameter_count:,} parameters"
        return f"<FiniteNetwork of {one_line(self.network.layers)}, width={self._width}{drawn}>"

    # --- Parameters --------------------------------------------------------------------------

    @property
    def parameters(self) -> tuple[DenseParameters, ...]:
        """Parameters of every Dense layer in order, as they are trained; not to be written to."""
        self._bound()
        return tuple(self._own.values())

    @property
    def parameter_count(self) -> int:
        """Number of all parameters, those that are not trained too."""
        return sum(array.size for own in self.parameters for array in own if array is not None)

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self._bound().outputs

    def _bound(self) -> Tape:
        if self._tape is None:
            raise ValueError(
                "the parameters are not drawn yet: give init(features=...), or apply the network "
                "to data first"
            )
        return self._tape

    def _bind(self, features: int) -> Tape:
        """Draw the parameters for data of so many columns, or check that they are."""
        if self._tape is None:
            tape = record(self.network.layers, features, self._units)
            if self._outputs not in (None, tape.outputs):
                raise ArchitectureError(
                    f"outputs={self._outputs} cannot be had: the network ends with {tape.outputs} "
                    "units that no single Dense layer makes; leave outputs out"
                )
            shapes = {i: tape.shape(i) for i in tape.dense}
            size = sum((a + 1) * b for a, b in shapes.values()) * self._dtype.itemsize
            _memory.require(size, 0, f"parameters of {self!r}", "take a smaller width, or float32")
            streams = np.random.SeedSequence(self._seed).spawn(len(shapes))
            for (i, shape), stream in zip(shapes.items(), streams, strict=True):
                operation = tape.steps[i].operation
                assert isinstance(operation, Affine)
                rng = np.random.default_rng(stream)
                self._own[i] = locked(operation.draw(shape, rng, self._dtype))
            self._tape = tape
        if features != self._tape.features:
            raise ValueError(
                f"X must have {self._tape.features} columns, as the data that the network was made "
                f"for, got {features}"
            )
        return self._tape

    def _units(self, layer: Dense, readout: bool) -> int:
        own = int(layer.out_dim * layer.s[1])
        if readout:
            return own if self._outputs is None else self._outputs
        return own if self._width is None else own * self._width

    def _adopt(self, given: list[DenseParameters]) -> None:
        """Take parameters, which say how many units there are."""
        layers: list[Dense] = []

        def units(layer: Dense, readout: bool) -> int:
            layers.append(layer)
            if len(layers) > len(given):
                raise ValueError(
                    f"parameters must hold one entry for each Dense layer, got {len(given)}"
                )
            return int(given[len(layers) - 1].weights.shape[1])

        tape = record(self.network.layers, len(given[0].weights), units)
        if len(layers) < len(given):
            raise ValueError(
                f"parameters must hold one entry for each of the {len(layers)} Dense layers, "
                f"got {len(given)}"
            )
        for k, (i, layer, own) in enumerate(zip(tape.dense, layers, given, strict=True)):
            check_shapes(f"parameters[{k}]", layer, own, tape.shape(i))
            bias = None if own.bias is None else np.array(own.bias, self._dtype)
            self._own[i] = locked(DenseParameters(np.array(own.weights, self._dtype), bias))
        self._tape = tape

    # --- The function and its derivatives ----------------------------------------------------

    def signals(self, X: Any) -> list[Any]:
        """Return the value of every layer that computes something, the output last.

        Parameters
        ----------
        X : array, shape (n, d)

        Returns
        -------
        list of array, shape (n, units)
            Layers in order, branch after branch; Identity, FanOut and parallel have none.
        """
        x, _, wrap, *_ = self._data(X)
        return [wrap(value) for value in forward(self._bound(), self._own, x)[1:]]

    def ntk(
        self, X: Any, Z: Any = None, *, outputs: str = "trace", device: str | None = None
    ) -> Any:
        """Return the tangent kernel: inner products of the derivatives by the trained parameters.

        From inputs and signals of the Dense layers, without the Jacobian (Novak et al. 2022).

        Parameters
        ----------
        X : array, shape (n, d)
        Z : array, shape (m, d), optional
            Without it the kernel of X with itself, exactly symmetric.
        outputs : {"trace", "full", "diagonal"}, default "trace"
            "full": every pair of outputs. "trace": the mean over outputs of each with itself, which
            estimates the infinite network's kernel. "diagonal": each output with itself.
        device : {"auto", "cpu", "cuda", "cuda:<number>"}, optional
            Where inputs and signals are contracted, instead of ``config.device``.

        Returns
        -------
        array, shape (n, m), (n, m, outputs, outputs) or (n, m, outputs)

        Raises
        ------
        TypeError, ValueError, MemoryBudgetError
            As `Network` says.

        Examples
        --------
        >>> import ntkfast as nk
        >>> net, X = nk.mlp(1, b_std=0.1), [[1.0, 0.5], [-0.3, 2.0]]
        >>> f = nk.finite.init(net, width=20000, seed=1)
        >>> bool(abs(f.ntk(X) - net.ntk(X)).max() < 0.05)
        True
        """
        choice("outputs", outputs, _tangent.MODES)
        x, z, wrap, *_ = self._data(X, Z)
        place, tape = resolve_device(device, None), self._bound()
        m = len(x) if z is None else len(z)
        itemsize = np.result_type(x, self._dtype).itemsize
        rows = min(max(len(x), m, 1), self._rows_per_pass(x))
        per_row = _tangent.row_bytes(tape, itemsize)
        shape = _tangent.result_shape(outputs, len(x), m, tape.outputs)
        what = f"the {outputs} tangent kernel of {len(x)} x {m} samples"
        threads = resolve_threads()
        workspace = 2 * rows * per_row + threads * _THREAD_BYTES
        n_bytes = int(np.prod(shape)) * itemsize
        if place is not None:  # blocks that come from the device are put together
            workspace += n_bytes
        _memory.require(n_bytes, workspace, what)
        with gram_progress() as progress:
            options = (outputs, rows, threads, progress, place)
            return wrap(_tangent.kernel(tape, self._own, x, z, *options))

    def vjp(self, X: Any, signal: Any) -> tuple[DenseParameters, ...]:
        """Return ``J(X)^T signal``: the derivative of ``sum(signal * f(X))`` by the parameters.

        Parameters
        ----------
        X : array, shape (n, d)
        signal : array, shape (n, outputs)

        Returns
        -------
        tuple of DenseParameters
            As `parameters`, zero where a layer is not trained.
        """
        x = self._data(X).x
        signal = targets("signal", signal, len(x), self.outputs)
        values = forward(self._bound(), self._own, x)
        found = parameter_gradients(self._bound(), self._own, values, signal)
        zeros = {i: zero_parameters(own) for i, own in self._own.items() if i not in found}
        return tuple((found | zeros)[i] for i in self._own)

    def jvp(self, X: Any, direction: Sequence[Any]) -> Any:
        """Return ``J(X) direction``: the derivative of the outputs along a direction.

        Parameters
        ----------
        X : array, shape (n, d)
        direction : sequence of (weights, bias)
            As `parameters`; what belongs to layers that are not trained is ignored.

        Returns
        -------
        array, shape (n, outputs)
        """
        x, _, wrap, *_ = self._data(X)
        return wrap(self.along(x, self._direction(direction)))

    def tangent_operator(self, X: Any) -> LinearOperator:
        """Return the tangent kernel of X as an operator ``v -> J (J^T v)``, without its matrix.

        Parameters
        ----------
        X : array, shape (n, d)

        Returns
        -------
        scipy.sparse.linalg.LinearOperator, shape (n * outputs, n * outputs)
            Vectors hold the outputs of the first sample first.
        """
        from scipy.sparse.linalg import LinearOperator

        x = self._data(X).x
        tape, shape = self._bound(), (len(x), self.outputs)
        values = forward(tape, self._own, x)

        def matvec(v: Array) -> Array:
            gradient = parameter_gradients(tape, self._own, values, v.reshape(shape))
            moved = directional(tape, self._own, values, gradient)
            return np.zeros(len(v), v.dtype) if moved is None else moved.reshape(-1)

        size = len(x) * self.outputs
        return LinearOperator((size, size), matvec, rmatvec=matvec, dtype=values[-1].dtype)

    # --- Training ----------------------------------------------------------------------------

    def max_learning_rate(
        self, X: Any, *, momentum: float = 0.0, loss_scale: float | str = "mean"
    ) -> float:
        """Return the step size beyond which gradient descent diverges, as the kernel stands now.

        Parameters
        ----------
        X : array, shape (n, d)
            Training data.
        momentum : float, default 0.0
            In [0, 1).
        loss_scale : {"mean", "sample", "sum"} or float, default "mean"
            See `train`.

        Returns
        -------
        float
            ``2 (1 + momentum) n outputs / lambda`` for the mean, with the kernel's largest
            eigenvalue lambda; infinity if nothing is trained.
        """
        from scipy.sparse.linalg import eigsh

        operator = self.tangent_operator(X)
        size = operator.shape[0]
        if size <= 32:  # the iteration wants room
            largest = float(np.linalg.eigvalsh(operator @ np.eye(size))[-1])
        else:
            start = np.random.default_rng(0).standard_normal(size).astype(operator.dtype)
            largest = float(eigsh(operator, k=1, v0=start, tol=1e-4, return_eigenvectors=False)[0])
        scale = largest * loss_weight(loss_scale, self.outputs, size // self.outputs)
        return 2 * (1 + momentum) / scale if scale > 0 else float("inf")

    def linearize(self) -> TaylorModel:
        """Return the first-order Taylor model of the function in its parameters.

        Returns
        -------
        TaylorModel
        """
        return TaylorModel(self, {})

    # --- For training ------------------------------------------------------------------------

    def _rows_per_pass(self, x: Array) -> int:
        itemsize = np.result_type(x, self._dtype).itemsize
        return max(1, _PASS_BYTES // _tangent.row_bytes(self._bound(), itemsize))

    def outputs_and_pass(self, x: Array) -> tuple[Array, list[Array]]:
        values = forward(self._bind(x.shape[1]), self._own, x)
        return values[-1], values

    def gradient(self, seen: list[Array], signal: Array) -> Gradient:
        return parameter_gradients(self._bound(), self._own, seen, signal)

    def moved(self, direction: Gradient, step: float) -> FiniteNetwork:
        other = FiniteNetwork(self.network, self._width, self._seed, self._outputs, self._dtype)
        other._tape = self._bound()
        other._own = {
            i: locked(shifted(own, direction[i], step)) if i in direction else own
            for i, own in self._own.items()
        }
        return other

    def along(self, x: Array, direction: Gradient) -> Array:
        """Return ``J(x) direction`` for directions by step, shape (n, outputs)."""
        values = forward(self._bind(x.shape[1]), self._own, x)
        moved = directional(self._bound(), self._own, values, direction)
        return np.zeros_like(values[-1]) if moved is None else moved

    def _data(self, X: Any, Z: Any = None) -> Prepared:
        data = prepare(X, Z)
        require_host("X", data, "finite networks")
        for name, rows in (("X", data.x), ("Z", data.z)):
            if rows is not None:
                require_finite(name, rows)
        self._bind(data.x.shape[1])
        return data

    def _direction(self, direction: Sequence[Any]) -> Gradient:
        given = [read_parameters("direction", i, each) for i, each in enumerate(direction)]
        if len(given) != len(self._own):
            raise ValueError(
                f"direction must hold one entry for each of the {len(self._own)} Dense layers, "
                f"got {len(given)}"
            )
        tape, found = self._bound(), {}
        for k, (i, own) in enumerate(zip(self._own, given, strict=True)):
            operation = tape.steps[i].operation
            assert isinstance(operation, Affine)
            shapes, want = ([shape_of(a) for a in each] for each in (own, self._own[i]))
            if shapes != want:
                raise ValueError(f"direction[{k}] must have shapes {want}, got {shapes}")
            if operation.trainable:
                found[i] = own
        return found


def _float(dtype: Any) -> np.dtype[Any]:
    found: np.dtype[Any] = np.dtype(dtype)
    if found not in (np.float32, np.float64):
        raise TypeError(f"dtype must be float32 or float64, got {found}")
    return found
