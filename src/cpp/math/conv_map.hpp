// A convolution of one pair of positions: what its taps add up to, and what becomes of the sums.
//
// With a = root gain of a tap on the left and b on the right, which are entries of unit vectors
// together with t and t',
//   1 -+ rho' = sum (a - b)^2 / 2 + (t -+ t')^2 / 2 + sum a b (1 -+ rho),
// terms that are not negative: nearly equal patches keep the digits of their deficit, and equal
// ones have exactly 0. Summing K and subtracting would be separable and cheaper, but rounds
// to 1e-7 in float32 where the deficit may be 1e-12.
#pragma once

#include <cmath>

#include "math/deficit.hpp"

namespace ntkfast::inline NTKFAST_ISA {

// Of one convolution, the same for all positions.
template <class T>
struct ConvNumbers {
  T weight, bias;  // of one tap, W_std / sqrt(taps), and b_std
  // The own part of T is own_ratio (rho' - b^2 / P') + own_bias^2 / P': both are zero where the
  // layer is not trained.
  T own_ratio, own_bias;
};

template <class T>
struct TapSums {
  T gap, near, far, tau;
};

// a and b: root times gain of both images at this tap, zero outside of an image.
template <class T, bool kSigned, bool kTau>
NTKFAST_INLINE void add_tap(T a, T b, T s, T tau, TapSums<T>& sums) {
  const T difference = a - b, weight = a * b;
  sums.gap += difference * difference;
  if constexpr (kSigned) {
    const T m = std::fabs(s);
    const bool positive = std::copysign(T(1), s) > T(0);
    sums.near += weight * (positive ? m : T(2) - m);
    sums.far += weight * (positive ? T(2) - m : m);
  } else {
    sums.near += weight * s;
  }
  if constexpr (kTau) sums.tau += weight * tau;
}

template <class T>
struct ConvResult {
  T s, tau;
};

// From the sums, with the inverses of the roots of the result.
template <class T, bool kSigned, bool kTau>
NTKFAST_INLINE ConvResult<T> close_taps(const ConvNumbers<T>& numbers, T inverse_left,
                                        T inverse_right, const TapSums<T>& sums) {
  const T t = numbers.bias * inverse_left, u = numbers.bias * inverse_right;
  const T minus = t - u;
  const T to_one = sums.near + T(0.5) * (sums.gap + minus * minus);
  // Beyond 1 in lanes of the border alone, where columns belong to no position: whatever stands
  // there is weighted by zero, but has to be a deficit.
  T s = to_one < T(1) ? to_one : T(1);
  if constexpr (kSigned) {
    const T plus = t + u;
    const T to_minus_one = sums.far + T(0.5) * (sums.gap + plus * plus);
    s = to_one <= to_minus_one ? s : to_minus_one < T(1) ? -to_minus_one : T(-1);
  }
  // Not the product of the inverses, which may overflow where a bias is zero.
  const T bias_part = (numbers.own_bias * inverse_left) * (numbers.own_bias * inverse_right);
  const T own = numbers.own_ratio * (correlation<T, kSigned>(s) - t * u) + bias_part;
  return {s, kTau ? sums.tau + own : own};
}

// The signed deficit of two unit vectors from |u - v|^2 and |u + v|^2: the smaller one has all its
// digits.
template <class T>
NTKFAST_INLINE T distance_deficit(T near, T far) {
  return near <= far ? T(0.5) * near : T(-0.5) * far;
}

}  // namespace ntkfast::inline NTKFAST_ISA
