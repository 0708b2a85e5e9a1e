// Sign: phi(x) = -1, 0, 1 for x < 0, x = 0, x > 0. phi' = 0 almost everywhere, so T' = 0.
//
// Domain: every q >= 0. Dual (Sheppard 1899; Cho & Saul 2009, order 0): with theta = acos(rho),
//   rho' = 1 - (2 / pi) theta,  q' = 1,
// and q' = 0 of a zero row, because sign(0) = 0: the network's own value there, not the limit 1.
// Price's theorem would make E[phi' phi'] = (2 / pi) / sqrt(1 - rho^2), which diverges at rho = 1;
// the convention here is that of a derivative almost everywhere.
//
// rho' is odd in rho, so m' = (2 / pi) acos(1 - m) needs m = 1 - |rho| alone, and a relative error
// of m is halved. An absolute error e of m is not: it moves m' by e / (pi sqrt(m / 2)).
// Error bound over all m, against 120 digits: 4 u of m'.
#pragma once

#include "math/duals/dual.hpp"

namespace ntkfast::inline NTKFAST_ISA {

struct Sign {
  static constexpr int kParams = 0;
  static constexpr int kConstants = 0;
  static constexpr int kColumns = 0;

  static void constants(const double* /*params*/, double* /*constants*/) {}
  static bool nonnegative(const double* /*params*/) { return false; }
  static RowStep row(const double* /*params*/, double p, double* /*columns*/) {
    return {p > 0 ? 1.0 : 0.0, 0.0};
  }

  template <class T, bool kSigned>
  static NTKFAST_INLINE PairStep<T> pair(const T* /*constants*/, T s, const T* /*left*/,
                                         const T* /*right*/) {
    const T z = T(0.5) * (kSigned ? std::fabs(s) : s);  // sin^2 of half the angle
    const T next = T(4 * M_1_PI) * (std::sqrt(z) * asin_over_root(z));
    const T m = next < T(1) ? next : T(1);
    return {kSigned ? std::copysign(m, s) : m, T(0)};
  }
};

}  // namespace ntkfast::inline NTKFAST_ISA
