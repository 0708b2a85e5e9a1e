#include "spatial/gram.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <string>

#include "backend/parallel.hpp"
#include "error.hpp"
#include "spatial/head.hpp"
#include "spatial/image_columns.hpp"
#include "spatial/map_runner.hpp"

namespace ntkfast::spatial {
namespace {

// Columns of a tile at one offset stay in the second-level cache.
constexpr std::int64_t kTileBytes = 1 << 20;
constexpr std::int64_t kLargestTile = 16;
// With so many tiles there is enough to deal; with fewer, offsets are dealt as well.
constexpr std::int64_t kManyTiles = 64, kOffsetGroups = 16;

std::int64_t column_bytes(const SpatialPlan& plan, std::int64_t itemsize) {
  return OffsetLayout(plan, {0, 0}).size * itemsize;
}

// Depends on the network and the images' size alone, so that results never depend on threads.
std::int64_t tile_edge(const SpatialPlan& plan, std::int64_t itemsize) {
  return std::clamp<std::int64_t>(kTileBytes / (2 * column_bytes(plan, itemsize)), 1, kLargestTile);
}

// The columns of several images, and those of one offset as the maps read them.
template <class T>
class TileSide {
 public:
  TileSide(const SpatialPlan& plan, const T* images, std::int64_t first, std::int64_t count,
           const char* argument)
      : plan_(plan), first_(first) {
    const Value& input = plan.program().values[0];
    const std::int64_t size = input.grid.count() * input.width;
    for (std::int64_t i = first; i < first + count; ++i) {
      images_.emplace_back(plan, images + i * size, i, argument);
    }
  }
  std::int64_t first() const { return first_; }
  std::int64_t count() const { return static_cast<std::int64_t>(images_.size()); }

  void move_to(const OffsetLayout& layout, bool left) {
    stride_ = layout.size;
    if (window_size_ < stride_ * count()) {
      window_size_ = stride_ * count();
      windows_ = cpu::aligned_array<T>(static_cast<std::size_t>(window_size_));
    }
    const auto& columns = plan_.columns();
    for (std::int64_t i = 0; i < count(); ++i) {
      for (std::size_t k = 0; k < columns.size(); ++k) {
        const auto value = static_cast<std::size_t>(columns[k].value);
        copy_window(images_[static_cast<std::size_t>(i)].column(k),
                    plan_.program().values[value].grid, layout.shape[value], left, columns[k].edge,
                    plan_.circular(), plan_.border(),
                    windows_.get() + i * stride_ + layout.column[k]);
      }
    }
  }
  const T* window(std::int64_t i) const { return windows_.get() + i * stride_; }

 private:
  const SpatialPlan& plan_;
  std::int64_t first_, stride_ = 0, window_size_ = 0;
  std::vector<ImageColumns<T>> images_;
  cpu::AlignedArray<T> windows_;
};

struct Tile {
  std::int64_t i0, rows, j0, cols;
};

template <class T>
class Engine {
 public:
  Engine(const Program& program, const std::vector<cpu::GramOutput<T>>& outputs,
         const cpu::GramOptions& options)
      : plan_(program),
        ntk_(std::any_of(outputs.begin(), outputs.end(),
                         [](const auto& out) { return out.ntk != nullptr; })),
        head_(plan_, ntk_, options.isa),
        outputs_(outputs),
        options_(options),
        readouts_(static_cast<std::size_t>(readout_count(program))),
        threads_(std::max(1, options.threads)) {
    for (int t = 0; t < threads_; ++t) {
      runners_.push_back(std::make_unique<MapRunner<T>>(plan_, ntk_, options.isa));
    }
  }

  void gram(const T* x, std::int64_t n, const T* z, std::int64_t m);
  void diagonal(const T* x, std::int64_t n);

 private:
  using Sums = std::vector<Readout>;  // readouts of every pair of a tile

  std::vector<HeadRow> rows(const T* images, std::int64_t n, const char* argument);
  Sums own_readouts(const T* images, std::int64_t n, const char* argument);
  void add_offsets(const Tile& tile, const T* x, const T* z, std::size_t begin, std::size_t end,
                   Tasks& tasks, int worker, Sums& sums);
  void finish(const Tile& tile, bool symmetric, const Sums& sums, std::int64_t columns);
  void write(std::int64_t at, int output, const Readout& value);
  // Pairs above the diagonal are mirrored.
  static bool skipped(const Tile& tile, bool symmetric, std::int64_t i, std::int64_t j) {
    return symmetric && tile.j0 + j > tile.i0 + i;
  }

  SpatialPlan plan_;
  bool ntk_;
  Head head_;
  const std::vector<cpu::GramOutput<T>>& outputs_;
  const cpu::GramOptions& options_;
  std::size_t readouts_;
  int threads_;
  std::vector<std::unique_ptr<MapRunner<T>>> runners_;
  std::vector<HeadRow> left_, right_;
};

template <class T>
typename Engine<T>::Sums Engine<T>::own_readouts(const T* images, std::int64_t n,
                                                 const char* argument) {
  Sums sums(static_cast<std::size_t>(n) * readouts_);
  Tasks tasks(n, threads_, options_.monitor);
  tasks.run([&](int worker, std::int64_t i) {
    TileSide<T> left(plan_, images, i, 1, argument), right(plan_, images, i, 1, argument);
    for (const Offset& offset : plan_.offsets()) {
      tasks.checkpoint(worker);
      const OffsetLayout layout(plan_, offset);
      left.move_to(layout, true);
      right.move_to(layout, false);
      runners_[static_cast<std::size_t>(worker)]->run(
          layout, left.window(0), right.window(0), true,
          sums.data() + static_cast<std::size_t>(i) * readouts_);
    }
  });
  return sums;
}

template <class T>
std::vector<HeadRow> Engine<T>::rows(const T* images, std::int64_t n, const char* argument) {
  const Sums sums = own_readouts(images, n, argument);
  std::vector<HeadRow> rows;
  for (std::int64_t i = 0; i < n; ++i) {
    rows.push_back(head_.row(sums.data() + static_cast<std::size_t>(i) * readouts_, i, argument));
  }
  return rows;
}

template <class T>
void Engine<T>::add_offsets(const Tile& tile, const T* x, const T* z, std::size_t begin,
                            std::size_t end, Tasks& tasks, int worker, Sums& sums) {
  const bool symmetric = z == nullptr;
  TileSide<T> left(plan_, x, tile.i0, tile.rows, "X");
  TileSide<T> right(plan_, symmetric ? x : z, tile.j0, tile.cols, symmetric ? "X" : "Z");
  MapRunner<T>& runner = *runners_[static_cast<std::size_t>(worker)];
  for (std::size_t k = begin; k < end; ++k) {
    const OffsetLayout layout(plan_, plan_.offsets()[k]);
    left.move_to(layout, true);
    right.move_to(layout, false);
    for (std::int64_t i = 0; i < tile.rows; ++i) {
      tasks.checkpoint(worker);
      for (std::int64_t j = 0; j < tile.cols && !skipped(tile, symmetric, i, j); ++j) {
        const bool same = symmetric && tile.i0 + i == tile.j0 + j;
        runner.run(layout, left.window(i), right.window(j), same,
                   sums.data() + static_cast<std::size_t>(i * tile.cols + j) * readouts_);
      }
    }
  }
}

template <class T>
void Engine<T>::write(std::int64_t at, int output, const Readout& value) {
  const auto& out = outputs_[static_cast<std::size_t>(output)];
  if (out.nngp != nullptr) out.nngp[at] = static_cast<T>(value.nngp);
  if (out.ntk != nullptr) out.ntk[at] = static_cast<T>(value.ntk);
}

template <class T>
void Engine<T>::finish(const Tile& tile, bool symmetric, const Sums& sums, std::int64_t columns) {
  std::vector<Readout> results(outputs_.size());
  const bool rows = head_.needs_rows();
  const auto& right = symmetric ? left_ : right_;
  for (std::int64_t i = 0; i < tile.rows; ++i) {
    for (std::int64_t j = 0; j < tile.cols && !skipped(tile, symmetric, i, j); ++j) {
      const std::int64_t a = tile.i0 + i, b = tile.j0 + j;
      head_.run(sums.data() + static_cast<std::size_t>(i * tile.cols + j) * readouts_,
                rows ? &left_[static_cast<std::size_t>(a)] : nullptr,
                rows ? &right[static_cast<std::size_t>(b)] : nullptr, symmetric && a == b,
                results.data());
      for (std::size_t k = 0; k < results.size(); ++k) {
        if (!std::isfinite(static_cast<T>(results[k].nngp)) ||
            !std::isfinite(static_cast<T>(results[k].ntk))) {
          throw KernelOverflow("images " + std::to_string(a) + " and " + std::to_string(b) +
                               " give a kernel value beyond the largest finite number of its "
                               "dtype: scale the inputs down or use float64");
        }
        write(a * columns + b, static_cast<int>(k), results[k]);
        if (symmetric && a != b) write(b * columns + a, static_cast<int>(k), results[k]);
      }
    }
  }
}

template <class T>
void Engine<T>::gram(const T* x, std::int64_t n, const T* z, std::int64_t m) {
  const bool symmetric = z == nullptr;
  if (head_.needs_rows()) {
    left_ = rows(x, n, "X");
    if (!symmetric) right_ = rows(z, m, "Z");
  }
  const std::int64_t edge = tile_edge(plan_, sizeof(T));
  std::vector<Tile> tiles;
  for (std::int64_t i = 0; i < n; i += edge) {
    for (std::int64_t j = 0; j < (symmetric ? std::min(n, i + edge) : m); j += edge) {
      tiles.push_back({i, std::min(edge, n - i), j, std::min(edge, m - j)});
    }
  }
  const auto offsets = plan_.offsets().size();
  const auto groups =
      static_cast<std::size_t>(static_cast<std::int64_t>(tiles.size()) >= kManyTiles
                                   ? 1
                                   : std::min(static_cast<std::int64_t>(offsets), kOffsetGroups));
  std::vector<std::vector<Sums>> sums(tiles.size(), std::vector<Sums>(groups));
  const auto unfinished = std::make_unique<std::atomic<std::size_t>[]>(tiles.size());
  for (std::size_t t = 0; t < tiles.size(); ++t) unfinished[t] = groups;
  Tasks tasks(static_cast<std::int64_t>(tiles.size() * groups), threads_, options_.monitor);
  tasks.run([&](int worker, std::int64_t index) {
    const auto t = static_cast<std::size_t>(index) / groups,
               g = static_cast<std::size_t>(index) % groups;
    const Tile& tile = tiles[t];
    Sums& own = sums[t][g];
    own.resize(static_cast<std::size_t>(tile.rows * tile.cols) * readouts_);
    add_offsets(tile, x, z, offsets * g / groups, offsets * (g + 1) / groups, tasks, worker, own);
    if (unfinished[t].fetch_sub(1) != 1) return;
    Sums& total = sums[t][0];
    for (std::size_t k = 1; k < groups; ++k) {
      for (std::size_t p = 0; p < total.size(); ++p) {
        total[p].nngp += sums[t][k][p].nngp;
        total[p].ntk += sums[t][k][p].ntk;
      }
    }
    finish(tile, symmetric, total, m);
    for (Sums& part : sums[t]) Sums().swap(part);
  });
}

template <class T>
void Engine<T>::diagonal(const T* x, std::int64_t n) {
  const Sums sums = own_readouts(x, n, "X");
  std::vector<Readout> results(outputs_.size());
  for (std::int64_t i = 0; i < n; ++i) {
    const Readout* own = sums.data() + static_cast<std::size_t>(i) * readouts_;
    const HeadRow row = head_.row(own, i, "X");
    head_.run(own, &row, &row, true, results.data());
    for (std::size_t k = 0; k < results.size(); ++k) write(i, static_cast<int>(k), results[k]);
  }
}

}  // namespace

template <class T>
void gram(const Program& program, const T* x, std::int64_t n, const T* z, std::int64_t m,
          const std::vector<cpu::GramOutput<T>>& outputs, const cpu::GramOptions& options) {
  Engine<T>(program, outputs, options).gram(x, n, z, z == nullptr ? n : m);
}

template <class T>
void diagonal(const Program& program, const T* x, std::int64_t n,
              const std::vector<cpu::GramOutput<T>>& outputs, const cpu::GramOptions& options) {
  Engine<T>(program, outputs, options).diagonal(x, n);
}

Cost plan_cost(const Program& program, std::int64_t n, std::int64_t m, std::int64_t itemsize,
               int threads) {
  const SpatialPlan plan(program);
  Cost cost{static_cast<std::int64_t>(plan.offsets().size()), 0, 0};
  for (const Offset& offset : plan.offsets()) {
    const OffsetLayout layout(plan, offset);
    for (const PlannedStep& step : plan.steps(true)) {
      if (step.op->kind == OpKind::Output || !plan.on_maps(*step.op)) continue;
      cost.lanes += static_cast<double>(layout.shape[static_cast<std::size_t>(step.op->in)].lanes);
    }
  }
  const std::int64_t edge = tile_edge(plan, itemsize), per_image = 2 * column_bytes(plan, itemsize);
  const std::int64_t scratch = itemsize == 4 ? MapRunner<float>::scratch_bytes(plan)
                                             : MapRunner<double>::scratch_bytes(plan);
  const auto readouts = static_cast<std::int64_t>(sizeof(Readout)) * readout_count(program);
  cost.workspace_bytes =
      threads * (2 * edge * per_image + scratch + kOffsetGroups * edge * edge * readouts) +
      (n + m) * (readouts + 512);
  return cost;
}

#define NTKFAST_INSTANTIATE(T)                                                         \
  template void gram(const Program&, const T*, std::int64_t, const T*, std::int64_t,   \
                     const std::vector<cpu::GramOutput<T>>&, const cpu::GramOptions&); \
  template void diagonal(const Program&, const T*, std::int64_t,                       \
                         const std::vector<cpu::GramOutput<T>>&, const cpu::GramOptions&);
NTKFAST_INSTANTIATE(float)
NTKFAST_INSTANTIATE(double)
#undef NTKFAST_INSTANTIATE

}  // namespace ntkfast::spatial
