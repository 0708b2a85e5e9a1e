// The kernel of the contraction, as the host starts it.
#pragma once

#include <cuda_runtime_api.h>

#include "device/contraction_tile.hpp"

namespace ntkfast::cuda {

// Edge of a tile: sums of 64 x 64 entries in double take 32 registers of each of 256 threads,
// whatever the dtype, and leave two groups of threads per multiprocessor. Not measured.
inline constexpr int kContractionEdge = 64;

// All tiles of a block; pointers into memory of the current device.
template <class T>
void launch_contraction_block(const device::ContractionBlock<T>& block, cudaStream_t stream);

}  // namespace ntkfast::cuda
