// One pair of images at one offset: from pixels to the sums that readouts take, map by map.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "cpu/aligned.hpp"
#include "cpu/dispatch.hpp"
#include "spatial/spatial_plan.hpp"

namespace ntkfast::spatial {

// The shapes of all maps at one offset, and where each column starts in a buffer of columns.
struct OffsetLayout {
  OffsetLayout(const SpatialPlan& plan, const Offset& offset);

  Offset offset;
  std::vector<MapShape> shape;       // per value
  std::vector<std::int64_t> column;  // per column of the plan
  std::int64_t size = 0;             // of the buffer
};

// What a readout has summed up.
struct Readout {
  double nngp = 0, ntk = 0;
};

template <class T>
class MapRunner {
 public:
  MapRunner(const SpatialPlan& plan, bool ntk, std::string_view isa);

  // Adds to readouts[k], of the k-th Flatten or global pool, what this offset contributes. `left`
  // and `right`: the columns of both images as `layout` has them. `same`: one image with itself.
  void run(const OffsetLayout& layout, const T* left, const T* right, bool same, Readout* readouts);

  static std::int64_t scratch_bytes(const SpatialPlan& plan);

 private:
  struct MapStep {
    PlannedStep plan;
    cpu::Step<T> step;                     // of pointwise ops
    void (*conv)(const cpu::ConvMap<T>&);  // of convolutions
    int readout;                           // its number, of readouts
  };
  void convolve(const MapStep& step, const OffsetLayout& layout, const T* left, const T* right);
  void fill_border(const MapShape& shape, T* lanes) const;
  void read_out(const MapStep& step, const OffsetLayout& layout, const T* left, const T* right,
                int copies, Readout* readouts);

  const SpatialPlan& plan_;
  const cpu::MapKernels<T>& kernels_;
  std::vector<MapStep> steps_;
  cpu::AlignedArray<T> memory_;
  std::vector<T*> s_, tau_;  // per slot
};

// What a convolution multiplies and adds.
template <class T>
ConvNumbers<T> conv_numbers(const PlannedStep& step);

// Readouts of a program.
int readout_count(const Program& program);

}  // namespace ntkfast::spatial
