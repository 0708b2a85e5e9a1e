"""Ready-made networks."""

from __future__ import annotations

from ._composition import serial
from ._image_models import cntk, myrtle
from ._validate import finite_number, got, known, whole_number
from .layers import LAYERS, Activation, Dense, Layer, Relu
from .network import Network

__all__ = ["arora", "cntk", "mlp", "myrtle"]


def mlp(
    depth: int,
    activation: Activation | str = "relu",
    *,
    W_std: float | None = None,
    b_std: float | None = None,
    readout_W_std: float = 1.0,
    fixed_layers: int = 0,
) -> Network:
    """Return a fully-connected network: (Dense, activation) depth times, then a Dense readout.

    Parameters
    ----------
    depth : int
        Number of hidden layers; 0 is a linear model.
    activation : Activation or str, default "relu"
        A layer such as ``LeakyRelu(0.2)``, or a name in any case ("relu", "abs", "erf",
        "leaky_relu", "identity"), with its default arguments.
    W_std : float, optional
        Of every hidden layer. By default the critical value of the activation, at which signals
        neither die nor explode without bias: ``sqrt(2)`` for Relu (He et al. 2015), 1 for Abs,
        ``sqrt(2/(a**2 + b**2))`` for any two slopes, ``sqrt(pi)/(2 |a b|)`` for Erf, which
        makes ``chi = 1`` for small signals (Poole et al. 2016).
    b_std : float, optional
        Of every Dense layer, the readout included; None means no bias.
    readout_W_std : float, default 1.0
        Of the readout.
    fixed_layers : int, default 0
        The first so many Dense layers keep their initial weights (Arora et al. 2020); at most
        depth, where only the readout is trained and the NTK equals the NNGP kernel.

    Returns
    -------
    Network

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.

    Examples
    --------
    >>> import ntkfast as nk
    >>> nk.mlp(1, "abs", b_std=0.1, fixed_layers=1)
    serial(Dense(b_std=0.1, trainable=False), Abs(), Dense(b_std=0.1))
    """
    depth = whole_number("depth", depth, minimum=0)
    phi = activation_layer(activation)
    fixed_layers = whole_number("fixed_layers", fixed_layers, minimum=0)
    if fixed_layers > depth:
        raise ValueError(
            f"fixed_layers must be at most depth = {depth} (the readout is trained), "
            f"{got(fixed_layers)}"
        )
    readout_W_std = finite_number("readout_W_std", readout_W_std, minimum=0)
    W_std = phi.critical_W_std if W_std is None else finite_number("W_std", W_std, minimum=0)
    layers: list[Layer] = []
    for i in range(depth):
        layers += [Dense(W_std, b_std, trainable=i >= fixed_layers), phi]
    return serial(*layers, Dense(readout_W_std, b_std))


def arora(depth: int) -> Network:
    """Return the ReLU network in the convention of Arora et al. 2019, in which theorems are stated.

    ``K = x.x'`` for the input (the first ``W_std`` is the square root of the number of columns),
    ``W_std = sqrt(2)`` on every later layer, the readout included, no bias. Then ``K(x, x) = 1``
    and ``ntk(x, x) = depth + 1`` at unit norm.

    Parameters
    ----------
    depth : int
        Number of hidden layers L, >= 0.

    Returns
    -------
    Network

    Raises
    ------
    TypeError, ValueError
        If depth is not an integer >= 0.

    References
    ----------
    S. Arora et al., "On exact computation with an infinitely wide neural net", NeurIPS 2019.

    Examples
    --------
    >>> import ntkfast as nk
    >>> nk.models.arora(2).diag([[0.6, 0.8]]).round(12)
    array([3.])
    """
    depth = whole_number("depth", depth, minimum=0)
    layers: list[Layer] = [Dense("sqrt_dim")]
    for _ in range(depth):
        layers += [Relu(), Dense(2**0.5)]
    return serial(*layers)


def _key(name: str) -> str:
    return name.lower().replace("_", "")


def activation_layer(activation: Activation | str, argument: str = "activation") -> Activation:
    """Return the activation that a layer or a name in any case means."""
    if isinstance(activation, Activation):
        return activation
    if not isinstance(activation, str):
        raise TypeError(f"{argument} must be a layer such as Relu() or a name, {got(activation)}")
    named = {_key(name): cls for name, cls in LAYERS.items() if issubclass(cls, Activation)}
    cls = named.get(_key(activation))
    if cls is None:
        raise ValueError(f"unknown activation {activation!r}; this version knows {known(named)}")
    try:
        return cls()
    except TypeError as error:  # a required argument, as ABRelu has
        raise ValueError(
            f"{argument} {activation!r} has arguments without default: give a layer, "
            f"{cls.__name__}(...)"
        ) from error
