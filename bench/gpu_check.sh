#!/usr/bin/env bash
# All that needs a GPU, in one call of at most nine minutes: build, Python tests on the device,
# benchmarks, compute-sanitizer, C++ tests. A step that fails is recorded and the next one runs.
#
#   bash bench/gpu_check.sh [FOLDER]      results: FOLDER, $OUT, or bench/results/gpu
#
# Written there: report.md with the verdict, steps.tsv, gpu_gram.json, gpu_products.json,
# gpu_tangent.json, gpu_images.json, gpu_solves.json, gpu_contenders.json, environment.txt and
# logs.txt. Exit status: 0 all well; 1 something failed; 2 no GPU, nothing was tried; 3 nothing
# failed, but something was not available here.
#
# Needs nvcc, a C++ compiler and python3. Python packages come from the environment, from wheels in
# .whl/ or $NTKFAST_WHEELS, or from an index, whichever is there; bench/README.md lists them. PyTorch,
# CuPy and JAX are too large to bring along: they are used where they are. $NTKFAST_PEER_WHEELS is a
# folder with wheels of neural-tangents and what it needs. NTKFAST_GPU_DRY=1 runs the steps without a
# GPU, to try this script. Without scipy-openblas32 and without a system BLAS, a plain one is
# compiled: the CPU engine is then slow, and the device is what counts.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root="$PWD"
out="${1:-${OUT:-$root/bench/results/gpu}}"
mkdir -p "$out"
out="$(cd "$out" && pwd)"
work="${NTKFAST_GPU_WORK:-/tmp/ntkfast-gpu-check}"
mkdir -p "$work"
site="$work/site"
log="$out/logs.txt"
: > "$log"
: > "$out/steps.tsv"
rm -f "$out"/gpu_*.json "$out/report.md"  # of an earlier run
began=$SECONDS
budget=530
python="${PYTHON:-python3}"
architecture="${NTKFAST_CUDA_ARCHITECTURE:-90-real}"
wheels="${NTKFAST_WHEELS:-$root/.whl}"
export PYTHONPATH="$site:$work/deps:$root/tests${PYTHONPATH:+:$PYTHONPATH}"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1
export CMAKE_BUILD_PARALLEL_LEVEL="${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}"
export PATH="$work/deps/bin:$PATH"
export LD_LIBRARY_PATH="$work/blas${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"  # of plain_blas, if made
export XLA_PYTHON_CLIENT_PREALLOCATE=false  # JAX would take most of the device's memory for itself
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
not_available=77  # status of a step that this machine has not what it takes for

# step NAME SECONDS COMMAND: runs the command for at most that long, and no longer than the budget.
step() {
  local name="$1" limit="$2" start=$SECONDS status=0
  shift 2
  local left=$((budget - (SECONDS - began)))
  if [ "$left" -lt 5 ]; then
    status=skipped
  else
    [ "$limit" -lt "$left" ] || limit=$left
    echo "=== $name" >> "$log"
    timeout -k 5 "$limit" bash -c "$*" >> "$log" 2>&1
    status=$?
  fi
  [ "$status" != "$not_available" ] || status="not available"
  printf '%s\t%s\t%s\n' "$name" "$status" "$((SECONDS - start))" >> "$out/steps.tsv"
  echo "$name: $status ($((SECONDS - start)) s)"
  [ "$status" = 0 ]
}

environment() {
  echo "- date: $(date -u +%Y-%m-%dT%H:%MZ)"
  echo "- commit: $(git rev-parse --short HEAD 2> /dev/null || echo unknown)$(git diff --quiet HEAD 2> /dev/null || echo ' (changed)')"
  echo "- GPU: $(command -v nvidia-smi > /dev/null || echo no nvidia-smi; nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader 2> /dev/null | head -4)"
  echo "- compiler: $(nvcc --version 2>&1 | tail -2 | head -1), $(c++ --version 2>&1 | head -1)"
  echo "- CPU: $(nproc) cores, $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2)"
  echo "- Python: $("$python" --version 2>&1)"
}
environment > "$out/environment.txt" 2>&1

# Whether the driver shows a device; says why not.
has_gpu() {
  "$python" - << 'CODE'
import ctypes, sys
try:
    driver = ctypes.CDLL("libcuda.so.1")
except OSError:
    sys.exit("no NVIDIA driver (libcuda.so.1) is installed")
count = ctypes.c_int()
if (status := driver.cuInit(0)) or (status := driver.cuDeviceGetCount(ctypes.byref(count))):
    sys.exit(f"the NVIDIA driver answers with error {status}")
if count.value == 0:
    sys.exit("the NVIDIA driver shows no device")
print(count.value, "devices")
CODE
}

# Writes the report, prints it, and ends with the status it asks for.
finish() {
  # Of a long log the end of what came back matters.
  tail -c 8000000 "$log" > "$log.short" && mv "$log.short" "$log"
  "$python" "$root/bench/gpu_report.py" "$out" > "$out/report.md" 2>> "$log"
  local status=$?
  cat "$out/report.md"
  # A report that could not be written is a failure, too.
  [ -s "$out/report.md" ] || { echo "NO REPORT: $(tail -1 "$log")"; status=1; }
  exit "$status"
}

if ! gpu="$(has_gpu 2>&1)"; then
  printf 'GPU\tnone\t%s\n' "$gpu" >> "$out/steps.tsv"
  [ "${NTKFAST_GPU_DRY:-}" = 1 ] || finish
fi

# have MODULE [PACKAGE MAJOR]: whether it can be imported, and is at least of that version.
have() {
  "$python" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$1') is None)" &&
    { [ $# -eq 1 ] || "$python" -c "import importlib.metadata as m, sys
sys.exit(int(m.version('$2').split('.')[0]) < $3)"; }
}

packages() {
  local missing=()
  have pybind11 pybind11 3 || missing+=(pybind11)
  have scikit_build_core scikit-build-core 1 || missing+=(scikit-build-core)
  for pair in numpy:numpy scipy:scipy \
    sklearn:scikit-learn joblib:joblib threadpoolctl:threadpoolctl click:click rich:rich \
    pytest:pytest hypothesis:hypothesis mpmath:mpmath cmake:cmake ninja:ninja \
    scipy_openblas32:scipy-openblas32; do
    have "${pair%%:*}" || missing+=("${pair##*:}")
  done
  echo "missing: ${missing[*]:-nothing}"
  [ ${#missing[@]} -gt 0 ] || return 0
  for package in "${missing[@]}"; do
    if [ -d "$wheels" ] && "$python" -m pip install -q --no-index --no-deps --find-links "$wheels" \
      --target "$work/deps" "$package"; then continue; fi
    timeout 40 "$python" -m pip install -q --retries 0 --timeout 8 --target "$work/deps" "$package" ||
      echo "NOT INSTALLED: $package"
  done
  have pybind11 pybind11 3 && have numpy && have pytest
}

# A BLAS of loops, for want of any other.
plain_blas() {
  mkdir -p "$work/blas"
  cat > "$work/blas/blas.c" << 'CODE'
#define BOTH(T, GEMM, SYRK)                                                                       \
  void GEMM(int o, int ta, int tb, int m, int n, int k, T alpha, const T* a, int lda, const T* b, \
            int ldb, T beta, T* c, int ldc) {                                                     \
    for (int i = 0; i < m; ++i)                                                                   \
      for (int j = 0; j < n; ++j) {                                                               \
        T sum = 0;                                                                                \
        for (int l = 0; l < k; ++l)                                                               \
          sum += (ta == 111 ? a[(long)i * lda + l] : a[(long)l * lda + i]) *                      \
                 (tb == 111 ? b[(long)l * ldb + j] : b[(long)j * ldb + l]);                       \
        T* to = c + (long)i * ldc + j;                                                            \
        *to = alpha * sum + (beta == 0 ? 0 : beta * *to);                                         \
      }                                                                                           \
  }                                                                                               \
  void SYRK(int o, int uplo, int t, int n, int k, T alpha, const T* a, int lda, T beta, T* c,     \
            int ldc) {                                                                            \
    GEMM(o, t, t == 111 ? 112 : 111, n, n, k, alpha, a, lda, a, lda, beta, c, ldc);               \
  }
BOTH(float, cblas_sgemm, cblas_ssyrk)
BOTH(double, cblas_dgemm, cblas_dsyrk)
float cblas_snrm2(int n, const float* x, int step) { return n * x[0] * step; }
void sgemm_(void) {}
CODE
  cc -O3 -shared -fPIC -o "$work/blas/libblas.so" "$work/blas/blas.c"
}

install_package() {
  local options=("--config-settings=cmake.define.NTKFAST_CUDA=on"
    "--config-settings=cmake.define.CMAKE_CUDA_ARCHITECTURES=$architecture"
    "--config-settings=build-dir=$work/build")
  "$python" -m pip install -q --no-build-isolation --no-deps --upgrade --target "$site" \
    "${options[@]}" "$@" "$root"
}

# Without scikit-build-core: cmake alone, and the files side by side.
build_by_hand() {
  local flags=("$@")
  cmake -S "$root" -B "$work/hand" -G Ninja -DNTKFAST_PYTHON=ON -DNTKFAST_CUDA=on \
    -DCMAKE_CUDA_ARCHITECTURES="$architecture" -DPython_EXECUTABLE="$(command -v "$python")" \
    "${flags[@]}" && cmake --build "$work/hand" &&
    cmake --install "$work/hand" --component python --prefix "$site" &&
    cp -r "$root/python/ntkfast/." "$site/ntkfast/" &&
    mkdir -p "$site/ntkfast-0.dist-info" &&
    printf 'Metadata-Version: 2.1\nName: ntkfast\nVersion: 0\n' > "$site/ntkfast-0.dist-info/METADATA"
}

build() {
  if install_package; then return 0; fi
  if have scipy_openblas32; then
    build_by_hand
    return
  fi
  echo "without a BLAS: a plain one is made"
  rm -rf "$work/build"
  plain_blas && install_package "--config-settings=cmake.define.NTKFAST_BLAS=system" \
    "--config-settings=cmake.define.BLA_VENDOR=Generic" \
    "--config-settings=cmake.define.CMAKE_LIBRARY_PATH=$work/blas" \
    "--config-settings=cmake.define.CMAKE_BUILD_RPATH=$work/blas" && return 0
  build_by_hand -DNTKFAST_BLAS=system -DBLA_VENDOR=Generic "-DCMAKE_LIBRARY_PATH=$work/blas"
}

# Registers and spills of the kernels as this compiler makes them.
registers() {
  for dtype in float double; do
    nvcc -std=c++20 --expt-relaxed-constexpr -arch="sm_${architecture%%-*}" -Isrc/cpp -Isrc/cuda \
      -Xptxas -v -cubin -o /dev/null "src/cuda/gram_$dtype.cu" 2>&1 |
      grep -A3 "Compiling entry function.*gram_kernel" | grep -E "stack|registers"
  done
}

# Whether what is imported was built here: an older package of this machine must not be measured.
built() {
  "$python" -c "import ntkfast, sys; sys.exit(not ntkfast.__file__.startswith('$site'))" && return 0
  echo "the package was not built: nothing to run"
  return 1
}

smoke() {
  built || return "$not_available"
  cd "$work" && "$python" - << 'CODE'
import numpy as np, ntkfast as nk, ntkfast.cuda as cuda
print(cuda.devices(), repr(cuda.reason()))
x = np.random.default_rng(0).standard_normal((300, 50))
net = nk.mlp(3, b_std=0.1)
for dtype in ("float32", "float64"):
    for z in (None, x[:70].astype(dtype)):
        got = net.kernels(x.astype(dtype), z, device="cuda")
        expected = net.kernels(x.astype(dtype), z, device="cpu")
        print(dtype, z is None, [float(abs(a - b).max()) for a, b in zip(got, expected)])
        assert all(abs(a - b).max() < 1e-4 for a, b in zip(got, expected))
CODE
}

gpu_tests() {
  built || return "$not_available"
  cd "$work" && "$python" -m pytest -q -p no:cacheprovider -p no:randomly --rootdir "$root/tests" \
    -W default -o addopts= --import-mode=importlib --maxfail=40 \
    "$root/tests/test_cuda_gram.py" "$root/tests/test_cuda_operator.py" \
    "$root/tests/test_cuda_libraries.py" "$root/tests/test_cuda_contraction.py" \
    "$root"/tests/test_device*.py "$root/tests/test_cuda.py"
}

small_job() {
  cat > "$work/small.py" << 'CODE'
import numpy as np, ntkfast as nk
x = np.random.default_rng(0).standard_normal((150, 40))
x[::3] = x[0] * (1 + 1e-7 * x[::3])
for net in (nk.mlp(2, b_std=0.1), nk.serial(nk.Dense(), nk.Tanh(), nk.Dense(), nk.Gelu(), nk.Dense())):
    for dtype in ("float32", "float64"):
        net.kernels(x.astype(dtype), device="cuda")
        net.kernels(x.astype(dtype), x[:70].astype(dtype), device="cuda")
f = nk.finite.init(nk.mlp(2, b_std=0.1), width=70, seed=0, outputs=5)
for outputs in ("full", "trace", "diagonal"):
    f.ntk(x[:30], outputs=outputs, device="cuda")
print("done")
CODE
}

sanitizer() {
  built || return "$not_available"
  command -v compute-sanitizer || { echo "no compute-sanitizer here"; return "$not_available"; }
  small_job
  cd "$work" && compute-sanitizer --tool "$1" --error-exitcode 9 "$python" "$work/small.py" \
    > "$work/$1.txt" 2>&1
  local status=$?
  cat "$work/$1.txt"
  # Some virtual machines do not let it at the device.
  if grep -q "Device not supported" "$work/$1.txt"; then return "$not_available"; fi
  return "$status"
}

benchmark() {
  built || return "$not_available"
  cd "$work" && "$python" "$root/bench/gpu_gram.py" --json "$out/gpu_gram.json" --seconds 70
}

products() {
  built || return "$not_available"
  cd "$work" && "$python" "$root/bench/gpu_products.py" --json "$out/gpu_products.json" --seconds 40
}

contractions() {
  built || return "$not_available"
  cd "$work" && "$python" "$root/bench/gpu_tangent.py" --json "$out/gpu_tangent.json"
}

images() {
  built || return "$not_available"
  cd "$work" && "$python" "$root/bench/gpu_images.py" --json "$out/gpu_images.json" --seconds 40
}

solves() {
  built || return "$not_available"
  have cupy || { echo "no CuPy here: nothing is solved on the device"; return "$not_available"; }
  cd "$work" && "$python" "$root/bench/gpu_solves.py" --json "$out/gpu_solves.json" --seconds 60
}

# neural-tangents goes into a folder of its own: its requirements are nobody else's.
contenders() {
  built || return "$not_available"
  local peers="$work/peers"
  if [ -d "${NTKFAST_PEER_WHEELS:-}" ]; then
    "$python" -m pip install -q --no-index --no-deps --find-links "$NTKFAST_PEER_WHEELS" \
      --upgrade --target "$peers" "$NTKFAST_PEER_WHEELS"/*.whl || echo "NOT INSTALLED: the peer"
  else
    echo "neural-tangents is not brought along: set NTKFAST_PEER_WHEELS"
  fi
  cd "$work" && PYTHONPATH="$PYTHONPATH:$peers" "$python" "$root/bench/gpu_contenders.py" \
    --json "$out/gpu_contenders.json" --seconds 40
}

cpp_tests() {
  local blas=()
  [ ! -d "$work/blas" ] || blas=(-DNTKFAST_BLAS=system -DBLA_VENDOR=Generic
    "-DCMAKE_LIBRARY_PATH=$work/blas" "-DCMAKE_BUILD_RPATH=$work/blas")
  cmake -S "$root" -B "$work/cpp" -G Ninja -DNTKFAST_TESTS=ON -DNTKFAST_CUDA=off \
    -DPython_EXECUTABLE="$(command -v "$python")" "${blas[@]}" &&
    cmake --build "$work/cpp" && ctest --test-dir "$work/cpp" --output-on-failure -j "$(nproc)"
}

export -f have packages plain_blas install_package build_by_hand build built registers smoke gpu_tests \
  small_job sanitizer benchmark products contractions images solves contenders cpp_tests
export root out work site python architecture wheels not_available

step packages 100 packages
step build 240 build
step smoke 60 smoke
step "tests on the device" 110 gpu_tests
step "Gram matrices" 100 benchmark
step "solves and products" 100 solves
step "ways of multiplying" 60 products
step "tangent kernels" 40 contractions
step images 70 images
step contenders 75 contenders
step memcheck 60 sanitizer memcheck
step racecheck 60 sanitizer racecheck
step registers 60 registers
step "C++ tests" 150 cpp_tests
finish
