// The size x = |b| p of the argument of a function of b u, u ~ N(0, p^2), as columns of a row.
//
// Functions that oscillate or grow with b u see the distance (x - x')^2 / 2, which a large x
// rounded to the compute dtype would lose: x also comes as a rounded part and a rest, whose
// differences are exact. Beyond 1e15, where not even a double holds x to a tenth, only the order of
// sizes matters: there the parts grow with the logarithm, so that different sizes stay far apart in
// any dtype.
#pragma once

#include <cmath>
#include <type_traits>

#include "math/hostdev.hpp"

namespace ntkfast::inline NTKFAST_ISA {

struct Phase {
  enum Column { kSize, kHigh, kRest, kColumns };

  static void write(double x, double* columns) {
    constexpr double kExact = 1e15;
    const double place = x <= kExact ? x : kExact * (1 + std::log(x / kExact));
    columns[kSize] = x;
    columns[kHigh] = static_cast<double>(static_cast<float>(place));
    columns[kRest] = place - columns[kHigh];
  }

  // Finite, and so is the product of two.
  template <class T>
  static NTKFAST_INLINE T size(const T* columns) {
    constexpr T largest = std::is_same_v<T, float> ? T(1e18) : T(1e150);
    return columns[kSize] < largest ? columns[kSize] : largest;
  }

  // x - x'
  template <class T>
  static NTKFAST_INLINE T difference(const T* left, const T* right) {
    return (left[kHigh] - right[kHigh]) + (left[kRest] - right[kRest]);
  }
};

}  // namespace ntkfast::inline NTKFAST_ISA
