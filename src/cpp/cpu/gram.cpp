#include "cpu/gram.hpp"

#include <algorithm>

#include "cpu/dispatch.hpp"
#include "cpu/gram_source.hpp"

namespace ntkfast::cpu {
namespace {

// Has the system hand out the pages of the results before the tiles are computed: it clears them,
// and doing so page by page between products, in caches that the products fill, takes twice as
// long.
template <class T>
void touch_results(const std::vector<GramOutput<T>>& outputs, std::int64_t size, int threads,
                   const Monitor& monitor) {
  constexpr std::int64_t kPage = 4096, kPagesPerTask = 4096;
  const std::int64_t pages = size * static_cast<std::int64_t>(sizeof(T)) / kPage;
  if (pages < kPagesPerTask) return;
  std::vector<unsigned char*> results;
  for (const auto& out : outputs) {
    if (out.nngp != nullptr) results.push_back(reinterpret_cast<unsigned char*>(out.nngp));
    if (out.ntk != nullptr) results.push_back(reinterpret_cast<unsigned char*>(out.ntk));
  }
  const std::int64_t chunks = (pages + kPagesPerTask - 1) / kPagesPerTask;
  Tasks tasks(chunks * static_cast<std::int64_t>(results.size()), threads, monitor);
  tasks.run([&](int, std::int64_t index) {
    volatile unsigned char* result = results[static_cast<std::size_t>(index / chunks)];
    const std::int64_t first = index % chunks * kPagesPerTask;
    for (std::int64_t p = first; p < std::min(pages, first + kPagesPerTask); ++p) {
      result[p * kPage] = 0;
    }
  });
}

}  // namespace

template <class T>
void gram(const Program& program, const T* x, std::int64_t n, const T* z, std::int64_t m,
          std::int64_t d, const std::vector<GramOutput<T>>& outputs, const GramOptions& options) {
  if (n == 0 || (z != nullptr && m == 0)) return;
  GramSource<T> source(program, x, n, z, m, d, options, kTableBytes);
  source.prepare(options.monitor);
  touch_results(outputs, source.rows() * source.columns(), source.threads(), options.monitor);
  source.run({outputs, nullptr}, options.monitor);
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
  return source_bytes(program, n, m, d, itemsize, threads, kTableBytes);
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
