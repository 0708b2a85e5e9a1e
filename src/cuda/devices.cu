#include "devices.hpp"

#include <cuda_runtime.h>

#include <chrono>

#include "check.hpp"
#include "resources.hpp"

namespace ntkfast::cuda {
namespace {

// Never launched: its attributes tell whether this build holds code for a device.
__global__ void probe_kernel() {}

std::string describe(cudaError_t status) {
  (void)cudaGetLastError();
  int driver = 0;
  const cudaError_t asked = cudaDriverGetVersion(&driver);
  if (asked == cudaSuccess && driver == 0) return "no NVIDIA driver is installed";
  forget(asked);
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

std::vector<double> memory_seconds(int device, std::size_t bytes, bool copy, int repeats) {
  const DeviceGuard guard(device);
  const auto size = static_cast<std::int64_t>(bytes);
  const DeviceBuffer<unsigned char> to(size), from(copy ? size : 0);
  const Stream stream;
  std::vector<double> seconds;
  for (int k = 0; k < repeats; ++k) {
    NTKFAST_CUDA_CHECK(cudaDeviceSynchronize());
    const auto start = std::chrono::steady_clock::now();
    if (copy) {
      NTKFAST_CUDA_CHECK(
          cudaMemcpyAsync(to.data(), from.data(), bytes, cudaMemcpyDeviceToDevice, stream.get()));
    } else {
      NTKFAST_CUDA_CHECK(cudaMemsetAsync(to.data(), k, bytes, stream.get()));
    }
    stream.synchronize();
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return seconds;
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
