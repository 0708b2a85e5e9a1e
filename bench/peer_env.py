"""The peers' environment: a virtual environment of its own, ignored by git, made once.

`python bench/peer_env.py` makes it; bench/run.py does so by itself when it is missing.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / ".bench-env"
PYTHON = FOLDER / "bin" / "python"
REQUIREMENTS = HERE / "requirements-peer.txt"
NEURAL_TANGENTS = "neural-tangents==0.6.5"
_STAMP = FOLDER / "made-from.txt"


def ensure() -> None:
    """Make the environment unless it is there, made from these requirements."""
    if not is_ready():
        venv.create(FOLDER, clear=True, with_pip=True)
        (FOLDER / ".gitignore").write_text("*\n")
        _pip("--requirement", str(REQUIREMENTS))
        _pip("--no-deps", NEURAL_TANGENTS)
        _STAMP.write_text(_fingerprint())


def is_ready() -> bool:
    """Return whether the environment exists and was made from these requirements."""
    return _STAMP.exists() and _STAMP.read_text() == _fingerprint()


def _pip(*arguments: str) -> None:
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *arguments], check=True, stdout=sys.stderr)


def _fingerprint() -> str:
    text = REQUIREMENTS.read_bytes() + NEURAL_TANGENTS.encode() + sys.version.encode()
    return hashlib.sha256(text).hexdigest()


if __name__ == "__main__":
    ensure()
    print(f"The peers' environment is ready: {FOLDER}")
