// Tangent kernels from inputs and signals, on a CUDA device. No CUDA header here: the bindings are
// plain C++.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "tangent/contraction.hpp"

namespace ntkfast::cuda {

struct ContractionShape {
  tangent::Mode mode;
  std::int64_t n, m, outputs;
};

struct ContractionSettings {
  int device = 0;
  std::int64_t block_edge = 0;  // rows and columns per launch; 0: as large as is useful
  std::function<void(std::int64_t, std::int64_t)> monitor = {};
};

// Writes the kernel of all layers (host memory, all pairs of uses) to `out` in host memory: (n, O,
// m, O) in full, (n, m), or (O, n, m) of a diagonal one. Symmetric where the layers have no other
// side. Throws OutOfMemory before anything is computed if the device has too little memory, and
// std::runtime_error where a call of the CUDA runtime fails. Nothing stays on the device.
//
// Sums of at most 512 products are in T, and so are both factors of an entry; everything beyond is
// in double.
template <class T>
void contract(const std::vector<tangent::Layer<T>>& layers, const ContractionShape& shape, T* out,
              const ContractionSettings& settings);

}  // namespace ntkfast::cuda
