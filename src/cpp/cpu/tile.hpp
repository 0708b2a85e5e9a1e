// One tile of a Gram matrix, from product to stored results.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/aligned.hpp"
#include "cpu/bound_program.hpp"
#include "cpu/gram.hpp"
#include "cpu/input_rows.hpp"

namespace ntkfast::cpu {

// Edge of a tile: it depends on the size of the result alone, so results never depend on threads.
// BLAS packs both panels again for every tile: against one large product, 512 x 512 tiles lose 7%
// of its speed and 256 x 256 tiles 18% (d = 784, float), but a small matrix needs tiles to deal.
inline constexpr int kSmallTile = 256;
inline constexpr int kLargeTile = 512;
inline int tile_size(std::int64_t n, std::int64_t m) {
  return n >= 8 * kLargeTile && m >= 8 * kLargeTile ? kLargeTile : kSmallTile;
}

// Depth of the product per BLAS call when rows are centred panel by panel.
inline constexpr std::int64_t kPanelDepth = 1024;
// Row strides in scratch memory: not a power of two, or all rows would share a few cache sets.
inline constexpr int kProductPadding = 16;
inline constexpr int kStripStride = kRowLength + 16;

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
  int tile;         // edge of the tile grid
  bool kept_rows;   // centred rows are at hand for the whole Gram
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
  explicit TileWorker(const GramContext<T>& context);
  void run(const TileRange& tile, Tasks& tasks, int worker);

  static std::int64_t scratch_bytes(const Program& program, int tile, bool kept_rows);

 private:
  // kStripRows rows of a tile against kRowLength of its columns, or what is left of them.
  struct Strip {
    int r0, rows;  // within the tile
    int c0, cols;
  };

  bool on_diagonal(const TileRange& tile) const {
    return context_.symmetric && tile.i0 == tile.j0;
  }
  // Columns of a strip that row r needs: on the diagonal only those up to itself.
  int row_length(const TileRange& tile, const Strip& strip, int r) const;
  void multiply(const TileRange& tile, Tasks& tasks, int worker);
  void compute_row(const TileRange& tile, const Strip& strip, int r);
  void repair(std::int64_t i, std::int64_t j0, int cols, T* s);
  void write_outputs(const BoundOp<T>& op, const TileRow<T>& row, int strip_row);
  void store(const TileRange& tile, const Strip& strip);
  void store_matrix(const T* values, T* out, const TileRange& tile, const Strip& strip);
  T* strip(int output, bool ntk) {
    return strips_.get() + (2 * output + (ntk ? 1 : 0)) * kStripRows * kStripStride;
  }

  const GramContext<T>& context_;
  AlignedArray<T> product_, slots_, strips_, panel_x_, panel_z_;
  std::vector<T*> s_, tau_;
  int product_stride_;
  unsigned char flags_[kRowLength];
};

}  // namespace ntkfast::cpu
