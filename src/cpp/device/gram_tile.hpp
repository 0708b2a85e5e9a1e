// One tile of a Gram matrix on a device: product, layers, results. The body of the CUDA kernel,
// which tests run on the CPU as it stands, one thread of the CPU for each of the device.
//
// A group of threads computes a tile: 1. the product of its rows (row_product.hpp); 2. per entry
// the deficit, made again from the rows where the product has lost it, and all layers; 3. in a
// symmetric Gram the mirror image, through the same shared memory; or, instead of storing results,
// their product with vectors (vector_product.hpp). The tile of the product never leaves the chip.
// Results are written once; the mirror image reads them back while they are in the cache.
#pragma once

#include <cmath>
#include <cstdint>

#include "device/device_code.hpp"
#include "device/interpreter.hpp"
#include "device/row_product.hpp"
#include "device/vector_product.hpp"
#include "math/input_deficit.hpp"

namespace ntkfast::device {

// Rows of one side as they lie on the device, all of them.
template <class T>
struct DeviceSide {
  const T* rows;          // to be multiplied
  const T* given;         // as given
  const double* inverse;  // 1 / |x|
  const T *factor, *half_norm, *threshold;
};

// Results of one program output, or null where not wanted.
template <class T>
struct DeviceOutput {
  T *nngp, *ntk;
};

// A block of the result: rows [i0, i0 + rows) against rows [j0, j0 + cols) of the other side.
template <class T>
struct GramBlock {
  FlatView<T> program;
  DeviceSide<T> left, right;
  std::int64_t d;
  std::int64_t i0, j0, rows, cols;
  bool symmetric;  // row i and column i are the same sample
  bool lower;      // i0 = j0, rows = cols: only the lower triangle is computed
  // Where the block begins in the results, and how long their rows are. `mirrors` take the
  // transposed block of a symmetric Gram; for a block on the diagonal they are the results
  // themselves.
  const DeviceOutput<T>* outputs;
  const DeviceOutput<T>* mirrors;  // null: none
  int output_count;
  std::int64_t offset, ld, mirror_offset, mirror_ld;
  ProductKind kind;
  DeviceProduct<T> product;  // in place of results, where it has vectors
};

template <class T>
inline std::int64_t tile_count(const GramBlock<T>& block, int edge) {
  const std::int64_t down = (block.rows + edge - 1) / edge, across = (block.cols + edge - 1) / edge;
  return block.lower ? down * (down + 1) / 2 : down * across;
}

struct TilePlace {
  std::int64_t row, col;  // within the block
};

// Tile number `index`: row by row; of a lower triangle the rows grow.
template <class T>
NTKFAST_HD inline TilePlace place_tile(const GramBlock<T>& block, std::int64_t index, int edge) {
  if (!block.lower) {
    const std::int64_t across = (block.cols + edge - 1) / edge;
    return {index / across * edge, index % across * edge};
  }
  auto row = static_cast<std::int64_t>((std::sqrt(8.0 * static_cast<double>(index) + 1) - 1) / 2);
  while (row * (row + 1) / 2 > index) --row;
  while ((row + 1) * (row + 2) / 2 <= index) ++row;
  return {row * edge, (index - row * (row + 1) / 2) * edge};
}

// Group: what RowProduct and VectorProduct ask for, and for the 32 threads of a warp ballot(bool)
// and shuffle_xor(double, mask).
template <class T, class Shape, ProductKind kKind, class Group>
class GramTile {
 public:
  NTKFAST_DEVICE GramTile(const GramBlock<T>& block, std::int64_t index, Group& group,
                          TileMemory<T, Shape>& memory)
      : block_(block),
        group_(group),
        memory_(memory),
        place_(place_tile(block, index, kEdge)),
        rows_(smaller(block.rows - place_.row)),
        cols_(smaller(block.cols - place_.col)),
        diagonal_(block.lower && place_.row == place_.col) {}

  NTKFAST_DEVICE void run() {
    multiply();
    apply_layers();
    if (block_.product.count > 0) {
      multiply_by_vectors();
    } else if (block_.mirrors != nullptr) {
      mirror();
    }
  }

 private:
  static constexpr int kEdge = Shape::kEdge;

  static NTKFAST_DEVICE int smaller(std::int64_t left) {
    return left < kEdge ? static_cast<int>(left) : kEdge;
  }

  // Columns of row r of the tile that are computed.
  NTKFAST_DEVICE int row_length(int r) const { return diagonal_ && r + 1 < cols_ ? r + 1 : cols_; }

  // --- 1. Product ------------------------------------------------------------------------------

  NTKFAST_DEVICE void multiply() const {
    const TileRows<T> left{block_.left.rows, block_.i0 + place_.row, rows_};
    const TileRows<T> right{block_.right.rows, block_.j0 + place_.col, cols_};
    RowProduct<T, Shape, kKind, Group>(left, right, block_.d, group_, memory_).run();
    group_.sync();
  }

  // --- 2. Layers -------------------------------------------------------------------------------

  // |x / |x| - sign z / |z||^2 / 2 in double, the warp sharing the columns. All its threads get the
  // same number.
  NTKFAST_DEVICE double half_distance(std::int64_t i, std::int64_t j, bool negative) const {
    const int lane = group_.thread() % kWarp;
    const double a = block_.left.inverse[i];
    const double b = negative ? -block_.right.inverse[j] : block_.right.inverse[j];
    const T* x = block_.left.given + i * block_.d;
    const T* z = block_.right.given + j * block_.d;
    const Scales scales = compare_scales(a, b);
    double sum = 0;
    for (std::int64_t k = lane; k < block_.d; k += kWarp) {
      const double term =
          scaled_difference(scales, static_cast<double>(x[k]), a, static_cast<double>(z[k]), b);
      sum += term * term;
    }
    for (int step = kWarp / 2; step > 0; step /= 2) sum += group_.shuffle_xor(sum, step);
    return 0.5 * sum;
  }

  // The signed deficit of row i and j; all threads of the warp come along, those without an entry
  // with `here` false.
  NTKFAST_DEVICE T deficit(std::int64_t i, std::int64_t j, T product, bool here) const {
    const int lane = group_.thread() % kWarp;
    const DeviceSide<T>&a = block_.left, &b = block_.right;
    T s = T(1);
    bool lost = false;
    if (here) {
      s = input_deficit(product, a.factor[i], b.factor[j], a.half_norm[i], b.half_norm[j]);
      lost = needs_repair(s, a.threshold[i], b.threshold[j]);
    }
    // The sign of a deficit this small is never in doubt.
    const bool negative = std::copysign(T(1), s) < T(0);
    const std::uint32_t repaired = group_.ballot(lost), negatives = group_.ballot(negative);
    for (int other = 0; other < kWarp; ++other) {
      if ((repaired >> other & 1) == 0) continue;
      const bool sign = (negatives >> other & 1) != 0;
      const T m = static_cast<T>(half_distance(i, j - lane + other, sign));
      if (other == lane) s = sign ? -m : m;
    }
    return s;
  }

  // The finished entry (r, c): to the results, or over its product.
  NTKFAST_DEVICE void write(int output, int r, int c, T nngp, T ntk) const {
    if (block_.product.count > 0) {
      if (output == 0) memory_.tile[r][c] = block_.product.ntk ? ntk : nngp;
      return;
    }
    const std::int64_t at = block_.offset + (place_.row + r) * block_.ld + place_.col + c;
    const DeviceOutput<T>& to = block_.outputs[output];
    if (to.nngp != nullptr) to.nngp[at] = nngp;
    if (to.ntk != nullptr) to.ntk[at] = ntk;
  }

  // K and T of the row with itself come from the row tables: they never went through rho.
  NTKFAST_DEVICE void write_same_sample(std::int64_t i, int r, int c) const {
    const PairRows<T> row{block_.program, i, i};
    for (int k = 0; k < block_.program.op_count; ++k) {
      const FlatOp& op = block_.program.ops[k];
      if (op.kind == OpKind::Output) {
        write(op.out, r, c, row.left(op.column + 1), row.left(op.column + 2));
      }
    }
  }

  // A warp takes a row of the tile, 32 columns at a time.
  NTKFAST_DEVICE void apply_layers() const {
    const int warp = group_.thread() / kWarp, lane = group_.thread() % kWarp;
    for (int r = warp; r < rows_; r += Shape::kThreads / kWarp) {
      const std::int64_t i = block_.i0 + place_.row + r;
      const int length = row_length(r);
      for (int c0 = 0; c0 < length; c0 += kWarp) {
        const int c = c0 + lane;
        const std::int64_t j = block_.j0 + place_.col + c;
        const bool same = block_.symmetric && i == j;
        const bool here = c < length && !same;
        const T s = deficit(i, j, memory_.tile[r][c], here);
        if (here) {
          run_pair(block_.program, i, j, s,
                   [&](int output, T nngp, T ntk) { write(output, r, c, nngp, ntk); });
        } else if (c < length) {
          write_same_sample(i, r, c);
        }
      }
    }
  }

  // --- 3. Vectors, or the mirror image
  // -------------------------------------------------------------------------

  NTKFAST_DEVICE void multiply_by_vectors() const {
    using Vectors = VectorProduct<T, Shape, Group>;
    const typename Vectors::Place place{block_.i0 + place_.row,
                                        block_.j0 + place_.col,
                                        block_.program.left_rows,
                                        block_.program.right_rows,
                                        rows_,
                                        cols_,
                                        diagonal_};
    Vectors(block_.product, place, group_, memory_).run();
  }

  NTKFAST_DEVICE void mirror_matrix(const T* from, T* to) const {
    const int warp = group_.thread() / kWarp, lane = group_.thread() % kWarp;
    constexpr int warps = Shape::kThreads / kWarp;
    group_.sync();  // the results are written, and the shared tile is free
    for (int r = warp; r < rows_; r += warps) {
      for (int c = lane; c < row_length(r); c += kWarp) {
        memory_.tile[r][c] = from[block_.offset + (place_.row + r) * block_.ld + place_.col + c];
      }
    }
    group_.sync();
    for (int c = warp; c < cols_; c += warps) {
      // On the diagonal what lies below it; its entries themselves are written already.
      for (int r = (diagonal_ ? c + 1 : 0) + lane; r < rows_; r += kWarp) {
        to[block_.mirror_offset + (place_.col + c) * block_.mirror_ld + place_.row + r] =
            memory_.tile[r][c];
      }
    }
  }

  NTKFAST_DEVICE void mirror() const {
    for (int k = 0; k < block_.output_count; ++k) {
      const DeviceOutput<T>&from = block_.outputs[k], &to = block_.mirrors[k];
      if (from.nngp != nullptr) mirror_matrix(from.nngp, to.nngp);
      if (from.ntk != nullptr) mirror_matrix(from.ntk, to.ntk);
    }
  }

  const GramBlock<T>& block_;
  Group& group_;
  TileMemory<T, Shape>& memory_;
  TilePlace place_;
  int rows_, cols_;
  bool diagonal_;
};

}  // namespace ntkfast::device
