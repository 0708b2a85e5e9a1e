// The angle of a row under the error function, and the sums that pairs make of row columns: shared
// by the duals that are made of erf.
#pragma once

#include <cmath>

#include "math/hostdev.hpp"

namespace ntkfast::inline NTKFAST_ISA {

// e^2 = 2 b^2 q / (1 + 2 b^2 q), f^2 = 1 - e^2 and alpha = asin(e^2), from scaled = |b| p. Neither
// the angle nor its complement is ever a difference of nearly equal numbers.
struct ErfAngle {
  double e, f, sine, cosine, alpha, complement;

  explicit ErfAngle(double scaled) {
    const double norm = std::hypot(M_SQRT1_2, scaled);
    e = scaled / norm;
    f = M_SQRT1_2 / norm;
    sine = e * e;
    cosine = f * std::sqrt(1 + sine);
    const bool small = sine <= 0.5;
    complement = small ? M_PI_2 - std::asin(sine) : 2 * std::asin(f * M_SQRT1_2);
    alpha = small ? std::asin(sine) : M_PI_2 - complement;
  }
};

// sum_k +-u_k u_k' : a smooth symmetric function of two rows through its eigenfunctions u_k, which
// are columns of the rows. Smallest terms first.
template <int kTerms, class T, int N>
NTKFAST_INLINE T signed_sum(const int (&sign)[N], const T* left, const T* right) {
  static_assert(kTerms <= N);
  T sum = 0;
  for (int k = kTerms - 1; k >= 0; --k) sum += T(sign[k]) * left[k] * right[k];
  return sum;
}

}  // namespace ntkfast::inline NTKFAST_ISA
