"""scikit-ntk: the NTK of a ReLU network as a scikit-learn kernel.

It returns the NTK alone, in a normalisation of its own, and its bias enters the NTK only (never the
covariance), so with a bias it is another kernel. It runs without bias, which changes neither its
work per entry nor its accuracy. It then is 1/(depth + 1) times the NTK of Dense layers with
W_std = sqrt(2), sqrt(features) for the first one.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from cases import Case
from contender import Array, Contender


class ScikitNtk(Contender):
    def refusal(self, case: Case) -> str | None:
        return None if case.activation == "relu" else "offers ReLU only"

    def reference(self, case: Case) -> tuple[Case, float]:
        return replace(case, w_std=2.0**0.5, b_std=0.0), 2 * (case.depth + 1) / case.features

    def load(self, case: Case, x: Array, z: Array | None) -> dict[str, str]:
        kernel = importlib.import_module("skntk").NeuralTangentKernel
        self.kernel = kernel(depth=case.depth, bias=0.0, bias_bounds="fixed")
        self.x, self.z = x, z
        return {"scikit-ntk": version("scikit-ntk"), "numpy": version("numpy")}

    def call(self) -> tuple[Any, Any]:
        return None, self.kernel(self.x, self.z)
