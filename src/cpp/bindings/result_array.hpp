// Arrays for large results, which hold nothing yet.
#pragma once

#include <pybind11/numpy.h>

#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "backend/result_memory.hpp"

namespace ntkfast {

// `reuse`: see ResultMemory.
template <class T>
pybind11::array_t<T> result_array(std::vector<pybind11::ssize_t> shape, bool reuse) {
  std::size_t count = 1;
  for (const auto extent : shape) {
    const auto size = static_cast<std::size_t>(extent);
    if (size != 0 && count > PY_SSIZE_T_MAX / sizeof(T) / size) throw std::bad_alloc();
    count *= size;
  }
  auto owner = std::make_unique<ResultMemory>(count * sizeof(T), reuse);
  const auto* data = static_cast<T*>(owner->data());
  pybind11::capsule capsule(owner.get(), [](void* p) { delete static_cast<ResultMemory*>(p); });
  owner.release();
  return pybind11::array_t<T>(std::move(shape), data, std::move(capsule));
}

}  // namespace ntkfast
