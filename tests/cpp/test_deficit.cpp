// The signed deficit: conversions, signed zeros, and the affine step against angles in long double.
#include "math/deficit.hpp"

#include <cmath>
#include <initializer_list>
#include <limits>

#include "doctest.h"

namespace {

using ntkfast::affine_deficit;
using ntkfast::correlation;
using ntkfast::signed_deficit;

template <class T>
constexpr T kUnit = std::numeric_limits<T>::epsilon() / 2;

// Angle to the nearer pole, with the sign of the correlation.
long double pole_angle(long double s) {
  return std::copysign(2 * std::asin(std::sqrt(std::fabs(s) / 2)), s);
}

// |rho' as angle - expected angle|, where the expected angle comes from both deficits.
template <class T>
long double angle_error(T s, long double minus, long double plus) {
  const long double expected = minus <= plus ? pole_angle(minus) : pole_angle(-plus);
  const long double half = 1.57079632679489661923L;
  const long double got = pole_angle(s);
  if (std::signbit(got) == std::signbit(expected)) return std::fabs(got - expected);
  return 2 * half - std::fabs(got) - std::fabs(expected);  // both next to rho = 0
}

}  // namespace

TEST_CASE_TEMPLATE("a deficit keeps the nearer end and its sign", T, float, double) {
  CHECK(signed_deficit(T(0)) == T(0));
  CHECK_FALSE(std::signbit(signed_deficit(T(0))));
  CHECK(signed_deficit(T(0.25)) == T(0.25));
  CHECK(signed_deficit(T(1)) == T(1));
  CHECK(signed_deficit(T(1.75)) == T(-0.25));
  CHECK(signed_deficit(T(2)) == T(0));
  CHECK(std::signbit(signed_deficit(T(2))));
  const T tiny = std::numeric_limits<T>::min();
  CHECK(signed_deficit(tiny) == tiny);
}

TEST_CASE_TEMPLATE("rounding beyond the ends is cut off", T, float, double) {
  CHECK(signed_deficit(-kUnit<T>) == T(0));
  CHECK_FALSE(std::signbit(signed_deficit(-kUnit<T>)));
  CHECK_FALSE(std::signbit(signed_deficit(-T(0))));
  const T above = std::nextafter(T(2), T(3));
  CHECK(signed_deficit(above) == T(0));
  CHECK(std::signbit(signed_deficit(above)));
}

TEST_CASE_TEMPLATE("the correlation of a deficit", T, float, double) {
  CHECK(correlation<T, true>(T(0)) == T(1));
  CHECK(correlation<T, true>(-T(0)) == T(-1));
  CHECK(correlation<T, true>(T(0.25)) == T(0.75));
  CHECK(correlation<T, true>(T(-0.25)) == T(-0.75));
  CHECK(correlation<T, true>(T(1)) == T(0));
  CHECK(correlation<T, false>(T(0)) == T(1));
  CHECK(correlation<T, false>(T(0.25)) == T(0.75));
  for (const T delta : {T(0), T(0.5), T(0.875), T(1.25), T(1.96875), T(2)}) {
    CHECK(correlation<T, true>(signed_deficit(delta)) == T(1) - delta);
  }
}

TEST_CASE_TEMPLATE("the affine step agrees with angles", T, float, double) {
  const double directions[] = {0, 1e-9, 1e-4, 0.3, 0.7853981633974483, 1.2, 1.5707, 1.570796326};
  for (const double fi : directions) {
    for (const double fj : directions) {
      for (const double m : {0.0, 1e-30, 1e-12, 1e-6, 1e-3, 0.2, 0.9, 1.0}) {
        for (const T s : {static_cast<T>(m), static_cast<T>(-m)}) {
          CAPTURE(fi);
          CAPTURE(fj);
          CAPTURE(s);
          const auto cosine = [](double f) { return static_cast<T>(std::cos(f)); };
          const auto sine = [](double f) { return static_cast<T>(std::sin(f)); };
          const T step = affine_deficit<T, true>(s, cosine(fi), sine(fi), cosine(fj), sine(fj));
          // 1 -+ rho' = cos cos' (1 -+ rho) + 1 - cos(f -+ f').
          const long double li = fi, lj = fj, near = std::fabs(static_cast<long double>(s));
          const long double scale = std::cos(li) * std::cos(lj);
          const long double apart = std::sin((li - lj) / 2), together = std::sin((li + lj) / 2);
          const bool negative = std::signbit(s);
          const long double minus = scale * (negative ? 2 - near : near) + 2 * apart * apart;
          const long double plus = scale * (negative ? near : 2 - near) + 2 * together * together;
          CHECK(angle_error(step, minus, plus) <= 4 * kUnit<T>);
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("the affine step keeps exact states", T, float, double) {
  // No bias: the vectors are (1, 0).
  for (const T s : {T(0), T(1e-20), T(0.25), T(-0.25), T(-1e-20), -T(0)}) {
    const T step = affine_deficit<T, true>(s, 1, 0, 1, 0);
    CHECK(step == s);
    CHECK(std::signbit(step) == std::signbit(s));
  }
  // Equal rows stay equal, whatever the bias.
  CHECK(affine_deficit<T, true>(T(0), T(0.6), T(0.8), T(0.6), T(0.8)) == T(0));
  // Nothing but bias: rho' = 1, or -1 where the constants have opposite signs.
  CHECK(affine_deficit<T, true>(T(-0.5), 0, 1, 0, 1) == T(0));
  const T opposite = affine_deficit<T, true>(T(0.5), 0, 1, 0, -1);
  CHECK(opposite == T(0));
  CHECK(std::signbit(opposite));
}

TEST_CASE_TEMPLATE("without negative correlations the short form is the same", T, float, double) {
  for (const double f : {0.1, 0.5, 1.5}) {
    for (const double m : {0.0, 1e-12, 0.3, 1.0}) {
      const auto r = static_cast<T>(std::cos(f)), t = static_cast<T>(std::sin(f));
      const auto s = static_cast<T>(m);
      CHECK(affine_deficit<T, false>(s, r, t, T(0.6), T(0.8)) ==
            affine_deficit<T, true>(s, r, t, T(0.6), T(0.8)));
    }
  }
}
