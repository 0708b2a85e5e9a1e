// Turns a status of the CUDA runtime into an exception that names the call.
#pragma once

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

namespace ntkfast::cuda {

inline void check(cudaError_t status, const char* call) {
  if (status != cudaSuccess) {
    // The runtime keeps the error for the next caller of cudaGetLastError: take it away, it is
    // reported here.
    (void)cudaGetLastError();
    throw std::runtime_error(std::string(call) + ": " + cudaGetErrorName(status) + ", " +
                             cudaGetErrorString(status));
  }
}

}  // namespace ntkfast::cuda

#define NTKFAST_CUDA_CHECK(call) ::ntkfast::cuda::check((call), #call)
