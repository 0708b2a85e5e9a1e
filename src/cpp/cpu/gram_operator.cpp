#include "cpu/gram_operator.hpp"

#include <algorithm>

#include "cpu/gram_source.hpp"
#include "cpu/tile_product.hpp"
#include "program/kernel_product.hpp"

namespace ntkfast::cpu {
namespace {

// Row tables are kept between products up to the size of the rows themselves, or a little more.
std::int64_t kept_tables(std::int64_t n, std::int64_t m, std::int64_t d, std::int64_t itemsize) {
  constexpr std::int64_t kAlwaysKept = std::int64_t{64} << 20;
  return std::max(kAlwaysKept, std::max(n, m) * d * itemsize);
}

}  // namespace

template <class T>
struct GramOperator<T>::Parts {
  bool ntk;
  std::int64_t n, m;
  GramSource<T> source;
  DiagonalRoots left, right;  // right stays empty for a symmetric Gram

  const DiagonalRoots& columns() const { return source.symmetric() ? left : right; }
};

template <class T>
GramOperator<T>::GramOperator(const Program& program, const T* x, std::int64_t n, const T* z,
                              std::int64_t m, std::int64_t d, bool ntk, const GramOptions& options,
                              std::int64_t table_bytes)
    : parts_(new Parts{ntk,
                       n,
                       z == nullptr ? n : m,
                       {program, x, n, z, m, d, options,
                        table_bytes > 0 ? table_bytes : kept_tables(n, m, d, sizeof(T))},
                       {},
                       {}}) {
  if (parts_->n > 0 && parts_->m > 0) {
    parts_->source.prepare(options.monitor, [&](const RowTables<T>& table, bool is_left) {
      (is_left ? parts_->left : parts_->right)
          .add(table.rows(), table.root(0), table.nngp_diagonal(0),
               ntk ? table.ntk_diagonal(0) : nullptr);
    });
  }
  parts_->left.finish();
  parts_->right.finish();
}

template <class T>
GramOperator<T>::~GramOperator() = default;

template <class T>
std::int64_t GramOperator<T>::rows() const {
  return parts_->n;
}

template <class T>
std::int64_t GramOperator<T>::columns() const {
  return parts_->m;
}

template <class T>
void GramOperator<T>::multiply(const double* v, std::int64_t count, bool transposed, double* out,
                               const Monitor& monitor) const {
  const bool symmetric = parts_->source.symmetric(), to_columns = transposed && !symmetric;
  if (parts_->n == 0 || parts_->m == 0 || count == 0) {
    std::fill_n(out, (to_columns ? parts_->m : parts_->n) * count, 0.0);
    return;
  }
  const DiagonalRoots& met = to_columns ? parts_->left : parts_->columns();
  const DiagonalRoots& summed = to_columns ? parts_->columns() : parts_->left;
  const ScaledVectors<T> vectors(v, met.rows(), count, met.roots());
  TileProduct<T> product(parts_->ntk, !to_columns, symmetric || to_columns, vectors, summed);
  parts_->source.run({{}, &product}, monitor);
  finish_sums(product.sums(), count, 1, summed, vectors.exponents, out);
}

std::int64_t operator_bytes(const Program& program, std::int64_t n, std::int64_t m, std::int64_t d,
                            std::int64_t itemsize, int threads, std::int64_t count) {
  const TileGrid grid = tile_grid(n, m == 0 ? n : m);
  const std::int64_t edge = std::max(grid.rows, grid.cols);
  // Per row: root, scale and exponent; per vector: the scaled vector and the sum.
  return source_bytes(program, n, m, d, itemsize, threads, kept_tables(n, m, d, itemsize)) +
         (n + m) * 20 + std::max(n, m) * count * (itemsize + 8) +
         threads * edge * kVectorsAtOnce * itemsize;
}

template class GramOperator<float>;
template class GramOperator<double>;

}  // namespace ntkfast::cpu
