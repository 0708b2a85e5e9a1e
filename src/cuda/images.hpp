// Kernels of images on CUDA devices, tile by tile. No CUDA header here: the bindings are plain C++.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "device/image_job.hpp"

namespace ntkfast::cuda {

struct ImageSettings {
  std::vector<int> devices{0};  // tiles are dealt to all of them; results are those of one
  std::int64_t tile_edge = 0;   // images per side of a launch; 0: image_tile_edge()
  std::int64_t slab = 0;        // images per side that a device keeps; 0: as many as fit
  // Called on the calling thread with (tiles done, tiles in all); may throw to stop.
  std::function<void(std::int64_t, std::int64_t)> monitor;
};

// Throws OutOfMemory before anything is computed if a device has too little memory,
// std::runtime_error where a call of the CUDA runtime fails, and what the functions of the job
// throw. The caller's current device is left as it was.
template <class T>
void run_images(const device::HostImages<T>& job, const ImageSettings& settings);

}  // namespace ntkfast::cuda
