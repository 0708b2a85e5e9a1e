// Turns a status of the CUDA runtime into an exception that names the call.
#pragma once

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

#include "errors.hpp"

namespace ntkfast::cuda {

// For calls whose failure is nobody's concern, in destructors above all. The runtime keeps an error
// until it is asked for it: left there, the next launch, which asks, would fail for it.
inline void forget(cudaError_t status) {
  if (status != cudaSuccess) (void)cudaGetLastError();
}

inline void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  // The runtime keeps the error for the next caller of cudaGetLastError: take it away, it is
  // reported here.
  (void)cudaGetLastError();
  const std::string message =
      std::string(call) + ": " + cudaGetErrorName(status) + ", " + cudaGetErrorString(status);
  if (status == cudaErrorMemoryAllocation) throw OutOfMemory(message);
  throw std::runtime_error(message);
}

}  // namespace ntkfast::cuda

#define NTKFAST_CUDA_CHECK(call) ::ntkfast::cuda::check((call), #call)
