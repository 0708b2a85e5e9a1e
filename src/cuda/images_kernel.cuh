// The kernels of images for one dtype: images_float.cu and images_double.cu each make them.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <limits>

#include "check.hpp"
#include "images_kernel.hpp"
#include "tile_sizes.hpp"

namespace ntkfast::cuda {

class MapThreads {
 public:
  __device__ int thread() const { return static_cast<int>(threadIdx.x); }
  __device__ int size() const { return kMapThreads; }
  __device__ void sync() const { __syncthreads(); }
};

// Maps in device memory: few groups, each takes one item after the other in its own part of it.
template <class T>
__global__ void __launch_bounds__(kMapThreads, kMapGroups)
    images_kernel(const __grid_constant__ device::ImageBlock<T> block, std::int64_t items) {
  extern __shared__ __align__(16) unsigned char shared[];
  auto* const scratch = reinterpret_cast<double*>(shared);
  T* const maps = block.maps == nullptr
                      ? reinterpret_cast<T*>(scratch + kMapThreads)
                      : block.maps + blockIdx.x * device::maps_numbers(block.program);
  MapThreads group;
  for (std::int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    device::run_item(block, item, group, maps, scratch);
    group.sync();
  }
}

inline int device_number(cudaDeviceAttr attribute) {
  int device = 0, number = 0;
  NTKFAST_CUDA_CHECK(cudaGetDevice(&device));
  NTKFAST_CUDA_CHECK(cudaDeviceGetAttribute(&number, attribute, device));
  return number;
}

inline constexpr std::size_t kScratchBytes = kMapThreads * sizeof(double);

template <class T>
std::size_t shared_map_bytes(const device::ImageView<T>& program) {
  const std::size_t bytes =
      kScratchBytes + static_cast<std::size_t>(device::maps_numbers(program)) * sizeof(T);
  return bytes <= static_cast<std::size_t>(device_number(cudaDevAttrMaxSharedMemoryPerBlockOptin))
             ? bytes
             : 0;
}

inline std::int64_t resident_groups() {
  return std::int64_t{kMapGroups} * device_number(cudaDevAttrMultiProcessorCount);
}

template <class T>
std::int64_t image_maps_numbers(const device::ImageView<T>& program) {
  return shared_map_bytes(program) > 0 ? 0 : resident_groups() * device::maps_numbers(program);
}

template <class T>
void launch_images(const device::ImageBlock<T>& block, cudaStream_t stream) {
  const auto kernel = images_kernel<T>;
  const std::int64_t items = device::item_count(block);
  std::size_t bytes = kScratchBytes;
  std::int64_t groups = std::min(items, resident_groups());
  if (block.maps == nullptr) {
    bytes = shared_map_bytes(block.program);
    groups = std::min<std::int64_t>(items, std::numeric_limits<int>::max());
    NTKFAST_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                            static_cast<int>(bytes)));
  }
  if (items == 0) return;
  kernel<<<static_cast<unsigned>(groups), kMapThreads, bytes, stream>>>(block, items);
  NTKFAST_CUDA_CHECK(cudaGetLastError());
}

}  // namespace ntkfast::cuda
