// Exceptions of the CUDA backend beside std::runtime_error.
#pragma once

#include <stdexcept>

namespace ntkfast::cuda {

// Too little memory on a device; the message says how much is needed and free.
class OutOfMemory : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace ntkfast::cuda
