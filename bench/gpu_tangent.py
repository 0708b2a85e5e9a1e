"""Time tangent kernels of finite networks that a CUDA device contracts, with errors.

A ReLU network of 3 x 512 hidden units and 10 outputs on rows of 784 columns. Times are of whole
calls, with inputs and signals copied to the device and the kernel copied back; errors are the
largest differences from the CPU's float64 kernel of 64 rows, over the root of the diagonal entries.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import ntkfast as nk
from ntkfast import _device
from ntkfast.finite import _tangent

REPEATS, CHECKED, OUTPUTS = 5, 64, 10
PROBLEMS = (("full", 256), ("full", 1024), ("trace", 4096), ("diagonal", 1024))


def sides(dtype: str, n: int) -> Any:
    """Return inputs with signals, and scales, as the contraction takes them."""
    net = nk.mlp(3, W_std=2**0.5, b_std=0.1)
    f = nk.finite.init(net, width=512, seed=0, outputs=OUTPUTS, dtype=dtype)
    x = np.random.default_rng(0).standard_normal((n, 784)).astype(dtype)
    f(x[:1])
    return _tangent._weights(f._bound(), f._own, x, np.dtype(dtype))


def measured(dtype: str, mode: str, n: int) -> dict[str, Any]:
    """Return the seconds of one contraction, its rate and its error."""
    found = sides(dtype, n)

    def contract(rows: slice = slice(None)) -> Any:
        left = [(np.ascontiguousarray(a[rows]), np.ascontiguousarray(s[rows])) for a, s in found[0]]
        return _device.contract_on(0, left, None, found[1], mode, None)

    contract()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        contract()
        seconds.append(time.perf_counter() - start)
    left = [(a[:CHECKED].astype(float), s[:CHECKED].astype(float)) for a, s in found[0]]
    truth = np.zeros((CHECKED, CHECKED, OUTPUTS, OUTPUTS))
    nk._core.contract_uses(left, None, found[1], "full", truth, 2, overwrite=True)
    root = np.sqrt(np.einsum("iicc->ic", truth))
    scale = np.einsum("ic,jd->ijcd", root, root)
    if mode != "full":
        truth, scale = (np.einsum("ijcc->ijc", each) for each in (truth, scale))
    if mode == "trace":
        truth, scale = truth.mean(2), scale.mean(2)
    error = float(np.max(np.abs(contract(slice(CHECKED)) - truth) / scale))
    pairs = n * (n + 1) / 2 * (OUTPUTS**2 if mode == "full" else OUTPUTS)
    operations = 2 * pairs * sum(s.shape[3] for _, s in found[0])
    return {"seconds": median(seconds), "tflops": operations / median(seconds) / 1e12} | {
        "error": error
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True, metavar="OUT")
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    for dtype in ("float32", "float64"):
        for mode, n in PROBLEMS:
            name = f"{dtype}, {mode}, {n} rows"
            try:
                results[name] = measured(dtype, mode, n)
            except Exception as error:  # one failure must not hide the other figures
                results[name] = {"error": f"{type(error).__name__}: {error}"}
            print(name, results[name], flush=True)
            arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
