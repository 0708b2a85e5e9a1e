// Gelu, the exact one: phi(x) = x Phi(x) = x (1 + erf(x / sqrt(2))) / 2.
//
// Domain: q <= 4e37 in float, p <= 4e153 in double. Dual (Tsuchida et al. 2021), with the names of
// erf.hpp at b = 1 / sqrt(2): e^2 = q / (1 + q), f^2 = 1 - e^2, x = e e', F = (f f')^2, n = |rho|,
// sin(beta) = x n, t = tan(beta):
//   4 K' / (p p') = rho + N(n),   (pi / 2) N = n beta + x (cos(beta) + n^2 F / cos(beta)),
//   4 E[phi' phi'] = 1 +- (2 / pi) (beta + t (1 - x^2 + F (2 + t^2))),   the sign is that of rho.
// The first terms come from the odd part of phi, x / 2; N from the even part, |x| / 2 smoothed at
// 1 / p. With nu = N(1) for two equal rows, a row has (p' / p)^2 = M / 4, M = 1 + nu, and
//   1 - rho' = [(1 - rho) + D - V] / sqrt(M M'),   V = (sqrt(M) - sqrt(M'))^2 / 2,
//   1 + rho' = [(1 + rho) + (nu + nu' - D) - V] / sqrt(M M'),
//   D = (nu + nu') / 2 - N(n) = (2 / pi) (B + S),   (pi / 2) (N(1) - N(n)) = S.
// V is never more than a part of the rest. S is a sum of products, from beta0 = beta(n = 1) and
// mu = 1 - n^2 through the tangent of half of beta0 - beta, as in erf.hpp. B is what two rows of
// different norms lose at rho = 1; with k(z) = z - 2 cos(z) tan(z / 2), which is cubic at 0, and
// a = acos(e^2), b = acos(e e'), sin(b) = cos(beta0), it is
//   B = x (e - e')^2 / sin(b) + k(b) - (k(a) + k(a')) / 2.
// The square root in b is a singularity at q = q' = infinity. With g = sqrt(2) sin(b / 2), which is
// the root of 1 - x and of f^2 for equal rows, and R = k(b) / g, even in b,
//   (k(a) + k(a')) / 2 - k(b) = (y - y')^2 W - R ((f - f')^2 / 4 + (e - e')^2 / 2) / (g + m),
//   m = (f + f') / 2,   (y - y')^2 W = (k(a) + k(a')) / 2 - m R,
// where y = atan(1 / p) and W is smooth: a short sum of +- u_k(y) u_k(y'), u_k a row column.
//
// Error bounds for exact s and p, measured on 60000 random entries per dtype against 110 digits:
// norms from 1e-9 to 1e9 (float: 1e-5 to 1e5), m from 1e-17 to 1, both signs; u the unit roundoff.
//   |error of 1 -+ rho'| <= 9 u sqrt(2 (1 -+ rho')), the root mean square is 1 u;
//   |error of the gain| <= 7 u.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "math/duals/dual.hpp"
#include "math/duals/erf_angle.hpp"
#include "math/duals/gelu_excess.hpp"

namespace ntkfast::inline NTKFAST_ISA {

struct Gelu {
  static constexpr int kParams = 0;
  static constexpr int kConstants = 0;

  // e, f, y, sqrt(M), nu, u_k.
  enum Column { kSine, kCosine, kAngle, kRoot, kEven, kExcess };
  static constexpr int kColumns = kExcess + gelu_detail::kTerms;

  static void constants(const double* /*params*/, double* /*constants*/) {}

  // Small signals pass a linear function.
  static bool nonnegative(const double* /*params*/) { return false; }

  static RowStep row(const double* /*params*/, double p, double* columns) {
    const ErfAngle angle(p * M_SQRT1_2);
    const double f = angle.f, s = angle.sine, root = std::sqrt(1 + s);
    const double even = angle.alpha + 2 * s * (f / root);
    const double nu = M_2_PI * even, norm = 1 + nu;
    columns[kSine] = angle.e;
    columns[kCosine] = f;
    columns[kAngle] = std::atan2(1.0, p);
    columns[kRoot] = std::sqrt(norm);
    columns[kEven] = nu;
    const double y = (4 / M_PI) * columns[kAngle] - 1;
    for (int k = 0; k < gelu_detail::kTerms; ++k) {
      columns[kExcess + k] = polynomial(gelu_detail::kExcess[k], y);
    }
    // t (1 - x^2 + F (2 + t^2)) at x = s, F = f^4, t = s / (f root)
    const double r = s / root;
    const double slope = f * (s * root + r * (2 * f * f + r * r));
    return {0.5 * p * columns[kRoot], (1 + M_2_PI * (angle.alpha + slope)) / norm};
  }

  template <class T, bool kSigned>
  static NTKFAST_INLINE PairStep<T> pair(const T* /*constants*/, T s, const T* left,
                                         const T* right) {
    constexpr T over_half_pi = T(M_2_PI);
    const T m = kSigned ? std::fabs(s) : s;
    const T n = T(1) - m;
    const T mu = m * (T(2) - m);

    const T el = left[kSine], er = right[kSine], fl = left[kCosine], fr = right[kCosine];
    const T x = el * er;
    const T f2l = fl * fl, f2r = fr * fr, f4 = f2l * f2r;
    constexpr T floor = std::numeric_limits<T>::min();  // q = infinity: keeps 0 / 0 out
    const T complement = (f2l + f2r) - f4;
    const T one_minus_x2 = complement > floor ? complement : floor;
    const T cos0 = std::sqrt(one_minus_x2);  // cos(beta0) = sin(b)
    const T cosine = std::sqrt(one_minus_x2 + (x * x) * mu);
    const T root = std::sqrt(T(1) + x);
    const T inverse_root = T(1) / root;

    // b = 2 atan(t) in R, beta0 = 2 atan(w)
    const T t = cos0 * (inverse_root * inverse_root), w = x / (T(1) + cos0);
    const T tail = atan_over_root_tail(t * t);
    const T regular = (t * t) * (T(2) * inverse_root) * (tail + (T(1) + x));
    const T beta0 = T(2) * w * atan_over_root(w * w);

    // B: e - e' from whichever of its forms has small terms
    const T sum = el + er;
    const T far = (fr - fl) * (fr + fl) / (sum > T(1.4) ? sum : T(1.4));
    const T de = sum > T(1.4) ? far : el - er;
    const T df = fl - fr, dy = left[kAngle] - right[kAngle];
    constexpr int terms = std::is_same_v<T, float> ? gelu_detail::kFloatTerms : gelu_detail::kTerms;
    const T excess = signed_sum<terms>(gelu_detail::kSign, left + kExcess, right + kExcess);
    const T rise = T(0.25) * (df * df) + T(0.5) * (de * de);
    const T norms = (x * (de * de) / cos0 - (dy * dy) * excess) +
                    regular * rise / (cos0 * inverse_root + T(0.5) * (fl + fr));

    // S
    const T cos_sum = cosine + cos0;
    const T v = x * mu / ((cosine + n * cos0) * (T(1) + (cosine * cos0 + (x * x) * n)));
    const T turn = T(2) * v * atan_over_root(v * v);  // beta0 - beta
    const T x2_mu = x * x * mu / cos_sum;             // cos(beta) - cos(beta0)
    const T smooth = (f4 / (cosine * cos0)) * (x2_mu + mu * cos0);
    const T angles = m * beta0 + (n * turn + x * (smooth - x2_mu));

    const T dm = left[kRoot] - right[kRoot];
    const T norm_gap = T(0.5) * (dm * dm);
    const T even_gap = over_half_pi * (norms + angles);
    const T scale = T(1) / (left[kRoot] * right[kRoot]);
    const T tangent = x * n / cosine;
    const T slope = tangent * (one_minus_x2 + f4 * (T(2) + tangent * tangent));
    const T even_slope = over_half_pi * ((beta0 - turn) + slope);
    const bool positive = !kSigned || std::copysign(T(1), s) > T(0);
    const T near = scale * ((positive ? m : T(2) - m) + (even_gap - norm_gap));
    const T to_one = near > T(0) ? near : T(0);  // V can round up to the rest
    const T gain = scale * (T(1) + (positive ? even_slope : -even_slope));
    if constexpr (!kSigned) {
      return {to_one, gain};
    } else {
      const T sum_gap = (left[kEven] + right[kEven]) - even_gap;
      const T to_minus_one = scale * ((positive ? T(2) - m : m) + (sum_gap - norm_gap));
      return {to_one <= to_minus_one ? to_one : -to_minus_one, gain};
    }
  }
};

}  // namespace ntkfast::inline NTKFAST_ISA
