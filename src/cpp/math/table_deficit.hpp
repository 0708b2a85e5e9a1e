// The deficit behind an activation that is given by a table: pair_table.hpp has the formulas.
#pragma once

#include <cmath>

#include "math/hostdev.hpp"

namespace ntkfast::inline NTKFAST_ISA {

// What one row brings to it, column by column.
template <class T>
struct TableRow {
  T constant, odd_scale, odd_share, even_scale, even_share;
};

// V of a part, which rounding may leave below zero; `loss` is (t - t')^2 E + mu H.
template <class T>
NTKFAST_INLINE T scaled_loss(T scale, T share, T other_scale, T other_share, T loss) {
  const T sum = scale * other_scale * loss + T(0.5) * (scale - other_scale) * (share - other_share);
  return sum > T(0) ? sum : T(0);
}

// The signed deficit from m = 1 - |rho|, the sign of rho, and the losses of both parts. Without
// kSigned no rho' is negative.
template <class T, bool kSigned>
NTKFAST_INLINE T table_deficit(const TableRow<T>& a, const TableRow<T>& b, T m, bool positive,
                               T odd, T even) {
  const T odd_loss = scaled_loss(a.odd_scale, a.odd_share, b.odd_scale, b.odd_share, odd);
  const T even_loss = scaled_loss(a.even_scale, a.even_share, b.even_scale, b.even_share, even);
  const T odd_squares = a.odd_scale * a.odd_share + b.odd_scale * b.odd_share;
  const T odd_near = T(0.5) * m * odd_squares + (T(1) - m) * odd_loss;
  const T odd_far = odd_squares - odd_near;
  const T difference = a.constant - b.constant;
  const T to_one = T(0.5) * difference * difference + even_loss + (positive ? odd_near : odd_far);
  if constexpr (!kSigned) {
    return to_one;
  } else {
    const T sum = a.constant + b.constant;
    const T even_squares = a.even_scale * a.even_share + b.even_scale * b.even_share;
    const T to_minus_one =
        T(0.5) * sum * sum + (even_squares - even_loss) + (positive ? odd_far : odd_near);
    return to_one <= to_minus_one ? to_one : -to_minus_one;
  }
}

}  // namespace ntkfast::inline NTKFAST_ISA
