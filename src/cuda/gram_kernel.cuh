// The kernels for one dtype: gram_float.cu and gram_double.cu each make them, to be compiled side
// by side.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "check.hpp"
#include "gram_kernel.hpp"
#include "tile_sizes.hpp"

namespace ntkfast::cuda {

// The threads of one block of the grid.
class ThreadGroup {
 public:
  __device__ int thread() const { return static_cast<int>(threadIdx.x); }
  __device__ void sync() const { __syncthreads(); }
  __device__ std::uint32_t ballot(bool vote) const { return __ballot_sync(0xffffffffu, vote); }
  __device__ double shuffle_xor(double number, int mask) const {
    return __shfl_xor_sync(0xffffffffu, number, mask);
  }
};

template <class T>
__global__ void __launch_bounds__(Shape<T>::kThreads, kGroupsPerProcessor<T>)
    gram_kernel(const __grid_constant__ device::GramBlock<T> block, std::int64_t first_tile) {
  extern __shared__ __align__(16) unsigned char shared[];
  auto& memory = *reinterpret_cast<device::TileMemory<T, Shape<T>>*>(shared);
  ThreadGroup group;
  device::GramTile<T, Shape<T>, ThreadGroup>(
      block, first_tile + static_cast<std::int64_t>(blockIdx.x), group, memory)
      .run();
}

template <class T>
__global__ void contraction_kernel(const __grid_constant__ PairTable<T> table, const T* t,
                                   std::int64_t rows, T* contracted) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
       at < rows * table.stride; at += step) {
    contracted[at] =
        device::contracted_number(table, t[at / table.stride], static_cast<int>(at % table.stride));
  }
}

template <class T>
void launch_block(const device::GramBlock<T>& block, cudaStream_t stream) {
  constexpr std::size_t bytes = sizeof(device::TileMemory<T, Shape<T>>);
  // More than 48 KB of shared memory must be asked for, once per device: it costs microseconds.
  NTKFAST_CUDA_CHECK(cudaFuncSetAttribute(
      gram_kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
  const std::int64_t tiles = device::tile_count(block, Shape<T>::kEdge);
  constexpr std::int64_t most = std::numeric_limits<int>::max();  // what a grid holds
  for (std::int64_t first = 0; first < tiles; first += most) {
    const auto count = static_cast<unsigned>(std::min(most, tiles - first));
    gram_kernel<T><<<count, Shape<T>::kThreads, bytes, stream>>>(block, first);
    NTKFAST_CUDA_CHECK(cudaGetLastError());
  }
}

template <class T>
void launch_contraction(const PairTable<T>& table, const T* t, std::int64_t rows, T* contracted,
                        cudaStream_t stream) {
  constexpr int threads = 256;
  const std::int64_t blocks = (rows * table.stride + threads - 1) / threads;
  const auto count = static_cast<unsigned>(std::min<std::int64_t>(blocks, 1 << 20));
  contraction_kernel<T><<<count, threads, 0, stream>>>(table, t, rows, contracted);
  NTKFAST_CUDA_CHECK(cudaGetLastError());
}

}  // namespace ntkfast::cuda
