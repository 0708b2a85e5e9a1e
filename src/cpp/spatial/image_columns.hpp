// Everything that depends on one image only: the columns of a plan, computed in double.
#pragma once

#include <cstdint>
#include <vector>

#include "spatial/spatial_plan.hpp"

namespace ntkfast::spatial {

template <class T>
class ImageColumns {
 public:
  // `image`: height x width x channels. Throws KernelOverflow, whose message calls it image number
  // `number` of `argument`.
  ImageColumns(const SpatialPlan& plan, const T* image, std::int64_t number, const char* argument);

  // Numbers of column k of the plan, row by row.
  const T* column(std::size_t k) const { return data_.data() + first_[k]; }

 private:
  std::vector<std::int64_t> first_;
  std::vector<T> data_;
};

// A column as the lanes of a map see it.
template <class T>
void copy_window(const T* column, const Grid& grid, const MapShape& shape, bool left, Edge edge,
                 bool circular, const std::array<int, 2>& border, T* lanes);

}  // namespace ntkfast::spatial
