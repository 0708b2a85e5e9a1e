"""Every use of a parameter in one pass: the layer's input, and the signals by its value.

Forward hooks note the input of each known layer and the edge of the graph that leads to its value;
the backward passes stop at these edges. An edge stays valid when a later operation overwrites the
value in place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ._layers import Layer, layer_of
from ._model import Model
from ._torch import torch

__all__ = ["Pass", "Use", "record", "strangers"]


@dataclass
class Use:
    """One call of a layer.

    Attributes
    ----------
    module, layer
        Whose, and how it is read.
    weight, bias : str or None
        Names of those parameters of the layer that are differentiated.
    x : tensor
        The input.
    edge
        Of the graph, to the value.
    signal : tensor, shape (n, outputs, positions, units)
        Set by `Pass.backward`; None if the output does not depend on this use.
    """

    module: Any
    layer: Layer
    weight: str | None
    bias: str | None
    x: Any
    edge: Any
    signal: Any = None

    def inputs(self, n: int) -> Any:
        """Return a of shape (n, positions, fan-in)."""
        return self.layer.inputs(self.module, self.x, n)


@dataclass
class Pass:
    """A forward pass of some samples with all uses of known layers."""

    out: Any
    uses: list[Use] = field(default_factory=list)

    def backward(self) -> None:
        """Pull every output back to every use; the graph is then gone."""
        n, outputs = self.out.shape
        reached = [use for use in self.uses if use.edge is not None]
        if not reached or not self.out.requires_grad:
            return
        for c in range(outputs):
            found = torch.autograd.grad(
                self.out[:, c].sum(),
                [use.edge for use in reached],
                retain_graph=c + 1 < outputs,
                allow_unused=True,
            )
            for use, g in zip(reached, found, strict=True):
                if g is None:
                    continue
                signal = use.layer.signals(use.module, g, n)
                if use.signal is None:
                    shape = (n, outputs, *signal.shape[1:])
                    use.signal = torch.zeros(shape, dtype=g.dtype, device=g.device)
                use.signal[:, c] = signal


def record(model: Model, inputs: tuple[Any, ...], names: frozenset[str]) -> Pass:
    """Apply the module and note all uses of the named parameters that are known layers'.

    An input that is overwritten later needs no care: autograd itself refuses such a module.
    """
    uses: list[Use] = []
    # The module holds these tensors while functional_call runs, whatever it calls them.
    ids = {id(model.state[name]): name for name in names}

    def note(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], z: Any) -> None:
        own = {
            key: ids.get(id(value))
            for key in ("weight", "bias")
            if (value := module._parameters.get(key)) is not None
        }
        layer = layer_of(module)
        if layer is None or not any(own.values()) or not z.requires_grad:
            return
        x = (args[0] if args else kwargs["input"]).detach()
        if not layer.fits(module, x, len(inputs[0])):
            return
        uses.append(
            Use(
                module,
                layer,
                own.get("weight"),
                own.get("bias"),
                x,
                torch.autograd.graph.get_gradient_edge(z),
            )
        )

    with _hooked(model.module, note), torch.enable_grad():
        out = model(inputs)
    return Pass(out, uses)


@contextmanager
def _hooked(module: Any, note: Any) -> Iterator[None]:
    handles = []
    try:
        for part in module.modules():
            if layer_of(part) is not None:
                # First of all hooks: another may replace the value.
                handle = part.register_forward_hook(note, prepend=True, with_kwargs=True)
                handles.append(handle)
        yield
    finally:
        for handle in handles:
            handle.remove()


def strangers(model: Model, done: Pass, names: frozenset[str]) -> frozenset[str]:
    """Return the parameters that the output also reaches by another way than through known layers.

    Counts the edges of the graph that end at each parameter, and compares with the noted uses that
    the output depends on.
    """
    edges: Counter[str] = Counter()
    ids = {id(model.state[name]): name for name in names}
    seen: set[Any] = set()
    stack = [] if done.out.grad_fn is None else [done.out.grad_fn]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        for following, _ in node.next_functions:
            if following is None:
                continue
            variable = getattr(following, "variable", None)
            if variable is not None and id(variable) in ids:
                edges[ids[id(variable)]] += 1
            stack.append(following)
    noted: Counter[str] = Counter()
    for use in done.uses:
        if use.edge.node in seen:
            noted.update(name for name in (use.weight, use.bias) if name is not None)
    return frozenset(name for name in names if edges[name] != noted[name])
