// How the loops of the files that are built per instruction set are marked.
//
// Those files use no containers and nothing else from the standard library that could leave an
// out-of-line copy: the linker would be free to use that copy, built for one instruction set,
// everywhere.
#pragma once

// One vector of the instruction set.
#if defined(__AVX512F__)
#define NTKFAST_VECTOR_BYTES 64
#elif defined(__AVX__)
#define NTKFAST_VECTOR_BYTES 32
#else
#define NTKFAST_VECTOR_BYTES 16
#endif

// NTKFAST_INDEPENDENT: the iterations of the next loop may overlap (in-place steps included: they
// read and write the same index). NTKFAST_UNROLL: the next loop keeps an array in registers.
#if defined(__clang__)
#define NTKFAST_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#define NTKFAST_UNROLL _Pragma("clang loop unroll(full)")
#else
#define NTKFAST_INDEPENDENT _Pragma("GCC ivdep")
#define NTKFAST_UNROLL _Pragma("GCC unroll 16")
#endif
