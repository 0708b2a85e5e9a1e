// The kernels of pairs of images, as the host starts them.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "device/image_block.hpp"

namespace ntkfast::cuda {

// Numbers of device memory that the maps of a launch take on the current device: none where those
// of a group of threads fit into shared memory.
template <class T>
std::int64_t image_maps_numbers(const device::ImageView<T>& program);

// All pairs of a block; pointers into memory of the current device.
template <class T>
void launch_images(const device::ImageBlock<T>& block, cudaStream_t stream);

}  // namespace ntkfast::cuda
