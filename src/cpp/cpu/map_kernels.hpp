// The innermost loops over maps, compiled once per instruction set.
//
// A map holds the pairs (p, p + offset) of positions of two images: one lane per position p of the
// window in which both images overlap, row by row, with a border of lanes that convolutions read.
#pragma once

#include "cpu/pool_kernels.hpp"
#include "cpu/tile_kernels.hpp"

namespace ntkfast::cpu {

// One convolution of one map. Pointers to lane 0 of a map or of a column of the same lanes.
template <class T>
struct ConvMap {
  const T *s, *tau;  // of the input
  T *s_out, *tau_out;
  const T *left, *right;                  // roots of the input, zero outside of images
  const T *inverse_left, *inverse_right;  // of the roots of the output
  std::int64_t first_in, first_out;       // lanes of the first tap, of the first result
  std::int64_t pitch_in, pitch_out;       // lanes from row to row
  int rows, cols, taps_y, taps_x, stride_y, stride_x;
  T weight, bias;  // of one tap, W_std / sqrt(taps), and b_std
  // The own part of T is own_ratio (rho' - b^2 / P') + own_bias^2 / P': both are zero where the
  // layer is not trained.
  T own_ratio, own_bias;
};

// Lanes that copy_block() may write behind its block, and read behind that of its source.
inline constexpr int kCopySlack = 16;

template <class T>
struct MapKernels {
  // Pair j of a tile row has the left row j0 + j and the right row j0 + j.
  void (*(*step)(const Op& op, bool signed_rho, TauMode mode))(const Step<T>&, const TileRow<T>&);
  void (*(*join)(const Op& op, bool signed1, bool signed2, TauMode mode))(const Step<T>&,
                                                                          const TileRow<T>&);
  // `tau`: the input has T.
  void (*(*conv)(bool signed_rho, bool tau))(const ConvMap<T>&);
  // Signed deficits of unit vectors of `channels` numbers, lane by lane; number c of lane j is
  // u[c * stride + j].
  void (*pixels)(const T* u, const T* v, int channels, std::int64_t stride, std::int64_t n, T* s);
  // rows x width numbers out of an array with `pitch` numbers per row, to one row after the other.
  void (*copy_block)(const T* from, std::int64_t pitch, int rows, int width, T* to);
  // Sums over lanes of p p' rho and p p' tau (tau null: 0).
  void (*total)(const T* left, const T* right, const T* s, bool signed_rho, const T* tau,
                std::int64_t n, double* K, double* T_sum);
  const PoolKernels<T>* pools;
};

namespace baseline {
const MapKernels<float>& float_map_kernels();
const MapKernels<double>& double_map_kernels();
}  // namespace baseline
namespace avx2 {
const MapKernels<float>& float_map_kernels();
const MapKernels<double>& double_map_kernels();
}  // namespace avx2
namespace avx512 {
const MapKernels<float>& float_map_kernels();
const MapKernels<double>& double_map_kernels();
}  // namespace avx512

}  // namespace ntkfast::cpu
