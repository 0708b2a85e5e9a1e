"""Show that an activation is added in the places that CONTRIBUTING.md names, and nowhere else.

Usage: check_new_activation.py

Copies the sources to a temporary folder, adds exp(-x^2) there under a new name, builds the
package and runs the tests that walk over all activations. Needs the development environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# 1. The dual, in a header of its own.
HEADER = """\
// Bell: phi(x) = exp(-x^2), a Gaussian without parameters (Williams 1997, section 3.2); any q.
#pragma once

#include "math/duals/gaussian.hpp"

namespace ntkfast::inline NTKFAST_ISA {

struct Bell {
  static constexpr int kParams = 0;
  static constexpr int kConstants = 0;
  static constexpr int kColumns = gaussian_detail::kColumns;

  static void constants(const double* /*params*/, double* /*constants*/) {}
  static bool nonnegative(const double* /*params*/) { return true; }

  static RowStep row(const double* /*params*/, double p, double* columns) {
    gaussian_detail::write(2 * p, false, columns);
    const double k = columns[gaussian_detail::kSlope];
    return {std::sqrt(columns[gaussian_detail::kInverse]), k * k};
  }

  template <class T, bool kSigned>
  static NTKFAST_INLINE PairStep<T> pair(const T* /*constants*/, T s, const T* left,
                                         const T* right) {
    const auto q = gaussian_detail::ratio(kSigned ? std::fabs(s) : s, left, right);
    return {q.loss, q.slopes * correlation<T, kSigned>(s) * (q.root * q.root * q.root)};
  }
};

}  // namespace ntkfast::inline NTKFAST_ISA
"""

# 3. The layer.
LAYER = '''

@dataclass(frozen=True, repr=False)
class Bell(Activation):
    """phi(x) = exp(-x**2)."""

    def lower(self, builder: Builder, value: int, width: int) -> int:  # noqa: D102
        return builder.activation(value, "Bell", ())

    def phi(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.asarray(np.exp(-(x**2)))

    def slope(self, x: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        return np.asarray(-2 * x * np.exp(-(x**2)))

    def _mean_squared_slope(self) -> float:
        return 0.0
'''

# Lines added: file, the text that they follow, the lines.
LINES = [
    # 2. The list, which wants the header too.
    (
        "src/cpp/math/activation_list.hpp",
        '#include "math/duals/abrelu.hpp"\n',
        '#include "math/duals/bell.hpp"\n',
    ),
    (
        "src/cpp/math/activation_list.hpp",
        "#define NTKFAST_ACTIVATIONS(X) ",
        '\\\n  X(Bell, Bell, "none") ',
    ),
    ("python/ntkfast/layers/exponentials.py", "__all__ = [", '"Bell", '),
    # 4. The oracles.
    (
        "tests/oracle/quadrature.py",
        "FUNCTIONS: dict[str, Definition] = {\n",
        '    "Bell": lambda _: _gaussian({"type": "Gaussian"}),\n',
    ),
    (
        "tests/oracle/highprec.py",
        "DUALS: dict[str, Dual] = {\n",
        '    "Bell": lambda _, k, q, p: exponentials.gaussian({"type": "Gaussian"}, k, q, p),\n',
    ),
    (
        "tests/support.py",
        "ACTIVATIONS: dict[str, dict[str, Any]] = {\n",
        '    "Bell": {"type": "Bell"},\n',
    ),
    ("tests/support.py", "ORDERED = {\n", '    "Bell": 1.0,\n'),
]


def main() -> int:
    """Return 0 if everything holds in the copy."""
    with tempfile.TemporaryDirectory() as folder:
        copy, site = Path(folder) / "copy", Path(folder) / "site"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "build", "dist"))
        add_activation(copy)
        install = ["install", "--quiet", "--no-build-isolation", "--no-deps", "--target", site]
        subprocess.run([sys.executable, "-m", "pip", *install, copy], check=True)
        # The interpreter outside the environment, with the environment's packages on its path:
        # inside it an editable install of the checkout would take precedence over the copy.
        python = getattr(sys, "_base_executable", sys.executable)
        command = [python, "-m", "pytest", "-q", "-k", "Bell", "-p", "no:cacheprovider"]
        paths = os.pathsep.join(map(str, (site, copy / "tests", sysconfig.get_path("purelib"))))
        tests = subprocess.run(
            [*command, "-c", copy / "pyproject.toml", "--rootdir", copy, copy / "tests"],
            env={**os.environ, "PYTHONPATH": paths},
            cwd=folder,
        )
        return tests.returncode


def add_activation(copy: Path) -> None:
    """Write the new activation into a checkout."""
    (copy / "src/cpp/math/duals/bell.hpp").write_text(HEADER)
    layers = copy / "python/ntkfast/layers/exponentials.py"
    layers.write_text(layers.read_text() + LAYER)
    for name, after, lines in LINES:
        path = copy / name
        text = path.read_text()
        if text.count(after) != 1:
            sys.exit(f"{name} has {text.count(after)} times {after!r}, expected it once")
        path.write_text(text.replace(after, after + lines))


if __name__ == "__main__":
    sys.exit(main())
