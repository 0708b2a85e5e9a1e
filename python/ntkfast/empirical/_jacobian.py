"""Jacobians of a module by any of its parameters, one sample at a time or many at once."""

from __future__ import annotations

from typing import Any

from ._model import Model
from ._torch import torch

__all__ = ["LOOP", "VMAP", "jacobians"]

#: All samples at once through torch.func, or sample by sample through autograd.
VMAP, LOOP = "vmap", "loop"


def jacobians(
    model: Model, inputs: tuple[Any, ...], names: tuple[str, ...], way: str, sums: Any = None
) -> list[Any]:
    """Return the Jacobian by each named parameter, shape (n, outputs, ...).

    Parameters
    ----------
    model : Model
    inputs : tuple of tensor
    names : tuple of str
    way : {VMAP, LOOP}
    sums : tensor, shape (n, outputs), optional
        One combination of the outputs instead of each.
    """
    chosen = {name: model.state[name].detach() for name in names}
    return (_by_vmap if way == VMAP else _by_loop)(model, inputs, chosen, sums)


def _by_vmap(model: Model, inputs: tuple[Any, ...], chosen: dict[str, Any], sums: Any) -> list[Any]:
    def one(parameters: dict[str, Any], v: Any, *x: Any) -> Any:
        out = model(tuple(part[None] for part in x), parameters)[0]
        return out if sums is None else (out * v).sum()[None]

    rows = torch.zeros((len(inputs[0]), 0)) if sums is None else sums
    each = torch.func.vmap(torch.func.jacrev(one), (None, 0) + (0,) * len(inputs))
    found = each(chosen, rows, *inputs)
    return [found[name].detach() for name in chosen]


def _by_loop(model: Model, inputs: tuple[Any, ...], chosen: dict[str, Any], sums: Any) -> list[Any]:
    chosen = {name: value.requires_grad_() for name, value in chosen.items()}
    found: list[list[Any]] = []
    for i in range(len(inputs[0])):
        with torch.enable_grad():
            out = model(tuple(x[i : i + 1] for x in inputs), chosen)[0]
            if sums is not None:
                out = (out * sums[i]).sum()[None]
        for c in range(len(out)):
            if not out.requires_grad:
                found.append([torch.zeros_like(value) for value in chosen.values()])
                continue
            gradient = torch.autograd.grad(
                out[c], list(chosen.values()), retain_graph=c + 1 < len(out), allow_unused=True
            )
            found.append(
                [
                    torch.zeros_like(value) if g is None else g.to_dense() if g.is_sparse else g
                    for value, g in zip(chosen.values(), gradient, strict=True)
                ]
            )
    n = len(inputs[0])
    return [
        torch.stack([row[k] for row in found]).reshape(n, -1, *value.shape)
        for k, value in enumerate(chosen.values())
    ]
