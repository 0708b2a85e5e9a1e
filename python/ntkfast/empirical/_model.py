"""A module as a function of its parameters and of samples that do not depend on each other."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from .._validate import got, known
from ..errors import ArchitectureError
from ._torch import torch

__all__ = ["Model"]


class Model:
    """A module with copies of its parameters and buffers, so that the user's are never touched.

    Parameters
    ----------
    module : torch.nn.Module
    parameters
        Which ones are differentiated; see `ntkfast.empirical.ntk`.
    device, dtype
        None: those of the parameters.

    Attributes
    ----------
    names : tuple of str
        Of the parameters that are differentiated.
    state : dict
        All parameters and buffers by name; those in `names` require gradients.
    """

    def __init__(self, module: Any, parameters: Any, device: Any, dtype: Any) -> None:
        if not isinstance(module, torch.nn.Module):
            raise TypeError(f"module must be a torch.nn.Module, {got(module)}")
        module = getattr(module, "_orig_mod", module)  # what torch.compile wraps
        self.module = module
        own = dict(module.named_parameters())
        for name, value in own.items():
            if isinstance(value, torch.nn.parameter.UninitializedParameter):
                raise ValueError(f"parameter {name!r} has no shape yet: apply the module once")
        self.names = _selected(module, own, parameters)
        for name in self.names:
            if not own[name].is_floating_point():
                raise TypeError(f"parameter {name!r} must be real, got dtype {own[name].dtype}")
        self.dtype = _dtype([own[name] for name in self.names] or list(own.values()), dtype)
        self.device = torch.device(device) if device is not None else _device(own)
        self.state: dict[str, Any] = {}
        for name, value in own.items():
            copy = self._placed(value.detach())
            # detach() shares memory, but not the flag that asks for gradients.
            self.state[name] = copy.requires_grad_(name in set(self.names))
        for name, value in module.named_buffers():
            self.state[name] = self._placed(value.detach()).clone()
        _refuse_coupled(module)

    def _placed(self, value: Any) -> Any:
        return value.to(self.device, self.dtype if value.is_floating_point() else value.dtype)

    def __call__(self, inputs: tuple[Any, ...], chosen: dict[str, Any] | None = None) -> Any:
        """Return the outputs, shape (n, outputs); `chosen` replaces some parameters."""
        state = self.state if chosen is None else {**self.state, **chosen}
        # A copy: the module may overwrite what it is given.
        given = tuple(x.clone() for x in inputs)
        out = torch.func.functional_call(self.module, state, given)
        if not isinstance(out, torch.Tensor):
            raise TypeError(f"the module must return one tensor, {got(out)}")
        n = len(inputs[0])
        if n == 1:  # squeeze() takes the axis of a single sample away, too
            out = out.reshape(1, -1)
        if out.ndim == 0 or len(out) != n:
            raise ValueError(
                f"the module must return one row for each of the {n} samples, got shape "
                f"{tuple(out.shape)}"
            )
        if not out.is_floating_point():
            raise TypeError(f"the module must return real numbers, got dtype {out.dtype}")
        return out.reshape(n, out.numel() // n if n else _row_size(out))

    def size(self, names: Iterable[str] | None = None) -> int:
        """Return how many numbers the named parameters hold."""
        return sum(self.state[name].numel() for name in (self.names if names is None else names))

    def check_samples(self, inputs: tuple[Any, ...], out: Any) -> None:
        """Raise unless each sample's output is the same with and without the others."""
        alone = [self(tuple(x[i : i + 1] for x in inputs)).detach() for i in range(len(out))]
        # Rounding depends on the size of the batch; another function differs by far more.
        bound = torch.finfo(self.dtype).eps ** 0.5 * out.detach().abs().max()
        if bool(((torch.cat(alone) - out.detach()).abs() > bound).any()):
            raise ArchitectureError(
                "the module's output for one sample depends on the other samples, or is random: "
                "such a function has no tangent kernel; module.eval() helps where layers behave "
                "differently in training"
            )


def _row_size(out: Any) -> int:
    size = 1
    for axis in out.shape[1:]:
        size *= axis
    return size


def _dtype(parameters: list[Any], dtype: Any) -> Any:
    if dtype is not None:
        wanted = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
        if not isinstance(wanted, torch.dtype):  # a NumPy dtype
            wanted = {"float32": torch.float32, "float64": torch.float64}.get(
                getattr(dtype, "__name__", str(dtype))
            )
        if wanted not in (torch.float32, torch.float64):
            raise TypeError(f"dtype must be float32 or float64, {got(dtype)}")
        return wanted
    if any(value.dtype == torch.float64 for value in parameters):
        return torch.float64
    return torch.float32


def _device(own: dict[str, Any]) -> Any:
    devices = {value.device for value in own.values()}
    if len(devices) > 1:
        raise ValueError(
            f"the parameters must be on one device, got {known(map(str, devices))}: give device="
        )
    return devices.pop() if devices else torch.device("cpu")


# --- Which parameters --------------------------------------------------------------------------


def _selected(module: Any, own: dict[str, Any], parameters: Any) -> tuple[str, ...]:
    if parameters is None:
        return tuple(name for name, value in own.items() if value.requires_grad)
    if isinstance(parameters, torch.nn.Module):
        parameters = parameters.parameters()
    if isinstance(parameters, (str, torch.Tensor)) or not isinstance(parameters, Iterable):
        if callable(parameters):
            return tuple(name for name, value in own.items() if parameters(name, value))
        parameters = (parameters,)
    by_id = {id(value): name for name, value in own.items()}
    # A tied parameter has several names, of which `own` holds the first.
    aliases = {
        name: by_id[id(value)] for name, value in module.named_parameters(remove_duplicate=False)
    }
    found: set[str] = set()
    for wanted in parameters:
        if isinstance(wanted, torch.Tensor):
            hits = {by_id[id(wanted)]} if id(wanted) in by_id else set()
            text = f"a tensor of shape {tuple(wanted.shape)}"
        elif isinstance(wanted, str):
            hits = {own_name for name, own_name in aliases.items() if fnmatchcase(name, wanted)}
            text = repr(wanted)
        else:
            raise TypeError(
                "parameters must be names, patterns, parameters of the module, or a function of "
                f"(name, parameter), {got(wanted)}"
            )
        if not hits:
            raise ValueError(
                f"parameters: {text} is none of the module's parameters; those are {known(aliases)}"
            )
        found |= hits
    return tuple(name for name in own if name in found)


# --- Samples that depend on each other ---------------------------------------------------------


def _refuse_coupled(module: Any) -> None:
    for name, part in module.named_modules():
        label = f"{name or 'the module'} ({type(part).__name__})"
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm) and (
            part.training or part.running_mean is None
        ):
            raise ArchitectureError(
                f"{label} normalises over the samples of a batch, which then depend on each other: "
                "call module.eval(), which uses the running statistics"
            )
        if isinstance(part, torch.nn.modules.dropout._DropoutNd) and part.training and part.p > 0:
            raise ArchitectureError(
                f"{label} is random in training mode: call module.eval() for the kernel of the "
                "network without dropout"
            )
        if isinstance(part, torch.nn.Embedding) and (
            part.max_norm is not None or part.scale_grad_by_freq
        ):
            raise ArchitectureError(
                f"{label} has max_norm or scale_grad_by_freq: its gradient is not the derivative "
                "of a function of the parameters"
            )
