// One tile of a tangent kernel on a device: products of inputs and of signals, multiplied and added
// up for all weights in registers; every entry of the kernel is written once
// (tangent/contraction.hpp has the formula).
#pragma once

#include <cstdint>

#include "device/row_product.hpp"

namespace ntkfast::device {

// One weight in memory of the device. Inputs are stored as (uses, n, fan_in); signals as (planes,
// uses, rows, length): rows of the kernel's matrix, which are pairs of sample and output in a full
// kernel, else samples; a plane for each output of a diagonal kernel, else one; a row holds the
// signals of all outputs where a kernel is the mean over them.
template <class T>
struct ContractionLayer {
  const T *left_a, *left_s, *right_a, *right_s;
  std::int64_t uses, fan_in, length;
  double weight, bias;
};

// A block of one plane. `mirror`: the image of the block, transposed, or null.
template <class T>
struct ContractionBlock {
  const ContractionLayer<T>* layers;
  int layer_count;
  std::int64_t n, m;        // samples
  std::int64_t per_sample;  // rows of a sample
  std::int64_t plane;
  std::int64_t i0, j0, rows, cols;
  bool lower;  // on the diagonal of a symmetric kernel: tiles above are images of those below
  double scale;
  T *out, *mirror;
  std::int64_t ld, mirror_ld;
};

template <class T>
NTKFAST_HD std::int64_t contraction_tiles(const ContractionBlock<T>& block, std::int64_t edge) {
  return (block.rows + edge - 1) / edge * ((block.cols + edge - 1) / edge);
}

template <class T, class Shape, class Group>
class ContractionTile {
 public:
  using Memory = TileMemory<T, Shape>;

  NTKFAST_DEVICE ContractionTile(const ContractionBlock<T>& block, std::int64_t tile, Group& group,
                                 Memory& memory)
      : block_(block), group_(group), memory_(memory) {
    const std::int64_t across = (block.cols + kEdge - 1) / kEdge;
    row_ = tile / across * kEdge;
    col_ = tile % across * kEdge;
    rows_ = smaller(block.rows - row_);
    cols_ = smaller(block.cols - col_);
  }

  NTKFAST_DEVICE void run() const {
    if (block_.lower && col_ > row_) return;
    double sum[kOwn] = {};
    for (int k = 0; k < block_.layer_count; ++k) {
      const ContractionLayer<T>& layer = block_.layers[k];
      if (layer.length == 0) continue;
      for (std::int64_t u = 0; u < layer.uses; ++u) {
        for (std::int64_t v = 0; v < layer.uses; ++v) add(layer, u, v, sum);
      }
    }
    store(sum);
  }

 private:
  static constexpr int kEdge = Shape::kEdge;
  static constexpr int kOwn = kEdge * kEdge / Shape::kThreads;  // entries of a thread
  // From so many rows per sample on, single dot products of the few inputs of a tile are cheaper
  // than the tile's own product, most of which would be repeated.
  static constexpr std::int64_t kManyRows = 4;

  static NTKFAST_DEVICE int smaller(std::int64_t count) {
    return count < kEdge ? static_cast<int>(count) : kEdge;
  }
  // Entry k of this thread: neighbours own neighbours, so that whole lines are written.
  NTKFAST_DEVICE int row_of(int k) const { return (group_.thread() + k * Shape::kThreads) / kEdge; }
  NTKFAST_DEVICE int col_of(int k) const { return (group_.thread() + k * Shape::kThreads) % kEdge; }

  NTKFAST_DEVICE std::int64_t first_row() const { return block_.i0 + row_; }
  NTKFAST_DEVICE std::int64_t first_col() const { return block_.j0 + col_; }

  // Fills the tile of the memory; everyone may read it afterwards.
  NTKFAST_DEVICE void multiply(TileRows<T> left, TileRows<T> right, std::int64_t length) const {
    RowProduct<T, Shape, ProductKind::Plain, Group>(left, right, length, group_, memory_).run();
    group_.sync();
  }

  NTKFAST_DEVICE void add(const ContractionLayer<T>& layer, std::int64_t u, std::int64_t v,
                          double (&sum)[kOwn]) const {
    T factor[kOwn];
    make_factor(layer, u, v, factor);
    const std::int64_t left_rows = block_.n * block_.per_sample,
                       right_rows = block_.m * block_.per_sample;
    const std::int64_t plane = block_.plane * layer.uses;
    multiply({layer.left_s + (plane + u) * left_rows * layer.length, first_row(), rows_},
             {layer.right_s + (plane + v) * right_rows * layer.length, first_col(), cols_},
             layer.length);
    NTKFAST_DEVICE_UNROLL
    for (int k = 0; k < kOwn; ++k) {
      const T product = memory_.tile[row_of(k)][col_of(k)];
      sum[k] += static_cast<double>(factor[k]) * static_cast<double>(product);
    }
    group_.sync();
  }

  // weight <a_u, a'_v> + bias of the samples of every entry.
  NTKFAST_DEVICE void make_factor(const ContractionLayer<T>& layer, std::int64_t u, std::int64_t v,
                                  T (&factor)[kOwn]) const {
    if (layer.fan_in == 0) {
      NTKFAST_DEVICE_UNROLL
      for (int k = 0; k < kOwn; ++k) factor[k] = static_cast<T>(layer.bias);
      return;
    }
    const std::int64_t each = block_.per_sample;
    const std::int64_t left0 = first_row() / each, right0 = first_col() / each;
    const TileRows<T> left{layer.left_a + u * block_.n * layer.fan_in, left0,
                           static_cast<int>((first_row() + rows_ - 1) / each - left0) + 1};
    const TileRows<T> right{layer.right_a + v * block_.m * layer.fan_in, right0,
                            static_cast<int>((first_col() + cols_ - 1) / each - right0) + 1};
    if (each < kManyRows) {
      multiply(left, right, layer.fan_in);
    } else {
      multiply_pairs(left, right, layer.fan_in);
    }
    NTKFAST_DEVICE_UNROLL
    for (int k = 0; k < kOwn; ++k) {
      const int r = row_of(k), c = col_of(k);
      if (r >= rows_ || c >= cols_) {
        factor[k] = T(0);
        continue;
      }
      const T product =
          memory_.tile[(first_row() + r) / each - left0][(first_col() + c) / each - right0];
      factor[k] = static_cast<T>(layer.weight * static_cast<double>(product) + layer.bias);
    }
    group_.sync();
  }

  // A warp for each pair of samples.
  NTKFAST_DEVICE void multiply_pairs(const TileRows<T>& left, const TileRows<T>& right,
                                     std::int64_t length) const {
    const int warp = group_.thread() / kWarp, lane = group_.thread() % kWarp;
    for (int pair = warp; pair < left.count * right.count; pair += Shape::kWarps) {
      const int i = pair / right.count, j = pair % right.count;
      const T* const a = left.rows + (left.first + i) * length;
      const T* const b = right.rows + (right.first + j) * length;
      T part = 0;
      for (std::int64_t k = lane; k < length; k += kWarp) part += a[k] * b[k];
      auto total = static_cast<double>(part);
      for (int mask = kWarp / 2; mask > 0; mask /= 2) total += group_.shuffle_xor(total, mask);
      if (lane == 0) memory_.tile[i][j] = static_cast<T>(total);
    }
    group_.sync();
  }

  NTKFAST_DEVICE void store(const double (&sum)[kOwn]) const {
    const bool image = block_.mirror != nullptr && !(block_.lower && row_ == col_);
    NTKFAST_DEVICE_UNROLL
    for (int k = 0; k < kOwn; ++k) {
      const int r = row_of(k), c = col_of(k);
      const T entry = static_cast<T>(block_.scale * sum[k]);
      if (r < rows_ && c < cols_) block_.out[(row_ + r) * block_.ld + col_ + c] = entry;
      if (image) memory_.tile[r][c] = entry;
    }
    if (!image) return;
    group_.sync();
    NTKFAST_DEVICE_UNROLL
    for (int k = 0; k < kOwn; ++k) {
      const int r = col_of(k), c = row_of(k);
      if (r < rows_ && c < cols_) {
        block_.mirror[(col_ + c) * block_.mirror_ld + row_ + r] = memory_.tile[r][c];
      }
    }
  }

  const ContractionBlock<T>& block_;
  Group& group_;
  Memory& memory_;
  std::int64_t row_, col_;  // of the block
  int rows_, cols_;
};

}  // namespace ntkfast::device
