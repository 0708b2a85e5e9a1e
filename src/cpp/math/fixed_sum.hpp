// Sums that do not depend on the order of their terms, so that threads and devices may add in any.
//
// Terms are rounded to multiples of one power of two and added as integers. For a product K v the
// largest size of a sum is known in advance: K is a covariance (so is T), |K_ij| <= root_i root_j
// with the roots of its diagonal, and |sum_j K_ij v_j| <= root_i sum_j root_j |v_j|. With v scaled
// to make the last sum at most 1, 60 bits are left below root_i: a term is rounded by at most
// 2^-61 of that bound, a double by 2^-53 of itself.
#pragma once

#include <cmath>
#include <cstdint>

#include "math/hostdev.hpp"

namespace ntkfast {

inline constexpr int kFixedBits = 60;

// The exponent of a row whose diagonal has the given root: root <= 2^exponent.
inline int fixed_exponent(double root) {
  int exponent = 0;
  if (root > 0) (void)std::frexp(root, &exponent);
  return exponent;
}

// What a term of that row is multiplied by.
inline double fixed_scale(int exponent) { return std::ldexp(1.0, kFixedBits - exponent); }

NTKFAST_HD inline std::int64_t to_fixed(double term, double scale) {
  return static_cast<std::int64_t>(std::rint(term * scale));
}

// The sum, undoing the scale of the row and 2^-column of the vector.
inline double from_fixed(std::int64_t sum, int exponent, int column) {
  return std::ldexp(static_cast<double>(sum), exponent - kFixedBits + column);
}

}  // namespace ntkfast
