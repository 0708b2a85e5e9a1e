// Differences of hyperbolic functions as series of positive terms, where formed plainly they
// cancel.
#pragma once

#include <type_traits>

#include "math/hostdev.hpp"

namespace ntkfast::inline NTKFAST_ISA {

namespace hyperbolic_detail {

// 1 / (2 j)!
constexpr double inverse_even_factorial(int j) {
  double product = 1;
  for (int k = 2; k <= 2 * j; ++k) product *= k;
  return 1 / product;
}

// A power that no longer counts beside the first terms, as zero: the product of two others is a
// normal number, and arithmetic with denormal ones costs a hundred cycles.
template <class T>
NTKFAST_INLINE T counted(T power) {
  constexpr T least = std::is_same_v<T, float> ? T(1e-18) : T(1e-150);
  return power < least ? T(0) : power;
}

// The terms from j = kFirst to kLast. Recursive: a loop over them, inside the one that is to be
// vectorised, would not be unrolled in time.
template <int kFirst, int kLast, class T>
NTKFAST_INLINE T second_difference_terms(T x, T y, T z, T power_y, T power_z, T numerator) {
  constexpr T factor = static_cast<T>(inverse_even_factorial(kFirst));
  if constexpr (kFirst == kLast) {
    return factor * numerator;
  } else {
    const T next = x * numerator + (power_y + power_z);
    return factor * numerator + second_difference_terms<kFirst + 1, kLast>(
                                    x, y, z, counted(power_y * y), counted(power_z * z), next);
  }
}

template <int kFirst, int kLast, class T>
NTKFAST_INLINE T slope_terms(T t, T r, T power, T numerator) {
  constexpr T factor = static_cast<T>(2 * inverse_even_factorial(kFirst));
  if constexpr (kFirst == kLast) {
    return factor * numerator;
  } else {
    return factor * numerator +
           slope_terms<kFirst + 1, kLast>(t, r, power * r, t * numerator + power);
  }
}

}  // namespace hyperbolic_detail

// (cosh sqrt(y + z) - cosh sqrt(y) - cosh sqrt(z) + 1) / (y z) for y, z >= 0 by its first kTerms
// terms: ((y + z)^j - y^j - z^j) / (y z) / (2 j)! for j = 2, 3, ..., where the next numerator is
// (y + z) times this one plus y^(j - 1) + z^(j - 1). What is left out is about
// 12 (kTerms + 2) (y + z)^kTerms / (2 kTerms + 4)! of the sum, at most.
template <int kTerms, class T>
NTKFAST_INLINE T cosh_second_difference(T y, T z) {
  const T a = hyperbolic_detail::counted(y), b = hyperbolic_detail::counted(z);
  return hyperbolic_detail::second_difference_terms<2, kTerms + 1>(a + b, a, b, a, b, T(2));
}

// With f(t) = 2 (cosh sqrt(t) - 1) / t, the square of sinh(sqrt(t) / 2) / (sqrt(t) / 2):
// (f(t) - f(r)) / (t - r) for t, r >= 0 by as many terms, 2 (t^(j - 1) - r^(j - 1)) / (t - r) /
// (2 j)!.
template <int kTerms, class T>
NTKFAST_INLINE T squared_sinhc_slope(T t, T r) {
  return hyperbolic_detail::slope_terms<2, kTerms + 1>(t, r, r, T(1));
}

}  // namespace ntkfast::inline NTKFAST_ISA
