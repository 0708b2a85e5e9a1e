"""Terms of samples: from a module's passes, or from Jacobians that somebody else computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ._jacobian import jacobians
from ._model import Model
from ._samples import Samples
from ._terms import Term, explicit, terms_of
from ._uses import record

__all__ = ["ModuleSource", "Served"]


@dataclass(frozen=True)
class Served:
    """Which way each parameter's part of the kernel is computed.

    Attributes
    ----------
    layers : tuple of str
        Parameters that hooks see in all their uses.
    ways : mapping
        Of these weights those whose pairs of positions are multiplied; the Jacobian by the others
        is gathered from inputs and signals.
    jacobian : tuple of str
        Parameters whose Jacobian comes from functional transforms.
    how : str
        How that one is computed.
    """

    layers: tuple[str, ...]
    ways: Mapping[str, str]
    jacobian: tuple[str, ...]
    how: str


class ModuleSource:
    """Passes of a module.

    Parameters
    ----------
    model : Model
    samples : Samples
    served : Served
    groups : sequence of frozenset of str
        Parameters that are handled together.
    """

    def __init__(
        self, model: Model, samples: Samples, served: Served, groups: tuple[frozenset[str], ...]
    ) -> None:
        self._model, self._samples, self._served, self._groups = model, samples, served, groups

    def __len__(self) -> int:
        return len(self._samples)

    def terms(self, start: int, stop: int, group: int) -> list[Term]:
        """Return the terms of some samples by the parameters of a group."""
        inputs, names = self._samples.rows(start, stop), self._groups[group]
        found: list[Term] = []
        by_layer = names & frozenset(self._served.layers)
        if by_layer:
            done = record(self._model, inputs, by_layer)
            done.backward()
            found += terms_of(done, dict(self._served.ways), by_layer)
        rest = tuple(name for name in self._served.jacobian if name in names)
        if rest:
            found.append(explicit(jacobians(self._model, inputs, rest, self._served.how)))
        return found
