// Everything that depends on one image only: the columns of a plan, computed in double.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/map_kernels.hpp"
#include "spatial/spatial_plan.hpp"

namespace ntkfast::spatial {

// Each column is stored with its border, so that the window of any offset is a block of it.
template <class T>
class ImageColumns {
 public:
  // `image`: height x width x channels. Throws KernelOverflow, whose message calls it image number
  // `number` of `argument`.
  ImageColumns(const SpatialPlan& plan, const T* image, std::int64_t number, const char* argument);

  // Column k of the plan as the lanes of a map see it. Writes up to kCopySlack lanes more.
  void copy_window(const SpatialPlan& plan, const cpu::MapKernels<T>& kernels, std::size_t k,
                   const MapShape& shape, bool left, T* lanes) const;

  // All columns, one after the other; column k of the plan begins at starts()[k], and the last
  // start is their length.
  const T* data() const { return data_.data(); }
  static std::vector<std::int64_t> starts(const SpatialPlan& plan);

  static std::int64_t bytes(const SpatialPlan& plan);

 private:
  void copy_circular(const SpatialPlan& plan, const ColumnPlan& column, const T* first,
                     const MapShape& shape, bool left, T* lanes) const;

  std::vector<std::int64_t> first_;
  std::vector<T> data_;
};

}  // namespace ntkfast::spatial
