#include "tangent/tile_worker.hpp"

#include "backend/blas.hpp"

namespace ntkfast::tangent {
namespace {

std::size_t area(std::int64_t rows, std::int64_t cols) {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols);
}

}  // namespace

template <class T, class R>
TileWorker<T, R>::TileWorker(const std::vector<Layer<T>>& layers, const KernelView<R>& out,
                             TileSize size, bool overwrite)
    : layers_(layers),
      out_(out),
      size_(size),
      overwrite_(overwrite),
      loops_(cpu::contraction_kernels<T>({})),
      rounding_(cpu::contraction_kernels<R>({})),
      stores_(cpu::tile_kernels<R>({})),
      started_(static_cast<std::size_t>(size.outputs)),
      col_offset_(static_cast<std::size_t>(size.edge)) {
  std::int64_t uses = 1, gathered = 0;
  for (const auto& layer : layers) {
    uses = std::max(uses, layer.uses);
    if (layer.uses > 1 && out.mode != Mode::kFull) gathered = std::max(gathered, layer.units);
  }
  const std::int64_t wide = size.edge * uses;
  sum_ = cpu::aligned_array<double>(area(size.edge * size.edge, size.outputs));
  factor_ = cpu::aligned_array<double>(area(wide, wide));
  spread_ = cpu::aligned_array<double>(static_cast<std::size_t>(wide));
  product_ = cpu::aligned_array<T>(area(wide, wide));
  if (overwrite) strip_ = cpu::aligned_array<R>(area(cpu::kStripRows, size.edge));
  if (gathered > 0) {
    left_ = cpu::aligned_array<T>(area(wide, std::min(gathered, kProductDepth)));
    right_ = cpu::aligned_array<T>(area(wide, std::min(gathered, kProductDepth)));
  }
}

template <class T, class R>
void TileWorker<T, R>::run(const Tile& tile, Tasks& tasks, int worker) {
  const std::int64_t plane = tile.rows.size() * tile.cols.size();
  std::fill(started_.begin(), started_.end(), char{0});
  for (const auto& layer : layers_) {
    make_factor(layer, tile, tasks, worker);
    // The mean over outputs of a weight used once is one long product.
    const bool joined = out_.mode == Mode::kTrace && layer.uses == 1;
    const std::int64_t depth = joined ? out_.outputs * layer.units : layer.units;
    const bool each = out_.mode == Mode::kTrace && !joined;
    const Span outs = each ? Span{0, out_.outputs} : tile.outs;
    for (std::int64_t c = outs.begin; c < outs.end; ++c) {
      const std::int64_t which = each ? 0 : c - outs.begin;
      double* sum = sum_.get() + which * plane;
      for (std::int64_t k = 0; k < depth; k += kProductDepth) {
        tasks.checkpoint(worker);
        const Span part{k, std::min(depth, k + kProductDepth)};
        const Panel left = panel(layer, true, tile.rows, c, part);
        const bool own = tile.on_diagonal && layer.uses == 1;
        multiply(left, own ? left : panel(layer, false, tile.cols, c, part), part.size(), own);
        // The first product of a tile needs no zeros to be added to.
        auto& started = started_[static_cast<std::size_t>(which)];
        if (started == 0 && layer.uses > 1) std::fill_n(sum, plane, 0.0);
        add_products(layer, tile, started != 0 || layer.uses > 1, sum);
        started = 1;
      }
    }
  }
  for (std::int64_t c = 0; c < tile.outs.size(); ++c) {
    if (started_[static_cast<std::size_t>(c)] == 0) std::fill_n(sum_.get() + c * plane, plane, 0.0);
  }
  overwrite_ ? write(tile) : store(tile);
}

// The samples that rows of the kernel's matrix belong to.
template <class T, class R>
Span TileWorker<T, R>::samples(Span rows) const {
  const std::int64_t each = out_.outputs_per_sample();
  return {rows.begin / each, (rows.end - 1) / each + 1};
}

template <class T, class R>
void TileWorker<T, R>::make_factor(const Layer<T>& layer, const Tile& tile, Tasks& tasks,
                                   int worker) {
  if (layer.fan_in == 0 && layer.uses == 1) return;  // one number: see add_products
  const Span left = samples(tile.rows), right = samples(tile.cols);
  const std::int64_t rows = left.size() * layer.uses, cols = right.size() * layer.uses;
  const std::int64_t count = rows * cols, d = layer.fan_in;
  const T* a = layer.a + left.begin * layer.uses * d;
  const T* other =
      (layer.a_other == nullptr ? layer.a : layer.a_other) + right.begin * layer.uses * d;
  std::fill_n(factor_.get(), count, layer.bias);
  for (std::int64_t k = 0; k < d; k += kProductDepth) {
    tasks.checkpoint(worker);
    const std::int64_t depth = std::min(d - k, kProductDepth);
    multiply({a + k, rows, d}, {other + k, cols, d}, depth, false);
    loops_.add_scaled(product_.get(), layer.weight, count, factor_.get());
  }
}

template <class T, class R>
typename TileWorker<T, R>::Panel TileWorker<T, R>::panel(const Layer<T>& layer, bool left,
                                                         Span rows, std::int64_t output,
                                                         Span depth) {
  const T* s = left || layer.s_other == nullptr ? layer.s : layer.s_other;
  const std::int64_t units = layer.units, uses = layer.uses, count = rows.size() * uses;
  if (out_.mode == Mode::kFull) {
    return {s + rows.begin * uses * units + depth.begin, count, units};
  }
  const std::int64_t sample = out_.outputs * uses * units;
  const T* first = s + rows.begin * sample + output * uses * units + depth.begin;
  if (uses == 1) return {first, count, sample};
  T* gathered = left ? left_.get() : right_.get();
  T* to = gathered;
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    for (std::int64_t u = 0; u < uses; ++u) {
      to = std::copy_n(first + i * sample + u * units, depth.size(), to);
    }
  }
  return {gathered, count, depth.size()};
}

template <class T, class R>
void TileWorker<T, R>::multiply(const Panel& left, const Panel& right, std::int64_t depth,
                                bool own_transpose) {
  const auto narrow = [](std::int64_t value) { return static_cast<int>(value); };
  if (own_transpose) {
    multiply_by_own_transpose(narrow(left.count), narrow(depth), left.data, narrow(left.stride),
                              false, product_.get(), narrow(left.count));
    return;
  }
  multiply_transposed(narrow(left.count), narrow(right.count), narrow(depth), left.data,
                      narrow(left.stride), right.data, narrow(right.stride), false, product_.get(),
                      narrow(right.count));
}

// The factors of use `use` of the sample of `row`, one for each use of each column.
template <class T, class R>
const double* TileWorker<T, R>::spread_factor(const Layer<T>& layer, const Tile& tile,
                                              std::int64_t row, std::int64_t use) {
  const std::int64_t uses = layer.uses, each = out_.outputs_per_sample();
  const Span left = samples(tile.rows), right = samples(tile.cols);
  const std::int64_t i = row / each - left.begin;
  const double* factor = factor_.get() + (i * uses + use) * right.size() * uses;
  if (each == 1) return factor;
  double* to = spread_.get();
  std::int64_t until = tile.cols.begin;
  for (std::int64_t j = right.begin; j < right.end; ++j) {
    const double* from = factor + (j - right.begin) * uses;
    const std::int64_t end = std::min(tile.cols.end, (j + 1) * each);
    for (; until < end; ++until) {
      for (std::int64_t v = 0; v < uses; ++v) *to++ = from[v];
    }
  }
  return spread_.get();
}

template <class T, class R>
void TileWorker<T, R>::add_products(const Layer<T>& layer, const Tile& tile, bool started,
                                    double* sum) {
  const auto scaled = started ? loops_.add_scaled : loops_.set_scaled;
  const auto add = started ? loops_.add : loops_.set;
  const std::int64_t uses = layer.uses, cols = tile.cols.size();
  const std::int64_t each = out_.outputs_per_sample();
  const double* factor = nullptr;
  for (std::int64_t r = 0; r < tile.rows.size(); ++r) {
    const std::int64_t count = tile.on_diagonal ? r + 1 : cols;
    for (std::int64_t u = 0; u < uses; ++u) {
      const T* product = product_.get() + (r * uses + u) * cols * uses;
      if (layer.fan_in == 0 && uses == 1) {
        scaled(product, layer.bias, count, sum + r * cols);
        continue;
      }
      // Rows of one sample share their factors where each has one use.
      const std::int64_t row = tile.rows.begin + r;
      if (r == 0 || uses > 1 || row % each == 0) factor = spread_factor(layer, tile, row, u);
      if (uses == 1) {
        add(product, factor, count, sum + r * cols);
      } else {
        loops_.add_uses(product, factor, uses, count, sum + r * cols);
      }
    }
  }
}

template <class T, class R>
void TileWorker<T, R>::store(const Tile& tile) {
  const std::int64_t cols = tile.cols.size();
  const std::int64_t first = out_.col_offset(tile.cols.begin);
  bool adjacent = true;  // columns of a matrix lie side by side, those of (n, m, O, O) do not
  for (std::int64_t j = 0; j < cols; ++j) {
    const std::int64_t offset = out_.col_offset(tile.cols.begin + j);
    col_offset_[static_cast<std::size_t>(j)] = offset;
    adjacent = adjacent && offset == first + j;
  }
  const double scale = mean_scale();
  const double* sum = sum_.get();
  for (std::int64_t c = tile.outs.begin; c < tile.outs.end; ++c) {
    for (std::int64_t r = 0; r < tile.rows.size(); ++r, sum += cols) {
      R* row = out_.data + out_.row_offset(tile.rows.begin + r) +
               (out_.mode == Mode::kDiagonal ? c * out_.output : 0);
      const std::int64_t count = tile.on_diagonal ? r + 1 : cols;
      if (adjacent) {
        rounding_.add_rounded(sum, scale, count, row + first);
      } else {
        rounding_.scatter_rounded(sum, scale, count, col_offset_.data(), row);
      }
    }
  }
}

// Instead of store(): the tile of a matrix, and its mirror image while the tile is in the cache.
template <class T, class R>
void TileWorker<T, R>::write(const Tile& tile) {
  const std::int64_t rows = tile.rows.size(), cols = tile.cols.size(), ld = out_.row_offset(1);
  const int width = static_cast<int>(cols), pitch = static_cast<int>(size_.edge);
  const bool mirrored = layers_.front().s_other == nullptr && !tile.on_diagonal;
  double* sum = sum_.get();
  if (tile.on_diagonal) {
    for (std::int64_t r = 1; r < rows; ++r) {
      for (std::int64_t c = 0; c < r; ++c) sum[c * cols + r] = sum[r * cols + c];
    }
  }
  const double scale = mean_scale();
  R* out = out_.data + tile.rows.begin * ld + tile.cols.begin;
  R* image = out_.data + tile.cols.begin * ld + tile.rows.begin;
  for (std::int64_t r0 = 0; r0 < rows; r0 += cpu::kStripRows) {
    const std::int64_t count = std::min<std::int64_t>(cpu::kStripRows, rows - r0);
    for (std::int64_t r = 0; r < count; ++r) {
      R* row = strip_.get() + r * pitch;
      rounding_.round(sum + (r0 + r) * cols, scale, cols, row);
      stores_.copy(row, width, out + (r0 + r) * ld);
    }
    if (!mirrored) continue;
    if (count == cpu::kStripRows) {
      stores_.transpose(strip_.get(), pitch, width, image + r0, ld);
      continue;
    }
    for (std::int64_t c = 0; c < cols; ++c) {
      for (std::int64_t r = 0; r < count; ++r) image[c * ld + r0 + r] = strip_[r * pitch + c];
    }
  }
  stores_.finish_stores();
}

template class TileWorker<float, float>;
template class TileWorker<float, double>;
template class TileWorker<double, double>;

}  // namespace ntkfast::tangent
