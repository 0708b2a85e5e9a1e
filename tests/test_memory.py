"""Extra memory beyond inputs and outputs: at most 64 MiB + 32 bytes x n x layers.

The peak of the resident set is read by the process itself, with the mark reset just before.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

if not Path("/proc/self/clear_refs").exists():
    pytest.skip("the peak of the resident set is read from Linux's /proc", allow_module_level=True)

PROGRAM = """
import re
from pathlib import Path
import numpy as np
import ntkfast as nk

def status(key):
    return int(re.search(key + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

net = nk.mlp({depth}, nk.{activation}(), b_std=0.1)
x = np.random.default_rng(0).random(({n}, {d}), dtype=np.{dtype})
z = {z}
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
k = net.kernels(x, z) if "{what}" == "kernels" else net.diag(x, kind="both")
print(status("VmHWM") - before - k.nngp.nbytes - k.ntk.nbytes)
"""

CASES = {
    "tall": {"n": 6000, "d": 784, "depth": 3},
    "tall-deep": {"n": 6000, "d": 20, "depth": 20},
    "tall-float64-erf": {"n": 4000, "d": 784, "depth": 3, "dtype": "float64", "activation": "Erf"},
    "cross": {"n": 6000, "d": 300, "depth": 3, "z": "x[:3000]"},
    "wide": {"n": 300, "d": 200_000, "depth": 3},
    "wide-cross": {"n": 300, "d": 200_000, "depth": 3, "z": "x[:50]"},
    "many-rows-cross": {"n": 500_000, "d": 8, "depth": 5, "z": "x[:8]"},
    "many-rows-cross-erf": {
        **{"n": 500_000, "d": 8, "depth": 5, "z": "x[:8]"},
        **{"dtype": "float64", "activation": "Erf"},
    },
    "many-rows-diagonal": {"n": 300_000, "d": 20, "depth": 10, "what": "diag"},
}


@pytest.mark.parametrize("name", CASES)
def test_extra_memory_stays_within_its_bound(name: str) -> None:
    defaults = {"dtype": "float32", "activation": "Relu", "z": "None", "what": "kernels"}
    case = {**defaults, **CASES[name]}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(**case)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    layers = 2 * int(case["depth"]) + 1
    bound = 64 * 2**20 + 32 * int(case["n"]) * layers
    extra = int(run.stdout)
    assert extra <= bound, f"{extra / 2**20:.1f} MiB, allowed {bound / 2**20:.1f} MiB"
