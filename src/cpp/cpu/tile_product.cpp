#include "cpu/tile_product.hpp"

#include <algorithm>

#include "backend/blas.hpp"
#include "math/fixed_sum.hpp"

namespace ntkfast::cpu {

template <class T>
TileProduct<T>::TileProduct(bool ntk, bool rows, bool columns, const ScaledVectors<T>& vectors,
                            const DiagonalRoots& roots)
    : ntk_(ntk),
      rows_(rows),
      columns_(columns),
      vectors_(vectors),
      scales_(roots.scales()),
      sums_(static_cast<std::size_t>(roots.rows() * vectors.count), 0),
      locks_(static_cast<std::size_t>((roots.rows() + kLockedRows - 1) / kLockedRows)) {}

template <class T>
void TileProduct<T>::add(const TileRange& tile, int mirrored, const T* values, int ld, T* scratch) {
  if (rows_) multiply(false, tile.rows, tile.cols, values, ld, tile.j0, tile.i0, scratch);
  if (columns_) multiply(true, tile.rows, mirrored, values, ld, tile.i0, tile.j0, scratch);
}

// Sums of rows from `to` on: the tile (or its transpose) by the vectors' rows from `from` on.
template <class T>
void TileProduct<T>::multiply(bool transpose, int rows, int cols, const T* values, int ld,
                              std::int64_t from, std::int64_t to, T* scratch) {
  const int summed = transpose ? cols : rows, met = transpose ? rows : cols;
  if (summed == 0) return;
  for (std::int64_t first = 0; first < vectors_.count; first += kVectorsAtOnce) {
    const int count =
        static_cast<int>(std::min<std::int64_t>(kVectorsAtOnce, vectors_.count - first));
    const T* v = vectors_.values.data() + from * vectors_.count + first;
    multiply_by_block(transpose, summed, count, met, values, ld, v,
                      static_cast<int>(vectors_.count), scratch, count);
    add_sums(to, summed, first, count, scratch);
  }
}

template <class T>
void TileProduct<T>::add_sums(std::int64_t to, int rows, std::int64_t first, int count,
                              const T* terms) {
  for (int r0 = 0; r0 < rows; r0 += kLockedRows) {
    const std::lock_guard lock(locks_[static_cast<std::size_t>((to + r0) / kLockedRows)]);
    for (int r = r0; r < std::min(rows, r0 + kLockedRows); ++r) {
      const double scale = scales_[static_cast<std::size_t>(to + r)];
      std::int64_t* const sum = sums_.data() + (to + r) * vectors_.count + first;
      for (int c = 0; c < count; ++c) {
        sum[c] += to_fixed(static_cast<double>(terms[r * count + c]), scale);
      }
    }
  }
}

template class TileProduct<float>;
template class TileProduct<double>;

}  // namespace ntkfast::cpu
