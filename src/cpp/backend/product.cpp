#include "backend/product.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "backend/blas.hpp"

namespace ntkfast {
namespace {

// Multiplications that are done before a second thread has started.
constexpr double kWorkPerThread = 1 << 21;
// Few rows per task make BLAS pack the other factor too often, many leave threads without any.
constexpr std::int64_t kFewRows = 32, kManyRows = 512;

}  // namespace

template <class T>
void product(std::int64_t m, std::int64_t n, std::int64_t k, T scale, const T* a, const T* b,
             bool transposed, T* c, int threads, const Monitor& monitor) {
  if (std::max(n, k) > std::numeric_limits<int>::max()) {
    throw std::invalid_argument("a matrix must have fewer than 2^31 columns");
  }
  if (m == 0 || n == 0) return;
  use_single_threaded_blas();
  const std::int64_t rows = std::clamp(m / 8, kFewRows, kManyRows);
  const double work = static_cast<double>(m) * static_cast<double>(n) *
                      static_cast<double>(std::max<std::int64_t>(k, 1));
  const double useful =
      std::clamp(work / kWorkPerThread, 1.0, static_cast<double>(std::max(1, threads)));
  Tasks tasks((m + rows - 1) / rows, static_cast<int>(useful), monitor);
  tasks.run([&](int, std::int64_t index) {
    const std::int64_t first = index * rows;
    multiply(static_cast<int>(std::min(rows, m - first)), static_cast<int>(n), static_cast<int>(k),
             scale, a + first * k, static_cast<int>(k), b, static_cast<int>(transposed ? k : n),
             transposed, c + first * n, static_cast<int>(n));
  });
}

template void product(std::int64_t, std::int64_t, std::int64_t, float, const float*, const float*,
                      bool, float*, int, const Monitor&);
template void product(std::int64_t, std::int64_t, std::int64_t, double, const double*,
                      const double*, bool, double*, int, const Monitor&);

}  // namespace ntkfast
