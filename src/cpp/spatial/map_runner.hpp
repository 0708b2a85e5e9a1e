// One pair of images at one offset: from pixels to the sums that readouts take, map by map.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "cpu/aligned.hpp"
#include "cpu/dispatch.hpp"
#include "spatial/spatial_plan.hpp"

namespace ntkfast::spatial {

// The shapes of all maps at one offset, and where they find columns in a buffer of columns. The
// buffer holds the columns that overlap along the width in full height, so that it serves all
// offsets that are equal along the width; in circular images the window of one offset.
struct OffsetLayout {
  OffsetLayout(const SpatialPlan& plan, const Offset& offset);

  // Whether a buffer for `other` serves as well.
  bool same_buffer(const SpatialPlan& plan, const Offset& other) const;
  // Whether the buffer is what ImageColumns holds.
  bool stored(const SpatialPlan& plan) const { return same_buffer(plan, {0, 0}); }

  Offset offset;
  std::vector<MapShape> shape;            // per value
  std::vector<std::int64_t> stride;       // per value: numbers from column to column of the buffer
  std::vector<std::int64_t> column;       // per column of the plan: where it begins
  std::vector<std::int64_t> left, right;  // and where the map of either image does
  std::int64_t size = 0;                  // of the buffer
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
    cpu::ConvMap<T> map;                   // what all maps share
    std::array<int, 2> before;             // positions that the first tap reads before an output
    int readout;                           // its number, of readouts
  };
  void plan_conv(MapStep& step);
  void convolve(const MapStep& step, const OffsetLayout& layout, const T* left, const T* right);
  void fill_border(const MapShape& shape, T* lanes) const;
  void read_out(const MapStep& step, const OffsetLayout& layout, const T* left, const T* right,
                int copies, Readout* readouts);

  const SpatialPlan& plan_;
  const cpu::MapKernels<T>& kernels_;
  std::vector<MapStep> steps_;
  cpu::AlignedArray<T> memory_;
  std::vector<T*> s_, tau_;  // per slot
  T *K_, *T_sum_;            // scratch of a convolution
};

// What a convolution adds to T of its own: ratio K + bias b_std^2, K without the bias.
struct OwnPart {
  double ratio, bias;
};
OwnPart own_part(const PlannedStep& step);

// Readouts of a program.
int readout_count(const Program& program);

}  // namespace ntkfast::spatial
