// The few calls of the CUDA runtime that src/cuda/gram*.cpp make, with the memory of the host for
// that of a device. Everything happens at once: what is tested is which memory is taken, read,
// written and given back, not the order of streams.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <map>

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidDevice = 101,
  cudaErrorUnknown = 999
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2 };
using cudaStream_t = int*;
inline constexpr unsigned cudaStreamNonBlocking = 1, cudaHostAllocPortable = 1;

namespace fake_cuda {

struct Allocation {
  std::size_t size;
  int device;
};

struct State {
  std::map<const void*, Allocation> memory;
  std::map<cudaStream_t, int> stream_devices;
  int devices = 2;
  int streams = 0, current = 0;
  std::size_t total = std::size_t{8} << 30;  // of each device
  std::size_t largest_use = 0;
  int calls_until_failure = -1;  // of what may fail; -1: never

  // On the current device.
  std::size_t used() const {
    std::size_t sum = 0;
    for (const auto& [at, allocation] : memory)
      sum += allocation.device == current ? allocation.size : 0;
    return sum;
  }
  // The device that holds an address, -1 for none.
  int device_of(const void* address) const {
    auto after = memory.upper_bound(address);
    if (after == memory.begin()) return -1;
    const auto& [start, allocation] = *--after;
    const auto offset = static_cast<const char*>(address) - static_cast<const char*>(start);
    return offset < static_cast<std::ptrdiff_t>(allocation.size) ? allocation.device : -1;
  }
  cudaError_t last_error = cudaSuccess;  // kept until somebody asks, as the runtime does
  cudaError_t fail(cudaError_t error) { return last_error = error; }
  cudaError_t next() {
    if (calls_until_failure == 0) return fail(cudaErrorUnknown);
    if (calls_until_failure > 0) --calls_until_failure;
    return cudaSuccess;
  }
};

inline State& state() {
  static State instance;
  return instance;
}

}  // namespace fake_cuda

inline const char* cudaGetErrorName(cudaError_t) { return "cudaErrorFake"; }
inline const char* cudaGetErrorString(cudaError_t) { return "imitated failure"; }
inline cudaError_t cudaGetLastError() {
  const cudaError_t error = fake_cuda::state().last_error;
  fake_cuda::state().last_error = cudaSuccess;
  return error;
}
inline cudaError_t cudaGetDevice(int* device) {
  *device = fake_cuda::state().current;
  return cudaSuccess;
}
inline cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= fake_cuda::state().devices)
    return fake_cuda::state().fail(cudaErrorInvalidDevice);
  fake_cuda::state().current = device;
  return cudaSuccess;
}
inline cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *total = fake_cuda::state().total;
  *free = *total - fake_cuda::state().used();
  return fake_cuda::state().next();
}
inline cudaError_t cudaMalloc(void** memory, std::size_t size) {
  auto& state = fake_cuda::state();
  if (state.next() != cudaSuccess) return state.fail(cudaErrorMemoryAllocation);
  if (state.used() + size > state.total) return state.fail(cudaErrorMemoryAllocation);
  *memory = std::malloc(size);
  std::memset(*memory, 0xff, size);  // NaN: what is read before it is written is seen
  state.memory[*memory] = {size, state.current};
  if (state.used() > state.largest_use) state.largest_use = state.used();
  return cudaSuccess;
}
inline cudaError_t cudaFree(void* memory) {
  if (memory != nullptr && fake_cuda::state().memory.erase(memory) == 1) std::free(memory);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpy(void* to, const void* from, std::size_t size, cudaMemcpyKind) {
  if (fake_cuda::state().next() != cudaSuccess) return cudaErrorUnknown;
  std::memcpy(to, from, size);
  return cudaSuccess;
}
inline cudaError_t cudaMemset(void* memory, int value, std::size_t size) {
  if (fake_cuda::state().next() != cudaSuccess) return cudaErrorUnknown;
  std::memset(memory, value, size);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                                     std::size_t from_pitch, std::size_t width, std::size_t height,
                                     cudaMemcpyKind, cudaStream_t) {
  if (fake_cuda::state().next() != cudaSuccess || width > to_pitch || width > from_pitch) {
    return fake_cuda::state().fail(cudaErrorUnknown);
  }
  for (std::size_t row = 0; row < height; ++row) {
    std::memcpy(static_cast<char*>(to) + row * to_pitch,
                static_cast<const char*>(from) + row * from_pitch, width);
  }
  return cudaSuccess;
}
inline cudaError_t cudaMemcpy2D(void* to, std::size_t to_pitch, const void* from,
                                std::size_t from_pitch, std::size_t width, std::size_t height,
                                cudaMemcpyKind kind) {
  return cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, width, height, kind, nullptr);
}
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  if (fake_cuda::state().next() != cudaSuccess) return cudaErrorUnknown;
  auto& state = fake_cuda::state();
  ++state.streams;
  *stream = new int(state.current);
  state.stream_devices[*stream] = state.current;
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return fake_cuda::state().next(); }
inline cudaError_t cudaDeviceSynchronize() { return fake_cuda::state().next(); }
inline cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (stream == nullptr) return cudaSuccess;
  --fake_cuda::state().streams;
  fake_cuda::state().stream_devices.erase(stream);
  delete stream;
  return cudaSuccess;
}
inline cudaError_t cudaHostAlloc(void** memory, std::size_t size, unsigned) {
  if (fake_cuda::state().next() != cudaSuccess) {
    return fake_cuda::state().fail(cudaErrorMemoryAllocation);
  }
  *memory = std::malloc(size);
  return cudaSuccess;
}
inline cudaError_t cudaFreeHost(void* memory) {
  std::free(memory);
  return cudaSuccess;
}
