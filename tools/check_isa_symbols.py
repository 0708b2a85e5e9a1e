"""Check that an object file built for one instruction set leaks no code into the library.

The linker keeps one copy of an inline function or template that several object files define. If it
keeps the copy compiled for AVX-512, portable code that calls the function dies on older CPUs. So
every function that a per-ISA object defines with weak linkage must have the name of the instruction
set (its namespace) in its symbol.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path


def leaked_symbols(nm: str, isa: str, obj: Path) -> list[str]:
    """Return the weak symbols of ``obj`` whose demangled name does not mention ``isa``."""
    command = [nm, "--defined-only", "--demangle", str(obj)]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # "address type name"; W and V are weak, u is unique; data (V, u) carries no instructions.
    weak = (line.split(maxsplit=2)[2] for line in listing.splitlines() if line[17:19] == "W ")
    return [name for name in weak if isa not in name]


def main() -> int:
    """Run the check and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nm", default="nm")
    parser.add_argument("--isa", required=True, help="namespace, for example avx2")
    parser.add_argument("objects", nargs="+", type=Path)
    args = parser.parse_args()
    leaks = {str(o): leaked_symbols(args.nm, args.isa, o) for o in args.objects}
    for obj, names in leaks.items():
        for name in names:
            print(f"{obj}: {name} is weak and outside the namespace {args.isa}", file=sys.stderr)
    return 1 if any(leaks.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
