#include "backend/aligned_memory.hpp"

#include <algorithm>
#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace ntkfast {
namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

}  // namespace

void* allocate_aligned(std::size_t bytes) {
  const bool huge = bytes >= 2 * kHugePage;
  const std::size_t alignment = huge ? kHugePage : kCacheLine;
  const std::size_t rounded =
      (std::max<std::size_t>(bytes, 1) + kCacheLine - 1) & ~(kCacheLine - 1);
  if (rounded < bytes) throw std::bad_alloc();
  void* memory = nullptr;
  if (posix_memalign(&memory, alignment, rounded) != 0) throw std::bad_alloc();
#if defined(__linux__)
  // Advice only: without it the pages are small and the result is the same.
  if (huge) madvise(memory, rounded, MADV_HUGEPAGE);
#endif
  return memory;
}

void free_aligned(void* memory) { std::free(memory); }

}  // namespace ntkfast
