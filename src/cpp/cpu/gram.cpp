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
// Fewer entry-operations than this are done before a second thread has started.
constexpr std::int64_t kWorkPerThread = 1 << 22;

std::int64_t blocks(std::int64_t n, int tile) { return (n + tile - 1) / tile; }

// Tile number `index`: row by row, below the diagonal only when symmetric.
TileRange tile_range(std::int64_t index, std::int64_t n, std::int64_t m, bool symmetric, int tile) {
  std::int64_t row = 0, col = 0;
  if (symmetric) {
    row = static_cast<std::int64_t>((std::sqrt(8.0 * static_cast<double>(index) + 1.0) - 1.0) / 2.0);
    while (row * (row + 1) / 2 > index) --row;
    while ((row + 1) * (row + 2) / 2 <= index) ++row;
    col = index - row * (row + 1) / 2;
  } else {
    row = index / blocks(m, tile);
    col = index % blocks(m, tile);
  }
  const std::int64_t i0 = row * tile, j0 = col * tile;
  return {i0, j0, static_cast<int>(std::min<std::int64_t>(tile, n - i0)),
          static_cast<int>(std::min<std::int64_t>(tile, m - j0))};
}

bool keep_rows(std::int64_t n, std::int64_t m, bool symmetric, std::int64_t d,
               std::int64_t itemsize) {
  return (n + (symmetric ? 0 : m)) * d * itemsize <= kKeptBytes;
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
  return std::any_of(outputs.begin(), outputs.end(), [](const auto& out) { return out.ntk != nullptr; });
}

template <class T>
void run_tiles(const GramContext<T>& context, std::int64_t n, std::int64_t m, int threads,
               const Monitor& monitor) {
  const std::int64_t rows = blocks(n, context.tile), cols = blocks(m, context.tile);
  Tasks tasks(context.symmetric ? rows * (rows + 1) / 2 : rows * cols, threads, monitor);
  std::vector<std::unique_ptr<TileWorker<T>>> workers(static_cast<std::size_t>(threads));
  tasks.run([&](int worker, std::int64_t index) {
    auto& own = workers[static_cast<std::size_t>(worker)];
    if (!own) own = std::make_unique<TileWorker<T>>(context);
    own->run(tile_range(index, n, m, context.symmetric, context.tile), tasks, worker);
  });
}

}  // namespace

template <class T>
void gram(const Program& program, const T* x, std::int64_t n, const T* z, std::int64_t m,
          std::int64_t d, const std::vector<GramOutput<T>>& outputs, const GramOptions& options) {
  const bool symmetric = z == nullptr;
  if (symmetric) m = n;
  if (n == 0 || m == 0) return;
  use_single_threaded_blas();
  const auto& kernels = tile_kernels<T>(options.isa);
  const int threads = useful_threads(program, n, m, d, options.threads);
  const bool kept = keep_rows(n, m, symmetric, d, sizeof(T));

  InputRows<T> rows_x(kernels, x, n, d, threads, options.monitor);
  std::optional<InputRows<T>> rows_z;
  if (!symmetric) rows_z.emplace(kernels, z, m, d, threads, options.monitor);
  InputRows<T>& other = symmetric ? rows_x : *rows_z;

  const RowTables<T> table_x(program, rows_x.p(), n, "X", threads, options.monitor);
  std::optional<RowTables<T>> table_z;
  if (!symmetric) table_z.emplace(program, rows_z->p(), m, "Z", threads, options.monitor);

  const auto anchor = choose_anchor(rows_x, symmetric ? nullptr : &*rows_z, d);
  rows_x.center(anchor.data(), kept, threads, options.monitor);
  if (!symmetric) rows_z->center(anchor.data(), kept, threads, options.monitor);

  const RepairPolicy policy = choose_repair(program, rows_x, other, d);
  const GramContext<T> context{
      kernels,
      program,
      rows_x,
      other,
      d,
      symmetric,
      narrow<T>(rows_x.half_norm()),
      narrow<T>(other.half_norm()),
      policy.thresholds(rows_x),
      policy.thresholds(other),
      table_x,
      bind_program(program, kernels, table_x, symmetric ? table_x : *table_z, wants_ntk(outputs)),
      outputs,
      m,
      tile_size(n, m),
      kept,
  };
  run_tiles(context, n, m, threads, options.monitor);
}

template <class T>
void diagonal(const Program& program, const T* x, std::int64_t n, std::int64_t d,
              const std::vector<GramOutput<T>>& outputs, const GramOptions& options) {
  const auto& kernels = tile_kernels<T>(options.isa);
  const InputRows<T> rows(kernels, x, n, d, options.threads, options.monitor);
  const RowTables<T> table(program, rows.p(), n, "X", options.threads, options.monitor);
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    const int out = static_cast<int>(k);
    if (outputs[k].nngp != nullptr) std::copy_n(table.nngp_diagonal(out), n, outputs[k].nngp);
    if (outputs[k].ntk != nullptr) std::copy_n(table.ntk_diagonal(out), n, outputs[k].ntk);
  }
}

template <class T>
double conditioning(const Program& program, const T* x, std::int64_t n, std::int64_t d,
                    const GramOptions& options) {
  const InputRows<T> rows(tile_kernels<T>(options.isa), x, n, d, options.threads, options.monitor);
  return RowTables<T>(program, rows.p(), n, "X", options.threads, options.monitor).conditioning();
}

std::int64_t workspace_bytes(const Program& program, std::int64_t n, std::int64_t m,
                             std::int64_t d, std::int64_t itemsize, int threads) {
  const bool kept = keep_rows(n, m, m == 0, d, itemsize);
  std::int64_t columns = 3 * program.outputs;
  for (const Op& op : program.ops) columns += column_count(op);
  // Per row: p, scale, inverse, half norm in double; half norm and threshold in T; the tables.
  const std::int64_t row = 4 * 8 + 2 * itemsize + columns * itemsize;
  const int tile = tile_size(n, m == 0 ? n : m);
  const std::int64_t scratch = itemsize == 4
                                   ? TileWorker<float>::scratch_bytes(program, tile, kept)
                                   : TileWorker<double>::scratch_bytes(program, tile, kept);
  // BLAS packs panels of its own for every thread that calls it: about 2 MiB each.
  constexpr std::int64_t kBlasBytes = std::int64_t{2} << 20;
  return (n + m) * row + (kept ? (n + m) * d * itemsize : 0) + threads * (scratch + kBlasBytes) +
         8 * d;
}

#define NTKFAST_INSTANTIATE(T)                                                                     \
  template void gram(const Program&, const T*, std::int64_t, const T*, std::int64_t, std::int64_t, \
                     const std::vector<GramOutput<T>>&, const GramOptions&);                       \
  template void diagonal(const Program&, const T*, std::int64_t, std::int64_t,                     \
                         const std::vector<GramOutput<T>>&, const GramOptions&);                   \
  template double conditioning(const Program&, const T*, std::int64_t, std::int64_t,               \
                               const GramOptions&);
NTKFAST_INSTANTIATE(float)
NTKFAST_INSTANTIATE(double)
#undef NTKFAST_INSTANTIATE

}  // namespace ntkfast::cpu
