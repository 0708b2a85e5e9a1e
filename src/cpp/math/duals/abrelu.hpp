// ABRelu: phi(x) = a min(x, 0) + b max(x, 0); Relu (0, 1), LeakyRelu (alpha, 1), Abs (-1, 1).
//
// phi'(x) = a for x < 0, b for x > 0. Domain: every q >= 0.
// Dual (Cho & Saul 2009, order 1; Tsuchida et al. 2018): with c = (a - b)^2 / (a^2 + b^2), the
// angle theta = acos(rho) and g = sin(theta) - theta cos(theta),
//   1 - rho' = (1 - rho) - (c / pi) g(theta),   E[phi' phi'] = (a^2 + b^2)/2 (1 - (c / pi) theta).
// All forms below start from the angle alpha to the nearer pole, so both ends keep their digits.
// Error bounds, 2 million points per dtype: the next angle 5 u, the gain 6 u of its value at rho
// = 1.
#pragma once

#include "math/duals/dual.hpp"

namespace ntkfast::inline NTKFAST_ISA {

struct AbRelu {
  static constexpr int kParams = 2;
  static constexpr int kConstants = 4;
  static constexpr int kColumns = 0;
  static constexpr bool kHomogeneous = true;  // row(params, p) is p times row(params, 1)

  // c, c / pi, 1 - c = 2ab / (a^2 + b^2) and 2 - c = (a + b)^2 / (a^2 + b^2). The last two from
  // their own formulas: near an even or a linear activation they are small, and c is rounded.
  static void constants(const double* params, double* constants) {
    const double size = std::fmax(std::fabs(params[0]), std::fabs(params[1]));
    const int exponent = size > 0 ? -std::ilogb(size) : 0;  // exact, keeps the squares in range
    const double a = size > 0 ? std::scalbn(params[0], exponent) : 1;
    const double b = size > 0 ? std::scalbn(params[1], exponent) : 1;
    const double norm = a * a + b * b;
    constants[0] = (a - b) * (a - b) / norm;
    constants[1] = constants[0] / M_PI;
    constants[2] = 2 * a * b / norm;
    constants[3] = (a + b) * (a + b) / norm;
  }

  // rho' = c - 1 at rho = -1, and c >= 1 unless both slopes have one sign. Zero has no rho'.
  static bool nonnegative(const double* params) {
    const double a = params[0], b = params[1];
    return (a != 0 || b != 0) && !(a > 0 && b > 0) && !(a < 0 && b < 0);
  }

  static RowStep row(const double* params, double p, double* /*columns*/) {
    return {p * (std::hypot(params[0], params[1]) * M_SQRT1_2), 1.0};
  }

  template <class T, bool kSigned>
  static NTKFAST_INLINE PairStep<T> pair(const T* constants, T s, const T* /*left*/,
                                         const T* /*right*/) {
    const T c = constants[0], c_over_pi = constants[1];
    const T m = kSigned ? std::fabs(s) : s;
    const T z = T(0.5) * m;  // sin^2(alpha / 2)
    const T root = std::sqrt(z);
    const T angle = T(2) * c_over_pi * root * asin_over_root(z);
    const T excess = c_over_pi * (z * root) * arc_excess_over_root_cubed(z);
    if constexpr (!kSigned) {
      return {m - excess, T(1) - angle};
    } else {
      const T one_minus_c = constants[2], two_minus_c = constants[3];
      const bool negative = std::copysign(T(1), s) < T(0);
      // rho < 0: rho' = (c - 1)(1 - m) + excess; its deficit is taken from whichever end is near,
      // written so that a nearly linear (c = 0) or nearly even (c = 2) function leaves m alone.
      const T toward_one = (m + two_minus_c * (T(1) - m)) - excess;
      const T toward_minus_one = (m + c * (T(1) - m)) + excess;
      const T opposite = toward_minus_one < T(1) ? -toward_minus_one : toward_one;
      return {negative ? opposite : m - excess, negative ? one_minus_c + angle : T(1) - angle};
    }
  }
};

}  // namespace ntkfast::inline NTKFAST_ISA
