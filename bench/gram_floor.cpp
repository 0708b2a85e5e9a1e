#include "gram_floor.hpp"

#include <algorithm>
#include <cstdlib>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "backend/blas.hpp"
#include "backend/parallel.hpp"

namespace ntkfast::bench {
namespace {

constexpr std::size_t kHugePage = std::size_t{1} << 21;

}  // namespace

void FreeMemory::operator()(void* p) const { std::free(p); }

void* fresh_bytes(std::size_t bytes) {
  const std::size_t rounded = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  void* p = std::aligned_alloc(kHugePage, rounded);
  if (p == nullptr) throw std::bad_alloc();
#ifdef __linux__
  // A hint: where it is refused, small pages are as correct.
  static_cast<void>(madvise(p, rounded, MADV_HUGEPAGE));
#endif
  return p;
}

template <class T>
void product(const T* x, const T* z, std::int64_t n, std::int64_t m, std::int64_t d, int tile,
             int threads, T* c) {
  const std::int64_t across = (m + tile - 1) / tile;
  const Monitor no_monitor;
  Tasks tasks((n + tile - 1) / tile * across, threads, no_monitor);
  tasks.run([&](int, std::int64_t index) {
    const std::int64_t i = index / across * tile, j = index % across * tile;
    multiply_transposed(static_cast<int>(std::min<std::int64_t>(tile, n - i)),
                        static_cast<int>(std::min<std::int64_t>(tile, m - j)), static_cast<int>(d),
                        x + i * d, static_cast<int>(d), z + j * d, static_cast<int>(d), false,
                        c + i * m + j, static_cast<int>(m));
  });
}

template <class T>
void write_all(T* p, std::int64_t count, int threads) {
  const Monitor no_monitor;
  Tasks tasks(threads, threads, no_monitor);
  tasks.run([&](int, std::int64_t index) {
    std::fill(p + count * index / threads, p + count * (index + 1) / threads, T{1});
  });
}

#define NTKFAST_INSTANTIATE(T)                                                                  \
  template void product(const T*, const T*, std::int64_t, std::int64_t, std::int64_t, int, int, \
                        T*);                                                                    \
  template void write_all(T*, std::int64_t, int);
NTKFAST_INSTANTIATE(float)
NTKFAST_INSTANTIATE(double)
#undef NTKFAST_INSTANTIATE

}  // namespace ntkfast::bench
