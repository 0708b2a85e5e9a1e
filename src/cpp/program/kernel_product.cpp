#include "program/kernel_product.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "math/fixed_sum.hpp"

namespace ntkfast {

template <class T>
void DiagonalRoots::add(std::int64_t count, const T* p, const T* nngp, const T* ntk) {
  // T = p^2 tau keeps its digits where p^2 does.
  constexpr double smallest = 1e6 * static_cast<double>(std::numeric_limits<T>::min());
  for (std::int64_t i = 0; i < count; ++i) {
    const double diagonal = nngp[i];
    // Dropout makes the diagonal larger than p^2, never smaller.
    double root = std::max(static_cast<double>(p[i]), std::sqrt(diagonal));
    if (ntk != nullptr && diagonal > smallest) {
      const double ratio = ntk[i] / diagonal;
      largest_ratio_ = std::max(largest_ratio_, ratio);
      root *= std::sqrt(ratio);
    } else if (ntk != nullptr && root > 0) {
      lost_.push_back(rows());
    }
    roots_.push_back(root);
  }
}

void DiagonalRoots::finish() {
  // Where all rows are as small, nothing is known: ten bits are given away.
  const double ratio = largest_ratio_ > 0 ? largest_ratio_ : 1 << 10;
  for (const std::int64_t i : lost_) roots_[static_cast<std::size_t>(i)] *= std::sqrt(ratio);
  lost_.clear();
  for (const double root : roots_) {
    exponents_.push_back(fixed_exponent(root));
    scales_.push_back(fixed_scale(exponents_.back()));
  }
}

template <class T>
ScaledVectors<T>::ScaledVectors(const double* v, std::int64_t row_count, std::int64_t column_count,
                                const std::vector<double>& roots)
    : rows(row_count),
      count(column_count),
      values(static_cast<std::size_t>(row_count * column_count)),
      exponents(static_cast<std::size_t>(column_count)) {
  const auto k = static_cast<std::size_t>(count);
  // Two passes, so that no sum leaves the range of double: first the largest term.
  std::vector<double> largest(k, 0.0), sum(k, 0.0);
  std::vector<int> top(k, 0);
  const auto each = [&](auto visit) {
    for (std::size_t j = 0; j < roots.size(); ++j) {
      int exponent = 0;
      const double root = std::frexp(roots[j], &exponent);
      for (std::size_t c = 0; c < k; ++c) visit(c, root, exponent, v[j * k + c]);
    }
  };
  std::vector<bool> seen(k, false);
  each([&](std::size_t c, double root, int exponent, double entry) {
    if (!std::isfinite(entry)) throw std::invalid_argument("V must be finite, got NaN or infinity");
    if (root == 0 || entry == 0) return;
    const int size = exponent + std::ilogb(entry) + 1;
    top[c] = seen[c] ? std::max(top[c], size) : size;
    seen[c] = true;
  });
  each([&](std::size_t c, double root, int exponent, double entry) {
    sum[c] += std::ldexp(root * std::fabs(entry), exponent - top[c]);
  });
  for (std::size_t c = 0; c < k; ++c) {
    // + 1: rounding of this sum and of the entries of the kernel.
    exponents[c] = seen[c] ? top[c] + std::ilogb(sum[c]) + 2 : 0;
  }
  constexpr double range = static_cast<double>(std::numeric_limits<T>::max());
  for (std::size_t at = 0; at < values.size(); ++at) {
    // A row of zeros adds nothing, whatever it is multiplied by. The range is left only where a
    // kernel's own entries are below theirs.
    if (roots[at / k] == 0) continue;
    values[at] = static_cast<T>(std::clamp(std::ldexp(v[at], -exponents[at % k]), -range, range));
  }
}

void finish_sums(const std::int64_t* sums, std::int64_t row_step, std::int64_t column_step,
                 const DiagonalRoots& roots, const std::vector<int>& exponents, double* out) {
  const std::size_t count = exponents.size();
  for (std::size_t i = 0; i < roots.exponents().size(); ++i) {
    for (std::size_t c = 0; c < count; ++c) {
      const std::int64_t sum = sums[static_cast<std::int64_t>(i) * row_step +
                                    static_cast<std::int64_t>(c) * column_step];
      out[i * count + c] = from_fixed(sum, roots.exponents()[i], exponents[c]);
    }
  }
}

template void DiagonalRoots::add(std::int64_t, const float*, const float*, const float*);
template void DiagonalRoots::add(std::int64_t, const double*, const double*, const double*);
template struct ScaledVectors<float>;
template struct ScaledVectors<double>;

}  // namespace ntkfast
