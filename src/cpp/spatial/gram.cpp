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
constexpr std::int64_t kSmallestTile = 4, kLargestTile = 16;
constexpr std::int64_t kGridMultiple = 64;
// With so many tiles there is enough to deal; with fewer, offsets are dealt as well.
constexpr std::int64_t kManyTiles = 64, kOffsetGroups = 16;

// What pools add up of the pairs of one tile, per thread.
constexpr std::int64_t kPoolBytes = 32 << 20;

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
  return StoredLayout(plan).largest * itemsize;
}

// What pools add up of one pair of images.
std::int64_t pool_bytes(const Sweep& pairs) {
  return pairs.largest() * static_cast<std::int64_t>(sizeof(double));
}

// Depends on the network and the images' size alone, so that results never depend on threads.
std::int64_t tile_edge(const SpatialPlan& plan, const Sweep& pairs, std::int64_t itemsize) {
  std::int64_t edge = std::min(kTileBytes / (2 * column_bytes(plan, itemsize)), kLargestTile);
  while (edge > 1 && edge * edge * pool_bytes(pairs) > kPoolBytes) --edge;
  return std::max<std::int64_t>(1, edge);
}

// Into how many tasks the offsets of a tile may be divided: pools mix them.
std::int64_t offset_groups(const SpatialPlan& plan, const Sweep& pairs) {
  if (!plan.pools().empty()) return 1;
  return std::min(static_cast<std::int64_t>(pairs.offsets(0).size()), kOffsetGroups);
}

// Columns of consecutive images.
template <class T>
class Images {
 public:
  using Runners = std::vector<std::unique_ptr<MapRunner<T>>>;

  Images(const SpatialPlan& plan, const StoredLayout& stored, const Sweep& own,
         const Runners& runners, const T* images, std::int64_t first, std::int64_t count,
         const char* argument, const Monitor& monitor)
      : stored_(stored), first_(first), columns_(static_cast<std::size_t>(count)) {
    const Value& input = plan.program().values[0];
    const std::int64_t size = input.grid.count() * input.width;
    Tasks tasks(count, static_cast<int>(runners.size()), monitor);
    tasks.run([&](int worker, std::int64_t k) {
      columns_[static_cast<std::size_t>(k)] = std::make_unique<ImageColumns<T>>(
          plan, stored, own, *runners[static_cast<std::size_t>(worker)],
          images + (first + k) * size, first + k, argument);
    });
  }
  // One image alone.
  Images(const StoredLayout& stored, std::unique_ptr<ImageColumns<T>> image, std::int64_t number)
      : stored_(stored), first_(number) {
    columns_.push_back(std::move(image));
  }
  const StoredLayout& stored() const { return stored_; }
  const ImageColumns<T>& operator[](std::int64_t i) const {
    return *columns_[static_cast<std::size_t>(i - first_)];
  }

 private:
  const StoredLayout& stored_;
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
    const Offset& offset = layout.point.offset;
    const bool placed = placed_ && stage_ == layout.stage && layout.same_buffer(plan_, offset_);
    placed_ = true;
    stage_ = layout.stage;
    offset_ = offset;
    if (placed) return;
    if (copies_ == nullptr && !layout.stored(plan_)) {
      stride_ = images_.stored().largest;
      copies_ = cpu::aligned_array<T>(static_cast<std::size_t>(count_ * stride_ + cpu::kCopySlack));
    }
    for (std::int64_t i = 0; i < count_; ++i) {
      windows_[static_cast<std::size_t>(i)] =
          images_[first_ + i].windows(plan_, kernels_, layout, left_, copies_.get() + i * stride_);
    }
  }
  MapSide<T> operator[](std::int64_t i) const {
    return {windows_[static_cast<std::size_t>(i)], images_[first_ + i].entries()};
  }

 private:
  const SpatialPlan& plan_;
  const cpu::MapKernels<T>& kernels_;
  const Images<T>& images_;
  std::int64_t first_, count_, stride_ = 0;
  bool left_, placed_ = false;
  std::size_t stage_ = 0;          // of the windows
  Offset offset_{};                // of the windows
  std::vector<const T*> windows_;  // per image
  cpu::AlignedArray<T> copies_;
};

using Sums = std::vector<Readout>;  // readouts of every pair of a tile

// What all tiles of a plan share, with one runner of maps per thread.
template <class T>
class TileRunner {
 public:
  TileRunner(const SpatialPlan& plan, bool ntk, const cpu::GramOptions& options)
      : plan_(plan),
        stored_(plan),
        pairs_(plan, Sweep::Of::Pairs),
        own_(plan, Sweep::Of::Itself),
        options_(options),
        kernels_(cpu::map_kernels<T>(options.isa)),
        readouts_(static_cast<std::size_t>(readout_count(plan.program()))) {
    for (int t = 0; t < std::max(1, options.threads); ++t) {
      runners_.push_back(std::make_unique<MapRunner<T>>(plan, ntk, options.isa));
    }
  }

  int threads() const { return static_cast<int>(runners_.size()); }
  const Sweep& pairs() const { return pairs_; }
  std::size_t readouts() const { return readouts_; }

  std::unique_ptr<Images<T>> images(const T* images, std::int64_t first, std::int64_t count,
                                    const char* argument) const {
    return std::make_unique<Images<T>>(plan_, stored_, own_, runners_, images, first, count,
                                       argument, options_.monitor);
  }

  // A share of the offsets of a tile, number `group` of `groups`.
  void run(const Tile& tile, const Images<T>& x, const Images<T>& z, bool symmetric,
           std::size_t group, std::size_t groups, Tasks& tasks, int worker, Sums& sums) const;
  // One image with itself.
  Sums run_own(const T* images, std::int64_t number, const char* argument, Tasks& tasks,
               int worker) const;

 private:
  const SpatialPlan& plan_;
  StoredLayout stored_;
  Sweep pairs_, own_;
  const cpu::GramOptions& options_;
  const cpu::MapKernels<T>& kernels_;
  std::size_t readouts_;
  std::vector<std::unique_ptr<MapRunner<T>>> runners_;
};

template <class T>
void TileRunner<T>::run(const Tile& tile, const Images<T>& x, const Images<T>& z, bool symmetric,
                        std::size_t group, std::size_t groups, Tasks& tasks, int worker,
                        Sums& sums) const {
  TileSide<T> left(plan_, kernels_, x, tile.i0, tile.rows, true);
  TileSide<T> right(plan_, kernels_, z, tile.j0, tile.cols, false);
  MapRunner<T>& runner = *runners_[static_cast<std::size_t>(worker)];
  std::vector<double> in, out;  // what the pools before and behind a stage add up, pair by pair
  for (std::size_t stage = 0; stage < plan_.stages().size(); ++stage) {
    const std::int64_t before = stage == 0 ? 0 : pairs_.numbers(stage - 1);
    const std::int64_t behind = pairs_.numbers(stage);
    out.assign(static_cast<std::size_t>(tile.rows * tile.cols * behind), 0.0);
    const auto& offsets = pairs_.offsets(stage);
    const std::size_t end = offsets.size() * (group + 1) / groups;
    for (std::size_t k = offsets.size() * group / groups; k < end; ++k) {
      const OffsetLayout layout(plan_, stage, offsets[k]);
      left.move_to(layout);
      right.move_to(layout);
      for (std::int64_t i = 0; i < tile.rows; ++i) {
        tasks.checkpoint(worker);
        for (std::int64_t j = 0; j < tile.cols && !tile.skips(symmetric, i, j); ++j) {
          const bool same = symmetric && tile.i0 + i == tile.j0 + j;
          const std::int64_t pair = i * tile.cols + j;
          runner.run(pairs_, layout, left[i], right[j], same,
                     {in.data() + pair * before, out.data() + pair * behind,
                      sums.data() + static_cast<std::size_t>(pair) * readouts_});
        }
      }
    }
    in.swap(out);
  }
}

template <class T>
Sums TileRunner<T>::run_own(const T* images, std::int64_t number, const char* argument,
                            Tasks& tasks, int worker) const {
  const Value& input = plan_.program().values[0];
  const std::int64_t size = input.grid.count() * input.width;
  const Images<T> own(stored_,
                      std::make_unique<ImageColumns<T>>(plan_, stored_, own_,
                                                        *runners_[static_cast<std::size_t>(worker)],
                                                        images + number * size, number, argument),
                      number);
  Sums sums(readouts_);
  run({number, 1, number, 1}, own, own, true, 0, 1, tasks, worker, sums);
  return sums;
}

template <class T>
class Engine {
 public:
  Engine(const Program& program, const std::vector<cpu::GramOutput<T>>& outputs,
         const cpu::GramOptions& options)
      : plan_(program),
        ntk_(std::any_of(outputs.begin(), outputs.end(),
                         [](const auto& out) { return out.ntk != nullptr; })),
        runner_(plan_, ntk_, options),
        sink_(plan_, ntk_, options.isa, outputs),
        options_(options) {}

  void gram(const T* x, std::int64_t n, const T* z, std::int64_t m);
  void diagonal(const T* x, std::int64_t n);

 private:
  void run_slabs(const Images<T>& x, Tile range, const Images<T>& z, bool symmetric,
                 std::int64_t columns);

  SpatialPlan plan_;
  bool ntk_;
  TileRunner<T> runner_;
  PairSink<T> sink_;
  const cpu::GramOptions& options_;
};

template <class T>
void Engine<T>::gram(const T* x, std::int64_t n, const T* z, std::int64_t m) {
  const bool symmetric = z == nullptr;
  sink_.take_rows(x, n, z, m, options_);
  const std::int64_t slab = slab_images<T>(plan_);
  const auto columns = [&](const T* images, std::int64_t i, std::int64_t count, const char* name) {
    return runner_.images(images, i, std::min(slab, count - i), name);
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
  const auto groups = static_cast<std::size_t>(offset_groups(plan_, runner_.pairs()));
  std::int64_t edge = tile_edge(plan_, runner_.pairs(), sizeof(T));
  // Where offsets cannot be dealt, few images are dealt in smaller tiles.
  const auto few = [&] {
    return groups == 1 && range.rows * range.cols < 2 * kManyTiles * edge * edge;
  };
  while (edge > kSmallestTile && few()) edge = std::max(kSmallestTile, edge / 2);
  const std::int64_t i1 = range.i0 + range.rows, j1 = range.j0 + range.cols;
  std::vector<Tile> tiles;
  for (std::int64_t i = range.i0; i < i1; i += edge) {
    for (std::int64_t j = range.j0; j < (symmetric ? std::min(j1, i + edge) : j1); j += edge) {
      tiles.push_back({i, std::min(edge, i1 - i), j, std::min(edge, j1 - j)});
    }
  }
  // Sums over parts of the offsets, added in one order: a pair of images has the same bits in every
  // Gram, whether its parts are dealt to threads or not.
  const auto dealt = static_cast<std::int64_t>(tiles.size()) >= kManyTiles ? 1 : groups;
  std::vector<std::vector<Sums>> sums(tiles.size(), std::vector<Sums>(groups));
  const auto unfinished = std::make_unique<std::atomic<std::size_t>[]>(tiles.size());
  for (std::size_t t = 0; t < tiles.size(); ++t) unfinished[t] = dealt;
  Tasks tasks(static_cast<std::int64_t>(tiles.size() * dealt), runner_.threads(), options_.monitor);
  tasks.run([&](int worker, std::int64_t index) {
    const auto t = static_cast<std::size_t>(index) / dealt,
               first = static_cast<std::size_t>(index) % dealt;
    const Tile& tile = tiles[t];
    for (std::size_t g = first; g < groups; g += dealt) {
      Sums& own = sums[t][g];
      own.resize(static_cast<std::size_t>(tile.rows * tile.cols) * runner_.readouts());
      runner_.run(tile, x, z, symmetric, g, groups, tasks, worker, own);
    }
    if (unfinished[t].fetch_sub(1) != 1) return;
    Sums& total = sums[t][0];
    for (std::size_t k = 1; k < groups; ++k) {
      for (std::size_t p = 0; p < total.size(); ++p) {
        total[p].nngp += sums[t][k][p].nngp;
        total[p].ntk += sums[t][k][p].ntk;
      }
    }
    sink_.finish(tile, symmetric, total.data(), columns);
    for (Sums& group : sums[t]) Sums().swap(group);
  });
}

template <class T>
void Engine<T>::diagonal(const T* x, std::int64_t n) {
  const Sums sums = own_readouts(plan_, x, n, "X", ntk_, options_);
  for (std::int64_t i = 0; i < n; ++i) {
    sink_.finish_own(i, sums.data() + static_cast<std::size_t>(i) * runner_.readouts());
  }
}

}  // namespace

template <class T>
std::vector<Readout> own_readouts(const SpatialPlan& plan, const T* images, std::int64_t n,
                                  const char* argument, bool ntk, const cpu::GramOptions& options) {
  const TileRunner<T> runner(plan, ntk, options);
  Sums sums(static_cast<std::size_t>(n) * runner.readouts());
  Tasks tasks(n, runner.threads(), options.monitor);
  tasks.run([&](int worker, std::int64_t i) {
    const Sums own = runner.run_own(images, i, argument, tasks, worker);
    std::copy(own.begin(), own.end(),
              sums.begin() + i * static_cast<std::int64_t>(runner.readouts()));
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
  const Sweep pairs(plan, Sweep::Of::Pairs);
  Cost cost{0, 0, 0, static_cast<std::int64_t>(plan.stages().size())};
  for (std::size_t stage = 0; stage < plan.stages().size(); ++stage) {
    for (const Sweep::Point& point : pairs.offsets(stage)) {
      ++cost.offsets;
      const OffsetLayout layout(plan, stage, point);
      for (const PlannedStep& step : plan.steps(true)) {
        if (step.op->kind == OpKind::Output || !plan.on_maps(*step.op)) continue;
        cost.lanes +=
            static_cast<double>(layout.shape[static_cast<std::size_t>(step.op->in)].lanes);
      }
    }
  }
  const std::int64_t edge = tile_edge(plan, pairs, itemsize),
                     per_image = itemsize == 4 ? ImageColumns<float>::bytes(plan)
                                               : ImageColumns<double>::bytes(plan),
                     windows = column_bytes(plan, itemsize);
  const std::int64_t slab = itemsize == 4 ? slab_images<float>(plan) : slab_images<double>(plan);
  const std::int64_t kept = std::min(n, slab) + std::min(m, slab);
  const std::int64_t scratch = itemsize == 4 ? MapRunner<float>::scratch_bytes(plan)
                                             : MapRunner<double>::scratch_bytes(plan);
  const auto readouts = static_cast<std::int64_t>(sizeof(Readout)) * readout_count(program);
  const std::int64_t sums = kOffsetGroups * edge * edge * readouts;
  cost.workspace_bytes =
      kept * per_image +
      threads * (2 * edge * windows + scratch + sums + edge * edge * pool_bytes(pairs)) +
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
