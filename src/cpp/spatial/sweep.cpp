#include "spatial/sweep.hpp"

#include <algorithm>
#include <set>

#include "program/spatial_window.hpp"

namespace ntkfast::spatial {
namespace {

int positions(const Grid& grid, std::size_t axis) { return axis == 0 ? grid.height : grid.width; }

// One axis of one pool, between a fine and a coarse grid.
struct PoolAxis {
  WindowAxis window;
  bool fine_circular, coarse_circular;
  int coarse_stride;  // positions behind the pool per position at the end of their stage

  PoolAxis(const SpatialPlan& plan, std::size_t pool, std::size_t axis)
      : window(plan.pool(pool).window, axis,
               positions(plan.program().values[static_cast<std::size_t>(plan.pool(pool).in)].grid,
                         axis)),
        fine_circular(plan.stage(plan.pool(pool).in).circular),
        coarse_circular(plan.stage(plan.pool(pool).out).circular),
        coarse_stride(plan.stride(plan.pool(pool).out)[axis]) {}

  // The map behind the pool at an offset of the end of its stage.
  MapAxis coarse(int offset) const {
    const int shift = coarse_stride * offset, n = window.out;
    if (coarse_circular) return {0, shift, n};
    const int left = std::max(0, -shift);
    return {left, left + shift, std::max(0, std::min(n, n - shift) - left)};
  }

  // The position that a tap reads, -1 outside.
  int read(int position, int tap) const {
    const int at = window.stride * position - window.before + tap, n = window.in;
    if (window.circular) return (at % n + n) % n;
    return at >= 0 && at < n ? at : -1;
  }

  // Calls visit(lane, fine offset, fine lane) for all pairs of taps at one coarse offset.
  template <class Visit>
  void visit(int offset, const Visit& visit) const {
    const MapAxis map = coarse(offset);
    for (int lane = 0; lane < map.size; ++lane) {
      const int right = (map.right + lane) % window.out;
      for (int t = 0; t < window.size; ++t) {
        const int y = read(map.left + lane, t);
        for (int u = 0; u < window.size && y >= 0; ++u) {
          const int z = read(right, u);
          if (z < 0) continue;
          const int d = fine_circular && z < y ? z - y + window.in : z - y;
          visit(lane, d, fine_circular ? y : y - std::max(0, -d));
        }
      }
    }
  }
};

// Fine positions of one coarse position, in ascending order, as runs of neighbours.
void add_runs(std::vector<int>& lanes, int to, int position, int stride,
              std::vector<PoolRun>& runs) {
  std::sort(lanes.begin(), lanes.end());
  for (std::size_t k = 0; k < lanes.size();) {
    std::size_t end = k + 1;
    while (end < lanes.size() && lanes[end] == lanes[end - 1] + 1) ++end;
    const int taps = static_cast<int>(end - k), from = lanes[k];
    k = end;
    if (!runs.empty()) {
      PoolRun& last = runs.back();
      if (last.to == to && last.taps == taps && last.first + last.count == position &&
          last.from + stride * last.count == from) {
        ++last.count;
        continue;
      }
    }
    runs.push_back({to, position, 1, from, taps});
  }
}

}  // namespace

std::int64_t CoarseMaps::map(const std::array<int, 2>& number) const {
  const auto y = static_cast<std::size_t>(number[0]), x = static_cast<std::size_t>(number[1]);
  const std::int64_t cols = before[1].back() + positions[1].back();
  return begin + before[0][y] * cols + positions[0][y] * before[1][x];
}

Sweep::Sweep(const SpatialPlan& plan, Of what)
    : axis_(plan.stages().size()),
      points_(plan.stages().size()),
      maps_(plan.pools().size()),
      numbers_(plan.stages().size()),
      equal_positions_(plan.pools().size()) {
  find_offsets(plan, what);
  for (std::size_t stage = axis_.size(); stage-- > 0;) {
    for (std::size_t y = 0; y < axis_[stage][0].size(); ++y) {
      for (std::size_t x = 0; x < axis_[stage][1].size(); ++x) {
        points_[stage].push_back(
            {{axis_[stage][0][y], axis_[stage][1][x]}, {static_cast<int>(y), static_cast<int>(x)}});
      }
    }
    find_runs(plan, stage);
  }
}

std::int64_t Sweep::largest() const {
  std::int64_t most = 0, before = 0;
  for (const std::int64_t numbers : numbers_) {
    most = std::max(most, before + numbers);
    before = numbers;
  }
  return most;
}

void Sweep::find_offsets(const SpatialPlan& plan, Of what) {
  for (std::size_t stage = axis_.size(); stage-- > 0;) {
    const Stage& own = plan.stages()[stage];
    for (std::size_t axis = 0; axis < 2; ++axis) {
      std::set<int> needed;
      const int n = positions(own.end, axis);
      if (what == Of::Pairs && own.equal_positions) needed.insert(0);
      if (what == Of::Pairs && own.all_offsets) {
        for (int d = own.circular ? 0 : 1 - n; d < n; ++d) needed.insert(d);
      }
      // Variances behind a pool are those of equal positions.
      if (what == Of::Itself && stage > 0) needed.insert(0);
      for (const std::size_t pool : own.pools) {
        const PoolAxis window(plan, pool, axis);
        for (const int offset : axis_[stage + 1][axis]) {
          window.visit(offset, [&](int, int d, int) { needed.insert(d); });
        }
      }
      axis_[stage][axis].assign(needed.begin(), needed.end());
    }
  }
}

void Sweep::find_runs(const SpatialPlan& plan, std::size_t stage) {
  for (const std::size_t pool : plan.stages()[stage].pools) {
    CoarseMaps& maps = maps_[pool];
    maps.begin = numbers_[stage];
    for (std::size_t axis = 0; axis < 2; ++axis) {
      const PoolAxis window(plan, pool, axis);
      const auto& fine = axis_[stage][axis];
      const auto& coarse = axis_[stage + 1][axis];
      maps.runs[axis].resize(fine.size());
      std::vector<std::vector<int>> hits(fine.size());
      std::int64_t total = 0;
      for (std::size_t k = 0; k < coarse.size(); ++k) {
        const MapAxis map = window.coarse(coarse[k]);
        maps.positions[axis].push_back(map.size);
        maps.before[axis].push_back(total);
        total += map.size;
        int current = 0;
        const auto flush = [&] {
          for (std::size_t d = 0; d < hits.size(); ++d) {
            add_runs(hits[d], static_cast<int>(k), current, window.window.stride,
                     maps.runs[axis][d]);
            hits[d].clear();
          }
        };
        window.visit(coarse[k], [&](int lane, int d, int from) {
          if (lane != current) flush();
          current = lane;
          const auto found = std::lower_bound(fine.begin(), fine.end(), d);
          hits[static_cast<std::size_t>(found - fine.begin())].push_back(from);
        });
        flush();
      }
      maps.size = axis == 0 ? total : maps.size * total;
    }
    numbers_[stage] += 2 * maps.size;
    for (const Point& point : points_[stage + 1]) {
      if (point.offset == Offset{0, 0}) equal_positions_[pool] = maps.map(point.number);
    }
  }
}

}  // namespace ntkfast::spatial
