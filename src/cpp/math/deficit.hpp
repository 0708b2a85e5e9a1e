// The signed deficit: how every kernel here stores a correlation rho.
//
// s carries 1 - |rho| in its magnitude and the sign of rho in its sign bit (-0.0 means rho = -1).
// Both ends of [-1, 1] keep their relative accuracy, which matters because the arc-cosine angle is
// sqrt(2 (1 - |rho|)) there: rounding rho itself would cost half of the digits of the NTK.
#pragma once

#include <cmath>

#include "math/hostdev.hpp"

namespace ntkfast::inline NTKFAST_ISA {

template <class T, bool kSigned>
NTKFAST_INLINE T correlation(T s) {
  if constexpr (kSigned) {
    return std::copysign(T(1) - std::fabs(s), s);
  } else {
    return T(1) - s;
  }
}

// From delta = 1 - rho in [0, 2], kept where it is small; rounding below zero is cut off.
template <class T>
NTKFAST_INLINE T signed_deficit(T delta) {
  const T positive = delta > T(0) ? delta : T(0);
  const T other = T(2) - positive;
  return positive <= T(1) ? positive : -(other > T(0) ? other : T(0));
}

// The affine step rho' = r_i r_j rho + t_i t_j with unit vectors (r_i, t_i): a Dense layer with
// bias, r = |W| p / p', t = b / p', or any other constant added to a covariance. Both deficits are
// sums of non-negative terms,
//   1 -+ rho' = r_i r_j (1 -+ rho) + ((r_i - r_j)^2 + (t_i -+ t_j)^2) / 2,
// and the smaller one is kept.
template <class T, bool kSigned>
NTKFAST_INLINE T affine_deficit(T s, T ri, T ti, T rj, T tj) {
  const T scale = ri * rj, dr = ri - rj, minus = ti - tj;
  if constexpr (kSigned) {
    const T m = std::fabs(s), plus = ti + tj;
    const bool positive = std::copysign(T(1), s) > T(0);
    const T to_one = scale * (positive ? m : T(2) - m) + T(0.5) * (dr * dr + minus * minus);
    const T to_minus_one = scale * (positive ? T(2) - m : m) + T(0.5) * (dr * dr + plus * plus);
    return to_one <= to_minus_one ? to_one : -to_minus_one;
  } else {
    return scale * s + T(0.5) * (dr * dr + minus * minus);
  }
}

}  // namespace ntkfast::inline NTKFAST_ISA
