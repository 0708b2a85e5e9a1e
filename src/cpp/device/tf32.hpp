// Numbers as tensor cores read them in their float32 mode: 8 bits of exponent, 10 of mantissa, in
// the upper bits of a float. Rounded to nearest, ties away from zero.
#pragma once

#include <bit>
#include <cstdint>

#include "device/device_code.hpp"

namespace ntkfast::device {

// Of finite numbers a little inside the range, which rows are: two integer instructions, where the
// device's own conversion takes care of infinities.
NTKFAST_HD inline std::uint32_t bits_of(float x) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(x);
#else
  return std::bit_cast<std::uint32_t>(x);
#endif
}

NTKFAST_HD inline std::uint32_t to_tf32(float x) { return (bits_of(x) + 0x1000U) & 0xffffe000U; }

NTKFAST_HD inline float from_tf32(std::uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  return std::bit_cast<float>(bits);
#endif
}

// x = high + low + an error below 2^-22 |x|.
struct SplitTf32 {
  std::uint32_t high, low;
};

NTKFAST_HD inline SplitTf32 split_tf32(float x) {
  const std::uint32_t high = to_tf32(x);
  return {high, to_tf32(x - from_tf32(high))};
}

}  // namespace ntkfast::device
