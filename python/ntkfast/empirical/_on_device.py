"""The contraction of terms by PyTorch, where they lie on a device that the core does not reach."""

from __future__ import annotations

from typing import Any

from ._terms import Term
from ._torch import torch

__all__ = ["add", "mirror"]

# Bytes of one product: small beside a device's memory, large enough to keep it busy.
_TILE_BYTES = 1 << 27


def add(out: Any, left: list[Term], right: list[Term], mode: str) -> None:
    """Add the kernel of the terms to out: (n, m, O, O), (n, m) or (n, m, O)."""
    for ours, theirs in zip(left, right, strict=True):
        outputs, u, v = ours.s.shape[1], ours.s.shape[2], theirs.s.shape[2]
        wide = outputs if mode == "full" else 1
        cells = u * v * wide * wide * ours.s.element_size()
        edge = max(1, int((_TILE_BYTES / cells) ** 0.5))
        for i in range(0, len(ours.s), edge):
            for j in range(0, len(theirs.s), edge):
                a, b = slice(i, i + edge), slice(j, j + edge)
                out[a, b] += _tile(_part(ours, a), _part(theirs, b), mode)


def mirror(out: Any) -> None:
    """Make a kernel of samples with themselves exactly symmetric; the lower part decides."""
    n = len(out)
    if out.ndim == 2:
        out.copy_(out.tril() + out.tril(-1).T)
    elif out.ndim == 3:
        lower = out.permute(2, 0, 1)
        out.copy_((lower.tril() + lower.tril(-1).transpose(1, 2)).permute(1, 2, 0))
    else:
        outputs = out.shape[2]
        flat = out.transpose(1, 2).reshape(n * outputs, n * outputs)
        flat = flat.tril() + flat.tril(-1).T
        out.copy_(flat.reshape(n, outputs, n, outputs).transpose(1, 2))


def _part(term: Term, rows: slice) -> Term:
    return Term(None if term.a is None else term.a[rows], term.s[rows], term.bias)


def _tile(ours: Term, theirs: Term, mode: str) -> Any:
    s, t = ours.s, theirs.s
    n, outputs, u, units = s.shape
    m, v = len(t), t.shape[2]
    factor = _factor(ours, theirs)  # (n, u, m, v), or None for ones
    if mode == "full":
        product = (s.reshape(-1, units) @ t.reshape(-1, units).T).reshape(
            n, outputs, u, m, outputs, v
        )
        if factor is not None:
            product *= factor[:, None, :, :, None, :]
        return product.sum((2, 5)).transpose(1, 2)
    if mode == "trace":
        x = s.transpose(1, 2).reshape(n * u, -1)
        y = t.transpose(1, 2).reshape(m * v, -1)
        return _summed(x @ y.T, factor, (n, u, m, v)) / outputs
    each = [
        _summed(
            s[:, c].reshape(n * u, units) @ t[:, c].reshape(m * v, units).T, factor, (n, u, m, v)
        )
        for c in range(outputs)
    ]
    return torch.stack(each, 2)


def _summed(product: Any, factor: Any, shape: tuple[int, ...]) -> Any:
    product = product.reshape(shape)
    return (product if factor is None else product * factor).sum((1, 3))


def _factor(ours: Term, theirs: Term) -> Any:
    a, b = ours.a, theirs.a
    if a is None:
        return None
    if not a.is_floating_point():  # tokens: products of unit vectors
        equal = (a[:, :, None, None] == b[None, None]) & (a >= 0)[:, :, None, None]
        return equal.to(ours.s.dtype)
    product = a.reshape(-1, a.shape[2]) @ b.reshape(-1, b.shape[2]).T
    return (product + float(ours.bias)).reshape(*a.shape[:2], *b.shape[:2])
