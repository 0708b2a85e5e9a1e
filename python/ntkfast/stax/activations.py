"""Activations, with the names and arguments of the archived library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .._validate import got, whole_number
from ..errors import UnsupportedLayerError
from ..layers import Activation
from ._arguments import make
from ._functions import InDoublePrecision, name_of
from ._pieces import ActivationPiece
from ._triple import StaxLayer, triple

__all__ = [
    "ABRelu",
    "Abs",
    "Cos",
    "Elementwise",
    "ElementwiseNumerical",
    "Erf",
    "Exp",
    "ExpNormalized",
    "Gabor",
    "Gaussian",
    "Gelu",
    "Hermite",
    "LeakyRelu",
    "Monomial",
    "Polynomial",
    "Rbf",
    "RectifiedMonomial",
    "Relu",
    "Sigmoid_like",
    "Sign",
    "Sin",
]


def _activation(
    name: str, *, finite: Callable[[NDArray[Any]], NDArray[Any]] | None = None, **arguments: Any
) -> StaxLayer:
    return triple(ActivationPiece(cast(Activation, make(name, **arguments)), finite))


def Relu(do_stabilize: bool = False) -> StaxLayer:
    """Return max(x, 0); ``do_stabilize`` is not needed here and changes nothing."""
    del do_stabilize
    return _activation("Relu")


def LeakyRelu(alpha: float, do_stabilize: bool = False) -> StaxLayer:
    """Return alpha min(x, 0) + max(x, 0); ``do_stabilize`` changes nothing."""
    del do_stabilize
    return _activation("LeakyRelu", alpha=alpha)


def ABRelu(a: float, b: float, do_stabilize: bool = False) -> StaxLayer:
    """Return a min(x, 0) + b max(x, 0); ``do_stabilize`` changes nothing."""
    del do_stabilize
    return _activation("ABRelu", a=a, b=b)


def Abs(do_stabilize: bool = False) -> StaxLayer:
    """Return |x|; ``do_stabilize`` changes nothing."""
    del do_stabilize
    return _activation("Abs")


def Erf(a: float = 1.0, b: float = 1.0, c: float = 0.0) -> StaxLayer:
    """Return a erf(b x) + c."""
    return _activation("Erf", a=a, b=b, c=c)


def Sigmoid_like() -> StaxLayer:
    """Return (erf(x / 2.4020563531719796) + 1) / 2."""
    return _activation("Sigmoid_like")


def Gelu(approximate: bool = False) -> StaxLayer:
    """Return x Phi(x); ``approximate`` is for the finite network alone, its form with tanh."""
    return _activation("Gelu", finite=_gelu_by_tanh if approximate else None)


def _gelu_by_tanh(x: NDArray[Any]) -> NDArray[Any]:
    inner = (2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)
    return np.asarray(0.5 * x * (1 + np.tanh(inner)))


def Sin(a: float = 1.0, b: float = 1.0, c: float = 0.0) -> StaxLayer:
    """Return a sin(b x + c)."""
    return _activation("Sin", a=a, b=b, c=c)


def Cos(a: float = 1.0, b: float = 1.0, c: float = 0.0) -> StaxLayer:
    """Return a cos(b x + c)."""
    return _activation("Cos", a=a, b=b, c=c)


def Rbf(gamma: float = 1.0) -> StaxLayer:
    """Return sqrt(2) sin(sqrt(2 gamma) x + pi/4), whose kernel is exp(-gamma |x - z|^2 / d)."""
    return _activation("Rbf", gamma=gamma)


def Gaussian(a: float = 1, b: float = -1) -> StaxLayer:
    """Return a exp(b x^2)."""
    return _activation("Gaussian", a=a, b=b)


def Exp(a: float = 1, b: float = 1) -> StaxLayer:
    """Return a exp(b x)."""
    return _activation("Exp", a=a, b=b)


def ExpNormalized(gamma: float = 1, shift: float = -1, do_clip: bool = False) -> StaxLayer:
    """Return the kernel exp(gamma (rho + shift)), to which there is no finite network.

    ``do_clip`` changes nothing: a correlation never leaves [-1, 1] here.
    """
    del do_clip
    return _activation("ExpNormalized", gamma=gamma, shift=shift)


def Gabor() -> StaxLayer:
    """Return exp(-x^2) sin(x)."""
    return _activation("Gabor")


def Sign() -> StaxLayer:
    """Return the sign of x; its derivative is 0 almost everywhere, and so is what passes of T."""
    return _activation("Sign")


def Hermite(degree: int) -> StaxLayer:
    """Return the orthonormal Hermite polynomial of probability theory, at any variance."""
    return _activation("Hermite", degree=degree)


def Monomial(degree: int) -> StaxLayer:
    """Return x^degree."""
    return _activation("Monomial", degree=degree)


def RectifiedMonomial(degree: int) -> StaxLayer:
    """Return (x >= 0) x^degree."""
    return _activation("RectifiedMonomial", degree=degree)


def Polynomial(coef: Sequence[float]) -> StaxLayer:
    """Return coef[0] + coef[1] x + coef[2] x^2 + ..."""
    return _activation("Polynomial", coef=tuple(np.asarray(coef, np.float64).tolist()))


def Elementwise(
    fn: Callable[[Any], Any] | None = None,
    nngp_fn: Callable[..., Any] | None = None,
    d_nngp_fn: Callable[..., Any] | None = None,
) -> StaxLayer:
    """Return an activation given by its function.

    Parameters
    ----------
    fn : callable
        From an array to an array of the same shape, with functions of NumPy, SciPy or JAX.
    nngp_fn, d_nngp_fn : callable, optional
        Not used: kernels follow from fn.

    Returns
    -------
    StaxLayer

    Raises
    ------
    UnsupportedLayerError
        If there is a formula of the kernel alone, ``nngp_fn`` without ``fn``.
    """
    if fn is None and (nngp_fn is not None or d_nngp_fn is not None):
        raise UnsupportedLayerError(
            "stax.Elementwise(nngp_fn=...) without fn: a kernel given by its formula cannot be "
            "computed in this version of ntkfast; give the activation itself, Elementwise(fn)"
        )
    return _of_function("Elementwise", fn, None)


def ElementwiseNumerical(
    fn: Callable[[Any], Any], deg: int, df: Callable[[Any], Any] | None = None
) -> StaxLayer:
    """Return an activation given by its function.

    Parameters
    ----------
    fn : callable
        From an array to an array of the same shape, with functions of NumPy, SciPy or JAX. What
        this library has a layer for, such as jax.numpy.tanh, is replaced by that.
    deg : int
        Not used: the accuracy is the library's, whatever the number of nodes.
    df : callable, optional
        Derivative of fn.

    Returns
    -------
    StaxLayer
    """
    whole_number("ElementwiseNumerical(deg=...)", deg, minimum=1)
    return _of_function("ElementwiseNumerical", fn, df)


def _of_function(layer: str, fn: Any, df: Any) -> StaxLayer:
    for name, function in (("fn", fn), ("df", df)):
        if not callable(function) and (name == "fn" or function is not None):
            raise TypeError(f"{layer}({name}=...) must be a function of an array, {got(function)}")
    if (known := name_of(fn)) is not None:
        return _activation(known)
    derivative = None if df is None else InDoublePrecision(df)
    return _activation("Elementwise", fn=InDoublePrecision(fn), derivative=derivative)
