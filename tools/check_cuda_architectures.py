"""Check that the CUDA extension holds code for every architecture that it was built for.

Usage: ``check_cuda_architectures.py PATH_OF_EXTENSION``; needs ``cuobjdump`` on PATH.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def held(extension: Path, kind: str) -> set[str]:
    """Return the architectures of the embedded code of a kind, ``elf`` or ``ptx``: ``"90"``..."""
    command = ["cuobjdump", f"--list-{kind}", str(extension)]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"\.sm_(\d+[a-z]*)\.", listing))


def expected(extension: Path) -> list[str]:
    """Return the architectures the extension says it was built for, such as ``90-real``."""
    sys.path.insert(0, str(extension.resolve().parent))
    import _cuda

    return str(_cuda.architectures).split()


def main() -> int:
    """Run the check and return the exit status."""
    extension = Path(sys.argv[1])
    machine_code, ptx = held(extension, "elf"), held(extension, "ptx")
    missing = []
    for architecture in expected(extension):
        number, _, kind = architecture.partition("-")
        if kind != "virtual" and number not in machine_code:
            missing.append(f"machine code for {number}")
        if kind != "real" and number not in ptx:
            missing.append(f"PTX for {number}")
    print(f"machine code {machine_code}, PTX {ptx}, missing {missing or 'nothing'}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
