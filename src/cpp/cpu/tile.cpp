#include "cpu/tile.hpp"

#include <algorithm>
#include <cstring>

#include "backend/blas.hpp"

namespace ntkfast::cpu {
namespace {

// A diagonal tile needs its lower triangle alone: the product is taken in bands of this many rows.
constexpr int kDiagonalBand = 64;

bool on_diagonal(bool symmetric, const TileRange& tile) { return symmetric && tile.i0 == tile.j0; }

}  // namespace

template <class T>
TileWorker<T>::TileWorker(const GramContext<T>& context, bool kept_rows) : context_(context) {
  const auto slots = static_cast<std::size_t>(context.program.slots);
  const auto outputs = static_cast<std::size_t>(context.program.outputs);
  product_ = aligned_array<T>(static_cast<std::size_t>(kTileSize) * kScratchStride);
  slots_ = aligned_array<T>(2 * slots * kTileSize);
  strips_ = aligned_array<T>(2 * outputs * kStripRows * kScratchStride);
  if (!kept_rows) {
    panel_x_ = aligned_array<T>(static_cast<std::size_t>(kTileSize * kPanelDepth));
    panel_z_ = aligned_array<T>(static_cast<std::size_t>(kTileSize * kPanelDepth));
  }
  for (std::size_t k = 0; k < slots; ++k) {
    s_.push_back(slots_.get() + 2 * k * kTileSize);
    tau_.push_back(slots_.get() + (2 * k + 1) * kTileSize);
  }
}

template <class T>
std::int64_t TileWorker<T>::scratch_bytes(const Program& program, bool kept_rows) {
  const std::int64_t numbers = kTileSize * kScratchStride + 2 * program.slots * kTileSize +
                               2 * program.outputs * kStripRows * kScratchStride +
                               (kept_rows ? 0 : 2 * kTileSize * kPanelDepth);
  return numbers * static_cast<std::int64_t>(sizeof(T));
}

template <class T>
void TileWorker<T>::multiply(const TileRange& tile, Tasks& tasks, int worker) {
  const bool diagonal = on_diagonal(context_.symmetric, tile);
  const std::int64_t depth = panel_x_ ? kPanelDepth : context_.d;
  for (std::int64_t k0 = 0; k0 < context_.d; k0 += depth) {
    tasks.checkpoint(worker);
    const std::int64_t dk = std::min(depth, context_.d - k0);
    std::int64_t lda = 0, ldb = 0;
    const T* a = context_.x.panel(tile.i0, tile.rows, k0, dk, panel_x_.get(), &lda);
    const T* b = diagonal ? a : context_.z.panel(tile.j0, tile.cols, k0, dk, panel_z_.get(), &ldb);
    if (diagonal) ldb = lda;
    const int band = diagonal ? kDiagonalBand : tile.rows;
    for (int r0 = 0; r0 < tile.rows; r0 += band) {
      const int rows = std::min(band, tile.rows - r0);
      multiply_transposed(rows, diagonal ? r0 + rows : tile.cols, static_cast<int>(dk), a + r0 * lda,
                          static_cast<int>(lda), b, static_cast<int>(ldb), k0 > 0,
                          product_.get() + r0 * kScratchStride, kScratchStride);
    }
  }
}

template <class T>
void TileWorker<T>::repair(std::int64_t i, std::int64_t j0, int cols, T* s) {
  for (int j = 0; j < cols; ++j) {
    if (flags_[j] == 0) continue;
    // The sign of a deficit this small is never in doubt.
    const bool negative = std::signbit(s[j]);
    const auto m = static_cast<T>(
        context_.x.half_distance(i, context_.z, j0 + j, negative ? -1.0 : 1.0));
    s[j] = negative ? -m : m;
  }
}

template <class T>
void TileWorker<T>::write_outputs(const BoundOp<T>& op, const TileRow<T>& row, int strip_row) {
  const auto& out = context_.outputs[static_cast<std::size_t>(op.output)];
  const T root = op.root_left[row.i];
  const T* roots = op.root_right + row.j0;
  if (out.nngp != nullptr) {
    context_.kernels.write_nngp(row.s[op.step.in], op.signed_rho, root, roots, row.n,
                                strip(op.output, false) + strip_row * kScratchStride);
  }
  if (out.ntk != nullptr && op.has_ntk) {
    context_.kernels.write_ntk(row.tau[op.step.in], root, roots, row.n,
                               strip(op.output, true) + strip_row * kScratchStride);
  } else if (out.ntk != nullptr) {
    std::fill_n(strip(op.output, true) + strip_row * kScratchStride, row.n, T(0));
  }
}

template <class T>
void TileWorker<T>::compute_row(const TileRange& tile, int r, int cols, int strip_row) {
  const std::int64_t i = tile.i0 + r;
  const auto left = static_cast<std::size_t>(i), right = static_cast<std::size_t>(tile.j0);
  T* s = s_[static_cast<std::size_t>(context_.program.values[0].slot)];
  if (context_.kernels.load(product_.get() + r * kScratchStride, context_.half_norm_x[left],
                            &context_.half_norm_z[right], context_.threshold_x[left],
                            &context_.threshold_z[right], cols, s, flags_)) {
    if (on_diagonal(context_.symmetric, tile)) flags_[r] = 0;  // known exactly, set below
    repair(i, tile.j0, cols, s);
  }
  const TileRow<T> row{i, tile.j0, cols, s_.data(), tau_.data()};
  for (const auto& op : context_.ops) {
    if (op.step.run != nullptr) {
      op.step.run(op.step, row);
      continue;
    }
    write_outputs(op, row, strip_row);
    if (!on_diagonal(context_.symmetric, tile)) continue;
    // The same sample: K and T of the row itself, which never went through rho.
    strip(op.output, false)[strip_row * kScratchStride + r] = context_.table_x.nngp_diagonal(op.output)[i];
    strip(op.output, true)[strip_row * kScratchStride + r] = context_.table_x.ntk_diagonal(op.output)[i];
  }
}

template <class T>
void TileWorker<T>::store(const T* strip, T* out, const TileRange& tile, int r0, int rows,
                          int cols) {
  const std::int64_t ld = context_.ld, i0 = tile.i0 + r0;
  const bool diagonal = on_diagonal(context_.symmetric, tile);
  for (int r = 0; r < rows; ++r) {
    const int length = diagonal ? r0 + r + 1 : cols;
    std::memcpy(out + (i0 + r) * ld + tile.j0, strip + r * kScratchStride,
                static_cast<std::size_t>(length) * sizeof(T));
  }
  if (!context_.symmetric) return;
  T* mirrored = out + tile.j0 * ld + i0;
  int done = 0;
  if (rows == kStripRows) {
    done = diagonal ? r0 : cols;
    context_.kernels.transpose(strip, kScratchStride, done, mirrored, ld);
  }
  for (int r = 0; r < rows; ++r) {
    const int end = diagonal ? r0 + r : cols;
    for (int j = done; j < end; ++j) mirrored[j * ld + r] = strip[r * kScratchStride + j];
  }
}

template <class T>
void TileWorker<T>::store_strip(const TileRange& tile, int r0, int rows, int cols) {
  for (int k = 0; k < context_.program.outputs; ++k) {
    const auto& out = context_.outputs[static_cast<std::size_t>(k)];
    if (out.nngp != nullptr) store(strip(k, false), out.nngp, tile, r0, rows, cols);
    if (out.ntk != nullptr) store(strip(k, true), out.ntk, tile, r0, rows, cols);
  }
}

template <class T>
void TileWorker<T>::run(const TileRange& tile, Tasks& tasks, int worker) {
  multiply(tile, tasks, worker);
  for (int r0 = 0; r0 < tile.rows; r0 += kStripRows) {
    const int rows = std::min(kStripRows, tile.rows - r0);
    const int cols = on_diagonal(context_.symmetric, tile) ? r0 + rows : tile.cols;
    for (int r = 0; r < rows; ++r) compute_row(tile, r0 + r, cols, r);
    store_strip(tile, r0, rows, cols);
  }
}

template class TileWorker<float>;
template class TileWorker<double>;

}  // namespace ntkfast::cpu
