"""Which parameters the hooks see completely: tried on a few samples, against autograd."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import ArchitectureError
from ._jacobian import LOOP, VMAP, jacobians
from ._model import Model
from ._terms import can_pair, grouped, terms_of
from ._torch import torch
from ._uses import Pass, record, strangers

__all__ = ["Findings", "jacobian_way", "look"]


@dataclass(frozen=True)
class Findings:
    """What a first pass has shown.

    Attributes
    ----------
    outputs : int
    layers : tuple of str
        Parameters whose every use is a known layer's.
    refused : dict
        Why another parameter is not among them, by name.
    unused : tuple of str
        Parameters that the output does not depend on.
    pairable : tuple of str
        Weights of `layers` whose positions can be paired.
    graph_bytes : int
        What a forward pass keeps for the backward one, per sample.
    gradient : dict
        Of a random combination of the outputs, `sums`, by parameter; None where unused.
    sums : tensor, shape (n, outputs)
    """

    outputs: int
    layers: tuple[str, ...]
    refused: dict[str, str]
    unused: tuple[str, ...]
    pairable: tuple[str, ...]
    graph_bytes: int
    gradient: dict[str, Any]
    sums: Any


def look(model: Model, inputs: tuple[Any, ...]) -> Findings:
    """Apply the module to a few samples and compare what the hooks give with autograd."""
    n, names = len(inputs[0]), frozenset(model.names)
    sizes: dict[int, int] = {}
    own = {value.untyped_storage().data_ptr() for value in model.state.values()}

    def pack(value: Any) -> Any:
        storage = value.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        done = record(model, inputs, names)
    model.check_samples(inputs, done.out)
    generator = torch.Generator().manual_seed(0)
    sums = torch.randn(done.out.shape, generator=generator, dtype=torch.float64)
    sums = sums.to(done.out.device, done.out.dtype)
    gradient = _gradient(model, done, sums)
    foreign = strangers(model, done, names)
    done.backward()
    refused: dict[str, str] = {}
    unused = tuple(name for name in model.names if gradient[name] is None)
    seen = {name for use in done.uses for name in (use.weight, use.bias) if name is not None}
    for name in model.names:
        if name in unused:
            continue
        if name not in seen:
            refused[name] = "no known layer uses it"
        elif name in foreign:
            refused[name] = "it is used outside of known layers, too"
        elif not _agree(terms_of(done, {}, frozenset({name}), sums)[0].s, gradient[name]):
            refused[name] = "its layer does not keep the samples in order along the first axis"
    layers = tuple(name for name in model.names if name not in refused and name not in unused)
    uses = grouped(done)
    pairable = tuple(name for name in layers if name in uses and can_pair(uses[name]))
    return Findings(
        done.out.shape[1],
        layers,
        refused,
        unused,
        pairable,
        sum(sizes.values()) // n,
        gradient,
        sums,
    )


def jacobian_way(
    model: Model, inputs: tuple[Any, ...], names: tuple[str, ...], findings: Findings
) -> tuple[str, str]:
    """Return how the Jacobian by the named parameters is to be had, and why not by vmap."""
    why = ""
    for way in (VMAP, LOOP):
        try:
            found = jacobians(model, inputs, names, way, findings.sums)
        except Exception as error:  # whatever a transform or a module makes of it
            if way == LOOP:
                raise
            why = f"vmap refuses the module ({str(error).splitlines()[0][:80]})"
            continue
        pairs = zip(found, names, strict=True)
        if all(_agree(j, findings.gradient[name]) for j, name in pairs):
            return way, why
        why = "vmap gives another gradient than autograd"
    raise ArchitectureError(
        f"the gradient of {model.module.__class__.__name__} for one sample is another one alone "
        "than in a batch: such a module has no tangent kernel"
    )


def _gradient(model: Model, done: Pass, sums: Any) -> dict[str, Any]:
    if not done.out.requires_grad:
        return dict.fromkeys(model.names)
    total = (done.out * sums).sum()
    found = torch.autograd.grad(
        total, [model.state[name] for name in model.names], retain_graph=True, allow_unused=True
    )
    return {
        name: None if g is None else g.to_dense() if g.is_sparse else g
        for name, g in zip(model.names, found, strict=True)
    }


def _agree(jacobian: Any, gradient: Any) -> bool:
    """Whether a Jacobian's sum over samples is the gradient of the sum.

    A wrong order of samples is off by the size of the numbers; rounding by far less.
    """
    total = jacobian.sum(0).reshape(-1)
    expected = torch.zeros_like(total) if gradient is None else gradient.reshape(-1)
    bound = torch.finfo(total.dtype).eps ** 0.5 * jacobian.abs().sum(0).max()
    return bool(((total - expected).abs() <= bound).all())
