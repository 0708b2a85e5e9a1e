// Everything that depends on one image only: the columns of a plan, computed in double.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/map_kernels.hpp"
#include "spatial/map_runner.hpp"
#include "spatial/spatial_plan.hpp"
#include "spatial/sweep.hpp"

namespace ntkfast::spatial {

// Receives sqrt(K(p, p)) of a value at every position.
struct WantedRoots {
  int value = 0;
  std::vector<double>* roots = nullptr;
};

// Each column is stored with its border, so that the window of any offset is a block of it.
//
// Behind a pool, variances are those of sums of positions: they come from the maps of the image
// with itself at the few offsets of `own`. These maps are the same, bit by bit, as those of a pair
// of equal images, so that equal images have deficits of exactly 0 behind a pool as well.
template <class T>
class ImageColumns {
 public:
  // `image`: height x width x channels. Throws KernelOverflow, whose message calls it image number
  // `number` of `argument`.
  ImageColumns(const SpatialPlan& plan, const Sweep& own, MapRunner<T>& runner, const T* image,
               std::int64_t number, const char* argument, const WantedRoots& wanted = {});

  // All columns of a layout, as its maps read them. Writes up to kCopySlack lanes more.
  void copy_windows(const SpatialPlan& plan, const cpu::MapKernels<T>& kernels,
                    const OffsetLayout& layout, bool left, T* lanes) const;
  // See MapSide.
  const double* entries() const { return entries_.data(); }

  static std::int64_t bytes(const SpatialPlan& plan);

 private:
  void copy_window(const SpatialPlan& plan, const cpu::MapKernels<T>& kernels, std::size_t k,
                   const MapShape& shape, bool left, T* lanes) const;
  void copy_circular(const SpatialPlan& plan, const ColumnPlan& column, const T* first,
                     const MapShape& shape, bool left, T* lanes) const;

  std::vector<std::int64_t> first_;
  std::vector<T> data_;
  std::vector<double> entries_;
};

}  // namespace ntkfast::spatial
