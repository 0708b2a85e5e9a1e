"""Residual, multiplied and concatenated branches, normalised and with dropout."""

import numpy as np
from neural_tangents import stax

rng = np.random.default_rng(4)
x1 = rng.standard_normal((6, 10))
x2 = rng.standard_normal((5, 10))


def residual_block(width, W_std=1.2, b_std=0.1):
    main = stax.serial(stax.Relu(), stax.Dense(width, W_std, b_std))
    return stax.serial(stax.FanOut(2), stax.parallel(main, stax.Identity()), stax.FanInSum())


resnet = stax.serial(
    stax.Dense(128, 1.4, 0.1), residual_block(128), residual_block(128, 0.9), stax.Dense(1)
)
product = stax.serial(
    stax.FanOut(3),
    stax.parallel(
        stax.serial(stax.Dense(64), stax.Erf()),
        stax.serial(stax.Dense(64, b_std=0.2), stax.Relu(), stax.Dense(64)),
        stax.Dense(64, 1.5, 0.3),
    ),
    stax.FanInProd(),
    stax.Dense(1),
)
concatenated = stax.serial(
    stax.FanOut(2),
    stax.parallel(stax.Dense(96, 1.3), stax.serial(stax.Dense(32), stax.Relu())),
    stax.FanInConcat(axis=-1),
    stax.Dense(64),
    stax.Relu(),
    stax.Dense(1),
)
normalised = stax.serial(
    stax.Dense(64, 2.0, 0.5),
    stax.LayerNorm(axis=-1, eps=1e-6),
    stax.Relu(),
    stax.Dense(64, 1.4),
    stax.LayerNorm(),
    stax.Erf(),
    stax.Dense(1),
)
dropped = stax.serial(
    stax.Dense(64),
    stax.Relu(),
    stax.Dropout(0.8),
    stax.Dense(64),
    stax.Dropout(0.5, mode="test"),
    stax.Relu(),
    stax.Dense(1),
)
standard = stax.serial(
    stax.Dense(100, 1.3, 0.2, parameterization="standard", s=(1, 2)),
    stax.Relu(),
    stax.Dense(50, 1.2, 0.0, parameterization="standard", s=(2, 1)),
    stax.Erf(),
    stax.Dense(1, 1.1, parameterization="standard"),
)

networks = {
    "resnet": resnet,
    "product": product,
    "concatenated": concatenated,
    "normalised": normalised,
    "dropped": dropped,
    "standard": standard,
}
results = {}
for name, (init_fn, apply_fn, kernel_fn) in networks.items():
    alone = kernel_fn(x1, None, ("nngp", "ntk"))
    results[f"{name}_nngp"], results[f"{name}_ntk"] = alone.nngp, alone.ntk
    results[f"{name}_cross"] = kernel_fn(x1, x2, "ntk")
    results[f"{name}_twice"] = kernel_fn(x1, x1, "ntk")
    output_shape, params = init_fn(np.array([0, 7], np.uint32), x1.shape)
    f = apply_fn(params, x1, rng=np.array([0, 8], np.uint32))
    results[f"{name}_shapes"] = np.array([output_shape, f.shape])

block = residual_block(128)[2](stax.Dense(128)[2](x1))
results["block_is_gaussian"] = block.is_gaussian
results["block_shape"] = np.array(block.shape1)
