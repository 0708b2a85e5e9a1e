// One tile of a Gram matrix on a device: product, layers, results. The body of the CUDA kernel,
// which tests run on the CPU as it stands, one thread of the CPU for each of the device.
//
// A group of threads computes a tile: 1. the product of its rows, accumulated in registers and
// added up in shared memory; 2. per entry the deficit, made again from the rows where the product
// has lost it, and all layers; 3. in a symmetric Gram the mirror image, through the same shared
// memory. The tile of the product never leaves the chip. Results are written once; the mirror image
// reads them back while they are in the cache.
#pragma once

#include <cmath>
#include <cstdint>

#include "device/device_code.hpp"
#include "device/interpreter.hpp"
#include "math/input_deficit.hpp"

namespace ntkfast::device {

inline constexpr int kWarp = 32;

// kRows = kCols, so that the tiles on the diagonal are squares. Each thread accumulates kMicro x
// kMicro entries, as squares of four by four (two 16-byte loads of float for 16 products each way).
template <int kEdge_, int kDepth_, int kMicro_, int kChunk_ = 512>
struct TileShape {
  static constexpr int kEdge = kEdge_, kDepth = kDepth_, kMicro = kMicro_;
  static constexpr int kThreadsAcross = kEdge / kMicro;
  static constexpr int kThreads = kThreadsAcross * kThreadsAcross;
  static constexpr int kFetched = kEdge * kDepth / kThreads;  // numbers per thread and side
  // Products are summed in registers over this depth, and then in shared memory: the rounding of a
  // long sum grows as on the CPU, where BLAS sums blocks of 512 terms.
  static constexpr int kChunk = kChunk_;
  static_assert(kThreads % kWarp == 0 && kThreads % kDepth == 0 && kEdge % kWarp == 0);
  static_assert(kMicro % 4 == 0 && kEdge * kDepth % kThreads == 0 && kChunk % kDepth == 0);
};

// Four numbers that are loaded from shared memory together.
template <class T>
struct alignas(16) Quad {
  T v[4];
};

template <class T, class Shape>
struct TileMemory {
  // + 4: the threads that store one column of a panel hit different banks; quads stay aligned.
  static constexpr int kPanel = Shape::kEdge + 4;
  // + 1: a column of the tile lies in different banks.
  static constexpr int kStride = Shape::kEdge + 1;
  alignas(16) T left[Shape::kDepth][kPanel];
  alignas(16) T right[Shape::kDepth][kPanel];
  T tile[Shape::kEdge][kStride];
};

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

// Group: thread(), sync(), and for the 32 threads of a warp ballot(bool) and
// shuffle_xor(double, mask).
template <class T, class Shape, class Group>
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
    if (block_.mirrors != nullptr) mirror();
  }

 private:
  static constexpr int kEdge = Shape::kEdge, kDepth = Shape::kDepth, kMicro = Shape::kMicro;
  static constexpr int kQuads = kMicro / 4;

  static NTKFAST_DEVICE int smaller(std::int64_t left) {
    return left < kEdge ? static_cast<int>(left) : kEdge;
  }

  // Columns of row r of the tile that are computed.
  NTKFAST_DEVICE int row_length(int r) const { return diagonal_ && r + 1 < cols_ ? r + 1 : cols_; }

  // --- 1. Product ------------------------------------------------------------------------------

  // Thread t holds row (4 q Across + 4 y + k) of its quad q: neighbours read neighbouring quads.
  static NTKFAST_DEVICE int micro_index(int at, int k) {
    return k / 4 * 4 * Shape::kThreadsAcross + 4 * at + k % 4;
  }

  // A panel of kDepth columns: each thread takes every (kThreads / kDepth)-th row of one column.
  NTKFAST_DEVICE void fetch(const T* rows, std::int64_t first, int count, std::int64_t k0,
                            T (&numbers)[Shape::kFetched]) const {
    const std::int64_t k = k0 + group_.thread() % kDepth;
    NTKFAST_DEVICE_UNROLL
    for (int step = 0; step < Shape::kFetched; ++step) {
      const int r = group_.thread() / kDepth + step * (Shape::kThreads / kDepth);
      numbers[step] = r < count && k < block_.d ? rows[(first + r) * block_.d + k] : T(0);
    }
  }

  NTKFAST_DEVICE void stage(const T (&numbers)[Shape::kFetched],
                            T (&panel)[kDepth][TileMemory<T, Shape>::kPanel]) const {
    NTKFAST_DEVICE_UNROLL
    for (int step = 0; step < Shape::kFetched; ++step) {
      const int r = group_.thread() / kDepth + step * (Shape::kThreads / kDepth);
      panel[group_.thread() % kDepth][r] = numbers[step];
    }
  }

  NTKFAST_DEVICE void multiply_panels(int x, int y, T (&sum)[kMicro][kMicro]) const {
    NTKFAST_DEVICE_UNROLL
    for (int k = 0; k < kDepth; ++k) {
      Quad<T> a[kQuads], b[kQuads];
      NTKFAST_DEVICE_UNROLL
      for (int q = 0; q < kQuads; ++q) {
        a[q] = *reinterpret_cast<const Quad<T>*>(&memory_.left[k][micro_index(y, 4 * q)]);
        b[q] = *reinterpret_cast<const Quad<T>*>(&memory_.right[k][micro_index(x, 4 * q)]);
      }
      NTKFAST_DEVICE_UNROLL
      for (int r = 0; r < kMicro; ++r) {
        NTKFAST_DEVICE_UNROLL
        for (int c = 0; c < kMicro; ++c) sum[r][c] += a[r / 4].v[r % 4] * b[c / 4].v[c % 4];
      }
    }
  }

  // Moves the sums of one chunk to shared memory; no thread touches the entries of another.
  NTKFAST_DEVICE void flush(int x, int y, bool first, T (&sum)[kMicro][kMicro]) const {
    NTKFAST_DEVICE_UNROLL
    for (int r = 0; r < kMicro; ++r) {
      NTKFAST_DEVICE_UNROLL
      for (int c = 0; c < kMicro; ++c) {
        T& to = memory_.tile[micro_index(y, r)][micro_index(x, c)];
        to = first ? sum[r][c] : to + sum[r][c];
        sum[r][c] = T(0);
      }
    }
  }

  NTKFAST_DEVICE void multiply() const {
    const int x = group_.thread() % Shape::kThreadsAcross;
    const int y = group_.thread() / Shape::kThreadsAcross;
    const std::int64_t i = block_.i0 + place_.row, j = block_.j0 + place_.col;
    T sum[kMicro][kMicro] = {};
    T left[Shape::kFetched], right[Shape::kFetched];
    fetch(block_.left.rows, i, rows_, 0, left);
    fetch(block_.right.rows, j, cols_, 0, right);
    for (std::int64_t k0 = 0; k0 < block_.d; k0 += kDepth) {
      stage(left, memory_.left);
      stage(right, memory_.right);
      group_.sync();
      const std::int64_t next = k0 + kDepth;
      if (next < block_.d) {  // on their way while the panels are multiplied
        fetch(block_.left.rows, i, rows_, next, left);
        fetch(block_.right.rows, j, cols_, next, right);
      }
      multiply_panels(x, y, sum);
      if (next % Shape::kChunk == 0 || next >= block_.d) flush(x, y, next <= Shape::kChunk, sum);
      group_.sync();
    }
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

  NTKFAST_DEVICE void write(int output, std::int64_t at, T nngp, T ntk) const {
    const DeviceOutput<T>& to = block_.outputs[output];
    if (to.nngp != nullptr) to.nngp[at] = nngp;
    if (to.ntk != nullptr) to.ntk[at] = ntk;
  }

  // K and T of the row with itself come from the row tables: they never went through rho.
  NTKFAST_DEVICE void write_same_sample(std::int64_t i, std::int64_t at) const {
    const PairRows<T> row{block_.program, i, i};
    for (int k = 0; k < block_.program.op_count; ++k) {
      const FlatOp& op = block_.program.ops[k];
      if (op.kind == OpKind::Output) {
        write(op.out, at, row.left(op.column + 1), row.left(op.column + 2));
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
        const std::int64_t at = block_.offset + (place_.row + r) * block_.ld + place_.col + c;
        if (here) {
          run_pair(block_.program, i, j, s,
                   [&](int output, T nngp, T ntk) { write(output, at, nngp, ntk); });
        } else if (c < length) {
          write_same_sample(i, at);
        }
      }
    }
  }

  // --- 3. Mirror image -------------------------------------------------------------------------

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
