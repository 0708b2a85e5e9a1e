// Everything that depends on one image only: the columns of a plan, computed in double.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/aligned.hpp"
#include "cpu/map_kernels.hpp"
#include "spatial/map_runner.hpp"
#include "spatial/spatial_plan.hpp"

namespace ntkfast::spatial {

// Each column is stored with its border, so that the window of any offset is a block of it: as the
// layout of equal positions has them.
template <class T>
class ImageColumns {
 public:
  // `image`: height x width x channels. Throws KernelOverflow, whose message calls it image number
  // `number` of `argument`.
  ImageColumns(const SpatialPlan& plan, const OffsetLayout& equal_positions, const T* image,
               std::int64_t number, const char* argument);

  const T* data() const { return data_.get(); }

  // Column k of the plan as a buffer holds it. Writes up to kCopySlack lanes more.
  void copy_window(const SpatialPlan& plan, const cpu::MapKernels<T>& kernels, std::size_t k,
                   const OffsetLayout& layout, bool left, T* lanes) const;

  static std::int64_t bytes(const SpatialPlan& plan);

 private:
  void copy_circular(const SpatialPlan& plan, const ColumnPlan& column, const T* first,
                     const MapShape& shape, bool left, T* lanes) const;

  std::vector<std::int64_t> first_;
  cpu::AlignedArray<T> data_;
};

}  // namespace ntkfast::spatial
