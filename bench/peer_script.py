"""Run one script of tests/peer_scripts in this Python and save its `results`.

`python peer_script.py SCRIPT LIBRARY OUT.npz`, where LIBRARY takes the place of neural_tangents in
the script's import. Runs in the environment of peer_env.py, too.
"""

from __future__ import annotations

import sys
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np

PEER = "neural_tangents"


def run(script: Path, library: str) -> dict[str, Any]:
    """Return the `results` of a script whose one import of the peer is changed."""
    line = f"from {PEER} import stax"
    text = script.read_text(encoding="utf-8")
    if text.count(line) != 1:
        raise ValueError(f"{script.name}: expected the line {line!r} once")
    names: dict[str, Any] = {}
    exec(compile(text.replace(line, f"from {library} import stax"), str(script), "exec"), names)
    results: dict[str, Any] = names["results"]
    return results


def main() -> None:
    script, library, out = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    if library == PEER:
        # Its `experimental` part is a bridge to TensorFlow and imports it: nothing here uses it.
        bridge = f"{PEER}.experimental"
        sys.modules[bridge] = types.ModuleType(bridge)
        warnings.simplefilter("ignore")
    np.savez(out, **{name: np.asarray(value) for name, value in run(script, library).items()})


if __name__ == "__main__":
    main()
