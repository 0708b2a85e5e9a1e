// Gram matrices on CUDA devices, block by block. No CUDA header here: the bindings are plain
// C++.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "device/gram_job.hpp"
#include "device/gram_tile.hpp"

namespace ntkfast::cuda {

struct GramSettings {
  // Blocks are dealt to all of them; results are those of one. What stays on a device takes the
  // first.
  std::vector<int> devices{0};
  bool nngp = true, ntk = true;
  std::int64_t block_edge = 0;  // rows and columns per launch; 0: as large as is useful and fits
  // Called on the calling thread with (blocks done, blocks in all); may throw to stop.
  std::function<void(std::int64_t, std::int64_t)> monitor;
};

// Matrices in memory of a device, or null where not wanted.
template <class T>
struct DeviceMatrices {
  std::shared_ptr<T> nngp, ntk;
};

// Host memory that copies from a device reach without a detour; ordinary memory where the system
// has no more that may be pinned, null where it has none at all.
void* allocate_pinned(std::size_t bytes);
void free_pinned(void* memory);

// Both throw OutOfMemory before anything is computed if the device has too little memory, and
// std::runtime_error where a call of the CUDA runtime fails. The caller's current device is left as
// it was.

// Results in host memory, row-major, one pair of pointers per output: best pinned, so that copies
// overlap with what is computed. They may be larger than the memory of the device.
template <class T>
void gram_to_host(const device::HostJob<T>& job, const std::vector<device::DeviceOutput<T>>& host,
                  const GramSettings& settings);

// Results in memory of the device.
template <class T>
std::vector<DeviceMatrices<T>> gram_on_device(const device::HostJob<T>& job,
                                              const GramSettings& settings);

// Seconds of each of `repeats` computations with everything on the device already, results
// included: what a benchmark of the kernels is after.
template <class T>
std::vector<double> time_gram(const device::HostJob<T>& job, const GramSettings& settings,
                              int repeats);

}  // namespace ntkfast::cuda
