#include "tangent/tile_worker.hpp"

#include "backend/blas.hpp"

namespace ntkfast::tangent {
namespace {

// The inner loops: plain, so that the compiler vectorises them.
template <class T>
void add_scaled(const T* product, const double* factor, std::int64_t count, double* sum) {
  for (std::int64_t j = 0; j < count; ++j) sum[j] += factor[j] * static_cast<double>(product[j]);
}

template <class T>
void add_scaled(const T* product, double factor, std::int64_t count, double* sum) {
  for (std::int64_t j = 0; j < count; ++j) sum[j] += factor * static_cast<double>(product[j]);
}

// sum[j] += sum over the uses v of column j.
template <class T>
void add_scaled_uses(const T* product, const double* factor, std::int64_t uses, std::int64_t count,
                     double* sum) {
  for (std::int64_t j = 0; j < count; ++j) {
    double total = 0.0;
    for (std::int64_t v = 0; v < uses; ++v) {
      total += factor[j * uses + v] * static_cast<double>(product[j * uses + v]);
    }
    sum[j] += total;
  }
}

template <class R>
void add_rounded(const double* sum, double scale, std::int64_t count, R* out) {
  for (std::int64_t j = 0; j < count; ++j) {
    out[j] = static_cast<R>(static_cast<double>(out[j]) + scale * sum[j]);
  }
}

template <class R>
void add_rounded(const double* sum, double scale, std::int64_t count, const std::int64_t* offset,
                 R* out) {
  for (std::int64_t j = 0; j < count; ++j) {
    R& entry = out[offset[j]];
    entry = static_cast<R>(static_cast<double>(entry) + scale * sum[j]);
  }
}

std::size_t area(std::int64_t rows, std::int64_t cols) {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols);
}

}  // namespace

template <class T, class R>
TileWorker<T, R>::TileWorker(const std::vector<Layer<T>>& layers, const KernelView<R>& out,
                             TileSize size)
    : layers_(layers), out_(out), size_(size), col_offset_(static_cast<std::size_t>(size.edge)) {
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
  if (gathered > 0) {
    left_ = cpu::aligned_array<T>(area(wide, std::min(gathered, kProductDepth)));
    right_ = cpu::aligned_array<T>(area(wide, std::min(gathered, kProductDepth)));
  }
}

template <class T, class R>
void TileWorker<T, R>::run(const Tile& tile, Tasks& tasks, int worker) {
  const std::int64_t plane = tile.rows.size() * tile.cols.size();
  std::fill_n(sum_.get(), plane * tile.outs.size(), 0.0);
  for (const auto& layer : layers_) {
    make_factor(layer, tile, tasks, worker);
    // The mean over outputs of a weight used once is one long product.
    const bool joined = out_.mode == Mode::kTrace && layer.uses == 1;
    const std::int64_t depth = joined ? out_.outputs * layer.units : layer.units;
    const bool each = out_.mode == Mode::kTrace && !joined;
    const Span outs = each ? Span{0, out_.outputs} : tile.outs;
    for (std::int64_t c = outs.begin; c < outs.end; ++c) {
      double* sum = sum_.get() + (each ? 0 : (c - outs.begin) * plane);
      for (std::int64_t k = 0; k < depth; k += kProductDepth) {
        tasks.checkpoint(worker);
        const Span part{k, std::min(depth, k + kProductDepth)};
        const Panel left = panel(layer, true, tile.rows, c, part);
        const bool own = tile.on_diagonal && layer.uses == 1;
        multiply(left, own ? left : panel(layer, false, tile.cols, c, part), part.size(), own);
        add_products(layer, tile, sum);
      }
    }
  }
  store(tile);
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
    add_scaled(product_.get(), layer.weight, count, factor_.get());
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
    for (; until < end; ++until) to = std::copy_n(from, uses, to);
  }
  return spread_.get();
}

template <class T, class R>
void TileWorker<T, R>::add_products(const Layer<T>& layer, const Tile& tile, double* sum) {
  const std::int64_t uses = layer.uses, cols = tile.cols.size();
  const std::int64_t each = out_.outputs_per_sample();
  const double* factor = nullptr;
  for (std::int64_t r = 0; r < tile.rows.size(); ++r) {
    const std::int64_t count = tile.on_diagonal ? r + 1 : cols;
    for (std::int64_t u = 0; u < uses; ++u) {
      const T* product = product_.get() + (r * uses + u) * cols * uses;
      if (layer.fan_in == 0 && uses == 1) {
        add_scaled(product, layer.bias, count, sum + r * cols);
        continue;
      }
      // Rows of one sample share their factors where each has one use.
      const std::int64_t row = tile.rows.begin + r;
      if (r == 0 || uses > 1 || row % each == 0) factor = spread_factor(layer, tile, row, u);
      if (uses == 1) {
        add_scaled(product, factor, count, sum + r * cols);
      } else {
        add_scaled_uses(product, factor, uses, count, sum + r * cols);
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
  const double scale = out_.mode == Mode::kTrace ? 1.0 / static_cast<double>(out_.outputs) : 1.0;
  const double* sum = sum_.get();
  for (std::int64_t c = tile.outs.begin; c < tile.outs.end; ++c) {
    for (std::int64_t r = 0; r < tile.rows.size(); ++r, sum += cols) {
      R* row = out_.data + out_.row_offset(tile.rows.begin + r) +
               (out_.mode == Mode::kDiagonal ? c * out_.output : 0);
      const std::int64_t count = tile.on_diagonal ? r + 1 : cols;
      if (adjacent) {
        add_rounded(sum, scale, count, row + first);
      } else {
        add_rounded(sum, scale, count, col_offset_.data(), row);
      }
    }
  }
}

template class TileWorker<float, float>;
template class TileWorker<float, double>;
template class TileWorker<double, double>;

}  // namespace ntkfast::tangent
