// Differences of hyperbolic functions as series of positive terms, where formed plainly they
// cancel.
#pragma once

#include "math/hostdev.hpp"

namespace ntkfast::inline NTKFAST_ISA {

// 1 / (2 j)!
template <class T>
NTKFAST_INLINE constexpr T inverse_even_factorial(int j) {
  double product = 1;
  for (int k = 2; k <= 2 * j; ++k) product *= k;
  return static_cast<T>(1 / product);
}

// (cosh sqrt(y + z) - cosh sqrt(y) - cosh sqrt(z) + 1) / (y z) for y, z >= 0, the series to
// (y + z)^(kTerms + 1): sums over ((y + z)^j - y^j - z^j) / (y z) / (2 j)!, j = 2, 3, ..., where
// the next numerator is (y + z) times this one plus y^(j - 1) + z^(j - 1).
template <int kTerms, class T>
NTKFAST_INLINE T cosh_second_difference(T y, T z) {
  const T x = y + z;
  T sum = 0, numerator = 2, power_y = y, power_z = z;
  for (int j = 2; j < kTerms + 2; ++j) {
    sum += inverse_even_factorial<T>(j) * numerator;
    numerator = x * numerator + (power_y + power_z);
    power_y *= y;
    power_z *= z;
  }
  return sum;
}

// With f(t) = 2 (cosh sqrt(t) - 1) / t: (f(t) - f(r)) / (t - r) for t, r >= 0, the same number of
// terms.
template <int kTerms, class T>
NTKFAST_INLINE T squared_sinhc_slope(T t, T r) {
  T sum = 0, numerator = 1, power = r;
  for (int j = 2; j < kTerms + 2; ++j) {
    sum += T(2) * inverse_even_factorial<T>(j) * numerator;
    numerator = t * numerator + power;
    power *= r;
  }
  return sum;
}

}  // namespace ntkfast::inline NTKFAST_ISA
