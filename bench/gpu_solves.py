"""Time fits, factors and products without the matrix on a CUDA device; see gpu_check.sh.

Every part is attempted by itself: what fails is written down with its error. A fit is checked by
computing rows of the kernel once more and multiplying them by the coefficients.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import ntkfast as nk
from ntkfast.errors import DeviceError

D = 784


def samples(n: int, dtype: str = "float64") -> np.ndarray:
    """Return normal rows."""
    return np.random.default_rng(0).standard_normal((n, D), dtype=np.float32).astype(dtype)


def clock(place: Any, function: Callable[[], Any]) -> tuple[float, Any]:
    """Return seconds until the device has finished, and the answer."""
    wait = getattr(place.xp, "cuda", None)
    start = time.perf_counter()
    answer = function()
    if wait is not None:
        wait.get_current_stream().synchronize()
    return time.perf_counter() - start, answer


def fit(place: Any, n: int) -> dict[str, Any]:
    """Time a fit in float64 from NumPy rows to coefficients, and check it."""
    from ntkfast.sklearn import NTKRegressor

    x = samples(n)
    y = np.sin(x[:, 0]) + x[:, 1]
    model = NTKRegressor(nk.mlp(3, b_std=0.1), alpha=1e-2, center=False, device=place.name)
    seconds, _ = clock(place, lambda: model.fit(x, y))
    predicted_seconds, predicted = clock(place, lambda: model.predict(x[:1000]))
    residual = predicted + model.ridge_ * model.dual_coef_[:1000] - y[:1000]
    return {
        "seconds": seconds,
        "predict_1000_seconds": predicted_seconds,
        "residual": float(np.abs(residual).max() / np.abs(y).max()),
        "device": model.device_,
    }


def parts(place: Any, n: int, blocks: tuple[int, ...] = (1024, 2048, 4096)) -> dict[str, Any]:
    """Time the kernel and its factor apart, the factor with several widths of blocks."""
    from ntkfast._gram import grams
    from ntkfast._linalg import cholesky

    x, net = samples(n), nk.mlp(3, b_std=0.1)

    def kernel() -> Any:
        options = {"nngp": False, "ntk": True, "threads": None, "device": place.name}
        return grams([net], x, None, **options, resident=True)[0].ntk  # type: ignore[arg-type]

    found: dict[str, Any] = {}
    with place.working("benchmark"):
        for block in blocks:
            found["kernel_seconds"], K = clock(place, kernel)
            place.xp.fill_diagonal(K, K.diagonal() * 1.01)
            seconds, _ = clock(place, lambda K=K, b=block: cholesky.factorise(K, place, b))  # type: ignore[misc]
            found[f"factor_seconds_block_{block}"] = seconds
            found[f"factor_tflops_block_{block}"] = n**3 / 3 / seconds / 1e12
            del K
    return found


def library_factor(n: int) -> dict[str, Any]:
    """Time the factor of cuSOLVER as PyTorch calls it, in 64-bit: the floor of ours."""
    import torch

    matrix = torch.randn(n, 64, device="cuda", dtype=torch.float64)
    matrix = matrix @ matrix.T
    matrix.diagonal().add_(n)
    seconds = []
    for _ in range(2):
        torch.cuda.synchronize()
        start = time.perf_counter()
        torch.linalg.cholesky(matrix)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds[1], "tflops": n**3 / 3 / seconds[1] / 1e12}


def refined(place: Any, n: int) -> dict[str, Any]:
    """Time a solve in float64 and one with a factor in float32, refined, in turns."""
    x = samples(n)
    net = nk.mlp(3, b_std=0.1)
    with place.working("benchmark"):
        K = net.ntk(place.asarray(x), device=place.name)
        y = place.asarray(np.random.default_rng(1).standard_normal((n, 10)))
        seconds: dict[bool, list[float]] = {False: [], True: []}
        answers: dict[bool, Any] = {}
        info = None
        for refine in (False, True, True, False):
            taken, (answers[refine], told) = clock(
                place,
                lambda r=refine: nk.solve(K, y, 1e-2, refine=r, return_info=True),  # type: ignore[misc]
            )
            seconds[refine].append(taken)
            info = told if refine else info
        assert info is not None
        off = (
            place.xp.abs(answers[True] - answers[False]).max() / place.xp.abs(answers[False]).max()
        )
    return {
        "float64_seconds": median(seconds[False]),
        "refined_seconds": median(seconds[True]),
        "method": info.method,
        "iterations": info.iterations,
        "backward_error": info.residual,
        "difference": float(off),
    }


def leave_one_out(place: Any, n: int) -> dict[str, Any]:
    """Time a fit whose ridge leave-one-out chooses: one eigendecomposition."""
    from ntkfast.sklearn import NTKRegressor

    x = samples(n)
    model = NTKRegressor(nk.mlp(3, b_std=0.1), device=place.name)
    seconds, _ = clock(place, lambda: model.fit(x, np.sin(x[:, 0])))
    return {"seconds": seconds, "alpha": float(model.alpha_)}


def operator(place: Any, n: int, columns: int = 10) -> dict[str, Any]:
    """Time a product with a kernel that is never formed."""
    net = nk.mlp(3, b_std=0.1)
    if not hasattr(net, "operator"):
        raise DeviceError("this version has no operators")
    x = samples(n, "float32")
    V = np.random.default_rng(1).standard_normal((n, columns), dtype=np.float32)
    A = net.operator(x, kind="ntk", device=place.name)
    seconds = [clock(place, lambda: A @ V)[0] for _ in range(3)]
    return {"seconds": median(seconds[1:]), "all_seconds": seconds}


def product_seconds(n: int, part: int) -> dict[str, Any]:
    """Return what the library's product of all pairs of n rows takes, one triangle, from a part."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    x = torch.randn(part, D, device="cuda")
    out = torch.empty(part, part, device="cuda")
    seconds = []
    for _ in range(4):
        torch.cuda.synchronize()
        start = time.perf_counter()
        torch.matmul(x, x.T, out=out)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return {"seconds": median(seconds[1:]) * (n / part) ** 2 / 2}


def main() -> None:
    """Run all parts, write them as JSON after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=100, help="start no part after so long")
    parser.add_argument("--device", default="cuda:0", help='"cpu" tries the script itself')
    parser.add_argument("--scale", type=int, default=1, help="divide all sizes by this")
    options = parser.parse_args()
    began = time.perf_counter()
    s = options.scale
    report: dict[str, Any] = {"d": D, "device": options.device, "cases": []}

    def place() -> Any:
        from ntkfast._linalg.place import place_on

        index = None if options.device == "cpu" else int(options.device.partition(":")[2] or 0)
        return place_on(index)

    cases: list[tuple[str, int, Callable[[int], Any]]] = [
        ("fit", 50_000 // s, lambda n: fit(place(), n)),
        ("operator", 262_144 // s, lambda n: operator(place(), n)),
        ("product", 262_144 // s, lambda n: product_seconds(n, 32_768 // s)),
        ("fit", 20_000 // s, lambda n: fit(place(), n)),
        ("factor of cuSOLVER", 50_000 // s, library_factor),
        ("kernel and factor", 50_000 // s, lambda n: parts(place(), n)),
        ("float32 and refinement", 30_000 // s, lambda n: refined(place(), n)),
        ("leave-one-out", 8_000 // s, lambda n: leave_one_out(place(), n)),
    ]
    for name, n, function in cases:
        if time.perf_counter() - began > options.seconds:
            result: Any = {"absent": "no time"}
        else:
            try:
                result = function(n)
            except Exception as error:
                result = {"absent": f"{type(error).__name__}: {error}"[:400]}
            _free_device_memory()
        report["cases"].append({"what": name, "n": n, "result": result})
        print(name, n, result, flush=True)
        options.json.write_text(json.dumps(report, indent=1))
    if not any("seconds" in case["result"] for case in report["cases"] if case["what"] == "fit"):
        sys.exit("no fit was timed")


def _free_device_memory() -> None:
    """Give back what the libraries keep for reuse: the next part may belong to another one."""
    for library, empty in (
        ("cupy", lambda m: m.get_default_memory_pool().free_all_blocks()),
        ("torch", lambda m: m.cuda.empty_cache()),
    ):
        if library in sys.modules:
            empty(sys.modules[library])


if __name__ == "__main__":
    main()
