// The two parts of the floor, and the memory that it and the Gram write to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace ntkfast::bench {

struct FreeMemory {
  void operator()(void* p) const;
};

template <class T>
using Fresh = std::unique_ptr<T[], FreeMemory>;

// New memory whose pages are not mapped yet, asking for huge pages as NumPy does for its arrays.
void* fresh_bytes(std::size_t bytes);

template <class T>
Fresh<T> fresh(std::int64_t count) {
  return Fresh<T>(static_cast<T*>(fresh_bytes(static_cast<std::size_t>(count) * sizeof(T))));
}

// c (n, m) = x (n, d) z (m, d)^T with square tiles of `tile` dealt to threads, one BLAS thread
// each.
template <class T>
void product(const T* x, const T* z, std::int64_t n, std::int64_t m, std::int64_t d, int tile,
             int threads, T* c);

// Writes `count` numbers, a part per thread.
template <class T>
void write_all(T* p, std::int64_t count, int threads);

}  // namespace ntkfast::bench
