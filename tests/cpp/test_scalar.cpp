// The scalar pieces: their stated ranges and errors, against long double.
#include "math/scalar.hpp"

#include <cmath>
#include <initializer_list>
#include <limits>
#include <type_traits>

#include "doctest.h"
#include "reference_kernel.hpp"

namespace {

template <class T>
constexpr long double kUnit = std::numeric_limits<T>::epsilon() / 2;

// The stated truncation, and two roundings of a result whose first term is by far the largest.
template <class T>
long double bound(double truncation_float, double truncation_double) {
  return 2 * kUnit<T> + (std::is_same_v<T, float> ? truncation_float : truncation_double);
}

// The whole range [0, 0.5]: an even grid, and powers of two down to where squares vanish.
template <class T, class Check>
void over_range(Check check) {
  constexpr int kSteps = 4000;
  for (int k = 0; k <= kSteps; ++k) check(T(0.5) * static_cast<T>(k) / static_cast<T>(kSteps));
  for (int k = 1; k < 120; ++k) check(std::ldexp(T(1), -k));
}

}  // namespace

TEST_CASE("a polynomial is evaluated by Horner's rule, lowest coefficient first") {
  constexpr double constant[] = {7};
  constexpr double cubic[] = {1, -2, 0, 3};
  CHECK(ntkfast::polynomial(constant, 5.0) == 7);
  CHECK(ntkfast::polynomial(cubic, 0.0) == 1);
  CHECK(ntkfast::polynomial(cubic, 2.0) == 1 - 4 + 24);
  CHECK(ntkfast::polynomial(cubic, -1.0) == 1 + 2 - 3);
  constexpr float single[] = {0.5F, 0.25F};
  CHECK(ntkfast::polynomial(single, 4.0F) == 1.5F);
}

TEST_CASE_TEMPLATE("asin_over_root keeps its bound", T, float, double) {
  over_range<T>([](T z) {
    const long double root = std::sqrt(static_cast<long double>(z));
    const long double exact = root > 0 ? std::asin(root) / root : 1;
    CHECK(std::fabs(ntkfast::asin_over_root(z) - exact) <= bound<T>(1.8e-8, 1.3e-16) * exact);
  });
}

TEST_CASE_TEMPLATE("arc_excess_over_root_cubed keeps its bound", T, float, double) {
  over_range<T>([](T z) {
    const long double root = std::sqrt(static_cast<long double>(z));
    const long double excess = reference::arc_excess(2 * std::asin(root));
    const long double exact = root > 1e-9L ? excess / (root * root * root) : 8.0L / 3;
    const T value = ntkfast::arc_excess_over_root_cubed(z);
    CHECK(std::fabs(value - exact) <= bound<T>(1.8e-8, 5e-17) * exact);
  });
}
