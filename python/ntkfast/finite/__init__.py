"""Networks of finite width, drawn from the description of an infinite one.

>>> import ntkfast as nk
>>> net = nk.mlp(2, b_std=0.1)
>>> f = nk.finite.init(net, width=256, seed=0)
>>> X, y = [[1.0, 0.0], [0.0, 1.0]], [1.0, -1.0]
>>> trained = f.train(X, y, steps=200).network
>>> bool(abs(trained(X)[:, 0] - y).max() < 1e-2)
True
"""

from __future__ import annotations

from ._network import FiniteNetwork, from_parameters, init
from ._parameters import DenseParameters
from ._taylor import TaylorModel
from ._training import Training

__all__ = ["DenseParameters", "FiniteNetwork", "TaylorModel", "Training", "from_parameters", "init"]
