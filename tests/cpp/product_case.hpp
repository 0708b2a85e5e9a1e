// Vectors and comparisons for products of a kernel with vectors.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

namespace product_case {

// Normal vectors, row-major, the columns of very different sizes.
inline std::vector<double> vectors(std::int64_t rows, std::int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  std::vector<double> v(static_cast<std::size_t>(rows * count));
  for (std::int64_t at = 0; at < rows * count; ++at) {
    v[static_cast<std::size_t>(at)] = std::ldexp(normal(random), static_cast<int>(at % count) * 7);
  }
  return v;
}

// Largest error of got = k v (or k' v), k being n x m, in units of what is allowed: a term is a
// product of two rounded numbers, and a sum of up to 1024 of them is rounded at every step.
// `slack`: how far entries themselves may be off, in units of epsilon times their row's or column's
// largest.
template <class T>
double worst_error(const std::vector<T>& k, std::int64_t n, std::int64_t m,
                   const std::vector<double>& v, std::int64_t count, bool transposed,
                   const std::vector<double>& got, double slack = 0) {
  constexpr long double unit = std::numeric_limits<T>::epsilon();
  const std::int64_t rows = transposed ? m : n, met = transposed ? n : m;
  const auto entry = [&](std::int64_t i, std::int64_t j) {
    return static_cast<long double>(
        k[static_cast<std::size_t>(transposed ? j * m + i : i * m + j)]);
  };
  std::vector<long double> largest(static_cast<std::size_t>(met), 0);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < met; ++j) {
      auto& most = largest[static_cast<std::size_t>(j)];
      most = std::max(most, std::fabs(entry(i, j)));
    }
  }
  long double worst = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t c = 0; c < count; ++c) {
      long double sum = 0, size = 0, root = 0;
      for (std::int64_t j = 0; j < met; ++j) {
        const long double term = entry(i, j) * v[static_cast<std::size_t>(j * count + c)];
        sum += term;
        size += std::fabs(term);
        root = std::max(root, std::fabs(entry(i, j)));
      }
      long double loose = 0;
      for (std::int64_t j = 0; j < met && slack > 0; ++j) {
        loose += std::max(root, largest[static_cast<std::size_t>(j)]) *
                 std::fabs(static_cast<long double>(v[static_cast<std::size_t>(j * count + c)]));
      }
      const long double error = std::fabs(got[static_cast<std::size_t>(i * count + c)] - sum);
      const long double allowed =
          unit *
          ((2 + std::sqrt(static_cast<long double>(std::min<std::int64_t>(met, 1024)))) * size +
           slack * loose);
      if (std::isnan(error)) return std::numeric_limits<double>::infinity();
      if (error > 0) worst = std::max(worst, error / allowed);
    }
  }
  return static_cast<double>(worst);
}

}  // namespace product_case
