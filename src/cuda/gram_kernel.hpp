// The kernels of a Gram matrix, as the host starts them.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "device/gram_tile.hpp"

namespace ntkfast::cuda {

// All tiles of a block; pointers into memory of the current device.
template <class T>
void launch_block(const device::GramBlock<T>& block, cudaStream_t stream);

// What `rows` rows at the positions t make of a table: rows x stride numbers.
template <class T>
void launch_contraction(const PairTable<T>& table, const T* t, std::int64_t rows, T* contracted,
                        cudaStream_t stream);

}  // namespace ntkfast::cuda
