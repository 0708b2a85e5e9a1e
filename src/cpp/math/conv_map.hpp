// A convolution of one pair of positions. It sums K = p p' rho and T = p p' tau over the taps,
// which goes along columns and then along rows; where the deficit of the result is small, which has
// then lost digits, it is computed in another way.
#pragma once

#include <cmath>
#include <type_traits>

#include "math/deficit.hpp"

namespace ntkfast::inline NTKFAST_ISA {

// 1 - rho' has an error of a few roundings of 1 as it comes from K, which hurts where it is small:
// the angle that activations take from it is its root.
template <class T>
inline constexpr T kSmallDeficit = std::is_same_v<T, float> ? T(1) / 64 : T(1) / 4096;

// Below 0 by rounding, or in lanes of the border, where columns belong to no position: whatever
// stands there is weighted by zero, but has to be a deficit.
template <class T, bool kSigned>
NTKFAST_INLINE T summed_deficit(T rho) {
  const T rest = T(1) - (kSigned ? std::fabs(rho) : rho);
  const T m = rest > T(0) ? rest : T(0);
  return kSigned ? std::copysign(m, rho) : m;
}

// The other way: with a = root gain of a tap on the left and b on the right, which are entries of
// unit vectors,
//   1 -+ rho' = sum (a - b)^2 / 2 + (t -+ t')^2 / 2 + sum a b (1 -+ rho),
// terms that are not negative: nearly equal patches keep the digits of their deficit, and equal
// ones have exactly 0.
template <class T>
struct TapSums {
  T gap, near, far;
};

// a and b: root times gain of both images at this tap, zero outside of an image.
template <class T, bool kSigned>
NTKFAST_INLINE void add_tap(T a, T b, T s, TapSums<T>& sums) {
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
}

template <class T, bool kSigned>
NTKFAST_INLINE T exact_deficit(T t, T u, const TapSums<T>& sums) {
  const T minus = t - u;
  const T to_one = sums.near + T(0.5) * (sums.gap + minus * minus);
  const T s = to_one < T(1) ? to_one : T(1);
  if constexpr (!kSigned) return s;
  const T plus = t + u;
  const T to_minus_one = sums.far + T(0.5) * (sums.gap + plus * plus);
  return to_one <= to_minus_one ? s : to_minus_one < T(1) ? -to_minus_one : T(-1);
}

// The signed deficit of two unit vectors from |u - v|^2 and |u + v|^2: the smaller one has all its
// digits.
template <class T>
NTKFAST_INLINE T distance_deficit(T near, T far) {
  return near <= far ? T(0.5) * near : T(-0.5) * far;
}

}  // namespace ntkfast::inline NTKFAST_ISA
