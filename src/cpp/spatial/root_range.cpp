#include "spatial/root_range.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "backend/parallel.hpp"
#include "spatial/gram.hpp"
#include "spatial/image_columns.hpp"

namespace ntkfast::spatial {
namespace {

constexpr RootRange kEmpty{std::numeric_limits<double>::infinity(), 0};

RootRange range_of(const std::vector<double>& roots) {
  RootRange range = kEmpty;
  for (const double p : roots) {
    if (p > 0) range = {std::min(range.low, p), std::max(range.high, p)};
  }
  return range;
}

}  // namespace

template <class T>
RootRange root_range(const Program& program, const T* x, std::int64_t n, const char* argument,
                     const cpu::GramOptions& options) {
  const auto output = std::find_if(program.ops.begin(), program.ops.end(),
                                   [](const Op& op) { return op.kind == OpKind::Output; });
  const Value& value = program.values[static_cast<std::size_t>(output->in)];
  if (!value.grid.has_positions()) {
    std::vector<T> nngp(static_cast<std::size_t>(n));
    diagonal<T>(program, x, n, {{nngp.data(), nullptr}}, options);
    std::vector<double> roots;
    for (const T K : nngp) roots.push_back(std::sqrt(static_cast<double>(K)));
    return range_of(roots);
  }
  const SpatialPlan plan(program);
  const Sweep own(plan, Sweep::Of::Itself);
  const int threads = std::max(1, options.threads);
  std::vector<std::unique_ptr<MapRunner<T>>> runners;
  for (int t = 0; t < threads; ++t) {
    runners.push_back(std::make_unique<MapRunner<T>>(plan, false, options.isa));
  }
  const Value& input = program.values[0];
  const std::int64_t size = input.grid.count() * input.width;
  std::vector<RootRange> ranges(static_cast<std::size_t>(n), kEmpty);
  Tasks tasks(n, threads, options.monitor);
  tasks.run([&](int worker, std::int64_t i) {
    std::vector<double> roots;
    const ImageColumns<T> columns(plan, own, *runners[static_cast<std::size_t>(worker)],
                                  x + i * size, i, argument, {output->in, &roots});
    ranges[static_cast<std::size_t>(i)] = range_of(roots);
  });
  RootRange whole = kEmpty;
  for (const RootRange& range : ranges) {
    whole = {std::min(whole.low, range.low), std::max(whole.high, range.high)};
  }
  return whole;
}

template RootRange root_range(const Program&, const float*, std::int64_t, const char*,
                              const cpu::GramOptions&);
template RootRange root_range(const Program&, const double*, std::int64_t, const char*,
                              const cpu::GramOptions&);

}  // namespace ntkfast::spatial
