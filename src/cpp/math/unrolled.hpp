// A loop whose index is a constant.
//
// A loop inside of a pair keeps the loop over the pairs from vectorising unless it is unrolled
// before; compilers do that to short ones alone.
#pragma once

#include <type_traits>

#include "math/hostdev.hpp"

// Behind the parameters of a lambda.
#if defined(_MSC_VER)
#define NTKFAST_INLINE_LAMBDA [[msvc::forceinline]]
#else
#define NTKFAST_INLINE_LAMBDA __attribute__((always_inline))
#endif

namespace ntkfast::inline NTKFAST_ISA {

// body(0), ..., body(kEnd - 1), each argument an integral constant.
template <int kEnd, int kFirst = 0, class F>
NTKFAST_INLINE void unrolled(const F& body) {
  if constexpr (kFirst < kEnd) {
    body(std::integral_constant<int, kFirst>{});
    unrolled<kEnd, kFirst + 1>(body);
  }
}

}  // namespace ntkfast::inline NTKFAST_ISA
