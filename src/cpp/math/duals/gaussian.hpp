// Gaussian: phi(x) = a exp(b x^2), phi'(x) = 2 a b x exp(b x^2).
//
// Domain: every q for b <= 0; q < 1 / (4 b) for b > 0, beyond which E[phi^2] is infinite. Dual, a
// Gaussian integral (Williams 1997, section 3.2): with w = -2 b q and
//   det = (1 + w)(1 + w') - 4 b^2 K^2,
//   K' = a^2 / sqrt(det),  E[phi' phi'] = 4 a^2 b^2 K / det^(3/2).
// With u^2 = 1 + 2 w, k = w / u and m = 1 - |rho|, the ratio Q = det / (u u') is 1 plus
//   e = (u - u')^2 / (2 u u') + k k' m (2 - m),
// two non-negative terms whatever the sign of b, and
//   rho' = Q^(-1/2),  1 - rho' = e / (sqrt(Q) (sqrt(Q) + 1)),  gain = k k' rho Q^(-3/2).
// K' is even in rho and positive.
//
// Error bounds for exact s and p, measured on 12000 random pairs against 120 digits, norms 1e-9 to
// 1e9 in any mix (b > 0: q to 0.95 of the limit), m from 1e-17 to 1; u the unit roundoff:
//   |error of m'| <= 5 u sqrt(2 m'); rows of one norm: also <= 12 u m';
//   |error of the gain| <= 15 u sqrt(gain_i gain_j).
// Nearer to the limit the factor 1 / (1 - 4 b q) multiplies the relative error of q, as it does the
// conditioning k k'. Deficits below 4 u^2 count as 0.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "math/duals/dual.hpp"

namespace ntkfast::inline NTKFAST_ISA {

namespace gaussian_detail {

// u - 1, 1 / u and k = w / u of a row whose x is sqrt(2 |w|).
enum Column { kExcess, kInverse, kSlope, kColumns };

inline void write(double x, bool grows, double* columns) {
  const double sign = grows ? -1 : 1;
  const double u = grows ? std::sqrt((1 - x) * (1 + x)) : std::hypot(1, x);
  columns[kExcess] = sign * x * (x / (1 + u));
  columns[kInverse] = 1 / u;
  columns[kSlope] = sign * 0.5 * x * (x / u);
}

// What the ratio Q of a pair is made of.
template <class T>
struct Ratio {
  T norms, angle;  // the two terms of e = Q - 1
  T slopes;        // k k'
  T loss, root;    // 1 - Q^(-1/2), Q^(-1/2)
};

template <class T>
NTKFAST_INLINE Ratio<T> ratio(T m, const T* left, const T* right) {
  // Keeps squares finite; k itself may be anything.
  constexpr T largest = std::is_same_v<T, float> ? T(1.2e19) : T(1e154);
  const T kl = left[kSlope] < largest ? left[kSlope] : largest;
  const T kr = right[kSlope] < largest ? right[kSlope] : largest;
  const T du = left[kExcess] - right[kExcess];
  const T norms = T(0.5) * (du * left[kInverse]) * (du * right[kInverse]);
  const T slopes = kl * kr;
  const T angle = slopes * (m * (T(2) - m));
  const T e = norms + angle;
  const T root = std::sqrt(T(1) + e);
  const T inverse = T(1) / (root * (T(1) + root));
  return {norms, angle, slopes, e * inverse, (T(1) + root) * inverse};
}

}  // namespace gaussian_detail

struct Gaussian {
  static constexpr int kParams = 2;
  static constexpr int kConstants = 0;
  static constexpr int kColumns = gaussian_detail::kColumns;

  static void constants(const double* /*params*/, double* /*constants*/) {}
  static bool nonnegative(const double* /*params*/) { return true; }

  // q must stay below this.
  static double variance_limit(const double* params) {
    return params[1] > 0 ? 0.25 / params[1] : std::numeric_limits<double>::infinity();
  }

  static RowStep row(const double* params, double p, double* columns) {
    const double x = 2 * std::sqrt(std::fabs(params[1])) * p;
    gaussian_detail::write(x, params[1] > 0, columns);
    const double k = columns[gaussian_detail::kSlope];
    return {std::fabs(params[0]) * std::sqrt(columns[gaussian_detail::kInverse]), k * k};
  }

  template <class T, bool kSigned>
  static NTKFAST_INLINE PairStep<T> pair(const T* /*constants*/, T s, const T* left,
                                         const T* right) {
    const auto q = gaussian_detail::ratio(kSigned ? std::fabs(s) : s, left, right);
    return {q.loss, q.slopes * correlation<T, kSigned>(s) * (q.root * q.root * q.root)};
  }
};

}  // namespace ntkfast::inline NTKFAST_ISA
