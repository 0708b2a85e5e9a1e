// One pair of images at one offset: from pixels, or what pools have added up, to the sums that
// readouts and the pools behind take, map by map.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "cpu/aligned.hpp"
#include "cpu/dispatch.hpp"
#include "spatial/spatial_plan.hpp"
#include "spatial/sweep.hpp"

namespace ntkfast::spatial {

// The shapes of all maps of a stage at one offset, and where each column starts in a buffer.
struct OffsetLayout {
  OffsetLayout(const SpatialPlan& plan, std::size_t stage, const Sweep::Point& at);

  std::size_t stage;
  Sweep::Point point;
  std::vector<MapShape> shape;       // per value
  std::vector<std::int64_t> column;  // per column of the plan
  std::int64_t size = 0;             // of the buffer
};

// The size of the largest buffer of columns.
std::int64_t largest_layout(const SpatialPlan& plan);

// What a readout has summed up.
struct Readout {
  double nngp = 0, ntk = 0;
};

// What maps read of one image.
template <class T>
struct MapSide {
  const T* lanes;         // its columns, as a layout has them
  const double* entries;  // w / P, A and C of every pool, position by position (pool_kernels.hpp)
};

// What maps of a pair of images read and add to.
struct PairSums {
  double* in;         // what the pools at the end of the stage before have added up
  double* out;        // the same of this stage
  Readout* readouts;  // of every Flatten and global pool; null: they are left out
};

template <class T>
class MapRunner {
 public:
  MapRunner(const SpatialPlan& plan, bool ntk, std::string_view isa);

  // Adds what one offset contributes. `same`: one image with itself.
  void run(const Sweep& sweep, const OffsetLayout& layout, const MapSide<T>& left,
           const MapSide<T>& right, bool same, const PairSums& sums);

  const cpu::MapKernels<T>& kernels() const { return kernels_; }
  static std::int64_t scratch_bytes(const SpatialPlan& plan);

 private:
  struct MapStep {
    PlannedStep plan;
    cpu::Step<T> step;                     // of pointwise ops
    void (*conv)(const cpu::ConvMap<T>&);  // of convolutions
    int readout;                           // its number, of readouts
    std::size_t pool;                      // its number, of pools
    bool enters;                           // a pool at the beginning of a stage, not at its end
  };
  void pointwise(MapStep& step, const OffsetLayout& layout, const T* left, const T* right,
                 bool same_position);
  void convolve(const MapStep& step, const OffsetLayout& layout, const T* left, const T* right);
  // Lanes that are not written hold what another layer left there, which may be no legal number
  // here. All that matters is that it is one: the roots of these lanes are zero.
  void clear(int slot, std::int64_t from, std::int64_t to);
  void fill_border(int value, const MapShape& shape, int slot);
  void read_out(const MapStep& step, const OffsetLayout& layout, const T* left, const T* right,
                int copies, Readout* readouts);
  void add_to_pool(const MapStep& step, const CoarseMaps& maps, const OffsetLayout& layout,
                   const T* left, const T* right, double* out);
  void add_windows(const CoarseMaps& maps, const OffsetLayout& layout, const double* from,
                   const MapShape& shape, const std::array<int, 2>& stride, double* out);
  void enter(const MapStep& step, const CoarseMaps& maps, const OffsetLayout& layout,
             const double* left, const double* right, double* in);

  const SpatialPlan& plan_;
  const cpu::MapKernels<T>& kernels_;
  std::vector<std::vector<MapStep>> steps_;  // per stage
  cpu::AlignedArray<T> memory_;
  std::vector<T*> s_, tau_;  // per slot
  std::vector<double> products_;
};

// Readouts of a program.
int readout_count(const Program& program);

}  // namespace ntkfast::spatial
