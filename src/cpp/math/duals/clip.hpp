// Clip: phi(x) = min(max(x, lo), hi), lo <= 0 <= hi, lo < hi; Relu6 (0, 6), Hardtanh (-1, 1).
//
// phi'(x) = 1 for lo < x < hi, else 0. With the knots a = (lo, hi) / p, b = (lo, hi) / p' of two
// rows, v^2 = 2 (1 - rho) = 4 sin^2(theta / 2), and phi'' = delta(x - lo) - delta(x - hi), Price's
// theorem (1958) gives from rho = 1 on
//   H(v) = sum_kl +- exp(-((a_k - b_l)^2 / v^2 + (a_k + b_l)^2 / (4 - v^2)) / 2),  + where k = l,
//   E(v) = E[phi' phi'] = E(0) - (1 / 2 pi) int_0^v H dtheta,   dtheta = dv / sqrt(1 - v^2 / 4),
//   K'(1) - K'(rho) = p p' S,   S = (1 - rho) E(v) + (1 / 2 pi) int_0^v (v^2 / 2) H dtheta,
// and 1 - rho' = D + p p' / (P P') S, D its value at rho = 1. For rho < 0 the same holds of 1 +
// rho' with -phi(-x) in place of one phi: v^2 = 2 (1 + rho) and b = -(hi, lo) / p'.
//
// E(0) and D are one-dimensional: with phi / P = r z up to the knot x = |a|, constant c = r x
// beyond, r = p / P, each half line adds to 2 D the integral of the squared difference of two such
// functions,
//   (r - r')^2 m(min) + int_x^y (c - r' z)^2 + (c - c')^2 tail(max),   m(x) = int_0^x z^2,
// all against the normal density, with x < y; a sum of squares, the middle one by Gauss-Legendre
// where x and y are near, else from the integrals of both rows, those beyond x and y in the tail.
//
// With t = tan(theta / 2), y = t^2, dtheta = 2 dt / (1 + y), a term of H is
//   exp(-((a^2 + b^2) / 4 + (a - b)^2 / (8 y) + (a + b)^2 y / 8)),
// with an essential singularity at y = 0 on the scale |a - b|, which may be as near to 0 as the
// norms of two rows are. Two ways, of which a select takes one:
//   1 - |rho| <= 0.29, t <= 0.42: exp(-(a + b)^2 y / 8) / (1 + y)^2 in powers of y; the moments of
//     exp(-(a - b)^2 / (8 y)) against those are closed (erfc). Where p is large all four terms are
//     near 1, so the sum is taken of their distances from 1; and where t is well above all knots,
//     E(v) is the integral of the joint density over the box, not a difference from E(0).
//   else: from rho = 0, where K' and E are products, by Gauss-Legendre in t from t to 1, smooth
//     there, with e = E[phi'] and m = E[phi / p] of either row,
//     E(v) = e e' + (1 / 2 pi) int H dtheta,
//     K' / (p p') = m m' + rho E(v) - (1 / 2 pi) int cos(theta) H dtheta.
//
// Error bounds for exact s and p, measured on 6000 random entries per dtype against 18 digits of 1
// - |rho'|: norms from 1e-5 to 1e7, (lo, hi) = (-1, 1), (0, 6), (-1, 3), (-0.1, 5), (0, 1), m from
// 1e-12 to 1, both signs; u the unit roundoff, chi the root of the product of the gains of the two
// rows, at least 1:
//   |error of 1 -+ rho'| <= 11 u sqrt(2 (1 -+ rho')),   |error of the gain| <= 8 u chi
// for norms of a ratio up to 30. Beyond that, with the larger row saturated, the terms of H cancel:
// 35 u and 14 u chi were seen at ratios up to 100, and with both rows far beyond their levels (p
// above 1e4) 720 u. The gain near rho = 1 is large, about p / hi.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "math/duals/dual.hpp"
#include "math/exponential.hpp"
#include "math/gauss_legendre.hpp"
#include "math/unrolled.hpp"

namespace ntkfast::inline NTKFAST_ISA {

namespace clip_detail {

// exp(z^2) erfc(z) for 0 <= z <= kFar; relative error 3e-9 (float), 1e-17 (double). A Chebyshev
// interpolant of (1 + 2 z) times it in z / (z + k).
template <class T>
struct Complement;

template <>
struct Complement<float> {
  static constexpr float kFar = 4.25f, kShift = 3;
  static NTKFAST_INLINE float series(float y) {
    constexpr float c[] = {1.287349487f,    0.009340972929f, -0.1340927569f,    0.09643772316f,
                           -0.03814771708f, 0.008765507773f, -0.0007572036073f, -0.0001572238645f,
                           3.964574971e-5f, 3.075358782e-6f, -1.400283695e-6f};
    return polynomial(c, y);
  }
};

template <>
struct Complement<double> {
  static constexpr double kFar = 6.5, kShift = 4;
  static NTKFAST_INLINE double series(double y) {
    constexpr double c[] = {
        1.28151715316416103,      -0.0528147837137169628,   -0.0885517653161411645,
        0.110902334035301147,     -0.0771341566041320578,   0.0384758529575751769,
        -0.0144517990197068946,   0.00402178231720231214,   -0.000752688328215070964,
        0.0000585276851664822431, 0.0000128690522318156596, -4.16705709254398903e-6,
        9.30473527673600025e-8,   1.49526412392025526e-7,   -1.61114416502878248e-8,
        -5.21561824510129831e-9,  8.84087553824622119e-10,  2.06914262156774187e-10,
        -3.39341222379648035e-11, -7.88180831569455315e-12};
    return polynomial(c, y);
  }
};

template <class T>
NTKFAST_INLINE T scaled_erfc(T z) {
  using C = Complement<T>;
  constexpr T stretch = T(2) * (C::kFar + C::kShift) / C::kFar;
  const T y = stretch * z / (z + C::kShift) - T(1);
  return C::series(y) / (T(1) + T(2) * z);
}

// int_0^x z^2 against the normal density.
inline double second_moment(double x) {
  if (x > 1) {
    return 0.5 * std::erf(x * M_SQRT1_2) - x * std::exp(-0.5 * x * x) / std::sqrt(2 * M_PI);
  }
  double sum = 0, term = 1;
  for (int k = 0; k < 20; ++k) {
    sum += term / (2 * k + 3);
    term *= -x * x / (2 * (k + 1));
  }
  return x * x * x * sum / std::sqrt(2 * M_PI);
}

// (Phi(y) - 1 / 2) sqrt(2 pi) / y, of y^2, for |y| <= 0.8: Taylor's series; truncation below u.
template <class T>
NTKFAST_INLINE T normal_over_argument(T y2) {
  constexpr int terms = std::is_same_v<T, float> ? 6 : 12;
  constexpr double c[] = {1.,
                          -1. / 6,
                          1. / 40,
                          -1. / 336,
                          1. / 3456,
                          -1. / 42240,
                          1. / 599040,
                          -1. / 9676800,
                          1. / 175472640,
                          -1. / 3530096640.,
                          1. / 78033715200.,
                          -1. / 1880240947200.};
  T coefficient[terms] = {};
  for (int k = 0; k < terms; ++k) coefficient[k] = static_cast<T>(c[k]);
  return polynomial(coefficient, y2);
}

// Nodes of the quadratures over a short piece and from rho = 0; terms of the series in y.
template <class T>
constexpr int kShort = std::is_same_v<T, float> ? 3 : 6;
template <class T>
constexpr int kLong = std::is_same_v<T, float> ? 6 : 13;
template <class T>
constexpr int kSeries = std::is_same_v<T, float> ? 10 : 20;
// 1 - |rho| where the ways change; |a - b| / (sqrt(8) t) below which the box is integrated.
constexpr double kSwitch = 0.29289321881345248;

constexpr double kBox = 0.35;

// One half line of one row: knot x, integrals of 1, z and z^2 against the density from 0 to x, of
// the last its root; the same beyond x; height c.
enum Knot { kPlace, kInside, kBell, kRootMoment, kTail, kTailBell, kTailMoment, kHeight };
constexpr int kKnot = 8;

constexpr double kDensity = 0.398942280401432678, kOverTwoPi = 0.159154943091895336;

// What one half line adds to D.
template <class T>
NTKFAST_INLINE T half_line(const T* l, T rl, const T* r, T rr) {
  const bool left_first = l[kPlace] < r[kPlace];
  const T x = left_first ? l[kPlace] : r[kPlace], y = left_first ? r[kPlace] : l[kPlace];
  const T height = left_first ? l[kHeight] : r[kHeight], slope = left_first ? rr : rl;
  const T root = left_first ? l[kRootMoment] : r[kRootMoment];
  const T tail = left_first ? r[kTail] : l[kTail];
  const T length = y - x;
  const T limit = T(0.3) * (y < T(1) ? y : T(1));
  // Long pieces: the difference of the integrals of both rows.
  const bool outside = y > T(1);
  const T inside = std::fabs(outside ? l[kTail] - r[kTail] : l[kInside] - r[kInside]);
  const T bell = std::fabs(outside ? l[kTailBell] - r[kTailBell] : l[kBell] - r[kBell]);
  const T near_moment = (slope * std::fabs(l[kRootMoment] - r[kRootMoment])) *
                        (slope * (l[kRootMoment] + r[kRootMoment]));
  const T moment =
      outside ? (slope * slope) * std::fabs(l[kTailMoment] - r[kTailMoment]) : near_moment;
  const T apart = (height * height) * inside + (moment - T(2) * slope * height * bell);
  const T step = length < limit ? length : limit;
  const T start = height - slope * x, fall = slope * step;
  T sum = 0;
  using Rule = GaussLegendre<T, kShort<T>>;
  unrolled<Rule::kNodes>([&](auto i) NTKFAST_INLINE_LAMBDA {
    const T gap = start - fall * Rule::node(i), z = x + step * Rule::node(i);
    sum += Rule::weight(i) * (gap * gap * decay(T(0.5) * (z * z)).value);
  });
  const T middle = length < limit ? T(kDensity) * (step * sum) : apart;
  const T inner = (rl - rr) * root, outer = l[kHeight] - r[kHeight];
  return T(0.5) * (inner * inner + middle + outer * outer * tail);
}

// One of the four terms of H, exp(-(sum + far / y + near y)).
template <class T>
struct Corner {
  T sum, far, near;
};

// What is lost of the two integrals from 0 to t because a term is not 1, by its series in y.
template <class T>
struct Lost {
  T plain, weighted;
};

template <class T>
NTKFAST_INLINE Lost<T> lost(const Corner<T>& c, T z, T t, T theta, T segment) {
  const T y = t * t, twice = T(2) * (z * z);
  const auto bell = decay(z * z), outer = decay(c.sum);
  const T spread = T(1.7724538509055160273) * z * (bell.value * scaled_erfc(z));
  const T rise = c.near * y;
  T moment = bell.value - spread;  // of exp(-far / y), over t^(2 k + 1)
  T power = 1;                     // (-y)^k
  T before = 0, term = 0;          // of the series, less those of 1 / (1 + y)^2
  T first = bell.loss + spread, second = 0, first_loss = 0, second_loss = 0;
  unrolled<kSeries<T>>([&](auto index) NTKFAST_INLINE_LAMBDA {
    constexpr int k = index;
    constexpr T shrink = T(1) / T(2 * k + 3);
    const T fed = twice * moment, next_moment = (bell.value - fed) * shrink;
    const T next_power = -y * power;
    first_loss += T(k + 2) * shrink * next_power;
    second_loss += T(k + 1) * shrink * power;
    first += (T(k + 2) * shrink * next_power) * fed - term * moment;
    second += (T(k + 1) * shrink * power) * fed - term * next_moment;
    const T next = (T(k + 2) * y + rise) * term + rise * (y * before + power);
    before = term;
    term = next * T(-1. / (k + 1));
    power = next_power;
    moment = next_moment;
  });
  first += first_loss * bell.loss;
  second += second_loss * bell.loss;
  const T scale = T(2) * t * outer.value, weighted = scale * y * second;
  return {outer.loss * theta + (scale * first + weighted), outer.loss * segment + T(2) * weighted};
}

// E where theta is well above all knots: the joint density hardly varies over the box. The knots
// of `a` are the smaller ones.
template <class T>
NTKFAST_INLINE T box_probability(const T (&a)[2][kKnot], const T (&b)[2][kKnot], T rho, T sine) {
  using Rule = GaussLegendre<T, kShort<T>>;
  const T width = a[0][kPlace] + a[1][kPlace], over = T(1) / sine;
  T sum = 0;
  unrolled<Rule::kNodes>([&](auto i) NTKFAST_INLINE_LAMBDA {
    const T x = width * Rule::node(i) - a[0][kPlace];
    const T high = (b[1][kPlace] - rho * x) * over, low = (b[0][kPlace] + rho * x) * over;
    const T both = high * normal_over_argument(high * high) + low * normal_over_argument(low * low);
    sum += Rule::weight(i) * (decay(T(0.5) * (x * x)).value * both);
  });
  return T(kOverTwoPi) * (width * sum);
}

}  // namespace clip_detail

struct Clip {
  static constexpr int kParams = 2;
  static constexpr int kConstants = 1;  // 1 where lo = 0 or hi = 0, then rho' >= 0

  enum Column { kSlope, kMean, kKnots };
  static constexpr int kColumns = kKnots + 2 * clip_detail::kKnot;

  static void constants(const double* params, double* constants) {
    constants[0] = nonnegative(params) ? 1 : 0;
  }

  static bool nonnegative(const double* params) { return params[0] == 0 || params[1] == 0; }

  static RowStep row(const double* params, double p, double* columns) {
    using namespace clip_detail;
    double norm = 0, inside = 0, mean = 0;
    for (int k = 0; k < 2; ++k) {
      double* knot = columns + kKnots + k * kKnot;
      const double level = std::fabs(params[k]);
      // Beyond 100 the density is 0: all knots there are one.
      const double x = level == 0 ? 0 : (level < 100 * p ? level / p : 100);
      knot[kPlace] = x;
      knot[kRootMoment] = std::sqrt(second_moment(x));
      knot[kBell] = -kDensity * std::expm1(-0.5 * x * x);
      knot[kTail] = 0.5 * std::erfc(x * M_SQRT1_2);
      knot[kTailBell] = kDensity * std::exp(-0.5 * x * x);
      knot[kTailMoment] = knot[kTail] + x * knot[kTailBell];
      knot[kInside] = 0.5 * std::erf(x * M_SQRT1_2);
      norm = std::hypot(norm, std::hypot(knot[kRootMoment], x * std::sqrt(knot[kTail])));
      inside += knot[kInside];
      mean += (k == 0 ? -1 : 1) * (knot[kBell] + x * knot[kTail]);
    }
    const double slope = norm > 0 ? 1 / norm : 0;
    for (int k = 0; k < 2; ++k) {
      double* knot = columns + kKnots + k * kKnot;
      knot[kHeight] = slope * knot[kPlace];
    }
    columns[kSlope] = slope;
    columns[kMean] = slope * mean;
    return {p * norm, slope * (slope * inside)};
  }

  template <class T, bool kSigned>
  static NTKFAST_INLINE PairStep<T> pair(const T* constants, T s, const T* left, const T* right) {
    using namespace clip_detail;
    const bool positive = !kSigned || std::copysign(T(1), s) > T(0);
    const T m = kSigned ? std::fabs(s) : s;

    // The row of the smaller knots first; the knots of the other one mirrored where rho < 0.
    const bool ordered = left[kSlope] > right[kSlope];
    const T ra = ordered ? left[kSlope] : right[kSlope],
            rb = ordered ? right[kSlope] : left[kSlope];
    T a[2][kKnot], b[2][kKnot];
    unrolled<kKnot>([&](auto j) NTKFAST_INLINE_LAMBDA {
      const T l0 = left[kKnots + j], l1 = left[kKnots + kKnot + j];
      const T r0 = right[kKnots + j], r1 = right[kKnots + kKnot + j];
      const T low = ordered ? r0 : l0, high = ordered ? r1 : l1;
      a[0][j] = ordered ? l0 : r0;
      a[1][j] = ordered ? l1 : r1;
      b[0][j] = positive ? low : high;
      b[1][j] = positive ? high : low;
    });
    const T at_one = half_line(a[0], ra, b[0], rb) + half_line(a[1], ra, b[1], rb);
    const T slope_at_one = (a[0][kInside] < b[0][kInside] ? a[0][kInside] : b[0][kInside]) +
                           (a[1][kInside] < b[1][kInside] ? a[1][kInside] : b[1][kInside]);

    // t = tan(theta / 2), and what belongs to it.
    constexpr T floor = std::numeric_limits<T>::min();  // rho = 1: no 0 / 0
    const T safe = m > floor ? m : floor;
    const T rho = T(1) - m;
    const T y = safe / (T(2) - m), t = std::sqrt(y), over_t = T(1) / t;
    const T tail = atan_over_root_tail(y);
    const T theta = T(2) * t * (T(1) + y * tail);
    const T segment = T(2) * t * y * (tail + T(1) / (T(1) + y));  // theta - sin(theta)
    Corner<T> corner[4];
    T widest = 0, signs = 0, plain = 0, weighted = 0;
    unrolled<4>([&](auto index) NTKFAST_INLINE_LAMBDA {
      constexpr int k = index / 2, l = index % 2;
      constexpr T sign = k == l ? T(1) : T(-1);
      const T x = a[k][kPlace], u = b[l][kPlace];
      const T plus = x + u, minus = std::fabs(x - u);
      const T d = k == l ? minus : plus, sum = k == l ? plus : minus;
      corner[index] = {T(0.25) * (x * x + u * u), T(0.125) * (d * d), T(0.125) * (sum * sum)};
      const T z = T(0.353553390593273762) * d * over_t;
      const bool near = z < Complement<T>::kFar && m > T(0);
      const auto part =
          lost(corner[index], z < Complement<T>::kFar ? z : Complement<T>::kFar, t, theta, segment);
      signs += near ? sign : T(0);
      plain -= near ? sign * part.plain : T(0);
      weighted -= near ? sign * part.weighted : T(0);
      widest = z > widest ? z : widest;
    });
    plain += signs * theta;
    weighted += signs * segment;
    T from_zero = 0, bent = 0;
    using Rule = GaussLegendre<T, kLong<T>>;
    const T length = T(1) - t;
    unrolled<Rule::kNodes>([&](auto i) NTKFAST_INLINE_LAMBDA {
      const T node = t + length * Rule::node(i), n2 = node * node;
      const T both = T(1) / (n2 * (T(1) + n2));
      const T inverse = both * (T(1) + n2), cosine2 = both * n2;
      T sum = 0;
      unrolled<4>([&](auto k) NTKFAST_INLINE_LAMBDA {
        const Corner<T>& c = corner[k];
        const T loss = decay(c.sum + (c.far * inverse + c.near * n2)).loss;
        sum += k == 0 || k == 3 ? -loss : loss;
      });
      const T value = Rule::weight(i) * (cosine2 * sum);
      from_zero += value;
      bent += value * ((T(1) - n2) * cosine2);
    });
    const T scale = T(2 * kOverTwoPi) * length;
    const bool far = m > T(kSwitch);
    const T far_slope =
        (a[0][kInside] + a[1][kInside]) * (b[0][kInside] + b[1][kInside]) + scale * from_zero;
    const T small_box = box_probability(a, b, rho, t * (T(1) + rho));
    const T near_slope =
        widest < T(kBox) && m > T(0) ? small_box : slope_at_one - T(kOverTwoPi) * plain;
    const T mean_slope = far ? far_slope : near_slope;
    const T means = left[kMean] * right[kMean];
    const T product = (positive ? means : -means) + ra * (rb * (rho * far_slope - scale * bent));
    const T near_gap = at_one + ra * (rb * (m * near_slope + T(kOverTwoPi) * weighted));
    const T delta = far ? T(1) - product : near_gap;
    const T gap = delta > T(0) ? delta : T(0);
    const bool flip = !positive && (gap > T(1) || constants[0] > T(0));
    const T next = flip ? T(2) - gap : gap;
    return {positive || flip ? next : -next, ra * (rb * mean_slope)};
  }
};

}  // namespace ntkfast::inline NTKFAST_ISA
