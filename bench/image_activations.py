"""What an activation costs at the positions of images: one thread, three 3 x 3 convolutions.

python bench/image_activations.py
"""

from __future__ import annotations

import time

import numpy as np

import ntkfast as nk

ACTIVATIONS = {
    "Relu": [nk.Relu()],
    "Erf": [nk.Erf()],
    "Gelu": [nk.Gelu()],
    "Tanh": [nk.Tanh()],
    "Silu": [nk.Silu()],
    "LayerNorm, Tanh": [nk.LayerNorm(), nk.Tanh()],
}
ROUNDS = 4


def network(layers: list[nk.layers.Layer]) -> nk.Network:
    """Return three blocks and global pooling."""
    block = [nk.Conv((3, 3), padding="SAME", W_std=1.5, b_std=0.1), *layers]
    return nk.serial(nk.repeat(block, 3), nk.GlobalAvgPool(), nk.Dense())


def main() -> None:
    """Print processor time of each, rounds interleaved, and what it is relative to ReLU."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(8, 16, 16, 3)) * rng.uniform(0.2, 2.0, size=(8, 16, 16, 1))
    for dtype in ("float32", "float64"):
        x = images.astype(dtype)
        nets = {name: network(layers) for name, layers in ACTIVATIONS.items()}
        best = dict.fromkeys(nets, np.inf)
        for _ in range(ROUNDS):
            for name, net in nets.items():
                net.ntk(x[:1], threads=1)  # the tables are made
                start = time.process_time()
                net.ntk(x, threads=1)
                best[name] = min(best[name], time.process_time() - start)
        for name, net in nets.items():
            tables = net.approximations(x)
            terms = ", ".join(str(table.terms) for table in tables) or "-"
            ratio = best[name] / best["Relu"]
            print(f"{dtype}  {name:16} {1e3 * best[name]:8.1f} ms {ratio:7.1f}  terms {terms}")


if __name__ == "__main__":
    main()
