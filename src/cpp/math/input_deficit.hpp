// The deficit of a pair of input rows: from the product of the rows, and from the rows themselves.
#pragma once

#include <cmath>

#include "math/deficit.hpp"

namespace ntkfast::inline NTKFAST_ISA {

// s from the product of two rows, which times both factors is v . v'; `half_norm` is |v|^2 / 2.
template <class T>
NTKFAST_INLINE T input_deficit(T product, T factor_i, T factor_j, T half_norm_i, T half_norm_j) {
  const T cosine = product * (factor_i * factor_j);
  return signed_deficit((half_norm_i + half_norm_j) - cosine);
}

// Whether |s| is at most the mean of both thresholds: the product has lost what is left of it.
template <class T>
NTKFAST_INLINE bool needs_repair(T s, T threshold_i, T threshold_j) {
  return T(2) * std::fabs(s) <= threshold_i + threshold_j;
}

// a x - b z in double. Rows of one norm are subtracted before they are scaled: equal rows are then
// exactly 0 apart, which a x - b z, contracted to one fused operation, is not.
enum class Scales { Same, Opposite, Different };

NTKFAST_INLINE Scales compare_scales(double a, double b) {
  return a == b ? Scales::Same : a == -b ? Scales::Opposite : Scales::Different;
}

NTKFAST_INLINE double scaled_difference(Scales scales, double x, double a, double z, double b) {
  if (scales == Scales::Same) return (x - z) * a;
  return scales == Scales::Opposite ? (x + z) * a : x * a - z * b;
}

}  // namespace ntkfast::inline NTKFAST_ISA
