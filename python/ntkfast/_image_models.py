"""Ready-made networks of images."""

from __future__ import annotations

from ._composition import serial
from ._validate import choice, got, whole_number
from .layers import AvgPool, Conv, Dense, Flatten, GlobalAvgPool, Layer, Relu
from .network import Network

__all__ = ["cntk", "myrtle"]

# Convolutions before each pool.
_MYRTLE = {5: (2, 1, 1), 7: (2, 2, 2), 10: (3, 3, 3)}


def cntk(depth: int, pool: str = "flatten", *, radius: int | None = None) -> Network:
    """Return the network of the convolutional NTK: 3 x 3 convolutions with ReLU, and a readout.

    ``W_std = sqrt(2)`` everywhere, no bias, zeros beyond the borders of an image. ``net.ntk`` is
    the CNTK of Arora et al. 2019, whose "depth" counts the readout, too, times one constant (they
    sum over pixels and channels where this takes means); ``net.nngp`` is the CNN-GP.

    Parameters
    ----------
    depth : int
        Number of convolutions, >= 1.
    pool : {"flatten", "gap", "lap"}, default "flatten"
        In front of the readout: nothing; global average pooling; local average pooling of Li et
        al. 2019, the mean over a square of pixels around each, which does for the kernel what
        random crops do for a network.
    radius : int, optional
        Of "lap", and required there: squares of ``2 radius + 1`` pixels a side, >= 0. Pixels
        beyond the border count as zeros.

    Returns
    -------
    Network

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.

    References
    ----------
    S. Arora et al., "On exact computation with an infinitely wide neural net", NeurIPS 2019; Z. Li
    et al., "Enhanced convolutional neural tangent kernels", arXiv:1911.00809, 2019; R. Novak et
    al., "Bayesian deep convolutional networks with many channels are Gaussian processes", ICLR
    2019 (CNN-GP).

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
    choice("pool", pool, ("flatten", "gap", "lap"))
    if (radius is None) == (pool == "lap"):
        raise ValueError(
            f'radius belongs to pool="lap" and is required there, {got(radius)} with pool={pool!r}'
        )
    readout: list[Layer] = [GlobalAvgPool() if pool == "gap" else Flatten()]
    if radius is not None:
        side = 2 * whole_number("radius", radius, minimum=0) + 1
        readout.insert(0, AvgPool((side, side), (1, 1), "SAME"))
    return serial(*_convolutions(depth), *readout, Dense(2**0.5))


def myrtle(depth: int) -> Network:
    """Return a Myrtle network: 3 x 3 convolutions with ReLU, halving the image between them.

    Of 5, 7 or 10 layers with weights: (2, 1, 1), (2, 2, 2) or (3, 3, 3) convolutions, a 2 x 2
    average pool after each of the first two groups, a global average pool after the last, and a
    readout. ``W_std = sqrt(2)`` everywhere, no bias, zeros beyond the borders. In the paper three
    2 x 2 pools stand at the end, which for 32 x 32 pixels are the global one.

    Parameters
    ----------
    depth : {5, 7, 10}
        Number of layers with weights.

    Returns
    -------
    Network

    Raises
    ------
    TypeError, ValueError
        If depth is something else.

    References
    ----------
    V. Shankar et al., "Neural kernels without tangents", ICML 2020.

    Examples
    --------
    >>> import ntkfast as nk
    >>> len(nk.models.myrtle(5).layers)  # 4 convolutions with ReLU, 3 pools, Dense
    12
    """
    if whole_number("depth", depth, minimum=5) not in _MYRTLE:
        raise ValueError(f"depth must be 5, 7 or 10, {got(depth)}")
    layers: list[Layer] = []
    for count in _MYRTLE[depth]:
        layers += [*_convolutions(count), AvgPool((2, 2), (2, 2))]
    return serial(*layers[:-1], GlobalAvgPool(), Dense(2**0.5))


def _convolutions(count: int) -> list[Layer]:
    return [Conv((3, 3), padding="SAME", W_std=2**0.5), Relu()] * count
