// What a call holds on a device: memory, streams, the choice of the device itself. Everything is
// given back in destructors, which report no errors: the call that failed has.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "check.hpp"

namespace ntkfast::cuda {

// Makes a device current, and restores the caller's (PyTorch and CuPy share this per-thread state).
class DeviceGuard {
 public:
  DeviceGuard() { NTKFAST_CUDA_CHECK(cudaGetDevice(&previous_)); }
  explicit DeviceGuard(int device) : DeviceGuard() { NTKFAST_CUDA_CHECK(cudaSetDevice(device)); }
  ~DeviceGuard() { forget(cudaSetDevice(previous_)); }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int previous_ = 0;
};

// Memory of the device that is current when it is made.
template <class T>
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  explicit DeviceBuffer(std::int64_t count) : count_(count) {
    if (count > 0) {
      NTKFAST_CUDA_CHECK(cudaMalloc(reinterpret_cast<void**>(&data_),
                                    static_cast<std::size_t>(count) * sizeof(T)));
    }
  }
  // A copy of host memory; when it returns, the host memory may be changed.
  DeviceBuffer(const T* host, std::int64_t count) : DeviceBuffer(count) {
    if (count > 0) {
      NTKFAST_CUDA_CHECK(cudaMemcpy(data_, host, static_cast<std::size_t>(count) * sizeof(T),
                                    cudaMemcpyHostToDevice));
    }
  }
  DeviceBuffer(DeviceBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }
  ~DeviceBuffer() { forget(cudaFree(data_)); }

  T* data() const { return data_; }
  std::int64_t size() const { return count_; }

 private:
  T* data_ = nullptr;
  std::int64_t count_ = 0;
};

// A stream that does not wait for the default stream.
class Stream {
 public:
  Stream() { NTKFAST_CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  // Nothing of a call is in flight when its buffers are freed, also after an error.
  ~Stream() {
    forget(cudaStreamSynchronize(stream_));
    forget(cudaStreamDestroy(stream_));
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void synchronize() const { NTKFAST_CUDA_CHECK(cudaStreamSynchronize(stream_)); }
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

}  // namespace ntkfast::cuda
