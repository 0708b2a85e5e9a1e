#include "tangent/contraction.hpp"

#include <algorithm>
#include <limits>
#include <memory>
#include <stdexcept>

#include "backend/blas.hpp"
#include "tangent/tile_worker.hpp"

namespace ntkfast::tangent {
namespace {

std::vector<Span> cut(std::int64_t size, std::int64_t edge) {
  std::vector<Span> spans;
  for (std::int64_t begin = 0; begin < size; begin += edge) {
    spans.push_back({begin, std::min(size, begin + edge)});
  }
  return spans;
}

// All tiles; of a symmetric kernel those on and below the diagonal.
template <class R>
std::vector<Tile> make_tiles(const KernelView<R>& out, TileSize size, bool symmetric) {
  std::vector<Tile> tiles;
  const std::int64_t outputs = out.mode == Mode::kDiagonal ? out.outputs : 1;
  const auto columns = cut(out.cols(), size.edge);
  for (const Span outs : cut(outputs, size.outputs)) {
    for (const Span rows : cut(out.rows(), size.edge)) {
      for (const Span cols : columns) {
        if (symmetric && cols.begin > rows.begin) break;
        tiles.push_back({rows, cols, outs, symmetric && cols.begin == rows.begin});
      }
    }
  }
  // Half tiles last, so that no thread starts a long one when the others are done.
  std::stable_partition(tiles.begin(), tiles.end(), [](const Tile& t) { return !t.on_diagonal; });
  return tiles;
}

template <class T>
void check_strides(const Layer<T>& layer, std::int64_t outputs) {
  const std::int64_t longest = std::max(layer.fan_in, outputs * layer.units);
  if (longest > std::numeric_limits<int>::max()) {
    throw std::invalid_argument(
        "a row of a layer's inputs or signals must have fewer than 2^31 "
        "entries: contract fewer parameters at a time");
  }
}

}  // namespace

template <class T, class R>
void contract(const std::vector<Layer<T>>& layers, const KernelView<R>& out,
              const ContractionOptions& options) {
  if (out.n == 0 || out.m == 0 || out.outputs == 0) return;
  const bool direct = options.overwrite && out.is_matrix() && !layers.empty();
  if (options.overwrite && !direct) clear_kernel(out);
  if (layers.empty()) return;
  std::int64_t uses = 1;
  for (const auto& layer : layers) {
    check_strides(layer, out.outputs);
    uses = std::max(uses, layer.uses);
  }
  use_single_threaded_blas();
  const bool symmetric = layers.front().s_other == nullptr;
  const TileSize size = tile_size(out.mode, out.rows(), out.cols(), uses);
  const auto tiles = make_tiles(out, size, symmetric);
  Tasks tasks(static_cast<std::int64_t>(tiles.size()), options.threads, options.monitor);
  std::vector<std::unique_ptr<TileWorker<T, R>>> workers(
      static_cast<std::size_t>(std::max(1, options.threads)));
  tasks.run([&](int worker, std::int64_t index) {
    auto& own = workers[static_cast<std::size_t>(worker)];
    if (!own) own = std::make_unique<TileWorker<T, R>>(layers, out, size, direct);
    own->run(tiles[static_cast<std::size_t>(index)], tasks, worker);
  });
  if (options.overwrite && !direct && symmetric) mirror_kernel(out, {options.threads, {}});
}

template <class R>
void clear_kernel(const KernelView<R>& kernel) {
  const std::int64_t outputs = kernel.mode == Mode::kDiagonal ? kernel.outputs : 1;
  for (std::int64_t r = 0; r < kernel.rows(); ++r) {
    R* row = kernel.data + kernel.row_offset(r);
    for (std::int64_t c = 0; c < outputs; ++c) {
      for (std::int64_t k = 0; k < kernel.cols(); ++k) {
        row[kernel.col_offset(k) + c * kernel.output] = R(0);
      }
    }
  }
}

template <class R>
void mirror_kernel(const KernelView<R>& kernel, const ContractionOptions& options) {
  constexpr std::int64_t kBlock = 64;  // both blocks of an exchange fit in the first-level cache
  const std::int64_t rows = kernel.rows(), blocks = (rows + kBlock - 1) / kBlock;
  const std::int64_t outputs = kernel.mode == Mode::kDiagonal ? kernel.outputs : 1;
  Tasks tasks(blocks, options.threads, options.monitor);
  tasks.run([&](int, std::int64_t block) {
    const std::int64_t begin = block * kBlock, end = std::min(rows, begin + kBlock);
    std::int64_t as_row[kBlock], as_col[kBlock];
    for (std::int64_t r = begin; r < end; ++r) {
      as_row[r - begin] = kernel.row_offset(r);
      as_col[r - begin] = kernel.col_offset(r);
    }
    for (std::int64_t col0 = 0; col0 < end; col0 += kBlock) {
      for (std::int64_t col = col0; col < std::min(end, col0 + kBlock); ++col) {
        const std::int64_t from = std::max(begin, col + 1) - begin;
        for (std::int64_t c = 0; c < outputs; ++c) {
          const R* below = kernel.data + kernel.col_offset(col) + c * kernel.output;
          R* above = kernel.data + kernel.row_offset(col) + c * kernel.output;
          for (std::int64_t r = from; r < end - begin; ++r) above[as_col[r]] = below[as_row[r]];
        }
      }
    }
  });
}

#define NTKFAST_INSTANTIATE(T, R)                                            \
  template void contract(const std::vector<Layer<T>>&, const KernelView<R>&, \
                         const ContractionOptions&);
NTKFAST_INSTANTIATE(float, float)
NTKFAST_INSTANTIATE(float, double)
NTKFAST_INSTANTIATE(double, double)
#undef NTKFAST_INSTANTIATE
template void clear_kernel(const KernelView<float>&);
template void clear_kernel(const KernelView<double>&);
template void mirror_kernel(const KernelView<float>&, const ContractionOptions&);
template void mirror_kernel(const KernelView<double>&, const ContractionOptions&);

}  // namespace ntkfast::tangent
