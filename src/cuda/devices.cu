#include "devices.hpp"

#include <cuda_runtime.h>

#include "check.hpp"
#include "resources.hpp"

namespace ntkfast::cuda {
namespace {

// Never launched: its attributes tell whether this build holds code for a device.
__global__ void probe_kernel() {}

std::string describe(cudaError_t status) {
  (void)cudaGetLastError();
  int driver = 0;
  if (cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0)
    return "no NVIDIA driver is installed";
  return std::string(cudaGetErrorString(status)) + " (" + cudaGetErrorName(status) + ")";
}

}  // namespace

int device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    (void)cudaGetLastError();
    return 0;
  }
  return count;
}

std::vector<Device> devices() {
  std::vector<Device> found;
  const int count = device_count();
  if (count == 0) return found;
  const DeviceGuard guard;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties{};
    NTKFAST_CUDA_CHECK(cudaGetDeviceProperties(&properties, i));
    NTKFAST_CUDA_CHECK(cudaSetDevice(i));
    std::size_t free_bytes = 0;
    std::size_t total_bytes = 0;
    NTKFAST_CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total_bytes));
    found.push_back(
        {i, properties.name, properties.major, properties.minor, total_bytes, free_bytes});
  }
  return found;
}

std::string unavailable_reason() {
  int count = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess) {
    return describe(status);
  }
  if (count == 0) return "the CUDA driver shows no device";
  cudaFuncAttributes attributes{};
  if (const cudaError_t status = cudaFuncGetAttributes(&attributes, probe_kernel);
      status != cudaSuccess) {
    return describe(status) + "; this build holds code for " NTKFAST_CUDA_ARCHITECTURES;
  }
  return {};
}

}  // namespace ntkfast::cuda
