"""What a layer's parameters do to its value, for the layers that hooks know.

Every use of a weight matrix is z_u = W a_u (+ b) at some positions u of a sample, so that with the
signals s_u = df/dz_u the Jacobian is the sum of s_u a_u^T. Convolutions have patches for a, an
embedding has the unit vectors of its tokens. A normalisation multiplies unit by unit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ._torch import torch

__all__ = ["Layer", "layer_of"]


@dataclass(frozen=True)
class Layer:
    """How to read inputs and signals of one kind of layer.

    Attributes
    ----------
    kind : {"matrix", "tokens", "scale"}
        The input multiplies a matrix, selects its rows, or is multiplied unit by unit.
    inputs : callable
        ``inputs(module, x, n)``: a of shape (n, positions, fan-in); (n, positions) for tokens.
    signals : callable
        ``signals(module, g, n)``: (n, positions, units) from the derivative by the layer's value.
    """

    kind: str
    inputs: Callable[[Any, Any, int], Any]
    signals: Callable[[Any, Any, int], Any]

    @staticmethod
    def fits(module: Any, x: Any, n: int) -> bool:
        """Whether the first axis of an input can hold n samples one after the other."""
        wanted = {torch.nn.Conv1d: 3, torch.nn.Conv2d: 4}.get(type(module))
        return x.ndim >= 1 and n > 0 and x.shape[0] % n == 0 and wanted in (None, x.ndim)


def layer_of(module: Any) -> Layer | None:
    """Return how to read a module; None if it is not known, a subclass included."""
    nn = torch.nn
    kinds = {
        nn.Linear: _LINEAR,
        nn.Conv1d: _CONV,
        nn.Conv2d: _CONV,
        nn.Embedding: _EMBEDDING,
        nn.LayerNorm: _LAYER_NORM,
        nn.GroupNorm: _GROUP_NORM,
        nn.BatchNorm1d: _BATCH_NORM,
        nn.BatchNorm2d: _BATCH_NORM,
    }
    # A subclass, as every parametrised module is, may compute anything.
    found = kinds.get(type(module))
    return None if found is _CONV and module.groups != 1 else found


def _last(module: Any, x: Any, n: int) -> Any:
    return x.reshape(n, -1, x.shape[-1])


def _channels(module: Any, g: Any, n: int) -> Any:
    """Return (n, positions, channels) from (samples, channels, ...)."""
    if g.ndim == 2:
        return g.reshape(n, -1, g.shape[1])
    return g.flatten(2).transpose(1, 2).reshape(n, -1, g.shape[1])


# --- convolution -------------------------------------------------------------------------------


def _patches(module: Any, x: Any, n: int) -> Any:
    size, stride, dilation = module.kernel_size, module.stride, module.dilation
    pads: list[int] = []
    for axis in reversed(range(len(size))):
        if module.padding == "same":
            total = dilation[axis] * (size[axis] - 1)
            pads += [total // 2, total - total // 2]
        else:
            each = 0 if module.padding == "valid" else module.padding[axis]
            pads += [each, each]
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    if any(pads):
        x = torch.nn.functional.pad(x, pads, mode=mode)
    if len(size) == 1:  # one more axis of length 1
        x, size, stride, dilation = x.unsqueeze(2), (1, *size), (1, *stride), (1, *dilation)
    patches = torch.nn.functional.unfold(x, size, dilation=dilation, stride=stride)
    return patches.transpose(1, 2).reshape(n, -1, patches.shape[1])


# --- normalisation -----------------------------------------------------------------------------


def _layer_normalized(module: Any, x: Any, n: int) -> Any:
    shape = module.normalized_shape
    y = torch.nn.functional.layer_norm(x, shape, None, None, module.eps)
    return y.reshape(n, -1, _product(shape))


def _layer_signals(module: Any, g: Any, n: int) -> Any:
    return g.reshape(n, -1, _product(module.normalized_shape))


def _group_normalized(module: Any, x: Any, n: int) -> Any:
    y = torch.nn.functional.group_norm(x, module.num_groups, None, None, module.eps)
    return _channels(module, y, n)


def _batch_normalized(module: Any, x: Any, n: int) -> Any:
    mean, variance = module.running_mean, module.running_var
    y = torch.nn.functional.batch_norm(x, mean, variance, None, None, False, 0.0, module.eps)
    return _channels(module, y, n)


def _product(shape: tuple[int, ...]) -> int:
    size = 1
    for axis in shape:
        size *= axis
    return size


_LINEAR = Layer("matrix", _last, _last)
_CONV = Layer("matrix", _patches, _channels)
_EMBEDDING = Layer("tokens", lambda module, x, n: x.reshape(n, -1), _last)
_LAYER_NORM = Layer("scale", _layer_normalized, _layer_signals)
_GROUP_NORM = Layer("scale", _group_normalized, _channels)
_BATCH_NORM = Layer("scale", _batch_normalized, _channels)
