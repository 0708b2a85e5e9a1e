"""Add the kernel of terms: by the core in host memory, by PyTorch on a device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._threads import resolve_threads
from . import _on_device
from ._terms import Term
from ._torch import torch

__all__ = ["add", "mirror", "on_core", "swapped", "workplace"]

# Bytes of the unit vectors of tokens that are made at a time.
_TOKEN_BYTES = 1 << 25


def on_core(terms: list[Any]) -> bool:
    """Whether the terms are in host memory."""
    return all(isinstance(t, np.ndarray) or t.s.device.type == "cpu" for t in terms)


@contextmanager
def workplace(block: Any, terms: list[Any]) -> Iterator[Any]:
    """Yield what is to be added to: the block, or a copy of it where the terms are."""
    if on_core(terms) or not isinstance(block, np.ndarray):
        yield block
        return
    place = torch.from_numpy(np.ascontiguousarray(block)).to(terms[0].s.device)
    yield place
    block[...] = place.cpu().numpy()


def add(out: Any, left: list[Any], right: list[Any] | None, mode: str) -> None:
    """Add to out, an array or a tensor of shape (n, m, O, O), (n, m) or (n, m, O).

    Terms are those of `_terms`, or Jacobians as arrays of shape (n, O, parameters). Without `right`
    the kernel of `left` with itself, of which only the lower part is valid until `mirror`.
    """
    if not isinstance(out, np.ndarray):
        _on_device.add(out, left, left if right is None else right, mode)
        return
    threads = resolve_threads()
    matrices: list[tuple[Term, Term | None]] = []
    for k, ours in enumerate(left):
        theirs = None if right is None else right[k]
        if isinstance(ours, np.ndarray):
            _core.contract_jacobians(ours, theirs, mode, out, threads)
        elif ours.a is None:
            other = None if theirs is None else _jacobian(theirs)
            _core.contract_jacobians(_jacobian(ours), other, mode, out, threads)
        elif ours.a.is_floating_point():
            matrices.append((ours, theirs))
        else:
            _add_tokens(out, ours, theirs, mode, threads)
    if matrices:
        _add_matrices(out, matrices, mode, threads)


def mirror(out: Any, mode: str) -> None:
    """Make a kernel of samples with themselves exactly symmetric; the lower part decides."""
    if isinstance(out, np.ndarray):
        _core.mirror_kernel(out, mode, resolve_threads())
    else:
        _on_device.mirror(out)


def swapped(block: Any) -> Any:
    """Return the block of the other samples with these: K(x', x) from K(x, x')."""
    axes = (1, 0, 3, 2) if block.ndim == 4 else (1, 0, 2)[: block.ndim]
    return block.transpose(axes) if isinstance(block, np.ndarray) else block.permute(axes)


def _jacobian(term: Term) -> NDArray[Any]:
    return np.asarray(term.s[:, :, 0].numpy())


def _add_matrices(
    out: NDArray[Any], terms: list[tuple[Term, Term | None]], mode: str, threads: int
) -> None:
    pairs = [
        (ours, None) if theirs is None else _equally_long(ours, theirs) for ours, theirs in terms
    ]
    left = [(ours.a.numpy(), ours.s.numpy()) for ours, _ in pairs]
    right = [(theirs.a.numpy(), theirs.s.numpy()) for _, theirs in pairs if theirs is not None]
    scales = [(1.0, float(ours.bias)) for ours, _ in pairs]
    # The pairs of positions were chosen by measurement; see _plan.
    _core.contract_uses(left, right or None, scales, mode, out, threads, order="pairs")


def _equally_long(ours: Term, theirs: Term) -> tuple[Term, Term]:
    """Fill up with positions that count nothing: samples on one side may be longer."""
    length = max(ours.s.shape[2], theirs.s.shape[2])
    return _filled(ours, length), _filled(theirs, length)


def _filled(term: Term, length: int) -> Term:
    n, outputs, positions, units = term.s.shape
    if positions == length:
        return term
    a = torch.cat([term.a, term.a.new_zeros((n, length - positions, term.a.shape[2]))], 1)
    s = torch.cat([term.s, term.s.new_zeros((n, outputs, length - positions, units))], 2)
    return Term(a, s, term.bias)


def _add_tokens(
    out: NDArray[Any], ours: Term, theirs: Term | None, mode: str, threads: int
) -> None:
    """Tokens that both sides have, as unit vectors of their number."""
    other = ours if theirs is None else theirs
    longest = max(ours.a.shape[1], other.a.shape[1])
    # A block of samples has at most all its positions as tokens.
    edge = max(1, int((_TOKEN_BYTES / ours.s.element_size()) ** 0.5) // longest)
    for i in range(0, len(ours.s), edge):
        for j in range(0, len(other.s), edge):
            if theirs is None and j > i:
                break
            a, b = ours.a[i : i + edge], other.a[j : j + edge]
            common = np.intersect1d(a.numpy(), b.numpy())
            common = torch.from_numpy(common[common >= 0])
            if not len(common):
                continue
            s, t = ours.s[i : i + edge], other.s[j : j + edge]
            block = out[i : i + edge, j : j + edge]
            own = theirs is None and i == j
            against = None if own else _vectors(b, t, common)
            _add_matrices(block, [(_vectors(a, s, common), against)], mode, threads)


def _vectors(tokens: Any, s: Any, common: Any) -> Term:
    return Term((tokens[:, :, None] == common).to(s.dtype), s.contiguous(), False)
