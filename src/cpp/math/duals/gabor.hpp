// Gabor: phi(x) = exp(-x^2) sin(x), phi'(x) = exp(-x^2) (cos(x) - 2 x sin(x)).
//
// Domain: every q. The Gaussian factor turns N(0, Sigma) into N(0, Sigma (1 + 2 Sigma)^-1), over
// which the sine is averaged: with w = 2 q, k = 2 K and det = (1 + w)(1 + w') - k^2,
//   K' = exp(-A / 2) sinh(B) / sqrt(det),  A = 1 - (2 + w + w') / (2 det),  B = k / (2 det),
// and E[phi' phi'] = dK'/dK (Price 1958). With u, Q and e = norms + angle as in gaussian.hpp,
// i = 1 / (u u'), Q0 = 1 + norms, shc(z) = sinh(z) / z and omega = w / (1 + 2 w) < 1/2,
//   rho' = rho Q^(-3/2) exp(-alpha) S,
//   alpha = (i norms (1 + 1 / Q0) + (1 + i / Q0) angle / Q) / 4,
//   S = shc(B) / sqrt(shc(omega / 2) shc(omega' / 2)),  (2 B)^2 = omega omega' rho^2 / Q^2,
// three factors below 1, whose deficits are sums of positive terms, and
//   gain = Q^(-3/2) exp(-alpha) [S n (1 + (i + Q0) / (2 Q)) + cosh(B) S / shc(B) (1 + 2 n)],
//   n = k k' rho^2 / Q with the k of gaussian.hpp.
// K' is odd in rho.
//
// Error bounds for exact s and p, measured on 12000 random pairs against 120 digits, norms 1e-9 to
// 1e9 in any mix, m from 1e-17 to 1, both signs; u the unit roundoff:
//   |error of m'| <= 6 u sqrt(2 m'); rows of one norm: also <= 10 u m';
//   |error of the gain| <= 17 u sqrt(gain_i gain_j).
// Deficits below 4 u^2 count as 0.
#pragma once

#include <cmath>
#include <type_traits>

#include "math/duals/dual.hpp"
#include "math/duals/gaussian.hpp"
#include "math/exponential.hpp"
#include "math/hyperbolic.hpp"

namespace ntkfast::inline NTKFAST_ISA {

namespace gabor_detail {

// sinh(B) / B and cosh(B) for t = (2 B)^2 in [0, 1/4]; truncation 5e-11 (float), 2e-18 (double).
template <class T>
NTKFAST_INLINE T sinh_over_argument(T t) {
  if constexpr (std::is_same_v<T, float>) {
    constexpr float c[] = {1.0f, 1 / 24.0f, 1 / 1920.0f, 1 / 322560.0f};
    return polynomial(c, t);
  } else {
    constexpr double c[] = {1.0,          1 / 24.0,       1 / 1920.0,
                            1 / 322560.0, 1 / 92897280.0, 1 / 40874803200.0};
    return polynomial(c, t);
  }
}

template <class T>
NTKFAST_INLINE T cosh_of_half_root(T t) {
  if constexpr (std::is_same_v<T, float>) {
    constexpr float c[] = {1.0f, 1 / 8.0f, 1 / 384.0f, 1 / 46080.0f};
    return polynomial(c, t);
  } else {
    constexpr double c[] = {1.0,
                            1 / 8.0,
                            1 / 384.0,
                            1 / 46080.0,
                            1 / 10321920.0,
                            1 / 3715891200.0,
                            1 / 1961990553600.0};
    return polynomial(c, t);
  }
}

}  // namespace gabor_detail

struct Gabor {
  static constexpr int kParams = 0;
  static constexpr int kConstants = 0;
  // Those of gaussian.hpp, and shc(omega / 2)^(-1/2).
  enum Column { kFlatness = gaussian_detail::kColumns, kColumns };

  static void constants(const double* /*params*/, double* /*constants*/) {}
  static bool nonnegative(const double* /*params*/) { return false; }

  static RowStep row(const double* /*params*/, double p, double* columns) {
    gaussian_detail::write(2 * p, false, columns);
    const double inverse = columns[gaussian_detail::kInverse];
    const double k = columns[gaussian_detail::kSlope];
    const double half = 0.5 * k * inverse;  // omega / 2
    const double sinhc = half > 0 ? std::sinh(half) / half : 1;
    columns[kFlatness] = 1 / std::sqrt(sinhc);
    // -expm1(-omega) = 2 exp(-omega / 2) sinh(omega / 2) and omega = 2 (p / u)^2
    const double next = p * inverse * std::sqrt(std::exp(-half) * sinhc * inverse);
    const double n = k * k;
    return {next, n * (1.5 + 0.5 * inverse * inverse) + std::cosh(half) / sinhc * (1 + 2 * n)};
  }

  template <class T, bool kSigned>
  static NTKFAST_INLINE PairStep<T> pair(const T* /*constants*/, T s, const T* left,
                                         const T* right) {
    using gaussian_detail::kExcess;
    using gaussian_detail::kInverse;
    constexpr int terms = std::is_same_v<T, float> ? 3 : 6;
    const T m = kSigned ? std::fabs(s) : s;
    const T rho = T(1) - m;
    const auto q = gaussian_detail::ratio(m, left, right);
    const T r2 = q.root * q.root, r3 = r2 * q.root;
    const T shrink = (q.loss * (T(1) + q.root)) + q.loss * r2;  // 1 - Q^(-3/2)

    const T i = left[kInverse] * right[kInverse];
    const T i0 = T(1) / (T(1) + q.norms);
    const T alpha = T(0.25) * (i * q.norms * (T(1) + i0) + (T(1) + i * i0) * (q.angle * r2));
    const Decay<T> damp = decay(alpha);

    const T t0 = i * q.slopes;  // omega omega'
    const T far = rho * r2;
    const T t = t0 * (far * far);
    const T closing = q.loss * (T(1) + q.root) * (T(1) + r2) + r2 * r2 * (m * (T(2) - m));
    const T d_omega =
        T(0.25) * (left[kExcess] - right[kExcess]) * i * (left[kInverse] + right[kInverse]);
    const T y = d_omega * d_omega;
    const T flat = left[kFlatness] * right[kFlatness];
    const T sinhc = gabor_detail::sinh_over_argument(t);
    const T ratio = sinhc * flat;  // S
    const T square_loss = flat * flat *
                          (T(2) * y * cosh_second_difference<terms>(y, t0) +
                           t0 * closing * squared_sinhc_slope<terms>(t0, t));
    const T loss = shrink + r3 * (damp.loss + damp.value * (square_loss / (T(1) + ratio)));
    const T next = m + rho * loss;

    const T n = q.slopes * (rho * rho) * r2;
    const T bracket = ratio * n * (T(1) + T(0.5) * (i * r2 + (T(1) + q.norms) * r2)) +
                      gabor_detail::cosh_of_half_root(t) * flat * (T(1) + T(2) * n);
    return {kSigned ? std::copysign(next, s) : next, r3 * damp.value * bracket};
  }
};

}  // namespace ntkfast::inline NTKFAST_ISA
