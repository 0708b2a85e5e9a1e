// Macros that let the same headers serve C++ and CUDA.
#pragma once

#if defined(__CUDACC__)
#define NTKFAST_HD __host__ __device__
#else
#define NTKFAST_HD
#endif

// Arrays of numbers outside of functions that device code reads at an index known at run time only.
#if defined(__CUDA_ARCH__)
#define NTKFAST_NUMBERS __constant__
#else
#define NTKFAST_NUMBERS
#endif

#if defined(_MSC_VER)
#define NTKFAST_INLINE NTKFAST_HD __forceinline
#else
#define NTKFAST_INLINE NTKFAST_HD inline __attribute__((always_inline))
#endif

// The math headers are compiled once per instruction set. Their names live in an inline namespace
// of that set, so that the linker can never replace a baseline function by its AVX-512 twin.
#if !defined(NTKFAST_ISA)
#define NTKFAST_ISA portable
#endif
