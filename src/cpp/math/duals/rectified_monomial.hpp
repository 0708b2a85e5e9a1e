// RectifiedMonomial: phi(x) = max(x, 0)^n, phi'(x) = n max(x, 0)^(n - 1). n = 1 is Relu; n = 0 is
// the step from 0 to 1 behind x = 0, with phi' = 0 and so T' = 0.
//
// Domain: n = 0, 1, ..., 16 and every q. Dual (Cho & Saul 2009, order n): rho' = R_n(rho) with
//   R_n = J_n / (pi (2n - 1)!!),  dR_n / drho = n^2 / (2n - 1) R_(n-1),
//   q' = q^n (2n - 1)!! / 2,      gain = n^2 / (2n - 1) R_(n-1)(rho).
// Below zero R_n is small, and with z = (1 + rho) / 2 = m / 2 it is a series of positive terms,
//   R_n(-(1 - m)) = z^(n + 1/2) W_n(z),  W_n(z) = sum_j w_j z^j  (n integrations of acos / pi);
// above zero the other sheet of the arc cosine adds A_n, the dual of x^n: a polynomial of the
// parity of n with A_n(1) = 1 and all coefficients >= 0,
//   1 - R_n(1 - m) = [1 - A_n(1 - m)] + (-1)^n z^(n + 1/2) W_n(z).
// W_n is interpolated once per layer; 1 - A_n is a sum of positive terms with a factor m.
//
// Error bounds over all m and n, against 120 digits; u the unit roundoff: 4 u of m', 4 u of the
// gain at rho = 1.
#pragma once

#include <cmath>
#include <type_traits>

#include "math/duals/dual.hpp"

namespace ntkfast::inline NTKFAST_ISA {

namespace rectified_detail {

// Horner's rule on the first N numbers behind a pointer.
template <int N, class T>
NTKFAST_INLINE T horner(const T* coefficient, T x) {
  if constexpr (N == 1) {
    return coefficient[0];
  } else {
    return horner<N - 1>(coefficient + 1, x) * x + coefficient[0];
  }
}

// Terms of W on [0, 1/2], enough for float and double (W_0 is the worst: asin_over_root), and of
// (1 - A) / (1 - rho^2), a polynomial in rho^2.
constexpr int kShort = 8, kWide = 18, kQuotient = 8, kBits = 4;
constexpr int kMaxDegree = 2 * kQuotient;
constexpr long double kPi = 3.14159265358979323846264338327950288L;
static_assert(kMaxDegree - 1 < (1 << kBits));

// W_n(z) for 0 <= z <= 1/2, from its series.
inline long double tail_series(int n, long double z) {
  constexpr int terms = 80;  // 2^-80 and less behind them
  long double size = 2 / kPi, first = size;
  for (int k = 1; k <= n; ++k) first *= 2.0L * k * k / ((2 * k - 1) * (k + 0.5L));
  long double term = first, sum = 0;
  for (int j = 0; j < terms; ++j) {
    sum += term;
    // acos series: (2j)! / (4^j j!^2 (2j + 1)); each integration divides by j + i + 1/2.
    term *= (j + 0.5L) / (j + 1) * (j + 0.5L) / (j + n + 1.5L) * z;
  }
  return sum;
}

// Coefficients of the interpolant of W_n in the Chebyshev points of [0, 1/2], lowest power first.
inline void interpolate_tail(int n, int terms, double* coefficient) {
  long double value[kWide], angle[kWide], power[kWide] = {}, last[kWide] = {1}, next[kWide] = {};
  for (int i = 0; i < terms; ++i) {
    angle[i] = kPi * (i + 0.5L) / terms;
    value[i] = tail_series(n, (1 + std::cos(angle[i])) / 4);
  }
  // last, next: the Chebyshev polynomials T_(k-1), T_k of 4 z - 1 in powers of z, whole numbers.
  next[0] = -1, next[1] = 4;
  for (int k = 0; k < terms; ++k) {
    long double sum = 0;
    for (int i = 0; i < terms; ++i) sum += value[i] * std::cos(k * angle[i]);
    sum *= (k == 0 ? 1.0L : 2.0L) / terms;
    for (int j = 0; j <= k; ++j) power[j] += sum * last[j];
    long double after[kWide] = {};
    for (int j = 0; j < terms; ++j) {
      after[j] = -2 * next[j] - last[j] + (j > 0 ? 8 * next[j - 1] : 0);
    }
    for (int j = 0; j < terms; ++j) last[j] = next[j], next[j] = after[j];
  }
  for (int j = 0; j < terms; ++j) coefficient[j] = static_cast<double>(power[j]);
}

// Coefficients of (1 - A(rho)) / (1 - x), or of (1 - A(rho) / rho) / (1 - x) where n is odd, in
// powers of x = rho^2: the sums of all higher coefficients of A.
inline void quotient(int n, double* coefficient) {
  // A = E[u^n v^n] / (2n - 1)!!, the dual of x^n: n!^2 / (4^j j!^2 k!) of power k = n - 2 j.
  long double a[kMaxDegree + 2] = {}, term = 1;
  for (int k = 1; k <= n; ++k) term *= static_cast<long double>(k) / (2 * k - 1);
  for (int k = n, j = 1; k >= 0; k -= 2, ++j) {
    a[k] = term;
    term *= k * (k - 1) / (4.0L * j * j);
  }
  long double above = 0;
  for (int j = kQuotient - 1; j >= 0; --j) {
    const int degree = 2 * (j + 1) + n % 2;
    if (degree <= n) above += a[degree];
    coefficient[j] = static_cast<double>(above);
  }
}

}  // namespace rectified_detail

struct RectifiedMonomial {
  static constexpr int kMaxDegree = rectified_detail::kMaxDegree;
  static constexpr int kParams = 1;
  static constexpr int kColumns = 0;

  // One order: W for float and for double, 1 - A, and the parity.
  enum Order { kShort = 0, kWide = 8, kQuotient = 26, kOdd = 34, kOrderSize = 35 };
  // Both orders, the largest gain, whether n > 0, and n - 1 in binary.
  enum Constant { kThis = 0, kLower = kOrderSize, kGain = 2 * kOrderSize, kSloped, kBit };
  static constexpr int kConstants = kBit + rectified_detail::kBits;

  static void constants(const double* params, double* constants) {
    const int n = static_cast<int>(params[0]), lower = n > 0 ? n - 1 : 0;
    for (int which = 0; which < 2; ++which) {
      const int order = which == 0 ? n : lower;
      double* out = constants + which * kOrderSize;
      rectified_detail::interpolate_tail(order, rectified_detail::kShort, out + kShort);
      rectified_detail::interpolate_tail(order, rectified_detail::kWide, out + kWide);
      rectified_detail::quotient(order, out + kQuotient);
      out[kOdd] = order % 2;
    }
    constants[kGain] = largest_gain(n);
    constants[kSloped] = n > 0;
    for (int b = 0; b < rectified_detail::kBits; ++b) constants[kBit + b] = (lower >> b) & 1;
  }

  static bool nonnegative(const double* /*params*/) { return true; }

  // phi(0) = 0: a zero row stays one, for n = 0 too.
  static RowStep row(const double* params, double p, double* /*columns*/) {
    const int n = static_cast<int>(params[0]);
    double size = 0.5;  // (2n - 1)!! / 2
    for (int k = 1; k <= n; ++k) size *= 2 * k - 1;
    return {p > 0 ? std::pow(p, n) * std::sqrt(size) : 0, largest_gain(n)};
  }

  template <class T, bool kSigned>
  static NTKFAST_INLINE PairStep<T> pair(const T* constants, T s, const T* /*left*/,
                                         const T* /*right*/) {
    const T m = kSigned ? std::fabs(s) : s;
    const T z = T(0.5) * m;
    T power = std::sqrt(z), square = z;  // z^(n - 1/2), or z^(1/2) where n = 0
    for (int b = 0; b < rectified_detail::kBits; ++b) {
      power *= constants[kBit + b] != T(0) ? square : T(1);
      square *= square;
    }
    const T lower_tail = power * tail(constants + kLower, z);
    const T this_tail =
        power * (constants[kSloped] != T(0) ? z : T(1)) * tail(constants + kThis, z);
    const T deficit = near_one(constants + kThis, m, this_tail);
    const T slope = T(1) - near_one(constants + kLower, m, lower_tail);
    if constexpr (!kSigned) {
      return {deficit, constants[kGain] * slope};
    } else {
      const bool negative = std::copysign(T(1), s) < T(0);
      return {negative ? T(1) - this_tail : deficit,
              constants[kGain] * (negative ? lower_tail : slope)};
    }
  }

 private:
  // n^2 / (2n - 1): chi.
  static double largest_gain(int n) { return n > 0 ? static_cast<double>(n) * n / (2 * n - 1) : 0; }

  template <class T>
  static NTKFAST_INLINE T tail(const T* order, T z) {
    if constexpr (std::is_same_v<T, float>) {
      return rectified_detail::horner<rectified_detail::kShort>(order + kShort, z);
    } else {
      return rectified_detail::horner<rectified_detail::kWide>(order + kWide, z);
    }
  }

  // 1 - R at rho = 1 - m, given R at -rho.
  template <class T>
  static NTKFAST_INLINE T near_one(const T* order, T m, T opposite) {
    const T n = T(1) - m;
    const T even = (m * (T(2) - m)) *
                   rectified_detail::horner<rectified_detail::kQuotient>(order + kQuotient, n * n);
    const bool odd = order[kOdd] != T(0);
    return odd ? (even + m * (T(1) - even)) - opposite : even + opposite;
  }
};

}  // namespace ntkfast::inline NTKFAST_ISA
