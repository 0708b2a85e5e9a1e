#include "backend/result_memory.hpp"

#include <iterator>
#include <mutex>
#include <new>
#include <vector>

#include "backend/aligned_memory.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace ntkfast {
namespace {

// Smaller results are left to malloc, which keeps their pages itself.
constexpr std::size_t kSmallestKept = std::size_t{4} << 20;

struct Block {
  void* data;
  std::size_t bytes;
};

// Tells the system that the pages may be taken; false where it has no such call.
bool mark_free(const Block& block) {
#if defined(__linux__) && defined(MADV_FREE)
  // Whole pages only: the system would round up, into memory that is not ours.
  constexpr std::size_t kPage = 4096;
  return madvise(block.data, block.bytes / kPage * kPage, MADV_FREE) == 0;
#else
  (void)block;
  return false;
#endif
}

// Oldest first. Whoever finds the lock taken does without: it may have been taken by a thread that
// a fork did not copy, and then nobody would ever open it.
class SpareBlocks {
 public:
  void* take(std::size_t bytes) {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock) return nullptr;
    for (auto block = blocks_.rbegin(); block != blocks_.rend(); ++block) {
      if (block->bytes != bytes) continue;
      void* data = block->data;
      blocks_.erase(std::next(block).base());
      kept_ -= bytes;
      return data;
    }
    return nullptr;
  }

  // Whether the block was kept.
  bool keep(const Block& block) {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock || block.bytes > kSpareMemory || !mark_free(block)) return false;
    try {
      blocks_.push_back(block);
    } catch (const std::bad_alloc&) {
      return false;
    }
    kept_ += block.bytes;
    while (kept_ > kSpareMemory) {
      free_aligned(blocks_.front().data);
      kept_ -= blocks_.front().bytes;
      blocks_.erase(blocks_.begin());
    }
    return true;
  }

 private:
  std::mutex mutex_;
  std::vector<Block> blocks_;
  std::size_t kept_ = 0;
};

// Never destroyed: results may be dropped while the process ends.
SpareBlocks& spare_blocks() {
  static auto* blocks = new SpareBlocks;
  return *blocks;
}

}  // namespace

ResultMemory::ResultMemory(std::size_t bytes, bool reuse)
    : bytes_(bytes),
      reuse_(reuse && bytes >= kSmallestKept),
      data_(reuse_ ? spare_blocks().take(bytes) : nullptr) {
  if (data_ == nullptr) data_ = allocate_aligned(bytes);
}

ResultMemory::~ResultMemory() {
  if (!reuse_ || !spare_blocks().keep({data_, bytes_})) free_aligned(data_);
}

}  // namespace ntkfast
