"""PyTorch, imported when it is first used: the package works without it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["torch"]


class _Lazy:
    """Stands for the module and imports it at the first look at an attribute."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # whoever looks at a module's names asks for these
            raise AttributeError(name)
        try:
            module = import_module("torch")
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            raise ModuleNotFoundError(
                "the tangent kernel of a PyTorch module needs PyTorch, which is not installed: "
                "pip install 'ntkfast[torch]' (a Jacobian of another library goes to "
                "ntkfast.empirical.from_jacobian, which needs nothing)",
                name="torch",
            ) from None
        return getattr(module, name)


torch: Any = _Lazy()
