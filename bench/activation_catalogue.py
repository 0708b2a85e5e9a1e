"""Every activation of the library, with arguments and rows that keep a deep network in bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import ntkfast as nk
from ntkfast import stax
from ntkfast.layers import LAYERS, Activation

#: Arguments where there are none by default, or where those would overflow in a deep network.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "LeakyRelu": {"alpha": 0.1},
    "ABRelu": {"a": -0.3, "b": 1.2},
    "Exp": {"a": 1.0, "b": 0.5},
    "Monomial": {"degree": 3},
    "RectifiedMonomial": {"degree": 2},
    "Hermite": {"degree": 4},
    "Polynomial": {"coef": [0.1, 0.5, 0.2]},
}

#: Functions that grow faster than their argument amplify the spread of the norms layer by layer.
STEEP = frozenset({"Monomial", "RectifiedMonomial", "Hermite", "Polynomial"})

#: What neural-tangents has as numerical quadrature alone: its function in JAX.
NUMERICAL = {
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "Softplus": "softplus",
    "Silu": "silu",
    "Elu": "elu",
    "Selu": "selu",
    "Relu6": "relu6",
    "Hardtanh": "hard_tanh",
}
NUMERICAL_NODES = 40
NUMERICAL_ROWS = 96  # its quadrature keeps nodes**2 numbers per entry
PEER_HAS = frozenset(stax.activations.__all__) - {"Elementwise", "ElementwiseNumerical"}
#: Nothing to time, or no dictionary to make it from.
LEFT_OUT = frozenset({"Identity", "Elementwise"})


@dataclass(frozen=True)
class Subject:
    """One activation: what each library calls it, and which networks and rows it is timed in."""

    label: str
    activation: dict[str, Any]
    peer: dict[str, Any] | None
    spread: float  # norms of the rows differ by so much to either side
    depths: tuple[int, int]
    peer_rows: int

    def w_std(self, b_std: float) -> float:
        """W_std at which a variance of 1 in front of the activation comes back behind the Dense."""
        arguments = {key: value for key, value in self.activation.items() if key != "type"}
        layer = LAYERS[self.activation["type"]](**arguments)
        z = np.linspace(-12, 12, 4801)
        weight = np.exp(-(z**2) / 2)
        if isinstance(layer, Activation) and self.activation["type"] != "ExpNormalized":
            second_moment = float(weight @ layer.phi(z) ** 2 / weight.sum())
        else:
            second_moment = 1.0
        return float(((1 - b_std**2) / second_moment) ** 0.5)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def catalogue() -> list[Subject]:
    """Return all activations; numerical ones twice, because equal norms allow a shorter way."""
    return list(_subjects())


def _subjects() -> Iterator[Subject]:
    for name, cls in LAYERS.items():
        if not issubclass(cls, Activation) or name in LEFT_OUT:
            continue
        arguments = ARGUMENTS.get(name, {})
        activation = {"type": name, **arguments}
        peer_rows = 1 << 30
        peer: dict[str, Any] | None = None
        if name in NUMERICAL:
            peer_rows = NUMERICAL_ROWS
            fn = NUMERICAL[name]
            peer = {"type": "ElementwiseNumerical", "fn": fn, "deg": NUMERICAL_NODES}
        elif name in PEER_HAS:
            peer = activation
        if name in STEEP:
            yield Subject(name, activation, peer, 0.001, (1, 4), peer_rows)
            continue
        yield Subject(name, activation, peer, 0.1, (2, 12), peer_rows)
        if name in NUMERICAL or name == "Relu":
            yield Subject(f"{name}, equal norms", activation, peer, 0.0, (2, 12), peer_rows)


def describe(subject: dict[str, Any]) -> str:
    """Return a subject's label with its arguments."""
    arguments = {key: value for key, value in subject["activation"].items() if key != "type"}
    name = subject["activation"]["type"]
    shown = repr(nk.from_dict({"type": "serial", "layers": _behind_dense(name, arguments)}))
    return subject["label"].replace(name, shown.removeprefix("serial(Dense(), ")[:-1], 1)


def _behind_dense(name: str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": "Dense"}, {"type": name, **arguments}]
