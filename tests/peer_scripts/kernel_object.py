"""A deep network in a loop, and everything that a Kernel says about it."""

import numpy as np
from neural_tangents import stax

rng = np.random.default_rng(1)
x1 = rng.standard_normal((7, 5))
x2 = rng.standard_normal((4, 5))

layers = []
for _ in range(5):
    layers += [stax.Dense(256, W_std=1.3, b_std=0.2), stax.Erf(a=1.2, b=0.8, c=0.1)]
_, _, kernel_fn = stax.serial(*layers, stax.Dense(out_dim=3, W_std=1.0, b_std=None))

kernel = kernel_fn(x1, x2)
alone = kernel_fn(x1)
full = kernel_fn(x1, x2, diagonal_batch=False)
hidden = stax.serial(*layers)[2](x1, x2)
results = {
    "nngp": kernel.nngp,
    "ntk": kernel.ntk,
    "cov1": kernel.cov1,
    "cov2": kernel.cov2,
    "x1_is_x2": kernel.x1_is_x2,
    "is_gaussian": kernel.is_gaussian,
    "shapes": np.array([kernel.shape1, kernel.shape2]),
    "axes": np.array([kernel.batch_axis, kernel.channel_axis]),
    "flags": np.array([kernel.diagonal_batch, kernel.is_reversed, kernel.is_input]),
    "nothing": np.array([alone.cov2 is None, kernel.mask1 is None, kernel.mask2 is None]),
    "alone_ntk": alone.ntk,
    "alone_x1_is_x2": alone.x1_is_x2,
    "full_cov1": full.cov1,
    "full_cov2": full.cov2,
    "replaced": kernel.replace(nngp=2 * kernel.nngp).nngp,
    "hidden_nngp": hidden.nngp,
    "hidden_is_gaussian": hidden.is_gaussian,
    "hidden_shape": np.array(hidden.shape1),
    "covariances": kernel_fn(x1, x2, ("cov2", "cov1")).cov1,
}
