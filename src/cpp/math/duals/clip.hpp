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
// all against the normal density, with x < y; a sum of squares, the middle one by Gauss-Legendre.
//
// H has essential singularities at v = 0 and varies on the scales |a_k - b_l|, which may be as near
// as the norms of two rows are. Its terms are F(v^2) (1 - loss), loss = 1 - exp(-(a_k - b_l)^2 / (2
// v^2)), with F smooth. The moments of loss against the first three Taylor terms of F are closed
// (erfc); what is left is smooth to the order v^6 and goes to Gauss-Legendre. Where p is large all
// four terms are near 1: the sum is taken of their distances from 1; and where v is well above all
// knots, E(v) is the integral of the joint density over the box, not a difference from E(0).
//
// Error bounds for exact s and p, measured on 150 random entries per dtype against 34 digits: norms
// from 1e-5 to 1e5 in any mix, (lo, hi) = (-1, 1), (0, 6), (-1, 3), (-0.1, 5), m from 1e-12 to 1,
// both signs; u the unit roundoff, chi the root of the product of the gains of the two rows, at
// least 1:
//   |error of 1 -+ rho'| <= 11 u sqrt(2 (1 -+ rho')),   |error of the gain| <= 8 u chi
// for norms of a ratio up to 100. Beyond that, with the larger row saturated, the terms of H
// cancel: 90 u and 16 u chi were seen at a ratio of 4000. The gain near rho = 1 is large, about p /
// hi.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "math/duals/dual.hpp"
#include "math/exponential.hpp"
#include "math/gauss_legendre.hpp"

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

// One half line of one row: knot, sqrt(m), tail, probability between 0 and the knot, height c.
enum Knot { kPlace, kRootMoment, kTail, kInside, kHeight };
constexpr int kKnot = 5;

// What one half line adds to D.
template <class T>
NTKFAST_INLINE T half_line(const T* l, T rl, const T* r, T rr) {
  const bool left_first = l[kPlace] < r[kPlace];
  const T x = left_first ? l[kPlace] : r[kPlace], y = left_first ? r[kPlace] : l[kPlace];
  const T height = left_first ? l[kHeight] : r[kHeight], slope = left_first ? rr : rl;
  const T root = left_first ? l[kRootMoment] : r[kRootMoment];
  const T tail = left_first ? r[kTail] : l[kTail];
  // The density falls by 17 digits over `reach`.
  const T reach = T(80) / (std::sqrt(x * x + T(80)) + x);
  const T length = y - x < reach ? y - x : reach;
  const T start = height - slope * x, fall = slope * length;
  const auto middle = integrate<T>([=](T t, T& sum, T&) {
    const T gap = start - fall * t, z = x + length * t;
    sum = gap * gap * exponential(T(-0.5) * (z * z));
  });
  const T inner = (rl - rr) * root, outer = l[kHeight] - r[kHeight];
  constexpr T density = T(0.398942280401432678);
  return T(0.5) * (inner * inner + density * (length * middle.first) + outer * outer * tail);
}

// One of the four terms of H: its distances, and the Taylor terms of F.
template <class T>
struct Corner {
  T sign, half_d2, kappa, f0, f1, f2;
  bool near;  // else it is nothing
};

// The closed part of both integrals of one corner; v > 0 but for rounding.
template <class T>
NTKFAST_INLINE TwoIntegrals<T> closed_part(const Corner<T>& corner, T d, T v, T z) {
  const T capped = z < Complement<T>::kFar ? z : Complement<T>::kFar;
  const auto bell = decay(capped * capped);
  const T v2 = v * v, d2 = d * d;
  const T spread = d * T(1.2533141373155002512) * (bell.value * scaled_erfc(capped));
  // moments of loss and of 1 - loss against v^0, v^2, v^4, v^6
  const T power1 = v * v2, power2 = power1 * v2, power3 = power2 * v2;
  const T loss0 = v * bell.loss + spread, bell0 = v * bell.value - spread;
  const T loss1 = (power1 * bell.loss + d2 * bell0) * T(1. / 3);
  const T bell1 = (power1 * bell.value - d2 * bell0) * T(1. / 3);
  const T loss2 = (power2 * bell.loss + d2 * bell1) * T(1. / 5);
  const T bell2 = (power2 * bell.value - d2 * bell1) * T(1. / 5);
  const T loss3 = (power3 * bell.loss + d2 * bell2) * T(1. / 7);
  const T scale = corner.near ? -corner.f0 : T(0);
  return {scale * (loss0 + (corner.f1 * loss1 + corner.f2 * loss2)),
          scale * T(0.5) * (loss1 + (corner.f1 * loss2 + corner.f2 * loss3))};
}

// E(v) where v is well above the knots, from the joint density, which hardly varies over the box.
template <class T>
NTKFAST_INLINE T box_probability(const T (&a)[2][kKnot], const T (&b)[2][kKnot], T v2, T sine) {
  const T width = a[0][kPlace] + a[1][kPlace], height = b[0][kPlace] + b[1][kPlace];
  const T steep = T(-0.5) / v2, flat = T(-0.5) / (T(4) - v2);
  const T mean = mean_over_square<T>([&](T t, T u) {
    const T z = width * t - a[0][kPlace], y = height * u - b[0][kPlace];
    return exponential(steep * ((z - y) * (z - y)) + flat * ((z + y) * (z + y)));
  });
  return width * (height * (T(0.159154943091895336) / sine * mean));
}

}  // namespace clip_detail

struct Clip {
  static constexpr int kParams = 2;
  static constexpr int kConstants = 1;  // 1 where lo = 0 or hi = 0, then rho' >= 0

  enum Column { kSlope, kKnots };
  static constexpr int kColumns = kKnots + 2 * clip_detail::kKnot;

  static void constants(const double* params, double* constants) {
    constants[0] = nonnegative(params) ? 1 : 0;
  }

  static bool nonnegative(const double* params) { return params[0] == 0 || params[1] == 0; }

  static RowStep row(const double* params, double p, double* columns) {
    using namespace clip_detail;
    double norm = 0, inside = 0;
    for (int k = 0; k < 2; ++k) {
      double* knot = columns + kKnots + k * kKnot;
      const double level = std::fabs(params[k]);
      // Beyond 100 the density is 0: all knots there are one.
      const double x = level == 0 ? 0 : (level < 100 * p ? level / p : 100);
      knot[kPlace] = x;
      knot[kRootMoment] = std::sqrt(second_moment(x));
      knot[kTail] = 0.5 * std::erfc(x * M_SQRT1_2);
      knot[kInside] = 0.5 * std::erf(x * M_SQRT1_2);
      norm = std::hypot(norm, std::hypot(knot[kRootMoment], x * std::sqrt(knot[kTail])));
      inside += knot[kInside];
    }
    const double slope = norm > 0 ? 1 / norm : 0;
    for (int k = 0; k < 2; ++k) {
      double* knot = columns + kKnots + k * kKnot;
      knot[kHeight] = slope * knot[kPlace];
    }
    columns[kSlope] = slope;
    return {p * norm, slope * (slope * inside)};
  }

  template <class T, bool kSigned>
  static NTKFAST_INLINE PairStep<T> pair(const T* constants, T s, const T* left, const T* right) {
    using namespace clip_detail;
    const bool positive = !kSigned || std::copysign(T(1), s) > T(0);
    const T m = kSigned ? std::fabs(s) : s;
    const T rl = left[kSlope], rr = right[kSlope];

    // The knots of the right row, mirrored where rho < 0.
    T a[2][kKnot], b[2][kKnot];
    for (int j = 0; j < kKnot; ++j) {
      const T low = right[kKnots + j], high = right[kKnots + kKnot + j];
      a[0][j] = left[kKnots + j];
      a[1][j] = left[kKnots + kKnot + j];
      b[0][j] = positive ? low : high;
      b[1][j] = positive ? high : low;
    }
    const T at_one = half_line(a[0], rl, b[0], rr) + half_line(a[1], rl, b[1], rr);
    const T slope_at_one = (a[0][kInside] < b[0][kInside] ? a[0][kInside] : b[0][kInside]) +
                           (a[1][kInside] < b[1][kInside] ? a[1][kInside] : b[1][kInside]);

    constexpr T floor = std::numeric_limits<T>::min();  // rho = 1: no 0 / 0
    const T safe = m > floor ? m : floor;
    const T v = std::sqrt(T(2) * m);
    const T over_4m = T(0.25) / safe;
    Corner<T> corner[4];
    TwoIntegrals<T> closed{0, 0};
    bool all_near = true;
    T widest = 0;
    for (int k = 0; k < 2; ++k) {
      for (int l = 0; l < 2; ++l) {
        const T x = a[k][kPlace], y = b[l][kPlace];
        const T plus = x + y, minus = std::fabs(x - y);
        const T d = k == l ? minus : plus, sum = k == l ? plus : minus;
        Corner<T>& c = corner[2 * k + l];
        const T z2 = (d * d) * over_4m;  // d^2 / (2 v^2) at the end
        c.sign = k == l ? T(1) : T(-1);
        c.near = z2 < Complement<T>::kFar * Complement<T>::kFar && m > T(0);
        c.half_d2 = z2;
        c.kappa = T(0.125) * (sum * sum);
        c.f0 = exponential(-c.kappa);
        c.f1 = T(0.25) * (T(0.5) - c.kappa);
        c.f2 = T(1. / 16) * (T(0.375) + c.kappa * (T(0.5) * c.kappa - T(1.5)));
        const auto part = closed_part(c, d, v, std::sqrt(z2));
        closed.first += c.sign * part.first;
        closed.second += c.sign * part.second;
        all_near = all_near && c.near;
        widest = z2 > widest ? z2 : widest;
      }
    }
    const T v2 = T(2) * m;
    const auto open = integrate<T>([&](T t, T& plain, T& weighted) {
      const T t2 = t * t, w = v2 * t2;
      const T rest = T(1) - T(0.25) * w;
      const T measure = T(1) / std::sqrt(rest), stretch = T(1) / rest, inverse_t2 = T(1) / t2;
      const T base = all_near ? T(0) : measure;
      T sum = 0;
      for (int k = 0; k < 4; ++k) {
        const Corner<T>& c = corner[k];
        const T dropped = measure * decay(c.kappa * stretch).loss;
        const T loss = decay(c.half_d2 * inverse_t2).loss;
        const T taylor = c.f0 * (T(1) + w * (c.f1 + w * c.f2));
        const T term = (base - dropped) - ((measure - dropped) - taylor) * loss;
        sum += c.near ? c.sign * term : T(0);
      }
      plain = sum;
      weighted = sum * (T(0.5) * w);
    });

    constexpr T over_two_pi = T(0.159154943091895336);
    const T turned = over_two_pi * (closed.first + v * open.first);
    const T weighted = over_two_pi * (closed.second + v * open.second);
    const T small_box = box_probability(a, b, T(2) * safe, std::sqrt(safe * (T(2) - m)));
    const T mean_slope = widest < T(0.25) && m > T(0) ? small_box : slope_at_one - turned;
    const T delta = at_one + rl * (rr * (m * mean_slope + weighted));
    const T gap = delta > T(0) ? delta : T(0);
    const bool flip = !positive && (gap > T(1) || constants[0] > T(0));
    const T next = flip ? T(2) - gap : gap;
    return {positive || flip ? next : -next, rl * (rr * mean_slope)};
  }
};

}  // namespace ntkfast::inline NTKFAST_ISA
