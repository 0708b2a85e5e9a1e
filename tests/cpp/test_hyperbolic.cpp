// The series of hyperbolic.hpp against what they stand for, in long double.
#include "math/hyperbolic.hpp"

#include <cmath>
#include <initializer_list>
#include <limits>

#include "doctest.h"

using ntkfast::cosh_second_difference;
using ntkfast::squared_sinhc_slope;

namespace {

template <class T>
constexpr long double kUnit = std::numeric_limits<T>::epsilon() / 2;

long double cosh_root(long double x) { return std::cosh(std::sqrt(x)); }

long double squared_sinhc(long double t) { return 2 * (cosh_root(t) - 1) / t; }

}  // namespace

TEST_CASE("the second difference of cosh of roots keeps its digits") {
  for (const double y : {0.25, 0.5, 1.0, 2.0}) {
    for (const double z : {0.25, 0.75, 2.0}) {
      const long double plain = cosh_root(y + z) - cosh_root(y) - cosh_root(z) + 1;
      const long double exact = plain / (static_cast<long double>(y) * z);
      CHECK(std::fabs(cosh_second_difference<11>(y, z) - exact) <= 4 * kUnit<double> * exact);
      const float got = cosh_second_difference<7>(static_cast<float>(y), static_cast<float>(z));
      CHECK(std::fabs(got - exact) <= 4 * kUnit<float> * exact);
    }
  }
}

TEST_CASE("the slope of the squared sinhc keeps its digits") {
  for (const double t : {0.125, 0.25}) {
    for (const double r : {0.03125, 0.0625}) {
      const long double exact = (squared_sinhc(t) - squared_sinhc(r)) / (t - r);
      CHECK(std::fabs(squared_sinhc_slope<7>(t, r) - exact) <= 8 * kUnit<double> * exact);
    }
  }
}

TEST_CASE_TEMPLATE("the series tend to their first terms", T, float, double) {
  for (const T tiny : {T(0), std::numeric_limits<T>::denorm_min(), T(1e-30)}) {
    CHECK(cosh_second_difference<7>(tiny, T(0)) == T(2) / T(24));
    CHECK(squared_sinhc_slope<7>(tiny, tiny) == T(2) / T(24));
  }
  // y = 0: twice the derivative of cosh sqrt(z) less its first term, over z
  const T z = 2, root = std::sqrt(z);
  const T limit = (std::sinh(root) / root - 1) / (2 * z);
  CHECK(cosh_second_difference<11>(T(0), z) == doctest::Approx(limit).epsilon(1e-6));
}
