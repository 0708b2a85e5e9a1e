// Sinusoid: phi(x) = s sin(b x) + c cos(b x), so also a sin(b x + phase) and a cos(b x + phase).
//
// Domain: every s, b, c and q. Dual (Rahimi & Recht 2007; Pearce et al. 2020): with w = b^2 q,
// k = b^2 K, C = (s^2 - c^2) / (s^2 + c^2) and the distances d-+ = (w + w') / 2 -+ k,
//   K' = (s^2 + c^2)/2 (exp(-d-) - C exp(-d+)),  E[phi' phi'] = (s^2 + c^2)/2 b^2 (exp(-d-) + C
//   exp(-d+)).
// Let E = exp(-w), pi^2 = 1 - C E^2 (so p_next = pi sqrt((s^2 + c^2)/2)), x = |b| p, g = x x',
// D = (x - x')^2 / 2 and S = (x + x')^2 / 2. The deficit m' = 1 - |rho'| comes from
//   1 - rho'^2 = [C^2 (F + M) + (1 - C) ((1 + C)(1 - exp(-2 d-)) - C J)] / (pi pi')^2,
//   M = exp(-2 D) (1 - exp(-2 g m)) (1 - exp(-2 g (2 - m))),  J = (E - E')^2,
//   F = (1 - exp(-2 S))(1 - exp(-2 D)) - (E - E')^2
//     = (1 - E^2)(1 - E'^2) - (exp(-D) - exp(-S))^2,
// where nothing but the two forms of F can cancel: J <= 1 - exp(-2 d-). F is what an odd phi keeps
// of different norms; the first form has the digits for alike norms, the second for unlike ones,
// and for small norms F = 4 E E' (sinh w sinh w' - sinh^2 g) is a series of positive terms.
//
// Row columns are ratios by pi, so that an odd phi keeps all digits of arbitrarily small rows.
// Error bounds for exact s and p, measured on 12000 random pairs per case against 120 digits,
// norms 1e-9 to 1e9 in any mix, m from 1e-17 to 1, both signs, c / s from 0 to infinity; u the unit
// roundoff:
//   |error of m'| <= 12 u sqrt(2 m'), root mean square 2 u; rows of one norm: also <= 16 u m';
//   |error of the gain| <= 9 u sqrt(gain_i gain_j).
// x = |b| p counts as exact: a rounding of p moves (x - x')^2 / 2 by u x |x - x'|, within what the
// conditioning, b^2 q, allows for. Deficits below 4 u^2 count as 0, a phase |c / s| < 1e-30 as
// well.
#pragma once

#include <cmath>
#include <type_traits>

#include "math/duals/dual.hpp"
#include "math/duals/phase.hpp"
#include "math/exponential.hpp"
#include "math/hyperbolic.hpp"

namespace ntkfast::inline NTKFAST_ISA {

struct Sinusoid {
  static constexpr int kParams = 3;  // s, c, b

  // C, 1 + C, max(C, 0), 1 / sqrt(1 - C), and (1 - max(C, 0)) / (1 - C).
  enum Constant { kOdd, kOnePlus, kPositive, kInverseRoot, kNearShare, kConstants };
  // Of a row: x and its parts, 1 - E, x / pi, sqrt(1 - C) / pi, 1 / pi.
  enum Column { kLoss = Phase::kColumns, kSlope, kEven, kInverse, kColumns };

  static void constants(const double* params, double* constants) {
    const Shares shares(params);
    constants[kOdd] = shares.odd;
    constants[kOnePlus] = shares.one_plus;
    constants[kPositive] = std::fmax(shares.odd, 0);
    // Without a cosine the factor of this is 0: any number in the range of float will do.
    constants[kInverseRoot] = 1 / std::sqrt(std::fmax(shares.one_minus, 1e-60));
    constants[kNearShare] = shares.odd < 0 ? 1 / shares.one_minus : 1;
  }

  // K' >= (s^2 + c^2)/2 (exp(-d-) + |C| exp(-d+)) for C <= 0.
  static bool nonnegative(const double* params) { return Shares(params).odd <= 0; }

  static RowStep row(const double* params, double p, double* columns) {
    const Shares shares(params);
    const double x = std::fabs(params[2]) * p, w = x * x;
    const double fade = -std::expm1(-2 * w);  // 1 - E^2
    double pi, slope;                         // slope: 1 + C E^2
    if (shares.odd < 0) {
      pi = std::sqrt(1 - shares.odd * std::exp(-2 * w));
      slope = shares.one_plus - shares.odd * fade;
    } else {
      const double mean =
          w > 0 ? fade / w : 2;  // x^2 times this is 1 - E^2, and does not underflow
      const double sine = w < 1 ? x * std::sqrt(mean) : std::sqrt(fade);
      pi = std::hypot(std::sqrt(shares.one_minus), std::sqrt(shares.odd) * sine);
      slope = 1 + shares.odd * std::exp(-2 * w);
    }
    Phase::write(x, columns);
    columns[kLoss] = -std::expm1(-w);
    columns[kSlope] = pi > 0 ? x / pi : M_SQRT1_2;  // the limit of an odd function at 0
    columns[kEven] = pi > 0 ? std::sqrt(shares.one_minus) / pi : 0;
    columns[kInverse] = 1 / std::fmax(pi, 1e-18);  // read only where x x' > 0.3
    const double gain = columns[kSlope] * columns[kSlope] * slope;
    return {std::hypot(params[0], params[1]) * M_SQRT1_2 * pi, gain};
  }

  template <class T, bool kSigned>
  static NTKFAST_INLINE PairStep<T> pair(const T* constants, T s, const T* left, const T* right) {
    const T odd = constants[kOdd], one_plus = constants[kOnePlus], positive = constants[kPositive];
    const bool negative = kSigned && std::copysign(T(1), s) < T(0);
    const T m = kSigned ? std::fabs(s) : s;
    const T far = T(2) - m;

    const T xl = Phase::size(left), xr = Phase::size(right);
    const T g = xl * xr;
    const T dx = Phase::difference(left, right);
    const Decay<T> one = decay(g * m), two = decay(g * far), norms = decay(T(0.5) * dx * dx);

    // Losses of the first two by pi pi'.
    const T slopes = left[kSlope] * right[kSlope];
    const T inverse = left[kInverse] * right[kInverse];
    const T even = left[kEven] * right[kEven];
    constexpr T near = Decay<T>::kNear;
    const T one_loss = g * m < near ? slopes * (m * one.mean) : one.loss * inverse;
    const T two_loss = g * far < near ? slopes * (far * two.mean) : two.loss * inverse;
    const T to_near = negative ? two.value : one.value, to_far = negative ? one.value : two.value;

    // F C^2 / (pi pi')^2.
    const T d_loss = left[kLoss] - right[kLoss];
    const T sum_value = norms.value * (one.value * two.value);
    const T sum_loss = norms.loss + norms.value * (one.loss + one.value * two.loss);
    const T alike =
        (sum_loss * (T(1) + sum_value)) * (norms.loss * (T(1) + norms.value)) - d_loss * d_loss;
    const T cross = norms.value * (one_loss + one.value * two_loss);
    const T fade_l = T(1) - left[kEven] * left[kEven], fade_r = T(1) - right[kEven] * right[kEven];
    const T dw = dx * (xl + xr);  // w - w'
    constexpr int terms = std::is_same_v<T, float> ? 7 : 11;
    const T series = T(8) * ((T(1) - left[kLoss]) * (T(1) - right[kLoss])) * (slopes * slopes) *
                     (dw * dw) * cosh_second_difference<terms>(dw * dw, T(4) * g * g);
    const T direct = std::fabs(dw) <= T(2) * g ? odd * odd * (alike * (inverse * inverse))
                                               : fade_l * fade_r - odd * odd * (cross * cross);
    const T unlike = xl * xl + xr * xr <= T(2) ? odd * odd * series : direct;

    // The rest of 1 - rho'^2, and rho'.
    const T moved = norms.value * norms.value * (one_loss * (T(1) + one.value)) *
                    (two_loss * (T(1) + two.value));
    const T share = even * constants[kInverseRoot];
    const T near_loss =
        share * share * norms.loss + norms.value * (even * (negative ? two_loss : one_loss));
    const T rest = one_plus * (T(1) + norms.value * to_near) * near_loss -
                   odd * ((share * d_loss) * (share * d_loss));
    const bool apart = one.value < T(0.5);
    const T gap = apart ? (one.value - two.value) * inverse : two_loss - one_loss;
    const T near_share = constants[kNearShare];
    const T rho = norms.value * (positive * (negative ? -gap : gap) +
                                 even * (near_share * to_near + (T(1) - near_share) * to_far));
    const T next = (unlike + odd * odd * moved + rest) / (T(1) + std::fabs(rho));

    const T value_gap = apart ? one.value - two.value : two.loss - one.loss;
    const T gain = (positive - odd) * (negative ? -value_gap : value_gap) +
                   (one_plus < T(1) ? one_plus : T(1)) * to_near + positive * to_far;
    return {kSigned ? std::copysign(next, rho) : next, slopes * (norms.value * gain)};
  }

 private:
  // C, 1 - C and 1 + C, each from its own formula.
  struct Shares {
    explicit Shares(const double* params) {
      const double size = std::fmax(std::fabs(params[0]), std::fabs(params[1]));
      const int exponent = size > 0 ? -std::ilogb(size) : 0;  // exact, keeps the squares in range
      const double s = size > 0 ? std::scalbn(params[0], exponent) : 1;
      const double c = size > 0 ? std::scalbn(params[1], exponent) : 0;
      const double norm = s * s + c * c;
      odd = (s - c) * (s + c) / norm;
      one_minus = 2 * c * c / norm;
      one_plus = 2 * s * s / norm;
    }
    double odd, one_minus, one_plus;
  };
};

}  // namespace ntkfast::inline NTKFAST_ISA
