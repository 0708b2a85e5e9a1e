// One tile of a tangent kernel: the scratch memory of a thread and what is done with it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "backend/parallel.hpp"
#include "cpu/aligned.hpp"
#include "cpu/dispatch.hpp"
#include "tangent/contraction.hpp"

namespace ntkfast::tangent {

struct Span {
  std::int64_t begin, end;
  std::int64_t size() const { return end - begin; }
};

// Rows and columns of KernelView's matrix, and the outputs of a diagonal kernel.
struct Tile {
  Span rows, cols, outs;
  bool on_diagonal;  // of a symmetric kernel: row r needs columns up to itself
};

struct TileSize {
  std::int64_t edge;     // rows and columns of a tile
  std::int64_t outputs;  // of a diagonal kernel, at a time
};

// Terms that BLAS sums in the inputs' dtype before they go on in double. Long enough that this
// costs a few percent, short enough for the accuracy and for stopping within a second.
inline constexpr std::int64_t kProductDepth = 512;

// The tile grid depends on sizes alone. A tile's sum and its two factors are 2 MB in float at the
// largest edge: wider tiles make BLAS pack less, and take more out of the second-level cache; small
// kernels get small tiles, to have enough of them for all threads.
inline TileSize tile_size(Mode mode, std::int64_t rows, std::int64_t cols, std::int64_t uses) {
  constexpr std::int64_t kSmallest = 32, kLargest = 320, kOutputs = 8;
  std::int64_t edge = std::clamp(std::min(rows, cols) / 8, kSmallest, kLargest);
  if (mode == Mode::kDiagonal) edge = std::min<std::int64_t>(edge, 128);
  return {std::max<std::int64_t>(1, edge / uses), mode == Mode::kDiagonal ? kOutputs : 1};
}

template <class T, class R>
class TileWorker {
 public:
  // `overwrite`: see ContractionOptions; the kernel is then stored as a matrix.
  TileWorker(const std::vector<Layer<T>>& layers, const KernelView<R>& out, TileSize size,
             bool overwrite);
  void run(const Tile& tile, Tasks& tasks, int worker);

 private:
  // Rows of signals: `count` of them with a stride, as BLAS wants them.
  struct Panel {
    const T* data;
    std::int64_t count, stride;
  };

  Span samples(Span rows) const;
  void make_factor(const Layer<T>& layer, const Tile& tile, Tasks& tasks, int worker);
  Panel panel(const Layer<T>& layer, bool left, Span rows, std::int64_t output, Span depth);
  void multiply(const Panel& left, const Panel& right, std::int64_t depth, bool own_transpose);
  void add_products(const Layer<T>& layer, const Tile& tile, bool started, double* sum);
  const double* spread_factor(const Layer<T>& layer, const Tile& tile, std::int64_t row,
                              std::int64_t use);
  double mean_scale() const {
    return out_.mode == Mode::kTrace ? 1.0 / static_cast<double>(out_.outputs) : 1.0;
  }
  void store(const Tile& tile);
  void write(const Tile& tile);

  const std::vector<Layer<T>>& layers_;
  const KernelView<R>& out_;
  TileSize size_;
  bool overwrite_;
  const cpu::ContractionKernels<T>& loops_;
  const cpu::ContractionKernels<R>& rounding_;
  const cpu::TileKernels<R>& stores_;
  std::vector<char> started_;          // per output: whether its sum holds anything
  cpu::AlignedArray<double> sum_;      // (outs, rows, cols)
  cpu::AlignedArray<double> factor_;   // (samples * uses, samples * uses): weight <a, a'> + bias
  cpu::AlignedArray<double> spread_;   // one row of it, repeated for the outputs
  cpu::AlignedArray<T> product_;       // <a, a'>, then <s, s'>
  cpu::AlignedArray<R> strip_;         // rows that are ready to be stored
  cpu::AlignedArray<T> left_, right_;  // signals of one output, gathered from all uses
  std::vector<std::int64_t> col_offset_;
};

}  // namespace ntkfast::tangent
