// CUDA devices as the rest of the library sees them. No CUDA header here: the bindings are plain
// C++.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace ntkfast::cuda {

struct Device {
  int index;
  std::string name;
  int major;  // compute capability
  int minor;
  std::size_t total_bytes;
  std::size_t free_bytes;
};

// Number of devices the driver shows; 0 without a driver or a device. Creates no context.
int device_count();

// All devices. Asking for the free memory creates a context on each of them. Throws
// std::runtime_error when a device that the driver shows cannot be used (another process holds it
// exclusively, for example).
std::vector<Device> devices();

// Why no kernel of this build can run on the current device; empty when it can. Never throws for a
// missing driver.
std::string unavailable_reason();

// Seconds to fill `bytes` of a device's memory (or, with `copy`, to copy them within it), each of
// `repeats` times: what no kernel that writes as much can undercut.
std::vector<double> memory_seconds(int device, std::size_t bytes, bool copy, int repeats);

}  // namespace ntkfast::cuda
