"""The contenders of images.py: convolutional networks. Driven by worker.py.

A network is `depth` times (3 x 3 Conv, ReLU), a readout and Dense; `activation` holds the readout's
`type`. The second class runs in the peers' environment.
"""

from __future__ import annotations

from typing import Any

from layer_contenders import Array, Call, NeuralTangents, Ntkfast


class ImageNtkfast(Ntkfast):
    def build(
        self, activation: dict[str, Any], depth: int, dense: dict[str, float], x: Array, z: Any
    ) -> Call:
        conv = {"type": "Conv", "filter_shape": [3, 3], "padding": "SAME", **dense}
        layers = [*[conv, {"type": "Relu"}] * depth, activation, {"type": "Dense", **dense}]
        net = self._nk.from_dict({"type": "serial", "layers": layers})
        return lambda: net.kernels(x, z, threads=self.threads)


class ImageNeuralTangents(NeuralTangents):
    def build(
        self, activation: dict[str, Any], depth: int, dense: dict[str, float], x: Array, z: Any
    ) -> Call:
        jax, stax = self._jax, self._stax
        conv = stax.Conv(1, (3, 3), padding="SAME", **dense)
        readout = getattr(stax, activation["type"])()
        layers = [*[conv, stax.Relu()] * depth, readout, stax.Dense(1, **dense)]
        kernel_fn = stax.serial(*layers)[2]
        call = jax.jit(lambda a: tuple(kernel_fn(a, None, get=("nngp", "ntk"))))
        images = jax.block_until_ready(jax.numpy.asarray(x))
        return lambda: jax.block_until_ready(call(images))
