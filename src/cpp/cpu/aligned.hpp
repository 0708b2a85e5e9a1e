// Uninitialised scratch memory on a cache-line boundary, so that no vector load crosses a line.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#include "backend/aligned_memory.hpp"

namespace ntkfast::cpu {

struct AlignedDelete {
  void operator()(void* p) const { free_aligned(p); }
};

template <class T>
using AlignedArray = std::unique_ptr<T[], AlignedDelete>;

template <class T>
AlignedArray<T> aligned_array(std::size_t count) {
  return AlignedArray<T>(static_cast<T*>(allocate_aligned(count * sizeof(T))));
}

}  // namespace ntkfast::cpu
