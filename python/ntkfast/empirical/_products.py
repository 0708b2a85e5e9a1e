"""Products with the Jacobian of a module: J^T v, J w, and so the kernel without its matrix."""

from __future__ import annotations

import warnings
from typing import Any

from ._model import Model
from ._samples import Samples
from ._torch import torch

__all__ = ["FORWARD", "REVERSE", "Products"]

#: How J w is computed: in forward mode, or as the derivative of J^T u by u.
FORWARD, REVERSE = "forward mode", "double backward"


class Products:
    """Products with the Jacobian by the selected parameters, some samples at a time."""

    def __init__(self, model: Model, rows: int, way: str) -> None:
        self._model, self._rows, self._way = model, rows, way

    def pulled(self, samples: Samples, v: Any) -> list[Any]:
        """Return J^T v for v of shape (n, outputs), by parameter."""
        total = [torch.zeros_like(self._model.state[name]) for name in self._model.names]
        for i in range(0, len(samples), self._rows):
            inputs = samples.rows(i, i + self._rows)
            for mine, more in zip(
                total, vjp(self._model, inputs, v[i : i + self._rows]), strict=True
            ):
                mine += more
        return total

    def pushed(self, samples: Samples, w: list[Any]) -> Any:
        """Return J w, shape (n, outputs)."""
        apply = jvp if self._way == FORWARD else double_backward
        return torch.cat(
            [
                apply(self._model, samples.rows(i, i + self._rows), w)
                for i in range(0, len(samples), self._rows)
            ]
        )


def vjp(model: Model, inputs: tuple[Any, ...], v: Any) -> list[Any]:
    """Return J^T v, by parameter."""
    own = [model.state[name].detach() for name in model.names]
    with torch.enable_grad():
        out = model(inputs)
        if not out.requires_grad:
            return [torch.zeros_like(value) for value in own]
        found = torch.autograd.grad(
            out, [model.state[name] for name in model.names], v, allow_unused=True
        )
    return [
        torch.zeros_like(value) if g is None else g.to_dense() if g.is_sparse else g
        for value, g in zip(own, found, strict=True)
    ]


def jvp(model: Model, inputs: tuple[Any, ...], w: list[Any]) -> Any:
    """Return J w in forward mode."""
    chosen = {name: model.state[name].detach() for name in model.names}
    tangent = dict(zip(model.names, w, strict=True))
    with _plain_attention():
        _, moved = torch.func.jvp(lambda own: model(inputs, own), (chosen,), (tangent,))
    return moved.detach()


def double_backward(model: Model, inputs: tuple[Any, ...], w: list[Any]) -> Any:
    """Return J w as the derivative of <J^T u, w> by u."""
    with torch.enable_grad(), _plain_attention():
        out = model(inputs)
        if not out.requires_grad:
            return torch.zeros_like(out)
        u = torch.zeros_like(out, requires_grad=True)
        found = torch.autograd.grad(
            out,
            [model.state[name] for name in model.names],
            u,
            create_graph=True,
            allow_unused=True,
        )
        along = sum(
            ((g * part).sum() for g, part in zip(found, w, strict=True) if g is not None),
            start=u.sum() * 0,
        )
        (moved,) = torch.autograd.grad(along, u)
    return moved.detach()


def choose(model: Model, inputs: tuple[Any, ...], v: Any) -> tuple[str, str]:
    """Return how J w can be had for the module, and why it cannot; "" where there is none.

    Checked by <v, J w> = <J^T v, w>, for random v of shape (n, outputs).
    """
    w = vjp(model, inputs, v)
    expected = sum((each * each).sum() for each in w)
    why = ""
    for way, apply in ((FORWARD, jvp), (REVERSE, double_backward)):
        try:
            with warnings.catch_warnings():
                # PyTorch loads forward derivatives with a function of its own that it deprecates.
                warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
                warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
                found = (v * apply(model, inputs, w)).sum()
        except (RuntimeError, NotImplementedError) as error:  # an operation without a derivative
            why = f"no products with its Jacobian: {str(error).splitlines()[0][:80]}"
            continue
        if bool((found - expected).abs() <= torch.finfo(v.dtype).eps ** 0.5 * expected):
            return way, ""
        why = "forward and backward derivatives of the module differ"
    return "", why


def _plain_attention() -> Any:
    """Attention in operations that have all derivatives."""
    return torch.nn.attention.sdpa_kernel([torch.nn.attention.SDPBackend.MATH])
