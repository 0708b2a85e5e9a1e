// Exponentials: their stated errors against long double, their ends, and no denormals.
#include "math/exponential.hpp"

#include <cmath>
#include <initializer_list>
#include <limits>
#include <type_traits>

#include "doctest.h"

namespace {

using ntkfast::Decay;
using ntkfast::decay;
using ntkfast::exponential;

template <class T>
constexpr long double kUnit = std::numeric_limits<T>::epsilon() / 2;

template <class T>
constexpr long double kBound = std::is_same_v<T, float> ? 4 * kUnit<T> : 2 * kUnit<T>;

template <class T>
constexpr T kLowest = std::is_same_v<T, float> ? T(-87) : T(-708);

}  // namespace

TEST_CASE_TEMPLATE("exponential keeps its bound over its range", T, float, double) {
  constexpr int kSteps = 200000;
  long double worst = 0;
  for (int k = 0; k <= kSteps; ++k) {
    const T x = kLowest<T> + (T(88) - kLowest<T>)*static_cast<T>(k) / static_cast<T>(kSteps);
    const long double exact = std::exp(static_cast<long double>(x));
    worst = std::fmax(worst, std::fabs(exponential(x) - exact) / exact);
  }
  CAPTURE(static_cast<double>(worst / kUnit<T>));
  CHECK(worst <= kBound<T>);
}

TEST_CASE_TEMPLATE("decay keeps its bounds from the smallest to the largest time", T, float,
                   double) {
  constexpr int kSteps = 200000;
  long double value = 0, loss = 0, mean = 0;
  for (int k = 0; k <= kSteps; ++k) {
    const T t = static_cast<T>(std::exp(-30 + 34.4L * k / kSteps));
    const Decay<T> got = decay(t);
    const long double exact = std::exp(-static_cast<long double>(t));
    const long double lost = -std::expm1(-static_cast<long double>(t));
    value = std::fmax(value, std::fabs(got.value - exact) / exact);
    loss = std::fmax(loss, std::fabs(got.loss - lost) / lost);
    if (t < Decay<T>::kNear) mean = std::fmax(mean, std::fabs(got.mean * t - lost) / lost);
  }
  CAPTURE(static_cast<double>(value / kUnit<T>));
  CAPTURE(static_cast<double>(loss / kUnit<T>));
  CAPTURE(static_cast<double>(mean / kUnit<T>));
  CHECK(value <= kBound<T>);
  CHECK(loss <= 4 * kUnit<T>);
  CHECK(mean <= 2 * kUnit<T>);
}

TEST_CASE_TEMPLATE("the ends are exact", T, float, double) {
  constexpr T infinity = std::numeric_limits<T>::infinity();
  CHECK(exponential(T(0)) == T(1));
  CHECK(exponential(T(-0.0)) == T(1));
  CHECK(exponential(-infinity) == T(0));
  CHECK(exponential(kLowest<T> * T(1.001)) == T(0));
  CHECK(exponential(kLowest<T>) >= std::numeric_limits<T>::min());
  CHECK(std::isfinite(exponential(infinity)));
  CHECK(decay(T(0)).value == T(1));
  CHECK(decay(T(0)).loss == T(0));
  CHECK(decay(std::numeric_limits<T>::denorm_min()).mean == doctest::Approx(1));
  for (const T large : {T(88), T(1000), std::numeric_limits<T>::max(), infinity}) {
    if (large <= -kLowest<T>) continue;
    CHECK(decay(large).value == T(0));
    CHECK(decay(large).loss == T(1));
  }
  CHECK(std::isnan(exponential(std::numeric_limits<T>::quiet_NaN())));
  CHECK(std::isnan(decay(std::numeric_limits<T>::quiet_NaN()).value));
}
