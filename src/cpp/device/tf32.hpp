// Numbers as tensor cores read them in their float32 mode: 8 bits of exponent, 10 of mantissa, in
// the upper bits of a float. Rounded to nearest, ties away from zero.
#pragma once

#include <bit>
#include <cstdint>

#include "device/device_code.hpp"

namespace ntkfast::device {

NTKFAST_HD inline std::uint32_t to_tf32(float x) {
#if defined(__CUDA_ARCH__)
  std::uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
#else
  return (std::bit_cast<std::uint32_t>(x) + 0x1000U) & 0xffffe000U;
#endif
}

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
