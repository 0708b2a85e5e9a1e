// A sink of a tile on a device: the finished tile by vectors, added to sums. The tile lies in
// shared memory and never leaves it.
#pragma once

#include <cstdint>

#include "device/tile_shape.hpp"
#include "math/fixed_sum.hpp"

namespace ntkfast::device {

// One kernel of the first output by `count` vectors; count 0: tiles are stored instead. Vectors are
// stored row by row, scaled as program/kernel_product.hpp does it; sums, with their scales, vector
// by vector. They are integers: what threads and devices add in any order is the same in the end.
template <class T>
struct DeviceProduct {
  int count;
  bool ntk;
  const T* right_vectors;  // the rows of the right side, for the sums of the left one; or null
  const T* left_vectors;   // the other way round, or null
  std::int64_t *left_sums, *right_sums;
  const double *left_scales, *right_scales;
};

// Group: as RowProduct, and add(to, number), which other threads may do at the same time.
template <class T, class Shape, class Group>
class VectorProduct {
 public:
  using Memory = TileMemory<T, Shape>;

  // Rows [i, i + rows) of `left_rows`, columns [j, j + cols) of `right_rows`. Of a square on the
  // diagonal the lower half is there.
  struct Place {
    std::int64_t i, j, left_rows, right_rows;
    int rows, cols;
    bool diagonal;
  };

  NTKFAST_DEVICE VectorProduct(const DeviceProduct<T>& product, const Place& place, Group& group,
                               Memory& memory)
      : product_(product), place_(place), group_(group), memory_(memory) {}

  NTKFAST_DEVICE void run() const {
    group_.sync();  // the tile is finished
    if (place_.diagonal) {
      for (int at = group_.thread(); at < kEdge * kEdge; at += Shape::kThreads) {
        const int r = at / kEdge, c = at % kEdge;
        if (c > r && c < place_.cols) memory_.tile[r][c] = memory_.tile[c][r];
      }
    }
    auto& panels = memory_.panels[0];
    for (int first = 0; first < product_.count; first += kDepth) {
      if (product_.right_vectors != nullptr) {
        load(product_.right_vectors, place_.j, place_.cols, first, panels.right);
      }
      if (product_.left_vectors != nullptr) {
        load(product_.left_vectors, place_.i, place_.rows, first, panels.left);
      }
      group_.sync();
      if (product_.right_vectors != nullptr) {
        add<false>(panels.right, first, place_.i, place_.rows, product_.left_sums, place_.left_rows,
                   product_.left_scales);
      }
      // The square on the diagonal is its own mirror image.
      if (product_.left_vectors != nullptr && !place_.diagonal) {
        add<true>(panels.left, first, place_.j, place_.cols, product_.right_sums, place_.right_rows,
                  product_.right_scales);
      }
      group_.sync();
    }
  }

 private:
  static constexpr int kEdge = Shape::kEdge, kDepth = Shape::kDepth;
  static constexpr int kShares = Shape::kThreads / kEdge;  // threads per sum's row
  static constexpr int kSums = kDepth / kShares;           // vectors of each of them
  static_assert(kDepth % kShares == 0);

  // kDepth vectors from `first` on, zeros beyond the rows and the vectors.
  NTKFAST_DEVICE void load(const T* vectors, std::int64_t row, int rows, int first,
                           T (&to)[kDepth][kEdge]) const {
    for (int at = group_.thread(); at < kDepth * kEdge; at += Shape::kThreads) {
      const int r = at / kDepth, q = at % kDepth;
      to[q][r] = r < rows && first + q < product_.count
                     ? vectors[(row + r) * product_.count + first + q]
                     : T(0);
    }
  }

  // The sums of a thread's row (or column) of the tile. Entries beyond the rows are 0.
  template <bool kColumns>
  NTKFAST_DEVICE void add(const T (&vectors)[kDepth][kEdge], int first, std::int64_t row, int rows,
                          std::int64_t* sums, std::int64_t length, const double* scales) const {
    const int at = group_.thread() % kEdge, share = group_.thread() / kEdge;
    T sum[kSums] = {};
    for (int c = 0; c < kEdge; c += 4) {
      T entry[4];
      NTKFAST_DEVICE_UNROLL
      for (int k = 0; k < 4; ++k) {
        entry[k] = kColumns ? memory_.tile[c + k][at] : memory_.tile[at][c + k];
      }
      NTKFAST_DEVICE_UNROLL
      for (int u = 0; u < kSums; ++u) {
        const auto v = *reinterpret_cast<const Quad<T>*>(&vectors[u * kShares + share][c]);
        NTKFAST_DEVICE_UNROLL
        for (int k = 0; k < 4; ++k) sum[u] += entry[k] * v.v[k];
      }
    }
    if (at >= rows) return;
    const double scale = scales[row + at];
    NTKFAST_DEVICE_UNROLL
    for (int u = 0; u < kSums; ++u) {
      const int q = first + u * kShares + share;
      if (q < product_.count) {
        group_.add(sums + q * length + row + at, to_fixed(static_cast<double>(sum[u]), scale));
      }
    }
  }

  const DeviceProduct<T>& product_;
  Place place_;
  Group& group_;
  Memory& memory_;
};

}  // namespace ntkfast::device
