// The innermost loops of pools that leave positions, compiled once per instruction set.
//
// With a = w p / P, the weights of the unit vectors under the window on the left (P the root behind
// the pool), and b on the right, A and B their sums, and C = sum a a' (1 - rho_xx) / 2 of one image
// alone, so that 1 = A^2 - 2 C,
//   1 -+ rho' = (A -+ B)^2 / 2 - C - C' +- sum a b (1 - rho).
// Sums are in double, in which no product of roots of float leaves the range.
#pragma once

#include <cstdint>

namespace ntkfast::cpu {

// Of one image, position by position: w / P, A and C.
struct PoolSide {
  const double *inverse, *total, *half;
};

template <class T>
struct PoolKernels {
  // p p' (1 - rho) and p p' tau of n lanes; tau null: without it.
  void (*products)(const T* left, const T* right, const T* s, bool signed_rho, const T* tau,
                   std::int64_t n, double* deficit, double* ntk);
  // Along the width: out[r * out_pitch + i] += sum of from[r * pitch + stride * i + t] over the
  // taps t, for i below count.
  void (*add_columns)(const double* from, std::int64_t pitch, int rows, int stride, int count,
                      int taps, double* out, std::int64_t out_pitch);
  // Along the height: out[i * width + x] += sum of from[(stride * i + t) * width + x] over the taps
  // t, for i below count and x below width.
  void (*add_rows)(const double* from, std::int64_t width, int stride, int count, int taps,
                   double* out);
  // values[i] = (values[i] left[i]) right[i]: rounded here, so that what is equal stays equal.
  void (*scale)(const double* left, const double* right, std::int64_t n, double* values);
  // Signed deficits and tau from scaled sums.
  void (*enter)(PoolSide left, PoolSide right, const double* deficit, const double* ntk,
                bool signed_rho, std::int64_t n, T* s, T* tau);
};

}  // namespace ntkfast::cpu
