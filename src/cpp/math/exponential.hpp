// Branch-free exponentials: arithmetic, selects and integer shifts, which vectorise everywhere.
//
// Arguments are reduced by multiples of log 2 in two parts (Cody & Waite 1980) to |r| <= 0.347,
// where e^r = 1 + r q(r). Underflow gives 0, never a denormal, and NaN stays NaN. Errors, measured
// on 200000 points per dtype against long double, in units of the roundoff u:
//   exponential         4 u of its value in float, 2 u in double, |x| up to the ends of the range
//   Decay::value        the same
//   Decay::loss         4 u
//   Decay::mean         2 u
#pragma once

#include <cstdint>
#include <type_traits>

#include "math/hostdev.hpp"
#include "math/scalar.hpp"

namespace ntkfast::inline NTKFAST_ISA {

// q(r) = (e^r - 1) / r for |r| <= log(2) / 2; truncation 1.3e-8 (float), 2.1e-17 (double).
template <class T>
NTKFAST_INLINE T expm1_over_argument(T r) {
  if constexpr (std::is_same_v<T, float>) {
    constexpr float c[] = {1.000000011f,  0.5000000014f,   0.1666650461f,
                           0.0416664642f, 0.008369220292f, 0.001393373072f};
    return polynomial(c, r);
  } else {
    constexpr double c[] = {1.0,
                            0.500000000000000567,
                            0.16666666666666671,
                            0.0416666666665723915,
                            0.00833333333332608312,
                            0.00138888889327510003,
                            0.000198412698750022788,
                            0.0000248015040144269051,
                            2.75572551700008874e-6,
                            2.76264955464321963e-7,
                            2.51053127296221018e-8};
    return polynomial(c, r);
  }
}

namespace exponential_detail {

template <class T>
struct Format;

template <>
struct Format<float> {
  using Bits = std::uint32_t;
  static constexpr int kMantissa = 23, kBias = 127;
  static constexpr float kRound = 12582912.0f;  // 1.5 2^23: adding it rounds to an integer
  static constexpr float kLog2High = 0.693359375f, kLog2Low = -2.12194440e-4f;
  static constexpr float kLowest = -87.0f, kHighest = 88.0f;
};

template <>
struct Format<double> {
  using Bits = std::uint64_t;
  static constexpr int kMantissa = 52, kBias = 1023;
  static constexpr double kRound = 6755399441055744.0;
  static constexpr double kLog2High = 6.93147180369123816490e-01;
  static constexpr double kLog2Low = 1.90821492927058770002e-10;
  static constexpr double kLowest = -708.0, kHighest = 709.0;
};

// e^x = scale (1 + r q), scale = 2^n.
template <class T>
struct Reduced {
  T scale, r, q;
};

// kLowest <= x <= kHighest.
template <class T>
NTKFAST_INLINE Reduced<T> reduce(T x) {
  using F = Format<T>;
  using Bits = typename F::Bits;
  const T shifted = x * T(1.44269504088896340736) + F::kRound;
  const T n = shifted - F::kRound;
  const T r = (x - n * F::kLog2High) - n * F::kLog2Low;
  const Bits bits = __builtin_bit_cast(Bits, shifted);
  const Bits power = (bits << F::kMantissa) + (Bits(F::kBias) << F::kMantissa);
  return {__builtin_bit_cast(T, power), r, expm1_over_argument(r)};
}

}  // namespace exponential_detail

// e^x for any x: 0 below -87 (float) or -708 (double), at most e^88 or e^709.
template <class T>
NTKFAST_INLINE T exponential(T x) {
  using F = exponential_detail::Format<T>;
  const T low = x < F::kLowest ? F::kLowest : x;
  const auto [scale, r, q] = exponential_detail::reduce(low > F::kHighest ? F::kHighest : low);
  const T value = scale + scale * (r * q);
  return x < F::kLowest ? T(0) : value;
}

// e^-t and 1 - e^-t for t >= 0, both with all their digits.
template <class T>
struct Decay {
  // Up to here mean = (1 - e^-t) / t, free of underflow however small t is; beyond, nothing.
  static constexpr T kNear = T(0.34);
  T value, loss, mean;
};

template <class T>
NTKFAST_INLINE Decay<T> decay(T t) {
  using F = exponential_detail::Format<T>;
  const T x = -t;
  const auto [scale, r, q] = exponential_detail::reduce(x < F::kLowest ? F::kLowest : x);
  const T rise = r * q;
  const T value = x < F::kLowest ? T(0) : scale + scale * rise;
  return {value, t < Decay<T>::kNear ? t * q : T(1) - value, q};
}

}  // namespace ntkfast::inline NTKFAST_ISA
