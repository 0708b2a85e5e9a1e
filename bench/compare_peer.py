"""Run the scripts of tests/peer_scripts through neural-tangents and through ntkfast.stax.

`python bench/compare_peer.py [SCRIPT ...]` prints, for every result of every script, the largest
difference relative to the largest entry. Only the import of a script differs between the two runs.
Both compute in float64. With --float32 neural-tangents computes in its default, float32.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import peer_env

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE.parent / "tests" / "peer_scripts"


def compare(script: Path, *, x64: bool = True) -> dict[str, float]:
    """Return the largest relative difference of every result; inf where the shapes differ."""
    with tempfile.TemporaryDirectory() as folder:
        peer = _run(str(peer_env.PYTHON), script, "neural_tangents", Path(folder), x64)
        own = _run(sys.executable, script, "ntkfast", Path(folder), x64)
    if peer.keys() != own.keys():
        raise ValueError(f"{script.name}: results {sorted(peer)} and {sorted(own)}")
    return {name: _difference(own[name], peer[name]) for name in peer}


def _run(
    python: str, script: Path, library: str, folder: Path, x64: bool
) -> dict[str, NDArray[Any]]:
    out = folder / f"{library}.npz"
    env = {**os.environ, "JAX_ENABLE_X64": str(int(x64)), "JAX_PLATFORMS": "cpu"}
    command = [python, str(HERE / "peer_script.py"), str(script), library, str(out)]
    subprocess.run(command, check=True, env=env)
    with np.load(out) as file:
        return dict(file)


def _difference(got: NDArray[Any], want: NDArray[Any]) -> float:
    if got.shape != want.shape:
        return float("inf")
    if want.dtype == bool or want.size == 0:
        return 0.0 if np.array_equal(got, want) else float("inf")
    largest = float(np.max(np.abs(want))) or 1.0
    return float(np.max(np.abs(got.astype(np.float64) - want))) / largest


def main() -> int:
    arguments = [a for a in sys.argv[1:] if a != "--float32"]
    scripts = [Path(a) for a in arguments] or sorted(SCRIPTS.glob("*.py"))
    peer_env.ensure()
    print("| script | result | largest difference / largest entry |\n|---|---|---|")
    for script in scripts:
        for name, difference in compare(script, x64="--float32" not in sys.argv).items():
            shown = "NaN in neural-tangents" if np.isnan(difference) else f"{difference:.1e}"
            print(f"| {script.stem} | {name} | {shown} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
