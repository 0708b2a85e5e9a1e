// Products of a kernel with vectors on CUDA devices: the kernel never exists, on no device. No CUDA
// header here: the bindings are plain C++.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "device/gram_job.hpp"

namespace ntkfast::cuda {

struct ProductSettings {
  std::vector<int> devices{0};  // every one holds all rows; blocks are dealt to them
  bool ntk = true;
  std::int64_t block_edge = 0;  // rows and columns per launch; 0: as large as is useful
};

// The kernel of the first output. Rows and tables stay on the devices between products; the job
// must outlive this. Throws OutOfMemory before anything is computed if a device has too little
// memory, and std::runtime_error where a call of the CUDA runtime fails: the next product may work.
// The caller's current device is left as it was.
template <class T>
class GramProduct {
 public:
  GramProduct(const device::HostJob<T>& job, const ProductSettings& settings);
  ~GramProduct();

  // As cpu::GramOperator::multiply(), from host memory to host memory. The same bits for every
  // number of devices, and whatever the blocks. One product at a time.
  void multiply(const double* v, std::int64_t count, bool transposed, double* out,
                const std::function<void(std::int64_t, std::int64_t)>& monitor);

  // Seconds of each of `repeats` products with everything on the first device already.
  std::vector<double> time(std::int64_t count, int repeats);

  std::int64_t rows() const;
  std::int64_t columns() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace ntkfast::cuda
