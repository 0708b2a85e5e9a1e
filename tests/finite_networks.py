"""Networks that the tests of finite width walk over."""

from __future__ import annotations

from typing import Any

import ntkfast as nk
from ntkfast.finite import FiniteNetwork

RESIDUAL = [
    nk.FanOut(2),
    nk.parallel([nk.Relu(), nk.Dense(1.2, 0.1), nk.Erf(), nk.Dense()], nk.Identity()),
    nk.FanInSum(),
]
#: Every operation at least once; hidden layers of 4 units for each of their out_dim.
NETWORKS: dict[str, nk.Network] = {
    "mlp": nk.serial(nk.Dense(1.3, 0.2), nk.Relu(), nk.Dense(1.1, 0.3), nk.Erf(), nk.Dense(1, 0.1)),
    "linear": nk.serial(nk.Dense(0.7)),
    "fixed": nk.mlp(2, nk.Tanh(), b_std=0.1, fixed_layers=1),
    "only the readout": nk.mlp(2, nk.Gelu(), b_std=0.1, fixed_layers=2),
    "standard": nk.serial(
        nk.Dense(1.2, 0.3, out_dim=2, parameterization="standard", s=(1, 2)),
        nk.Relu(),
        nk.Dense(1.1, 0.0, parameterization="standard", s=(2, 1)),
    ),
    "sqrt_dim": nk.models.arora(2),
    "layer norm": nk.serial(nk.Dense(), nk.LayerNorm(eps=0.1), nk.Silu(), nk.Dense()),
    "residual": nk.serial(nk.Dense(1.1), *RESIDUAL, *RESIDUAL, nk.Relu(), nk.Dense()),
    "residual end": nk.serial(nk.Dense(1.1), *RESIDUAL),
    "product": nk.serial(
        nk.FanOut(3),
        nk.parallel([nk.Dense(1.0, 0.1), nk.Relu()], [nk.Dense(), nk.Erf()], [nk.Dense(0.5, 1.0)]),
        nk.FanInProd(),
        nk.Dense(),
    ),
    "concatenation": nk.serial(
        nk.FanOut(2),
        nk.parallel([nk.Dense(out_dim=2), nk.Relu()], [nk.Dense(0.5, 0.3), nk.Sin()]),
        nk.FanInConcat(),
        nk.Dense(),
    ),
    "fixed branch": nk.serial(
        nk.Dense(trainable=False),
        nk.FanOut(2),
        nk.parallel([nk.Relu(), nk.Dense()], [nk.Dense(trainable=False)]),
        nk.FanInSum(),
        nk.Relu(),
        nk.Dense(),
    ),
    "dropout at test time": nk.serial(nk.Dense(), nk.Dropout(0.5, "test"), nk.Relu(), nk.Dense()),
}


def draw(net: nk.Network, **arguments: Any) -> FiniteNetwork:
    return nk.finite.init(net, **{"width": 4, "features": 3, "outputs": 2, **arguments})


def trained(net: nk.Network, parameters: Any) -> list[bool]:
    """Which Dense layers are trained, in the order of the parameters."""
    found: list[bool] = []

    def walk(layers: Any) -> None:
        for layer in layers:
            if isinstance(layer, nk.Dense):
                found.append(layer.trainable)
            for branch in getattr(layer, "branches", ()):
                walk(branch)

    walk(net.layers)
    assert len(found) == len(parameters)
    return found
