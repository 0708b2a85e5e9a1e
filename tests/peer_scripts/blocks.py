"""Networks put together from parts, on images and on kernels."""

import numpy as np
from neural_tangents import stax

images = np.random.default_rng(2).uniform(size=(6, 4, 4, 3))
rows = images.reshape(6, -1)

block = stax.serial(stax.Dense(64, W_std=1.2, b_std=0.1), stax.LeakyRelu(alpha=0.2))
head = stax.serial(stax.Abs(), stax.Dense(64), stax.ABRelu(-0.5, 1.0, do_stabilize=False))

_, _, of_images = stax.serial(stax.Flatten(), block, stax.Dense(64), head, stax.Dense(1))
_, _, of_rows = stax.serial(block, stax.serial(stax.Dense(64), head), stax.Dense(1))
_, _, repeated = stax.serial(block, stax.repeat(block, 4), stax.Identity(), stax.Dense(1))

# Layers applied to a kernel, one after the other.
kernel = block[2](rows)
kernel = stax.Dense(64)[2](kernel)
kernel = stax.Relu()[2](kernel)

results = {
    "images_ntk": of_images(images, None, "ntk"),
    "images_cross": of_images(images[:2], images[2:], "nngp"),
    "rows_ntk": of_rows(rows, get="ntk"),
    "repeated_ntk": repeated(rows, None, "ntk"),
    "stepwise_nngp": kernel.nngp,
    "stepwise_ntk": kernel.ntk,
}
