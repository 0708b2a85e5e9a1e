// ABRelu: the textbook dual in long double, both ends of rho, slopes that are nearly linear or
// even.
#include "math/duals/abrelu.hpp"

#include <cmath>
#include <initializer_list>
#include <limits>

#include "doctest.h"
#include "reference_kernel.hpp"

namespace {

using ntkfast::AbRelu;
using ntkfast::PairStep;

struct Slopes {
  double a, b;
};

// Relu, LeakyRelu, Abs, identity; c near 0, 1 and 2 from both sides.
constexpr Slopes kSlopes[] = {
    {0, 1},     {0.01, 1},      {-0.01, 1},  {-1, 1},     {1, 1},          {1, 1 + 1e-9},
    {1, 0.999}, {-1, 1 + 1e-9}, {-0.999, 1}, {2, -0.5},   {-3, -0.25},     {1e-9, 1},
    {5, 0},     {-7e3, 7e3},    {1e200, 0},  {1e-200, 0}, {1e-160, 2e-160}};

constexpr double kMagnitudes[] = {
    0,    1e-300, 1e-30, 1e-17, 1e-12, 1e-9, 1e-7, 1e-6, 1e-5,  1e-4,
    1e-3, 0.01,   0.1,   0.25,  0.5,   0.75, 0.9,  0.99, 0.999, 0.9999999999999999,
    1};

template <class T>
constexpr long double kUnit = std::numeric_limits<T>::epsilon() / 2;

template <class T, bool kSigned = true>
PairStep<T> pair(Slopes slopes, T s) {
  const double params[] = {slopes.a, slopes.b};
  double wide[AbRelu::kConstants];
  T constants[AbRelu::kConstants];
  AbRelu::constants(params, wide);
  for (int k = 0; k < AbRelu::kConstants; ++k) constants[k] = static_cast<T>(wide[k]);
  return AbRelu::pair<T, kSigned>(constants, s, nullptr, nullptr);
}

// The same step from the formulas, at unit norms of the result.
template <class T>
reference::Pair expected_pair(Slopes slopes, T s) {
  const long double near = std::fabs(static_cast<long double>(s));
  const bool negative = std::signbit(s);
  const long double norm =
      std::hypot(static_cast<long double>(slopes.a), slopes.b) / std::sqrt(2.L);
  return reference::abrelu({1, 1, negative ? 2 - near : near, negative ? near : 2 - near, 1},
                           slopes.a / norm, slopes.b / norm);
}

// Angle from the positive direction, accurate at both ends.
long double angle(long double minus, long double plus) {
  return minus <= plus ? 2 * std::asin(std::sqrt(minus / 2))
                       : reference::kPi - 2 * std::asin(std::sqrt(plus / 2));
}

// |difference| of the angles to the nearer pole, or of the angles where the poles differ.
template <class T>
long double angle_error(T s, const reference::Pair& expected) {
  const long double near = std::fabs(static_cast<long double>(s));
  const bool negative = std::signbit(s);
  if (negative == (expected.plus < expected.minus)) {
    const long double other = negative ? expected.plus : expected.minus;
    return std::fabs(angle(near, 2 - near) - angle(other, 2 - other));
  }
  return std::fabs(angle(negative ? 2 - near : near, negative ? near : 2 - near) -
                   angle(expected.minus, expected.plus));
}

}  // namespace

TEST_CASE_TEMPLATE("abrelu agrees with the textbook formulas", T, float, double) {
  for (const Slopes slopes : kSlopes) {
    for (const double magnitude : kMagnitudes) {
      const T m = static_cast<T>(magnitude);
      for (const T s : {m, -m}) {
        CAPTURE(slopes.a);
        CAPTURE(slopes.b);
        CAPTURE(s);
        const PairStep<T> step = pair<T>(slopes, s);
        const reference::Pair expected = expected_pair(slopes, s);
        CHECK(angle_error(step.s, expected) <= 5 * kUnit<T>);
        // Slopes of opposite signs: the gain has a zero, near which only its size at rho = 1
        // counts.
        const bool one_sign = slopes.a * slopes.b >= 0;
        const long double size = one_sign ? expected.ntk : std::fmax(1.0L, expected.ntk);
        CHECK(std::fabs(step.gain - expected.ntk) <= 6 * kUnit<T> * size);
      }
    }
  }
}

TEST_CASE_TEMPLATE("relu agrees with the printed arc-cosine formula", T, float, double) {
  for (const double rho : {-0.999, -0.7, -0.25, 0.0, 0.125, 0.5, 0.875, 0.99}) {
    const auto s = static_cast<T>(std::copysign(1 - std::fabs(rho), rho));
    const long double exact = std::copysign(1.0L - std::fabs(static_cast<long double>(s)), rho);
    const long double theta = std::acos(exact);
    const long double next = (std::sin(theta) + (reference::kPi - theta) * exact) / reference::kPi;
    const PairStep<T> step = pair<T>({0, 1}, s);
    CHECK(std::fabs(ntkfast::correlation<T, true>(step.s) - next) <= 3 * kUnit<T>);
    CHECK(std::fabs(step.gain - (1 - theta / reference::kPi)) <= 3 * kUnit<T>);
  }
}

TEST_CASE_TEMPLATE("a linear function changes nothing", T, float, double) {
  for (const Slopes slopes : {Slopes{1, 1}, Slopes{-2, -2}, Slopes{0, 0}}) {
    for (const double magnitude : kMagnitudes) {
      const T m = static_cast<T>(magnitude);
      for (const T s : {m, -m}) {
        const PairStep<T> step = pair<T>(slopes, s);
        if (m < T(1)) {
          CHECK(step.s == s);
          CHECK(std::signbit(step.s) == std::signbit(s));
        } else {
          CHECK(std::fabs(step.s) == T(1));  // rho = 0 has either sign
        }
        CHECK(step.gain == T(1));
      }
    }
  }
}

TEST_CASE_TEMPLATE("abs maps opposite rows like equal ones", T, float, double) {
  for (const double magnitude : kMagnitudes) {
    const T m = static_cast<T>(magnitude);
    const PairStep<T> near = pair<T>({-1, 1}, m), far = pair<T>({-1, 1}, -m);
    CHECK_FALSE(std::signbit(far.s));
    CHECK(far.s == near.s);
    CHECK(std::fabs(far.gain + near.gain) <= 2 * kUnit<T>);
  }
}

TEST_CASE_TEMPLATE("equal and opposite rows keep an exact deficit", T, float, double) {
  for (const Slopes slopes : kSlopes) {
    const PairStep<T> equal = pair<T>(slopes, T(0));
    CHECK(equal.s == T(0));
    CHECK_FALSE(std::signbit(equal.s));
    CHECK(equal.gain == T(1));
  }
  CHECK(pair<T>({0, 1}, -T(0)).s == T(1));     // Relu: rho' = 0
  CHECK(pair<T>({0, 1}, -T(0)).gain == T(0));  // the derivatives never meet
  CHECK(pair<T>({-1, 1}, -T(0)).s == T(0));
  CHECK(pair<T>({-1, 1}, -T(0)).gain == T(-1));
}

TEST_CASE_TEMPLATE("without negative correlations the short form is the same", T, float, double) {
  for (const Slopes slopes : kSlopes) {
    const double params[] = {slopes.a, slopes.b};
    for (const double magnitude : kMagnitudes) {
      const T s = static_cast<T>(magnitude);
      const PairStep<T> full = pair<T, true>(slopes, s), brief = pair<T, false>(slopes, s);
      CHECK(brief.s == full.s);
      CHECK(brief.gain == full.gain);
      if (AbRelu::nonnegative(params)) {
        CHECK(expected_pair(slopes, -s).rho() >= 0);
        CHECK_FALSE(std::signbit(pair<T>(slopes, -s).s));
      }
    }
  }
}

TEST_CASE("slopes of one sign allow negative correlations, all others do not") {
  const auto nonnegative = [](double a, double b) {
    const double params[] = {a, b};
    return AbRelu::nonnegative(params);
  };
  CHECK(nonnegative(0, 1));
  CHECK(nonnegative(1, 0));
  CHECK(nonnegative(-1, 1));
  CHECK(nonnegative(0.5, -2));
  CHECK(nonnegative(-0.0, 3));
  CHECK_FALSE(nonnegative(0.01, 1));
  CHECK_FALSE(nonnegative(-1, -1));
  CHECK_FALSE(nonnegative(0, 0));
}

TEST_CASE("the row step is the second moment") {
  for (const Slopes slopes : kSlopes) {
    const double params[] = {slopes.a, slopes.b};
    for (const double p : {0.0, 1e-150, 0.3, 1.0, 1e100}) {
      const auto step = AbRelu::row(params, p, nullptr);
      const long double exact =
          std::hypot(static_cast<long double>(slopes.a), slopes.b) / std::sqrt(2.0L) * p;
      CHECK(std::fabs(step.p - exact) <=
            4 * kUnit<double> * exact + std::numeric_limits<double>::denorm_min());
      CHECK(step.gain == 1);
    }
  }
}

TEST_CASE("constants neither overflow nor lose what counts") {
  for (const Slopes slopes : kSlopes) {
    const double params[] = {slopes.a, slopes.b};
    double constants[AbRelu::kConstants];
    AbRelu::constants(params, constants);
    const long double a = slopes.a, b = slopes.b, norm = a * a + b * b;
    const long double exact[] = {(a - b) * (a - b) / norm,
                                 (a - b) * (a - b) / norm / reference::kPi, 2 * a * b / norm,
                                 (a + b) * (a + b) / norm};
    for (int k = 0; k < AbRelu::kConstants; ++k) {
      // Nearly equal slopes: a rounding of one of them counts, far below what a pair can feel.
      const long double size = std::fabs(exact[k]);
      CHECK(std::fabs(constants[k] - exact[k]) <= kUnit<double> * (6 * size + 4 * std::sqrt(size)));
    }
  }
}
