#include "contraction_kernel.hpp"

#include "gram_kernel.cuh"

namespace ntkfast::cuda {
namespace {

using ContractionShape = device::TileShape<kContractionEdge, 8, 4, 4>;

template <class T>
__global__ void __launch_bounds__(ContractionShape::kThreads, 2)
    contraction_tile_kernel(const __grid_constant__ device::ContractionBlock<T> block) {
  extern __shared__ __align__(16) unsigned char shared[];
  auto& memory = *reinterpret_cast<device::TileMemory<T, ContractionShape>*>(shared);
  ThreadGroup group;
  device::ContractionTile<T, ContractionShape, ThreadGroup>(
      block, static_cast<std::int64_t>(blockIdx.x), group, memory)
      .run();
}

}  // namespace

template <class T>
void launch_contraction_block(const device::ContractionBlock<T>& block, cudaStream_t stream) {
  constexpr auto bytes = static_cast<int>(sizeof(device::TileMemory<T, ContractionShape>));
  const auto kernel = contraction_tile_kernel<T>;
  NTKFAST_CUDA_CHECK(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  const auto tiles = static_cast<unsigned>(device::contraction_tiles(block, kContractionEdge));
  kernel<<<tiles, ContractionShape::kThreads, bytes, stream>>>(block);
  NTKFAST_CUDA_CHECK(cudaGetLastError());
}

template void launch_contraction_block(const device::ContractionBlock<float>&, cudaStream_t);
template void launch_contraction_block(const device::ContractionBlock<double>&, cudaStream_t);

}  // namespace ntkfast::cuda
