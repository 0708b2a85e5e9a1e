// What every test on the imitated CUDA runtime checks: nothing is left behind.
#pragma once

#include <cuda_runtime_api.h>

#include <stdexcept>

#include "doctest.h"

namespace imitated_device {

inline void check_nothing_is_left() {
  CHECK(fake_cuda::state().memory.empty());
  CHECK(fake_cuda::state().streams == 0);
  CHECK(fake_cuda::state().current == 0);
  CHECK(fake_cuda::state().last_error == cudaSuccess);  // else the next launch would fail for it
}

// A new device before a test, and nothing left on it behind.
struct Clean {
  Clean() { fake_cuda::state() = {}; }
  ~Clean() { check_nothing_is_left(); }
};

// Runs with each call of the runtime failing once, and returns how many there are.
template <class Run>
int count_failures(const Run& run) {
  int failures = 0;
  for (; failures < 1000; ++failures) {
    fake_cuda::state().calls_until_failure = failures;
    bool failed = false;
    try {
      run();
    } catch (const std::runtime_error&) {
      failed = true;
    }
    check_nothing_is_left();
    if (!failed) break;
  }
  fake_cuda::state().calls_until_failure = -1;
  return failures;
}

}  // namespace imitated_device
