"""Print requirements that pyproject.toml lists, for ``pip install``.

Without argument: those of the build, with cmake and ninja. With the name of an extra: those of the
package and of that extra, without the package itself.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    from pip._vendor import tomli as tomllib

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def of_build(pyproject: dict[str, Any]) -> list[str]:
    """Return the requirements of the build."""
    cmake = "cmake" + pyproject["tool"]["scikit-build"]["cmake"]["version"]
    return [*pyproject["build-system"]["requires"], cmake, "ninja"]


def of_extra(project: dict[str, Any], extra: str) -> list[str]:
    """Return the requirements of an extra, where it names other extras with theirs."""
    found: list[str] = []
    for requirement in project["optional-dependencies"][extra]:
        own = re.fullmatch(rf"{project['name']}\[(\w+)\]", requirement)
        found += of_extra(project, own[1]) if own else [requirement]
    return found


def main() -> None:
    """Print one requirement per line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("extra", nargs="?")
    extra = parser.parse_args().extra
    pyproject = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    project = pyproject["project"]
    found = [*project["dependencies"], *of_extra(project, extra)] if extra else of_build(pyproject)
    print("\n".join(found))


if __name__ == "__main__":
    main()
