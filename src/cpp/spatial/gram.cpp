#include "spatial/gram.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <string>

#include "backend/parallel.hpp"
#include "error.hpp"
#include "spatial/image_columns.hpp"
#include "spatial/map_runner.hpp"
#include "spatial/pair_sink.hpp"

namespace ntkfast::spatial {
namespace {

// Columns of a tile at one offset stay in the second-level cache.
constexpr std::int64_t kTileBytes = 1 << 20;
constexpr std::int64_t kLargestTile = 16;
constexpr std::int64_t kGridMultiple = 64;
// With so many tiles there is enough to deal; with fewer, offsets are dealt as well.
constexpr std::int64_t kManyTiles = 64, kOffsetGroups = 16;

// Columns of images that are kept at a time.
constexpr std::int64_t kSlabBytes = 256 << 20;

template <class T>
std::int64_t slab_images(const SpatialPlan& plan) {
  // A multiple of all tile edges, so that slabs do not change the grid of tiles.
  return std::max<std::int64_t>(1, kSlabBytes / ImageColumns<T>::bytes(plan) / kGridMultiple) *
         kGridMultiple;
}

// Of one op in the head row of an image, about.
constexpr std::int64_t kRowBytes = 128;

std::int64_t column_bytes(const SpatialPlan& plan, std::int64_t itemsize) {
  return OffsetLayout(plan, {0, 0}).size * itemsize;
}

// Depends on the network and the images' size alone, so that results never depend on threads.
std::int64_t tile_edge(const SpatialPlan& plan, std::int64_t itemsize) {
  return std::clamp<std::int64_t>(kTileBytes / (2 * column_bytes(plan, itemsize)), 1, kLargestTile);
}

// Columns of consecutive images.
template <class T>
class Images {
 public:
  Images(const SpatialPlan& plan, const T* images, std::int64_t first, std::int64_t count,
         const char* argument, int threads, const Monitor& monitor)
      : first_(first), columns_(static_cast<std::size_t>(count)) {
    const Value& input = plan.program().values[0];
    const OffsetLayout layout(plan, {0, 0});
    const std::int64_t size = input.grid.count() * input.width;
    Tasks tasks(count, threads, monitor);
    tasks.run([&](int, std::int64_t k) {
      columns_[static_cast<std::size_t>(k)] = std::make_unique<ImageColumns<T>>(
          plan, layout, images + (first + k) * size, first + k, argument);
    });
  }
  const ImageColumns<T>& operator[](std::int64_t i) const {
    return *columns_[static_cast<std::size_t>(i - first_)];
  }

 private:
  std::int64_t first_;
  std::vector<std::unique_ptr<ImageColumns<T>>> columns_;
};

// The columns of the images of one side of a tile, as the maps of one offset read them.
template <class T>
class TileSide {
 public:
  TileSide(const SpatialPlan& plan, const cpu::MapKernels<T>& kernels, const Images<T>& images,
           std::int64_t first, std::int64_t count, bool left)
      : plan_(plan),
        kernels_(kernels),
        images_(images),
        first_(first),
        count_(count),
        left_(left),
        windows_(static_cast<std::size_t>(count)) {}

  void move_to(const OffsetLayout& layout) {
    if (placed_ && layout.same_buffer(plan_, offset_)) return;
    placed_ = true;
    offset_ = layout.offset;
    for (std::int64_t i = 0; i < count_; ++i)
      windows_[static_cast<std::size_t>(i)] = place(layout, i);
  }
  const T* window(std::int64_t i) const { return windows_[static_cast<std::size_t>(i)]; }

 private:
  const SpatialPlan& plan_;
  const cpu::MapKernels<T>& kernels_;
  const T* place(const OffsetLayout& layout, std::int64_t i) {
    const ImageColumns<T>& columns = images_[first_ + i];
    if (layout.stored(plan_)) return columns.data();
    if (copies_ == nullptr) {
      // No offset has larger windows than equal positions.
      stride_ = OffsetLayout(plan_, {0, 0}).size;
      copies_ = cpu::aligned_array<T>(static_cast<std::size_t>(count_ * stride_ + cpu::kCopySlack));
    }
    T* window = copies_.get() + i * stride_;
    for (std::size_t k = 0; k < plan_.columns().size(); ++k) {
      columns.copy_window(plan_, kernels_, k, layout, left_, window + layout.column[k]);
    }
    return window;
  }

  const Images<T>& images_;
  std::int64_t first_, count_, stride_ = 0;
  bool left_, placed_ = false;
  Offset offset_{};                // of the windows
  std::vector<const T*> windows_;  // per image
  cpu::AlignedArray<T> copies_;
};

template <class T>
class Engine {
 public:
  Engine(const Program& program, const std::vector<cpu::GramOutput<T>>& outputs,
         const cpu::GramOptions& options)
      : plan_(program),
        ntk_(std::any_of(outputs.begin(), outputs.end(),
                         [](const auto& out) { return out.ntk != nullptr; })),
        sink_(plan_, ntk_, options.isa, outputs),
        options_(options),
        readouts_(static_cast<std::size_t>(readout_count(program))),
        threads_(std::max(1, options.threads)),
        kernels_(cpu::map_kernels<T>(options.isa)) {
    for (int t = 0; t < threads_; ++t) {
      runners_.push_back(std::make_unique<MapRunner<T>>(plan_, ntk_, options.isa));
    }
  }

  void gram(const T* x, std::int64_t n, const T* z, std::int64_t m);
  void diagonal(const T* x, std::int64_t n);

 private:
  using Sums = std::vector<Readout>;  // readouts of every pair of a tile

  void run_slabs(const Images<T>& x, Tile range, const Images<T>& z, bool symmetric,
                 std::int64_t columns);
  void add_offsets(const Tile& tile, const Images<T>& x, const Images<T>& z, bool symmetric,
                   std::size_t begin, std::size_t end, Tasks& tasks, int worker, Sums& sums);

  SpatialPlan plan_;
  bool ntk_;
  PairSink<T> sink_;
  const cpu::GramOptions& options_;
  std::size_t readouts_;
  int threads_;
  const cpu::MapKernels<T>& kernels_;
  std::vector<std::unique_ptr<MapRunner<T>>> runners_;
};

template <class T>
void Engine<T>::add_offsets(const Tile& tile, const Images<T>& x, const Images<T>& z,
                            bool symmetric, std::size_t begin, std::size_t end, Tasks& tasks,
                            int worker, Sums& sums) {
  TileSide<T> left(plan_, kernels_, x, tile.i0, tile.rows, true);
  TileSide<T> right(plan_, kernels_, z, tile.j0, tile.cols, false);
  MapRunner<T>& runner = *runners_[static_cast<std::size_t>(worker)];
  for (std::size_t k = begin; k < end; ++k) {
    const OffsetLayout layout(plan_, plan_.offsets()[k]);
    left.move_to(layout);
    right.move_to(layout);
    for (std::int64_t i = 0; i < tile.rows; ++i) {
      tasks.checkpoint(worker);
      for (std::int64_t j = 0; j < tile.cols && !tile.skips(symmetric, i, j); ++j) {
        const bool same = symmetric && tile.i0 + i == tile.j0 + j;
        runner.run(layout, left.window(i), right.window(j), same,
                   sums.data() + static_cast<std::size_t>(i * tile.cols + j) * readouts_);
      }
    }
  }
}

template <class T>
void Engine<T>::gram(const T* x, std::int64_t n, const T* z, std::int64_t m) {
  const bool symmetric = z == nullptr;
  sink_.take_rows(x, n, z, m, options_);
  const std::int64_t slab = slab_images<T>(plan_);
  const auto columns = [&](const T* images, std::int64_t i, std::int64_t count, const char* name) {
    return std::make_unique<Images<T>>(plan_, images, i, std::min(slab, count - i), name, threads_,
                                       options_.monitor);
  };
  for (std::int64_t i = 0; i < n; i += slab) {
    const auto left = columns(x, i, n, "X");
    for (std::int64_t j = 0; j < (symmetric ? i + 1 : m); j += slab) {
      const auto right =
          symmetric && i == j ? nullptr : columns(symmetric ? x : z, j, m, symmetric ? "X" : "Z");
      run_slabs(*left, {i, std::min(slab, n - i), j, std::min(slab, m - j)}, right ? *right : *left,
                symmetric, m);
    }
  }
}

template <class T>
void Engine<T>::run_slabs(const Images<T>& x, Tile range, const Images<T>& z, bool symmetric,
                          std::int64_t columns) {
  const std::int64_t edge = tile_edge(plan_, sizeof(T));
  const std::int64_t i1 = range.i0 + range.rows, j1 = range.j0 + range.cols;
  std::vector<Tile> tiles;
  for (std::int64_t i = range.i0; i < i1; i += edge) {
    for (std::int64_t j = range.j0; j < (symmetric ? std::min(j1, i + edge) : j1); j += edge) {
      tiles.push_back({i, std::min(edge, i1 - i), j, std::min(edge, j1 - j)});
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
    add_offsets(tile, x, z, symmetric, offsets * g / groups, offsets * (g + 1) / groups, tasks,
                worker, own);
    if (unfinished[t].fetch_sub(1) != 1) return;
    Sums& total = sums[t][0];
    for (std::size_t k = 1; k < groups; ++k) {
      for (std::size_t p = 0; p < total.size(); ++p) {
        total[p].nngp += sums[t][k][p].nngp;
        total[p].ntk += sums[t][k][p].ntk;
      }
    }
    sink_.finish(tile, symmetric, total.data(), columns);
    for (Sums& part : sums[t]) Sums().swap(part);
  });
}

template <class T>
void Engine<T>::diagonal(const T* x, std::int64_t n) {
  const Sums sums = own_readouts(plan_, x, n, "X", ntk_, options_);
  for (std::int64_t i = 0; i < n; ++i) {
    sink_.finish_own(i, sums.data() + static_cast<std::size_t>(i) * readouts_);
  }
}

}  // namespace

template <class T>
std::vector<Readout> own_readouts(const SpatialPlan& plan, const T* images, std::int64_t n,
                                  const char* argument, bool ntk, const cpu::GramOptions& options) {
  const auto readouts = static_cast<std::size_t>(readout_count(plan.program()));
  const auto& kernels = cpu::map_kernels<T>(options.isa);
  const int threads = std::max(1, options.threads);
  std::vector<std::unique_ptr<MapRunner<T>>> runners;
  for (int t = 0; t < threads; ++t) {
    runners.push_back(std::make_unique<MapRunner<T>>(plan, ntk, options.isa));
  }
  std::vector<Readout> sums(static_cast<std::size_t>(n) * readouts);
  Tasks tasks(n, threads, options.monitor);
  tasks.run([&](int worker, std::int64_t i) {
    const Images<T> own(plan, images, i, 1, argument, 1, {});
    TileSide<T> left(plan, kernels, own, i, 1, true), right(plan, kernels, own, i, 1, false);
    for (const Offset& offset : plan.offsets()) {
      tasks.checkpoint(worker);
      const OffsetLayout layout(plan, offset);
      left.move_to(layout);
      right.move_to(layout);
      runners[static_cast<std::size_t>(worker)]->run(
          layout, left.window(0), right.window(0), true,
          sums.data() + static_cast<std::size_t>(i) * readouts);
    }
  });
  return sums;
}

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
  const std::int64_t edge = tile_edge(plan, itemsize), per_image = column_bytes(plan, itemsize);
  const std::int64_t slab = itemsize == 4 ? slab_images<float>(plan) : slab_images<double>(plan);
  const std::int64_t kept = std::min(n, slab) + std::min(m, slab);
  const std::int64_t scratch = itemsize == 4 ? MapRunner<float>::scratch_bytes(plan)
                                             : MapRunner<double>::scratch_bytes(plan);
  const auto readouts = static_cast<std::int64_t>(sizeof(Readout)) * readout_count(program);
  const std::int64_t sums = kOffsetGroups * edge * edge * readouts;
  cost.workspace_bytes =
      kept * per_image + threads * (2 * edge * per_image + scratch + sums) +
      (n + m) * (readouts + kRowBytes * static_cast<std::int64_t>(program.ops.size()));
  return cost;
}

#define NTKFAST_INSTANTIATE(T)                                                            \
  template std::vector<Readout> own_readouts(const SpatialPlan&, const T*, std::int64_t,  \
                                             const char*, bool, const cpu::GramOptions&); \
  template void gram(const Program&, const T*, std::int64_t, const T*, std::int64_t,      \
                     const std::vector<cpu::GramOutput<T>>&, const cpu::GramOptions&);    \
  template void diagonal(const Program&, const T*, std::int64_t,                          \
                         const std::vector<cpu::GramOutput<T>>&, const cpu::GramOptions&);
NTKFAST_INSTANTIATE(float)
NTKFAST_INSTANTIATE(double)
#undef NTKFAST_INSTANTIATE

}  // namespace ntkfast::spatial
