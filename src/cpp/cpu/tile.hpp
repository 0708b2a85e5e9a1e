// One tile of a Gram matrix, from product to stored results.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cpu/aligned.hpp"
#include "cpu/bound_program.hpp"
#include "cpu/gram.hpp"
#include "cpu/input_rows.hpp"

namespace ntkfast::cpu {

// The tile grid. It depends on the size of the result alone, so results never depend on threads.
// BLAS packs both panels again for every tile. Against half of one large product, the products of a
// Gram take 13% longer in 512 x 1024 tiles and 20% in 256 x 1024 ones (n = 4096, d = 784, float,
// one AVX-512 core; 512 x 512 is as fast in float and 4% slower in double); larger tiles win
// nothing back. A small matrix needs small tiles to deal. `cols` is a multiple of `rows`, so that
// in a symmetric Gram one tile of each block of rows holds the whole square on the diagonal.
struct TileGrid {
  int rows, cols;
};
inline constexpr TileGrid kSmallTiles{256, 512}, kLargeTiles{512, 1024};
inline TileGrid tile_grid(std::int64_t n, std::int64_t m) {
  return std::min(n, m) >= 4096 ? kLargeTiles : kSmallTiles;
}

// Depth of the product per BLAS call: short where rows are centred panel by panel, else long enough
// to cost nothing and short enough to stop within a second.
inline constexpr std::int64_t kPanelDepth = 512, kProductDepth = 4096;
// Row strides in scratch memory: not a power of two, or all rows would share a few cache sets.
inline constexpr int kProductPadding = 16;
inline constexpr int kStripStride = kRowLength + 16;

// Per row of one side, in the compute dtype: what the deficits are made from.
template <class T>
struct SideNumbers {
  std::vector<T> factor, half_norm, threshold;

  RowScalars<T> row(std::int64_t i) const {
    const auto k = static_cast<std::size_t>(i);
    return {factor[k], half_norm[k], threshold[k]};
  }
  RowArrays<T> from(std::int64_t j) const {
    return {factor.data() + j, half_norm.data() + j, threshold.data() + j};
  }
};

template <class T>
class TileProduct;

// What becomes of finished tiles: they are stored, every output at its pointers, or one kernel of
// the first output is multiplied by vectors and forgotten.
template <class T>
struct TileSink {
  std::vector<GramOutput<T>> outputs;  // empty for a product
  TileProduct<T>* product;             // null: tiles are stored

  bool wants_ntk() const;
};

// All that is common to the tiles of one Gram matrix.
template <class T>
struct GramContext {
  const TileKernels<T>& kernels;
  const Program& program;
  const InputRows<T>& x;
  const InputRows<T>& z;
  std::int64_t d;
  bool symmetric;
  const SideNumbers<T>&side_x, &side_z;
  const RowTables<T>& table_x;
  std::int64_t slab_x, slab_z;  // first rows that the tables hold
  std::vector<BoundOp<T>> ops;
  const TileSink<T>& sink;
  std::int64_t ld;  // columns of the results
  TileGrid grid;
  bool panels_at_hand;  // no panel has to be centred on the way
};

// Rows [i0, i0 + rows) against rows [j0, j0 + cols) of the other side. In a symmetric Gram no tile
// reaches beyond the square on the diagonal that its rows span: j0 + cols <= i0 + rows.
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

  static std::int64_t scratch_bytes(const Program& program, TileGrid grid, bool panels_at_hand);

 private:
  // kStripRows rows of a tile against kRowLength of its columns, or what is left of them.
  struct Strip {
    int r0, rows;  // within the tile
    int c0, cols;
  };

  // Columns of a strip left of row `i`, exclusive; all of them where nothing is symmetric.
  int columns_before(const TileRange& tile, const Strip& strip, std::int64_t i) const;
  // Columns of a strip that row r needs: in a symmetric Gram only those up to itself.
  int row_length(const TileRange& tile, const Strip& strip, int r) const {
    return columns_before(tile, strip, tile.i0 + r + 1);
  }
  void multiply(const TileRange& tile, Tasks& tasks, int worker);
  void compute_row(const TileRange& tile, const Strip& strip, int r);
  void repair(std::int64_t i, std::int64_t j0, int cols, T* s);
  // Where row r of a strip of one kernel goes: to a strip that will be stored, or over the product
  // of the tile that will be multiplied. Null where that kernel is not wanted.
  T* destination(int output, bool ntk, const Strip& strip, int r);
  void write_outputs(const BoundOp<T>& op, const TileRow<T>& row, const Strip& strip, int r);
  void write_same_sample(int output, std::int64_t table_row, int at, const Strip& strip, int r);
  void store(const TileRange& tile, const Strip& strip);
  void multiply_by_vectors(const TileRange& tile);
  void store_matrix(const T* values, T* out, const TileRange& tile, const Strip& strip);
  T* strip(int output, bool ntk) {
    return strips_.get() + (2 * output + (ntk ? 1 : 0)) * kStripRows * kStripStride;
  }

  const GramContext<T>& context_;
  AlignedArray<T> product_, slots_, strips_, panel_x_, panel_z_, sums_;
  std::vector<T*> s_, tau_;
  int product_stride_;
  unsigned char flags_[kRowLength];
};

}  // namespace ntkfast::cpu
