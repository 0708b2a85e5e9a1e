#include "cpu/gram.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

#include "backend/blas.hpp"
#include "cpu/dispatch.hpp"
#include "cpu/repair.hpp"
#include "cpu/tile.hpp"

namespace ntkfast::cpu {
namespace {

// Centred rows up to this size are kept for the whole Gram; larger ones are made panel by panel.
constexpr std::int64_t kKeptBytes = std::int64_t{32} << 20;
// Row tables up to this size are made at once; beyond, slab by slab of rows.
constexpr std::int64_t kTableBytes = std::int64_t{8} << 20;
// Fewer entry-operations than this are done before a second thread has started.
constexpr std::int64_t kWorkPerThread = 1 << 22;

// Rows whose tables are held at one time: a multiple of every tile edge, so the grid stays the
// same.
std::int64_t slab_rows(const Program& program, std::int64_t itemsize) {
  const std::int64_t rows = kTableBytes / (table_width(program) * itemsize);
  return std::max<std::int64_t>(1, rows / kLargeTiles.cols) * kLargeTiles.cols;
}

struct Range {
  std::int64_t begin, end;
};

// The tiles of rows x columns; of a symmetric Gram those on and below the diagonal. Largest first,
// so that no thread starts a long one when the others are done.
std::vector<TileRange> make_tiles(Range rows, Range cols, TileGrid grid, bool symmetric) {
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

template <class T>
bool wants_ntk(const std::vector<GramOutput<T>>& outputs) {
  return std::any_of(outputs.begin(), outputs.end(),
                     [](const auto& out) { return out.ntk != nullptr; });
}

// One Gram matrix: everything that lives as long as the call.
template <class T>
class Gram {
 public:
  Gram(const Program& program, const T* x, std::int64_t n, const T* z, std::int64_t m,
       std::int64_t d, const std::vector<GramOutput<T>>& outputs, const GramOptions& options)
      : program_(program),
        n_(n),
        m_(z == nullptr ? n : m),
        d_(d),
        outputs_(outputs),
        options_(options),
        kernels_(tile_kernels<T>(options.isa)),
        threads_(useful_threads(program, n_, m_, d, options.threads)),
        x_(kernels_, x, n_, d, "X") {
    if (z != nullptr) z_.emplace(kernels_, z, m_, d, "Z");
  }

  void run();

 private:
  using Tables = std::unique_ptr<RowTables<T>>;

  InputRows<T>& other() { return z_ ? *z_ : x_; }
  const char* name(bool left) const { return left || !z_ ? "X" : "Z"; }
  Tables make_tables(InputRows<T>& rows, Range slab, bool left) {
    return std::make_unique<RowTables<T>>(program_, rows.p() + slab.begin, slab.end - slab.begin,
                                          slab.begin, name(left), threads_, options_.monitor);
  }
  SideNumbers<T> side_numbers(const InputRows<T>& rows, const RepairPolicy& policy) const {
    return {rows.factors(), narrow<T>(rows.half_norm()), policy.template thresholds<T>(rows)};
  }
  void touch_results();
  Tables check_tables(InputRows<T>& rows, std::int64_t slab, bool left);
  void run_slabs(Range rows, Range cols, const RowTables<T>& left, const RowTables<T>& right);

  const Program& program_;
  std::int64_t n_, m_, d_;
  const std::vector<GramOutput<T>>& outputs_;
  const GramOptions& options_;
  const TileKernels<T>& kernels_;
  int threads_;
  std::vector<double> anchor_;
  InputRows<T> x_;
  std::optional<InputRows<T>> z_;  // empty: symmetric
  SideNumbers<T> side_x_, side_z_;
};

template <class T>
void Gram<T>::run() {
  anchor_ = prepare_rows(x_, z_ ? &*z_ : nullptr, d_, keep_rows(n_, z_ ? m_ : 0, d_, sizeof(T)),
                         threads_, options_.monitor);
  // All tables are made once before anything is computed: an overflow is found here.
  const std::int64_t slab = slab_rows(program_, sizeof(T));
  const Tables whole_x = check_tables(x_, slab, true);
  const Tables whole_z = z_ ? check_tables(*z_, slab, false) : nullptr;

  const RepairPolicy policy = choose_repair(program_, x_, other(), d_);
  side_x_ = side_numbers(x_, policy);
  if (z_) side_z_ = side_numbers(*z_, policy);

  touch_results();
  for (std::int64_t i = 0; i < n_; i += slab) {
    const Range rows{i, std::min(n_, i + slab)};
    const Tables own_left = whole_x ? nullptr : make_tables(x_, rows, true);
    const RowTables<T>& left = whole_x ? *whole_x : *own_left;
    for (std::int64_t j = 0; j < (z_ ? m_ : rows.end); j += slab) {
      const Range cols{j, std::min(m_, j + slab)};
      const bool shared = !z_ && i == j;
      const Tables own_right = shared || whole_z ? nullptr : make_tables(other(), cols, false);
      run_slabs(rows, cols, left, shared ? left : whole_z ? *whole_z : *own_right);
    }
  }
}

// Has the system hand out the pages of the results before the tiles are computed: it clears them,
// and doing so page by page between products, in caches that the products fill, takes twice as
// long.
template <class T>
void Gram<T>::touch_results() {
  constexpr std::int64_t kPage = 4096, kPagesPerTask = 4096;
  const std::int64_t pages = n_ * m_ * static_cast<std::int64_t>(sizeof(T)) / kPage;
  if (pages < kPagesPerTask) return;
  std::vector<unsigned char*> results;
  for (const auto& out : outputs_) {
    if (out.nngp != nullptr) results.push_back(reinterpret_cast<unsigned char*>(out.nngp));
    if (out.ntk != nullptr) results.push_back(reinterpret_cast<unsigned char*>(out.ntk));
  }
  const std::int64_t chunks = (pages + kPagesPerTask - 1) / kPagesPerTask;
  Tasks tasks(chunks * static_cast<std::int64_t>(results.size()), threads_, options_.monitor);
  tasks.run([&](int, std::int64_t index) {
    volatile unsigned char* result = results[static_cast<std::size_t>(index / chunks)];
    const std::int64_t first = index % chunks * kPagesPerTask;
    for (std::int64_t p = first; p < std::min(pages, first + kPagesPerTask); ++p) {
      result[p * kPage] = 0;
    }
  });
}

// Makes the tables of all rows, slab by slab; returns them where one slab holds them all.
template <class T>
typename Gram<T>::Tables Gram<T>::check_tables(InputRows<T>& rows, std::int64_t slab, bool left) {
  Tables tables;
  for (std::int64_t i = 0; i < rows.rows(); i += slab) {
    tables.reset();
    tables = make_tables(rows, {i, std::min(rows.rows(), i + slab)}, left);
  }
  return rows.rows() <= slab ? std::move(tables) : nullptr;
}

template <class T>
void Gram<T>::run_slabs(Range rows, Range cols, const RowTables<T>& left,
                        const RowTables<T>& right) {
  const bool symmetric = !z_;
  const TileGrid grid = tile_grid(n_, m_);
  const GramContext<T> context{
      kernels_,   program_,
      x_,         other(),
      d_,         symmetric,
      side_x_,    symmetric ? side_x_ : side_z_,
      left,       rows.begin,
      cols.begin, bind_program(program_, kernels_, left, right, wants_ntk(outputs_)),
      outputs_,   m_,
      grid,       x_.at_hand(),
  };
  const auto tiles = make_tiles(rows, cols, grid, symmetric);
  Tasks tasks(static_cast<std::int64_t>(tiles.size()), threads_, options_.monitor);
  std::vector<std::unique_ptr<TileWorker<T>>> workers(static_cast<std::size_t>(threads_));
  tasks.run([&](int worker, std::int64_t index) {
    auto& own = workers[static_cast<std::size_t>(worker)];
    if (!own) own = std::make_unique<TileWorker<T>>(context);
    own->run(tiles[static_cast<std::size_t>(index)], tasks, worker);
  });
}

}  // namespace

template <class T>
void gram(const Program& program, const T* x, std::int64_t n, const T* z, std::int64_t m,
          std::int64_t d, const std::vector<GramOutput<T>>& outputs, const GramOptions& options) {
  if (n == 0 || (z != nullptr && m == 0)) return;
  use_single_threaded_blas();
  Gram<T>(program, x, n, z, m, d, outputs, options).run();
}

template <class T>
void diagonal(const Program& program, const T* x, std::int64_t n, std::int64_t d,
              const std::vector<GramOutput<T>>& outputs, const GramOptions& options) {
  const auto& kernels = tile_kernels<T>(options.isa);
  InputRows<T> rows(kernels, x, n, d, "X");
  rows.measure(options.threads, options.monitor);
  const RowTables<T> table(program, rows.p(), n, 0, "X", options.threads, options.monitor);
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    const int out = static_cast<int>(k);
    if (outputs[k].nngp != nullptr) std::copy_n(table.nngp_diagonal(out), n, outputs[k].nngp);
    if (outputs[k].ntk != nullptr) std::copy_n(table.ntk_diagonal(out), n, outputs[k].ntk);
  }
}

template <class T>
std::vector<double> input_roots(const T* x, std::int64_t n, std::int64_t d,
                                const GramOptions& options) {
  InputRows<T> rows(tile_kernels<T>(options.isa), x, n, d, "X");
  rows.measure(options.threads, options.monitor);
  return {rows.p(), rows.p() + n};
}

template <class T>
double conditioning(const Program& program, const T* x, std::int64_t n, std::int64_t d,
                    const GramOptions& options) {
  InputRows<T> rows(tile_kernels<T>(options.isa), x, n, d, "X");
  rows.measure(options.threads, options.monitor);
  return RowTables<T>(program, rows.p(), n, 0, "X", options.threads, options.monitor)
      .conditioning();
}

std::int64_t workspace_bytes(const Program& program, std::int64_t n, std::int64_t m, std::int64_t d,
                             std::int64_t itemsize, int threads) {
  const bool kept = keep_rows(n, m, d, itemsize);
  const TileGrid grid = tile_grid(n, m == 0 ? n : m);
  const std::int64_t slab = slab_rows(program, itemsize);
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

#define NTKFAST_INSTANTIATE(T)                                                                     \
  template void gram(const Program&, const T*, std::int64_t, const T*, std::int64_t, std::int64_t, \
                     const std::vector<GramOutput<T>>&, const GramOptions&);                       \
  template void diagonal(const Program&, const T*, std::int64_t, std::int64_t,                     \
                         const std::vector<GramOutput<T>>&, const GramOptions&);                   \
  template std::vector<double> input_roots(const T*, std::int64_t, std::int64_t,                   \
                                           const GramOptions&);                                    \
  template double conditioning(const Program&, const T*, std::int64_t, std::int64_t,               \
                               const GramOptions&);
NTKFAST_INSTANTIATE(float)
NTKFAST_INSTANTIATE(double)
#undef NTKFAST_INSTANTIATE

}  // namespace ntkfast::cpu
