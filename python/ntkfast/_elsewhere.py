"""What users of neural-tangents look for at the top level of a package, and where it is here."""

from __future__ import annotations

__all__ = ["HINTS"]

_FINITE = "nk.finite.init(net, width=...) draws a network of finite width, which has ntk()"

#: Name at the top level of neural-tangents -> the rest of the message of an AttributeError.
HINTS: dict[str, str] = {
    "batch": "take kernel_fn as it is, kernels are computed in tiles by all threads anyway",
    "empirical_kernel_fn": _FINITE,
    "empirical_nngp_fn": _FINITE,
    "empirical_ntk_fn": _FINITE,
    "linearize": "nk.finite.init(net, width=...).linearize()",
    "taylor_expand": "nk.finite.init(net, width=...).linearize() is the one of first order",
    "monte_carlo_kernel_fn": "kernels of all layers are exact here: take kernel_fn as it is",
}
