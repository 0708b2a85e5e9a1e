"""What the kernel of some samples is made of: terms, one per parameter or group of them.

A term holds the factors of a Jacobian, J_c = sum_u s_cu a_u^T, and the kernel of two terms is
sum_uv (<a_u, a'_v> + bias) <s_cu, s'_c'v>. Where positions are many, the Jacobian itself is smaller
and faster to contract: then it is *gathered*, which is the case of one position without inputs.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from ._torch import torch
from ._uses import Pass, Use

__all__ = ["GATHERED", "PAIRS", "Term", "can_pair", "explicit", "grouped", "terms_of"]

#: The ways of a known layer: products of pairs of positions, or of its Jacobian.
PAIRS, GATHERED = "pairs", "gathered"


@dataclass
class Term:
    """Factors of the Jacobian by some parameters.

    Attributes
    ----------
    a : tensor or None
        Inputs, (n, positions, fan-in); integers (n, positions) stand for unit vectors, negative
        ones for zero.
    s : tensor, shape (n, outputs, positions, units)
        Signals; without `a` the Jacobian itself, with one position.
    bias : bool
        Whether a bias is added to what `a` multiplies; without `a` always.
    """

    a: Any
    s: Any
    bias: bool

    def bytes(self) -> int:
        """Size of both factors."""
        return sum(x.numel() * x.element_size() for x in (self.a, self.s) if x is not None)


def grouped(done: Pass) -> dict[str, list[Use]]:
    """Return the uses of every weight."""
    uses: dict[str, list[Use]] = defaultdict(list)
    for use in done.uses:
        if use.weight is not None:
            uses[use.weight].append(use)
    return uses


def can_pair(uses: list[Use]) -> bool:
    """Whether the uses of one weight have factors of one kind."""
    return {use.layer.kind for use in uses} in ({"matrix"}, {"tokens"})


def terms_of(
    done: Pass, ways: dict[str, str], names: frozenset[str], sums: Any = None
) -> list[Term]:
    """Return the terms of the named parameters, all by known layers.

    Parameters
    ----------
    done : Pass
        With its signals.
    ways : dict
        `PAIRS` or `GATHERED` by weight; the latter where it says nothing.
    names : frozenset of str
        Whose terms.
    sums : tensor, shape (n, outputs), optional
        One combination of the outputs instead of each.
    """
    n = len(done.out)
    live = [use for use in done.uses if use.signal is not None]
    signal = {
        id(use): use.signal
        if sums is None
        else torch.einsum("nc,ncuk->nuk", sums, use.signal)[:, None]
        for use in live
    }
    weights: dict[str, list[Use]] = defaultdict(list)
    biases: dict[str, list[Use]] = defaultdict(list)
    for use in live:
        if use.weight is not None and use.weight in names:
            weights[use.weight].append(use)
        if use.bias is not None and use.bias in names:
            biases[use.bias].append(use)
    terms, jacobians = [], []
    for weight, uses in sorted(weights.items()):
        if ways.get(weight) != PAIRS:
            jacobians.append(sum(_gathered(use, signal[id(use)], n) for use in uses))
            continue
        # A bias that goes with the weight in every use of both costs nothing beside it.
        bias = uses[0].bias
        joined = bias is not None and biases.get(bias) == uses
        if bias is not None and joined:
            del biases[bias]
        a = [use.inputs(n) for use in uses]
        if uses[0].layer.kind == "tokens":
            a = [_without_padding(use, x) for use, x in zip(uses, a, strict=True)]
        terms.append(
            Term(
                torch.cat(a, 1).contiguous(),
                torch.cat([signal[id(use)] for use in uses], 2).contiguous(),
                joined,
            )
        )
    for _, uses in sorted(biases.items()):
        jacobians.append(sum(signal[id(use)].sum(2) for use in uses))
    if jacobians:
        terms.append(explicit(jacobians))
    return terms


def explicit(jacobians: list[Any]) -> Term:
    """Return the term of Jacobians of shape (n, outputs, ...)."""
    flat = [j.reshape(*j.shape[:2], -1) for j in jacobians]
    j = flat[0] if len(flat) == 1 else torch.cat(flat, 2)
    return Term(None, j[:, :, None].contiguous(), True)


def _gathered(use: Use, s: Any, n: int) -> Any:
    """Return the Jacobian by the weight in its own order, shape (n, outputs, size)."""
    a = use.inputs(n)
    if use.layer.kind == "scale":
        return torch.einsum("nouk,nuk->nok", s, a)
    if use.layer.kind == "matrix":
        if a.shape[1] == 1:
            return (s[:, :, 0, :, None] * a[:, None, 0, None, :]).flatten(2)
        return torch.matmul(s.transpose(2, 3), a[:, None]).flatten(2)
    outputs, width = s.shape[1], s.shape[3]
    a = _without_padding(use, a)
    at = torch.where(a < 0, 0, a)
    s = s * (a >= 0)[:, None, :, None]
    j = torch.zeros((n, outputs, use.module.num_embeddings, width), dtype=s.dtype, device=s.device)
    j.scatter_add_(2, at[:, None, :, None].expand_as(s), s)
    return j.flatten(2)


def _without_padding(use: Use, tokens: Any) -> Any:
    padding = use.module.padding_idx
    tokens = tokens.long()
    return tokens if padding is None else torch.where(tokens == padding, -1, tokens)
