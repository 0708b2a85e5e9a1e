// The source of a tile on a device: the product of its rows, accumulated in registers and added up
// in shared memory. Panels of some columns of both sides pass through shared memory, the next one
// on its way while one is multiplied.
#pragma once

#include <cstdint>

#include "device/product_kind.hpp"
#include "device/tf32.hpp"
#include "device/tile_shape.hpp"

namespace ntkfast::device {

// `count` rows from `first` on of a row-major array.
template <class T>
struct TileRows {
  const T* rows;
  std::int64_t first;
  int count;
};

// Group: thread(), sync(), copy_async(to, from, valid) with commit() and wait(), and for the 32
// threads of a warp mma(): c += a b on tensor cores, the parts of each thread as PTX lays them out.
template <class T, class Shape, ProductKind kKind, class Group>
class RowProduct {
 public:
  using Memory = TileMemory<T, Shape>;

  NTKFAST_DEVICE RowProduct(TileRows<T> left, TileRows<T> right, std::int64_t d, Group& group,
                            Memory& memory)
      : left_(left), right_(right), d_(d), group_(group), memory_(memory) {}

  // Fills the tile of the memory; entries beyond the rows become 0. No sync at the end: every
  // thread may have written its entries later than others return.
  NTKFAST_DEVICE void run() const {
    if constexpr (kKind == ProductKind::Plain) {
      run_plainly();
    } else {
      run_on_tensor_cores();
    }
  }

 private:
  static constexpr int kEdge = Shape::kEdge, kDepth = Shape::kDepth;
  using Panels = typename Memory::Panels;

  // --- Panels ----------------------------------------------------------------------------------

  // Each thread copies every (kThreads / kDepth)-th row of one column.
  NTKFAST_DEVICE void fetch(const TileRows<T>& side, std::int64_t k0,
                            T (&panel)[kDepth][kEdge]) const {
    const int column = group_.thread() % kDepth;
    const std::int64_t k = k0 + column;
    NTKFAST_DEVICE_UNROLL
    for (int step = 0; step < kEdge * kDepth / Shape::kThreads; ++step) {
      const int r = group_.thread() / kDepth + step * (Shape::kThreads / kDepth);
      const bool valid = r < side.count && k < d_;
      const T* const from = valid ? side.rows + (side.first + r) * d_ + k : side.rows;
      group_.copy_async(&panel[column][Memory::place(column, r)], from, valid);
    }
  }

  NTKFAST_DEVICE void fetch(std::int64_t k0, Panels& panels) const {
    fetch(left_, k0, panels.left);
    fetch(right_, k0, panels.right);
    group_.commit();
  }

  // Calls multiply(panels) for all panels, flush(first) after every chunk and at the end.
  template <class Multiply, class Flush>
  NTKFAST_DEVICE void walk(int chunk, const Multiply& multiply, const Flush& flush) const {
    fetch(0, memory_.panels[0]);
    int stage = 0;
    for (std::int64_t k0 = 0; k0 < d_; k0 += kDepth, stage ^= 1) {
      group_.wait();
      // The panels are there for all threads, and nobody reads the other ones any more.
      group_.sync();
      const std::int64_t next = k0 + kDepth;
      if (next < d_) fetch(next, memory_.panels[stage ^ 1]);
      multiply(memory_.panels[stage]);
      if (next % chunk == 0 || next >= d_) flush(next <= chunk);
    }
  }

  // Moves a sum to shared memory; no thread touches the entries of another.
  NTKFAST_DEVICE void flush_entry(int r, int c, bool first, T& sum) const {
    T& to = memory_.tile[r][c];
    to = first ? sum : to + sum;
    sum = T(0);
  }

  // --- Fused multiplications of single threads -------------------------------------------------

  // Entry k of a thread in a row of `threads` of them: neighbours read neighbouring quads.
  static NTKFAST_DEVICE int micro_index(int threads, int at, int k) {
    return k / 4 * 4 * threads + 4 * at + k % 4;
  }

  NTKFAST_DEVICE void run_plainly() const {
    constexpr int rows = Shape::kMicroRows, cols = Shape::kMicroCols;
    const int x = group_.thread() % Shape::kAcross, y = group_.thread() / Shape::kAcross;
    T sum[rows][cols] = {};
    walk(
        Shape::kChunk,
        [&](const Panels& panels) {
          NTKFAST_DEVICE_UNROLL
          for (int k = 0; k < kDepth; ++k) {
            Quad<T> a[rows / 4], b[cols / 4];
            NTKFAST_DEVICE_UNROLL
            for (int q = 0; q < rows / 4; ++q) {
              const int r = Memory::place(k, micro_index(Shape::kDown, y, 4 * q));
              a[q] = *reinterpret_cast<const Quad<T>*>(&panels.left[k][r]);
            }
            NTKFAST_DEVICE_UNROLL
            for (int q = 0; q < cols / 4; ++q) {
              const int c = Memory::place(k, micro_index(Shape::kAcross, x, 4 * q));
              b[q] = *reinterpret_cast<const Quad<T>*>(&panels.right[k][c]);
            }
            NTKFAST_DEVICE_UNROLL
            for (int r = 0; r < rows; ++r) {
              NTKFAST_DEVICE_UNROLL
              for (int c = 0; c < cols; ++c) sum[r][c] += a[r / 4].v[r % 4] * b[c / 4].v[c % 4];
            }
          }
        },
        [&](bool first) {
          NTKFAST_DEVICE_UNROLL
          for (int r = 0; r < rows; ++r) {
            NTKFAST_DEVICE_UNROLL
            for (int c = 0; c < cols; ++c) {
              flush_entry(micro_index(Shape::kDown, y, r), micro_index(Shape::kAcross, x, c), first,
                          sum[r][c]);
            }
          }
        });
  }

  // --- Tensor cores ----------------------------------------------------------------------------

  // Columns that one instruction multiplies, and its operands per thread: 16 rows against 8 columns
  // of the tile. Thread 4 g + t holds rows g and g + 8 of the left side, row g of the right side,
  // in columns t (and t + 4) of the panel; and the entries (g | g + 8, 2t | 2t + 1) of the tile.
  static constexpr int kStep = sizeof(T) == 4 ? 8 : 4;
  static constexpr int kLeftParts = kStep / 2, kRightParts = kStep / 4;

  NTKFAST_DEVICE void run_on_tensor_cores() const {
    constexpr int down = Shape::kWarpRows / 16, across = Shape::kWarpCols / 8;
    const int warp = group_.thread() / kWarp, lane = group_.thread() % kWarp;
    const int g = lane / 4, t = lane % 4;
    const int row0 = warp / Shape::kWarpsAcross * Shape::kWarpRows;
    const int col0 = warp % Shape::kWarpsAcross * Shape::kWarpCols;
    T sum[down][across][4] = {};
    walk(
        sizeof(T) == 4 ? Shape::kTensorChunk : Shape::kChunk,
        [&](const Panels& panels) {
          NTKFAST_DEVICE_UNROLL
          for (int k0 = 0; k0 < kDepth; k0 += kStep) {
            T b[across][kRightParts];
            NTKFAST_DEVICE_UNROLL
            for (int n = 0; n < across; ++n) {
              NTKFAST_DEVICE_UNROLL
              for (int part = 0; part < kRightParts; ++part) {
                const int k = k0 + t + 4 * part;
                b[n][part] = panels.right[k][Memory::place(k, col0 + 8 * n + g)];
              }
            }
            NTKFAST_DEVICE_UNROLL
            for (int m = 0; m < down; ++m) {
              T a[kLeftParts];
              NTKFAST_DEVICE_UNROLL
              for (int part = 0; part < kLeftParts; ++part) {
                const int k = k0 + t + 4 * (part / 2);
                a[part] = panels.left[k][Memory::place(k, row0 + 16 * m + 8 * (part % 2) + g)];
              }
              multiply_fragments(a, b, sum[m]);
            }
          }
        },
        [&](bool first) {
          NTKFAST_DEVICE_UNROLL
          for (int m = 0; m < down; ++m) {
            NTKFAST_DEVICE_UNROLL
            for (int n = 0; n < across; ++n) {
              NTKFAST_DEVICE_UNROLL
              for (int part = 0; part < 4; ++part) {
                flush_entry(row0 + 16 * m + 8 * (part / 2) + g, col0 + 8 * n + 2 * t + part % 2,
                            first, sum[m][n][part]);
              }
            }
          }
        });
  }

  template <int across>
  NTKFAST_DEVICE void multiply_fragments(const double (&a)[2], const double (&b)[across][1],
                                         double (&sum)[across][4]) const {
    NTKFAST_DEVICE_UNROLL
    for (int n = 0; n < across; ++n) group_.mma(sum[n], a, b[n]);
  }

  // Tf32x3: high and low parts of both, small terms first; what is left out is low times low.
  template <int across>
  NTKFAST_DEVICE void multiply_fragments(const float (&a)[4], const float (&b)[across][2],
                                         float (&sum)[across][4]) const {
    std::uint32_t a_high[4], a_low[4];
    NTKFAST_DEVICE_UNROLL
    for (int part = 0; part < 4; ++part) {
      const SplitTf32 split = split_tf32(a[part]);
      a_high[part] = split.high;
      a_low[part] = split.low;
    }
    NTKFAST_DEVICE_UNROLL
    for (int n = 0; n < across; ++n) {
      const SplitTf32 first = split_tf32(b[n][0]), second = split_tf32(b[n][1]);
      const std::uint32_t b_high[2] = {first.high, second.high};
      if constexpr (kKind == ProductKind::Tf32x3) {
        const std::uint32_t b_low[2] = {first.low, second.low};
        group_.mma(sum[n], a_low, b_high);
        group_.mma(sum[n], a_high, b_low);
      }
      group_.mma(sum[n], a_high, b_high);
    }
  }

  TileRows<T> left_, right_;
  std::int64_t d_;
  Group& group_;
  Memory& memory_;
};

}  // namespace ntkfast::device
