"""Ready-made networks of images."""

from __future__ import annotations

from ._validate import choice, whole_number
from .layers import Conv, Dense, Flatten, GlobalAvgPool, Layer, Relu
from .network import Network, serial

__all__ = ["cntk"]


def cntk(depth: int, pool: str = "flatten") -> Network:
    """Return the network of the convolutional NTK: 3 x 3 convolutions with ReLU, and a readout.

    ``W_std = sqrt(2)`` everywhere, no bias, zeros beyond the borders of an image. ``net.ntk`` is
    the CNTK of Arora et al. 2019, whose "depth" counts the readout, too, times one constant (they
    sum over pixels and channels where this takes means); ``net.nngp`` is the CNN-GP.

    Parameters
    ----------
    depth : int
        Number of convolutions, >= 1.
    pool : {"flatten", "gap"}, default "flatten"
        In front of the readout: nothing, or global average pooling.

    Returns
    -------
    Network

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.

    References
    ----------
    S. Arora et al., "On exact computation with an infinitely wide neural net", NeurIPS 2019; R.
    Novak et al., "Bayesian deep convolutional networks with many channels are Gaussian processes",
    ICLR 2019 (CNN-GP).

    Examples
    --------
    >>> import ntkfast as nk
    >>> nk.models.cntk(1, pool="gap")
    serial(
        Conv(filter_shape=(3, 3), padding='SAME', W_std=1.4142135623730951),
        Relu(),
        GlobalAvgPool(),
        Dense(W_std=1.4142135623730951),
    )
    """
    depth = whole_number("depth", depth, minimum=1)
    choice("pool", pool, ("flatten", "gap"))
    readout = GlobalAvgPool() if pool == "gap" else Flatten()
    return serial(*_convolutions(depth), readout, Dense(2**0.5))


def _convolutions(count: int) -> list[Layer]:
    return [Conv((3, 3), padding="SAME", W_std=2**0.5), Relu()] * count
