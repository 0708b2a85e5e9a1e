// Everything that depends on one image only: the columns of a plan, computed in double.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/aligned.hpp"
#include "cpu/map_kernels.hpp"
#include "spatial/map_runner.hpp"
#include "spatial/spatial_plan.hpp"
#include "spatial/sweep.hpp"

namespace ntkfast::spatial {

// sqrt(K(p, p)) of a value at every position of one image.
struct RootsOf {
  int value;
  std::vector<double> roots;
};

// Each column is stored with its border, so that the window of any offset is a block of it: as the
// layout of equal positions has them.
//
// Behind a pool, variances are those of sums of positions: they come from the maps of the image
// with itself at the few offsets of `own`. These maps are the same, bit by bit, as those of a pair
// of equal images, so that equal images have deficits of exactly 0 behind a pool as well.
template <class T>
class ImageColumns {
 public:
  // `image`: height x width x channels. Throws KernelOverflow, whose message calls it image number
  // `number` of `argument`. Fills `wanted`, if given.
  ImageColumns(const SpatialPlan& plan, const StoredLayout& stored, const Sweep& own,
               MapRunner<T>& runner, const T* image, std::int64_t number, const char* argument,
               RootsOf* wanted = nullptr);

  // The buffer of columns of a layout: what is held here, or what is copied to `buffer`, which has
  // room for the layout and kCopySlack numbers more.
  const T* windows(const SpatialPlan& plan, const cpu::MapKernels<T>& kernels,
                   const OffsetLayout& layout, bool left, T* buffer) const;
  // The columns of one stage, as the stored layout has them.
  const T* stage(std::size_t number) const { return data_.get() + begin_[number]; }
  // See MapSide.
  const double* entries() const { return entries_.data(); }

  static std::int64_t bytes(const SpatialPlan& plan);

 private:
  void copy_window(const SpatialPlan& plan, const cpu::MapKernels<T>& kernels, std::size_t k,
                   const OffsetLayout& layout, bool left, T* lanes) const;
  void copy_circular(const SpatialPlan& plan, const ColumnPlan& column, const T* first,
                     const MapShape& shape, bool left, T* lanes) const;

  std::vector<std::int64_t> begin_;  // of each stage
  std::vector<std::int64_t> first_;  // of each column
  cpu::AlignedArray<T> data_;
  std::vector<double> entries_;
};

}  // namespace ntkfast::spatial
