// One tile of a Gram matrix, from product to stored results.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/aligned.hpp"
#include "cpu/bound_program.hpp"
#include "cpu/gram.hpp"
#include "cpu/input_rows.hpp"

namespace ntkfast::cpu {

// Depth of the product per BLAS call when rows are centred panel by panel.
inline constexpr std::int64_t kPanelDepth = 1024;
// Row strides in scratch memory: not a power of two, or all rows would share a few cache sets.
inline constexpr int kScratchStride = kTileSize + 16;

// All that is common to the tiles of one Gram matrix.
template <class T>
struct GramContext {
  const TileKernels<T>& kernels;
  const Program& program;
  const InputRows<T>& x;
  const InputRows<T>& z;
  std::int64_t d;
  bool symmetric;
  std::vector<T> half_norm_x, half_norm_z;  // in the compute dtype
  std::vector<T> threshold_x, threshold_z;
  const RowTables<T>& table_x;
  std::vector<BoundOp<T>> ops;
  const std::vector<GramOutput<T>>& outputs;
  std::int64_t ld;  // columns of the results
};

// Rows [i0, i0 + rows) against rows [j0, j0 + cols) of the other side.
struct TileRange {
  std::int64_t i0, j0;
  int rows, cols;
};

// The scratch memory of one thread and the walk through a tile.
template <class T>
class TileWorker {
 public:
  TileWorker(const GramContext<T>& context, bool kept_rows);
  void run(const TileRange& tile, Tasks& tasks, int worker);

  static std::int64_t scratch_bytes(const Program& program, bool kept_rows);

 private:
  void multiply(const TileRange& tile, Tasks& tasks, int worker);
  void compute_row(const TileRange& tile, int r, int cols, int strip_row);
  void repair(std::int64_t i, std::int64_t j0, int cols, T* s);
  void write_outputs(const BoundOp<T>& op, const TileRow<T>& row, int strip_row);
  void store_strip(const TileRange& tile, int r0, int rows, int cols);
  void store(const T* strip, T* out, const TileRange& tile, int r0, int rows, int cols);
  T* strip(int output, bool ntk) {
    return strips_.get() + (2 * output + (ntk ? 1 : 0)) * kStripRows * kScratchStride;
  }

  const GramContext<T>& context_;
  AlignedArray<T> product_, slots_, strips_, panel_x_, panel_z_;
  std::vector<T*> s_, tau_;
  unsigned char flags_[kTileSize];
};

}  // namespace ntkfast::cpu
