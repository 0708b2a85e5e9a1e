// What dropout and the joining of two independent branches do to signed deficits.
//
// Every deficit below is a sum of terms that are not negative, so both ends of [-1, 1] keep their
// relative accuracy: a few u of the deficit.
#pragma once

#include "math/deficit.hpp"

namespace ntkfast::inline NTKFAST_ISA {

// Both 1 - rho and 1 + rho; the smaller one with all its digits.
template <class T>
struct Deficits {
  T minus, plus;
};

template <class T, bool kSigned>
NTKFAST_INLINE Deficits<T> both_deficits(T s) {
  if constexpr (kSigned) {
    const T m = std::fabs(s);
    const bool positive = std::copysign(T(1), s) > T(0);
    return {positive ? m : T(2) - m, positive ? T(2) - m : m};
  } else {
    const T m = s > T(0) ? s : T(0);  // rounding below zero must not pass for rho = -1
    return {m, T(2) - m};
  }
}

// Sum of covariances: rho' = sum_k a_k b_k rho_k with the unit vectors a_k = p_k / p' of one row
// and b_k of the other. As sum a_k^2 = sum b_k^2 = 1,
//   1 -+ rho' = sum_k a_k b_k (1 -+ rho_k) + sum_k (a_k - b_k)^2 / 2.
// affine_deficit is the case rho_2 = 1.
template <class T, bool kSigned1, bool kSigned2>
NTKFAST_INLINE T sum_deficit(T s1, T s2, T a1, T a2, T b1, T b2) {
  const T w1 = a1 * b1, w2 = a2 * b2, d1 = a1 - b1, d2 = a2 - b2;
  const T apart = T(0.5) * (d1 * d1 + d2 * d2);
  const auto first = both_deficits<T, kSigned1>(s1);
  const auto second = both_deficits<T, kSigned2>(s2);
  const T to_one = (w1 * first.minus + w2 * second.minus) + apart;
  if constexpr (kSigned1 || kSigned2) {
    const T to_minus_one = (w1 * first.plus + w2 * second.plus) + apart;
    return to_one <= to_minus_one ? to_one : -to_minus_one;
  } else {
    return to_one;
  }
}

// Product of covariances: 1 - |rho'| = m_1 + m_2 - m_1 m_2 with m = 1 - |rho|.
template <class T, bool kSigned1, bool kSigned2>
NTKFAST_INLINE T product_deficit(T s1, T s2) {
  const T m1 = kSigned1 ? std::fabs(s1) : s1, m2 = kSigned2 ? std::fabs(s2) : s2;
  const T m = m1 + m2 * (T(1) - m1);
  if constexpr (kSigned1 && kSigned2) {
    return std::copysign(m, s1) * std::copysign(T(1), s2);
  } else if constexpr (kSigned1) {
    return std::copysign(m, s1);
  } else if constexpr (kSigned2) {
    return std::copysign(m, s2);
  } else {
    return m;
  }
}

// Dropout, different samples: rho' = r rho with the keep probability r, and 1 -+ rho' =
// (1 - r) + r (1 -+ rho); `drop` is 1 - r.
template <class T, bool kSigned>
NTKFAST_INLINE T dropout_deficit(T s, T keep, T drop) {
  if constexpr (kSigned) {
    return std::copysign(drop + keep * std::fabs(s), s);
  } else {
    return drop + keep * s;
  }
}

}  // namespace ntkfast::inline NTKFAST_ISA
