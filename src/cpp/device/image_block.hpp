// A block of pairs of images on a device, and how groups of threads share it.
#pragma once

#include <cstdint>

#include "device/device_code.hpp"
#include "device/image_maps.hpp"

namespace ntkfast::device {

// Offsets that a group takes one after the other; their sum is one number. Fixed: results do not
// depend on the device.
inline constexpr int kOffsetsPerGroup = 32;

template <class T>
struct ImageBlock {
  ImageView<T> program;
  const T *left, *right;  // numbers of the images i0 and j0 and those that follow
  std::int64_t i0, j0, rows, cols;
  bool symmetric;  // image i and image i are the same, and pairs above the diagonal are left out
  // [pair][chunk of offsets][readout]; those of pairs that are left out stay as they are.
  ImageSums* sums;
  T* maps;  // of group after group, or null: each has shared memory
};

inline std::int64_t chunk_count(std::int64_t offsets) {
  return (offsets + kOffsetsPerGroup - 1) / kOffsetsPerGroup;
}

// Numbers of the maps of one group.
template <class T>
NTKFAST_HD inline std::int64_t maps_numbers(const ImageView<T>& program) {
  return 2 * program.slots * program.map_numbers;
}

// One pair and one chunk of offsets.
template <class T>
struct ImageItem {
  std::int64_t i, j;  // within the block
  int begin, end;
  ImageSums* sums;
  bool left_out, same;

  NTKFAST_HD ImageItem(const ImageBlock<T>& block, std::int64_t index) {
    const std::int64_t chunks =
        (block.program.offset_count + kOffsetsPerGroup - 1) / kOffsetsPerGroup;
    const std::int64_t pair = index / chunks;
    begin = static_cast<int>(index % chunks) * kOffsetsPerGroup;
    end = begin + kOffsetsPerGroup;
    if (end > block.program.offset_count) end = block.program.offset_count;
    i = pair / block.cols;
    j = pair % block.cols;
    sums = block.sums + index * block.program.readouts;
    same = block.symmetric && block.i0 + i == block.j0 + j;
    left_out = block.symmetric && block.j0 + j > block.i0 + i;
  }
};

template <class T>
inline std::int64_t item_count(const ImageBlock<T>& block) {
  return block.rows * block.cols * chunk_count(block.program.offset_count);
}

// scratch: one number per thread.
template <class T, class Group>
NTKFAST_DEVICE void run_item(const ImageBlock<T>& block, std::int64_t index, Group& group, T* maps,
                             double* scratch) {
  const ImageItem<T> item(block, index);
  if (item.left_out) return;
  ImageMaps<T, Group>(block.program, block.left + item.i * block.program.image_numbers,
                      block.right + item.j * block.program.image_numbers, item.same, group, maps,
                      scratch)
      .run(item.begin, item.end, item.sums);
}

}  // namespace ntkfast::device
