// The offsets at which the maps of every stage are made, and where pools put what lies in them.
//
// Along one axis a map at offset d reaches the coarse offsets D with d = stride D + t' - t for taps
// t, t' of the window: what is needed follows backwards from the readouts. Pairs of images need all
// that leads to a readout. An image with itself needs, for the variances behind pools, what leads
// to coarse offset 0: few, as they never exceed the windows.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "spatial/spatial_plan.hpp"

namespace ntkfast::spatial {

// Along one axis: positions [first, first + count) of the map at coarse offset number `to` are sums
// over `taps` positions each of the fine map, from position from, from + stride, ... on.
struct PoolRun {
  int to, first, count, from, taps;
};

// The maps behind one pool, all of them in one array, without borders.
struct CoarseMaps {
  std::int64_t begin = 0, size = 0;  // in the numbers of a stage: deficits, behind them T
  // Positions of the map at every offset, and of all before it, per axis.
  std::array<std::vector<std::int64_t>, 2> positions, before;
  // Per axis and number of a fine offset.
  std::array<std::vector<std::vector<PoolRun>>, 2> runs;

  std::int64_t map(const std::array<int, 2>& number) const;
};

class Sweep {
 public:
  enum class Of : std::uint8_t { Pairs, Itself };
  Sweep(const SpatialPlan& plan, Of what);

  struct Point {
    Offset offset;
    std::array<int, 2> number;  // of the offset along either axis
  };
  // In the same order wherever two sweeps share offsets: sums over them are then equal bit by bit.
  const std::vector<Point>& offsets(std::size_t stage) const { return points_[stage]; }
  const CoarseMaps& maps(std::size_t pool) const { return maps_[pool]; }
  // Where the numbers of a pool at coarse offset 0 begin; of an image with itself alone.
  std::int64_t equal_positions(std::size_t pool) const { return equal_positions_[pool]; }
  // Numbers of a pair of images that the pools at the end of a stage add up to.
  std::int64_t numbers(std::size_t stage) const { return numbers_[stage]; }
  // The most that are kept at once.
  std::int64_t largest() const;

 private:
  using AxisOffsets = std::array<std::vector<int>, 2>;  // sorted
  void find_offsets(const SpatialPlan& plan, Of what);
  void find_runs(const SpatialPlan& plan, std::size_t stage);

  std::vector<AxisOffsets> axis_;
  std::vector<std::vector<Point>> points_;
  std::vector<CoarseMaps> maps_;
  std::vector<std::int64_t> numbers_, equal_positions_;
};

}  // namespace ntkfast::spatial
