// The innermost loops, compiled once per instruction set and reached through a table of pointers.
//
// A tile row is one row of x against up to kRowLength rows of z: n signed deficits s and n values
// of tau = T / (p p'). Steps read and write those short arrays, which stay in the first-level
// cache.
#pragma once

#include <cstdint>

#include "math/hostdev.hpp"
#include "math/tau.hpp"
#include "program/op.hpp"
#include "program/pair_table.hpp"

namespace ntkfast::cpu {

// Pairs in one tile row: long enough to hide the call of each step (some 20 cycles of 400), short
// enough that all arrays of a strip fit in the first-level cache.
inline constexpr int kRowLength = 256;
// Rows handled before results are stored: one cache line of floats in the mirrored direction.
inline constexpr int kStripRows = 16;

// One tile row in flight.
template <class T>
struct TileRow {
  std::int64_t i;   // row of x
  std::int64_t j0;  // first row of z
  int n;            // rows of z
  T* const* s;      // per slot: n signed deficits
  T* const* tau;    // per slot: n values of T / (p p')
};

// The columns of one op in the table of one side, each indexed by the row.
template <class T>
struct Columns {
  const T* first;
  std::int64_t stride;
  NTKFAST_INLINE const T* operator[](int k) const { return first + k * stride; }
};

// One operation, bound to its tables and to the best loop for it.
template <class T>
struct Step {
  void (*run)(const Step&, const TileRow<T>&);
  int in, in2, out;  // slots; in2 of ops that join two values
  Columns<T> left;   // of the table of x, indexed by i
  Columns<T> right;  // of the table of z, indexed by j
  int even, odd;     // columns of each parity, of a Hermite series
  T constants[kMaxConstants];
  const PairTable<T>* table;  // of an activation given by one
};

// What the load of a tile row needs of the row of x, and of the rows of z.
template <class T>
struct RowScalars {
  T factor, half_norm, threshold;
};
template <class T>
struct RowArrays {
  const T *factor, *half_norm, *threshold;
};

template <class T>
struct TileKernels {
  // The loop for an op that reads one value, and for one that joins two.
  void (*(*step)(const Op& op, bool signed_rho, TauMode mode))(const Step<T>&, const TileRow<T>&);
  void (*(*join)(const Op& op, bool signed1, bool signed2, TauMode mode))(const Step<T>&,
                                                                          const TileRow<T>&);
  // s from the product of two rows, which times both factors is v_i . v_j; flag[j] = 1 where |s| is
  // below the mean of both thresholds and has to be recomputed from the rows. Returns whether any
  // flag is set.
  bool (*load)(const T* product, RowScalars<T> i, RowArrays<T> j, int n, T* s, unsigned char* flag);
  // out = p_i p_j rho  and  out = p_i p_j tau.
  void (*write_nngp)(const T* s, bool signed_rho, T root_i, const T* root_j, int n, T* out);
  void (*write_ntk)(const T* tau, T root_i, const T* root_j, int n, T* out);
  // out[j * ld + r] = strip[r * strip_ld + j] for kStripRows rows and n columns.
  void (*transpose)(const T* strip, int strip_ld, int n, T* out, std::int64_t ld);
  // out[j] = values[j].
  void (*copy)(const T* values, int n, T* out);
  // After the last store of a tile: makes streamed stores visible to other threads.
  void (*finish_stores)();
  // sum of (scale x_k)^2 in double.
  double (*sum_squares)(const T* x, std::int64_t d, double scale);
  // v_k = a x_k - anchor_k, rounded to T; returns the sum of v_k^2 in double.
  double (*center)(const T* x, std::int64_t d, double a, const double* anchor, T* v);
  // |a x - b z|^2 / 2 in double: the exact deficit of a nearly (anti)parallel pair.
  double (*half_distance)(const T* x, double a, const T* z, double b, std::int64_t d);
};

namespace baseline {
const TileKernels<float>& float_kernels();
const TileKernels<double>& double_kernels();
}  // namespace baseline
namespace avx2 {
const TileKernels<float>& float_kernels();
const TileKernels<double>& double_kernels();
}  // namespace avx2
namespace avx512 {
const TileKernels<float>& float_kernels();
const TileKernels<double>& double_kernels();
}  // namespace avx512

}  // namespace ntkfast::cpu
