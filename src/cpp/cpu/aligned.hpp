// Uninitialised scratch memory on a cache-line boundary, so that no vector load crosses a line.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace ntkfast::cpu {

struct AlignedDelete {
  static constexpr std::align_val_t kAlignment{64};
  void operator()(void* p) const { ::operator delete(p, kAlignment); }
};

template <class T>
using AlignedArray = std::unique_ptr<T[], AlignedDelete>;

template <class T>
AlignedArray<T> aligned_array(std::size_t count) {
  return AlignedArray<T>(
      static_cast<T*>(::operator new(count * sizeof(T), AlignedDelete::kAlignment)));
}

}  // namespace ntkfast::cpu
