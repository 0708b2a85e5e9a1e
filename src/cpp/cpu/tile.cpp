#include "cpu/tile.hpp"

#include <algorithm>
#include <cmath>

#include "backend/blas.hpp"
#include "cpu/tile_product.hpp"

namespace ntkfast::cpu {

template <class T>
bool TileSink<T>::wants_ntk() const {
  if (product != nullptr) return product->ntk();
  return std::any_of(outputs.begin(), outputs.end(),
                     [](const auto& out) { return out.ntk != nullptr; });
}

template <class T>
TileWorker<T>::TileWorker(const GramContext<T>& context)
    : context_(context), product_stride_(context.grid.cols + kProductPadding) {
  const auto slots = static_cast<std::size_t>(context.program.slots);
  const auto outputs = static_cast<std::size_t>(context.program.outputs);
  const auto rows = static_cast<std::size_t>(context.grid.rows);
  const auto cols = static_cast<std::size_t>(context.grid.cols);
  product_ = aligned_array<T>(rows * static_cast<std::size_t>(product_stride_));
  slots_ = aligned_array<T>(2 * slots * kRowLength);
  strips_ = aligned_array<T>(2 * outputs * kStripRows * kStripStride);
  if (!context.panels_at_hand) {
    panel_x_ = aligned_array<T>(rows * kPanelDepth);
    panel_z_ = aligned_array<T>(cols * kPanelDepth);
  }
  for (std::size_t k = 0; k < slots; ++k) {
    s_.push_back(slots_.get() + 2 * k * kRowLength);
    tau_.push_back(slots_.get() + (2 * k + 1) * kRowLength);
  }
}

template <class T>
std::int64_t TileWorker<T>::scratch_bytes(const Program& program, TileGrid grid,
                                          bool panels_at_hand) {
  const std::int64_t numbers = grid.rows * (grid.cols + kProductPadding) +
                               2 * program.slots * kRowLength +
                               2 * program.outputs * kStripRows * kStripStride +
                               (panels_at_hand ? 0 : (grid.rows + grid.cols) * kPanelDepth);
  return numbers * static_cast<std::int64_t>(sizeof(T));
}

template <class T>
int TileWorker<T>::columns_before(const TileRange& tile, const Strip& strip, std::int64_t i) const {
  if (!context_.symmetric) return strip.cols;
  return static_cast<int>(std::clamp<std::int64_t>(i - (tile.j0 + strip.c0), 0, strip.cols));
}

template <class T>
void TileWorker<T>::multiply(const TileRange& tile, Tasks& tasks, int worker) {
  // Of the square on the diagonal, if the tile holds it, the lower triangle is enough.
  const bool diagonal = context_.symmetric && tile.j0 + tile.cols == tile.i0 + tile.rows;
  const int rectangle = diagonal ? static_cast<int>(tile.i0 - tile.j0) : tile.cols;
  const std::int64_t depth = panel_x_ ? kPanelDepth : kProductDepth;
  for (std::int64_t k0 = 0; k0 < context_.d; k0 += depth) {
    tasks.checkpoint(worker);
    const std::int64_t dk = std::min(depth, context_.d - k0);
    std::int64_t lda = 0, ldb = 0;
    const T* a = context_.x.panel(tile.i0, tile.rows, k0, dk, panel_x_.get(), &lda);
    const T* b = context_.z.panel(tile.j0, rectangle, k0, dk, panel_z_.get(), &ldb);
    if (rectangle > 0) {
      multiply_transposed(tile.rows, rectangle, static_cast<int>(dk), a, static_cast<int>(lda), b,
                          static_cast<int>(ldb), k0 > 0, product_.get(), product_stride_);
    }
    if (diagonal) {
      multiply_by_own_transpose(tile.rows, static_cast<int>(dk), a, static_cast<int>(lda), k0 > 0,
                                product_.get() + rectangle, product_stride_);
    }
  }
}

template <class T>
void TileWorker<T>::repair(std::int64_t i, std::int64_t j0, int cols, T* s) {
  for (int j = 0; j < cols; ++j) {
    if (flags_[j] == 0) continue;
    // The sign of a deficit this small is never in doubt.
    const bool negative = std::signbit(s[j]);
    const auto m =
        static_cast<T>(context_.x.half_distance(i, context_.z, j0 + j, negative ? -1.0 : 1.0));
    s[j] = negative ? -m : m;
  }
}

template <class T>
T* TileWorker<T>::destination(int output, bool ntk, const Strip& strip_range, int r) {
  if (const TileProduct<T>* product = context_.sink.product; product != nullptr) {
    const bool wanted = output == 0 && ntk == product->ntk();
    return wanted ? product_.get() + r * product_stride_ + strip_range.c0 : nullptr;
  }
  const auto& out = context_.sink.outputs[static_cast<std::size_t>(output)];
  if ((ntk ? out.ntk : out.nngp) == nullptr) return nullptr;
  return strip(output, ntk) + (r - strip_range.r0) * kStripStride;
}

template <class T>
void TileWorker<T>::write_outputs(const BoundOp<T>& op, const TileRow<T>& row,
                                  const Strip& strip_range, int r) {
  const T root = op.root_left[row.i];
  const T* roots = op.root_right + row.j0;
  if (T* const nngp = destination(op.output, false, strip_range, r); nngp != nullptr) {
    context_.kernels.write_nngp(row.s[op.step.in], op.signed_rho, root, roots, row.n, nngp);
  }
  T* const ntk = destination(op.output, true, strip_range, r);
  if (ntk == nullptr) return;
  if (op.has_ntk) {
    context_.kernels.write_ntk(row.tau[op.step.in], root, roots, row.n, ntk);
  } else {
    std::fill_n(ntk, row.n, T(0));
  }
}

// K and T of the row with itself come from the row tables: they never went through rho.
template <class T>
void TileWorker<T>::write_same_sample(int output, std::int64_t table_row, int at,
                                      const Strip& strip_range, int r) {
  if (T* const nngp = destination(output, false, strip_range, r); nngp != nullptr) {
    nngp[at] = context_.table_x.nngp_diagonal(output)[table_row];
  }
  if (T* const ntk = destination(output, true, strip_range, r); ntk != nullptr) {
    ntk[at] = context_.table_x.ntk_diagonal(output)[table_row];
  }
}

template <class T>
void TileWorker<T>::compute_row(const TileRange& tile, const Strip& strip_range, int r) {
  const std::int64_t i = tile.i0 + r, j0 = tile.j0 + strip_range.c0;
  const int cols = row_length(tile, strip_range, r);
  const bool same_sample = context_.symmetric && j0 + cols - 1 == i;
  T* s = s_[static_cast<std::size_t>(context_.program.values[0].slot)];
  const T* product = product_.get() + r * product_stride_ + strip_range.c0;
  if (context_.kernels.load(product, context_.side_x.row(i), context_.side_z.from(j0), cols, s,
                            flags_)) {
    if (same_sample) flags_[cols - 1] = 0;  // known exactly, set below
    repair(i, j0, cols, s);
  }
  const std::int64_t table_row = i - context_.slab_x;
  const TileRow<T> row{table_row, j0 - context_.slab_z, cols, s_.data(), tau_.data()};
  for (const auto& op : context_.ops) {
    if (op.step.run != nullptr) {
      op.step.run(op.step, row);
      continue;
    }
    write_outputs(op, row, strip_range, r);
    if (same_sample) write_same_sample(op.output, table_row, cols - 1, strip_range, r);
  }
}

template <class T>
void TileWorker<T>::store_matrix(const T* values, T* out, const TileRange& tile,
                                 const Strip& strip) {
  const std::int64_t ld = context_.ld, i0 = tile.i0 + strip.r0, j0 = tile.j0 + strip.c0;
  for (int r = 0; r < strip.rows; ++r) {
    context_.kernels.copy(values + r * kStripStride, row_length(tile, strip, strip.r0 + r),
                          out + (i0 + r) * ld + j0);
  }
  if (!context_.symmetric) return;
  // Mirror what lies left of the strip's own square on the diagonal in whole cache lines.
  T* mirrored = out + j0 * ld + i0;
  int done = 0;
  if (strip.rows == kStripRows) {
    done = columns_before(tile, strip, i0);
    context_.kernels.transpose(values, kStripStride, done, mirrored, ld);
  }
  for (int r = 0; r < strip.rows; ++r) {
    const int end = row_length(tile, strip, strip.r0 + r);
    for (int j = done; j < end; ++j) mirrored[j * ld + r] = values[r * kStripStride + j];
  }
}

template <class T>
void TileWorker<T>::store(const TileRange& tile, const Strip& strip_range) {
  for (int k = 0; k < context_.program.outputs; ++k) {
    const auto& out = context_.sink.outputs[static_cast<std::size_t>(k)];
    if (out.nngp != nullptr) store_matrix(strip(k, false), out.nngp, tile, strip_range);
    if (out.ntk != nullptr) store_matrix(strip(k, true), out.ntk, tile, strip_range);
  }
}

// The tile, in place of its product, by the vectors that its rows and columns meet.
template <class T>
void TileWorker<T>::multiply_by_vectors(const TileRange& tile) {
  TileProduct<T>& product = *context_.sink.product;
  int mirrored = tile.cols;
  if (context_.symmetric && tile.j0 + tile.cols == tile.i0 + tile.rows) {
    // Of the square on the diagonal the upper half is the lower one.
    mirrored = static_cast<int>(tile.i0 - tile.j0);
    T* const square = product_.get() + mirrored;
    for (int r = 0; r < tile.rows; ++r) {
      for (int c = 0; c < r; ++c) square[c * product_stride_ + r] = square[r * product_stride_ + c];
    }
  }
  if (!sums_) {
    const int edge = std::max(context_.grid.rows, context_.grid.cols);
    sums_ = aligned_array<T>(static_cast<std::size_t>(edge * kVectorsAtOnce));
  }
  product.add(tile, mirrored, product_.get(), product_stride_, sums_.get());
}

template <class T>
void TileWorker<T>::run(const TileRange& tile, Tasks& tasks, int worker) {
  multiply(tile, tasks, worker);
  for (int c0 = 0; c0 < tile.cols; c0 += kRowLength) {
    const int cols = std::min(kRowLength, tile.cols - c0);
    for (int r0 = 0; r0 < tile.rows; r0 += kStripRows) {
      const Strip strip_range{r0, std::min(kStripRows, tile.rows - r0), c0, cols};
      if (row_length(tile, strip_range, r0 + strip_range.rows - 1) == 0)
        continue;  // upper triangle
      tasks.checkpoint(worker);
      for (int r = r0; r < r0 + strip_range.rows; ++r) compute_row(tile, strip_range, r);
      if (context_.sink.product == nullptr) store(tile, strip_range);
    }
  }
  if (context_.sink.product != nullptr) multiply_by_vectors(tile);
  context_.kernels.finish_stores();
}

template struct TileSink<float>;
template struct TileSink<double>;
template class TileWorker<float>;
template class TileWorker<double>;

}  // namespace ntkfast::cpu
