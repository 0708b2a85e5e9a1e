#include "cpu/gram_source.hpp"

#include <algorithm>

#include "backend/blas.hpp"
#include "cpu/dispatch.hpp"

namespace ntkfast::cpu {
namespace {

// Centred rows up to this size are kept for the whole Gram; larger ones are made panel by panel.
constexpr std::int64_t kKeptBytes = std::int64_t{32} << 20;
// Fewer entry-operations than this are done before a second thread has started.
constexpr std::int64_t kWorkPerThread = 1 << 22;

// Rows whose tables are held at one time: a multiple of every tile edge, so the grid stays the
// same.
std::int64_t slab_rows(const Program& program, std::int64_t itemsize, std::int64_t table_bytes) {
  const std::int64_t rows = table_bytes / (table_width(program) * itemsize);
  return std::max<std::int64_t>(1, rows / kLargeTiles.cols) * kLargeTiles.cols;
}

// m is 0 for a symmetric Gram.
bool keep_rows(std::int64_t n, std::int64_t m, std::int64_t d, std::int64_t itemsize) {
  return (n + m) * d * itemsize <= kKeptBytes;
}

int useful_threads(const Program& program, std::int64_t n, std::int64_t m, std::int64_t d,
                   int threads) {
  const double work = static_cast<double>(n) * static_cast<double>(m) *
                      static_cast<double>(d + 50 * program.layers);
  const double useful = work / static_cast<double>(kWorkPerThread);
  return std::max(1, useful < threads ? static_cast<int>(useful) : threads);
}

template <class T>
std::vector<T> narrow(const std::vector<double>& values) {
  return std::vector<T>(values.begin(), values.end());
}

}  // namespace

template <class T>
GramSource<T>::GramSource(const Program& program, const T* x, std::int64_t n, const T* z,
                          std::int64_t m, std::int64_t d, const GramOptions& options,
                          std::int64_t table_bytes)
    : program_(program),
      n_(n),
      m_(z == nullptr ? n : m),
      d_(d),
      kernels_(tile_kernels<T>(options.isa)),
      threads_(useful_threads(program, n_, m_, d, options.threads)),
      slab_(slab_rows(program, sizeof(T), table_bytes)),
      x_(kernels_, x, n_, d, "X") {
  use_single_threaded_blas();
  if (z != nullptr) z_.emplace(kernels_, z, m_, d, "Z");
}

template <class T>
typename GramSource<T>::Tables GramSource<T>::make_tables(const InputRows<T>& rows, Range slab,
                                                          bool left, const Monitor& monitor) const {
  return std::make_unique<RowTables<T>>(program_, rows.p() + slab.begin, slab.end - slab.begin,
                                        slab.begin, left || !z_ ? "X" : "Z", threads_, monitor);
}

template <class T>
SideNumbers<T> GramSource<T>::side_numbers(const InputRows<T>& rows,
                                           const RepairPolicy& policy) const {
  return {rows.factors(), narrow<T>(rows.half_norm()), policy.template thresholds<T>(rows)};
}

template <class T>
void GramSource<T>::prepare(const Monitor& monitor, const Visitor& visit) {
  anchor_ = prepare_rows(x_, z_ ? &*z_ : nullptr, d_, keep_rows(n_, z_ ? m_ : 0, d_, sizeof(T)),
                         threads_, monitor);
  // All tables are made once before anything is computed: an overflow is found here.
  table_x_ = check_tables(x_, true, monitor, visit);
  if (z_) table_z_ = check_tables(*z_, false, monitor, visit);
  const RepairPolicy policy = choose_repair(program_, x_, other(), d_);
  side_x_ = side_numbers(x_, policy);
  if (z_) side_z_ = side_numbers(*z_, policy);
}

// Makes the tables of all rows, slab by slab; returns them where one slab holds them all.
template <class T>
typename GramSource<T>::Tables GramSource<T>::check_tables(const InputRows<T>& rows, bool left,
                                                           const Monitor& monitor,
                                                           const Visitor& visit) const {
  Tables tables;
  for (std::int64_t i = 0; i < rows.rows(); i += slab_) {
    tables.reset();
    tables = make_tables(rows, {i, std::min(rows.rows(), i + slab_)}, left, monitor);
    if (visit) visit(*tables, left);
  }
  return rows.rows() <= slab_ ? std::move(tables) : nullptr;
}

template <class T>
void GramSource<T>::run(const TileSink<T>& sink, const Monitor& monitor) const {
  for (std::int64_t i = 0; i < n_; i += slab_) {
    const Range rows{i, std::min(n_, i + slab_)};
    const Tables own_left = table_x_ ? nullptr : make_tables(x_, rows, true, monitor);
    const RowTables<T>& left = table_x_ ? *table_x_ : *own_left;
    for (std::int64_t j = 0; j < (z_ ? m_ : rows.end); j += slab_) {
      const Range cols{j, std::min(m_, j + slab_)};
      const bool shared = !z_ && i == j;
      const Tables own_right =
          shared || table_z_ ? nullptr : make_tables(other(), cols, false, monitor);
      run_slabs(rows, cols, left, shared ? left : table_z_ ? *table_z_ : *own_right, sink, monitor);
    }
  }
}

// The tiles of rows x columns; of a symmetric Gram those on and below the diagonal. Largest first,
// so that no thread starts a long one when the others are done.
template <class T>
std::vector<TileRange> GramSource<T>::make_tiles(Range rows, Range cols, TileGrid grid,
                                                 bool symmetric) {
  std::vector<TileRange> tiles;
  for (std::int64_t i0 = rows.begin; i0 < rows.end; i0 += grid.rows) {
    const std::int64_t i1 = std::min(rows.end, i0 + grid.rows);
    const std::int64_t end = symmetric ? std::min(cols.end, i1) : cols.end;
    for (std::int64_t j0 = cols.begin; j0 < end; j0 += grid.cols) {
      tiles.push_back({i0, j0, static_cast<int>(i1 - i0),
                       static_cast<int>(std::min<std::int64_t>(grid.cols, end - j0))});
    }
  }
  std::stable_sort(tiles.begin(), tiles.end(), [](const TileRange& a, const TileRange& b) {
    return a.rows * a.cols > b.rows * b.cols;
  });
  return tiles;
}

template <class T>
void GramSource<T>::run_slabs(Range rows, Range cols, const RowTables<T>& left,
                              const RowTables<T>& right, const TileSink<T>& sink,
                              const Monitor& monitor) const {
  const bool symmetric = !z_;
  const TileGrid grid = tile_grid(n_, m_);
  const GramContext<T> context{
      kernels_,   program_,
      x_,         other(),
      d_,         symmetric,
      side_x_,    symmetric ? side_x_ : side_z_,
      left,       rows.begin,
      cols.begin, bind_program(program_, kernels_, left, right, sink.wants_ntk()),
      sink,       m_,
      grid,       x_.at_hand(),
  };
  const auto tiles = make_tiles(rows, cols, grid, symmetric);
  Tasks tasks(static_cast<std::int64_t>(tiles.size()), threads_, monitor);
  std::vector<std::unique_ptr<TileWorker<T>>> workers(static_cast<std::size_t>(threads_));
  tasks.run([&](int worker, std::int64_t index) {
    auto& own = workers[static_cast<std::size_t>(worker)];
    if (!own) own = std::make_unique<TileWorker<T>>(context);
    own->run(tiles[static_cast<std::size_t>(index)], tasks, worker);
  });
}

std::int64_t source_bytes(const Program& program, std::int64_t n, std::int64_t m, std::int64_t d,
                          std::int64_t itemsize, int threads, std::int64_t table_bytes) {
  const bool kept = keep_rows(n, m, d, itemsize);
  const TileGrid grid = tile_grid(n, m == 0 ? n : m);
  const std::int64_t slab = slab_rows(program, itemsize, table_bytes);
  const std::int64_t tables = std::min(n, slab) + std::min(m == 0 && n > slab ? n : m, slab);
  // Per row: p, inverse, half norm in double; factor, half norm and threshold in T.
  const std::int64_t row = 3 * 8 + 3 * itemsize;
  const std::int64_t scratch = itemsize == 4
                                   ? TileWorker<float>::scratch_bytes(program, grid, kept)
                                   : TileWorker<double>::scratch_bytes(program, grid, kept);
  // BLAS packs panels of its own for every thread that calls it: about 2 MiB each.
  constexpr std::int64_t kBlasBytes = std::int64_t{2} << 20;
  return (n + m) * row + tables * table_width(program) * itemsize +
         (kept ? (n + m) * d * itemsize : 0) + threads * (scratch + kBlasBytes) + 8 * d;
}

template class GramSource<float>;
template class GramSource<double>;

}  // namespace ntkfast::cpu
