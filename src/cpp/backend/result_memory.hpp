// Memory of large results. What Python has dropped is kept for the next result of the same size:
// the system clears every page that it hands out, which takes a fifth of the time of a Gram matrix
// in float32. Kept pages are marked as free (MADV_FREE), so the system takes them back whenever
// anything else wants memory.
#pragma once

#include <cstddef>

namespace ntkfast {

// At most so many bytes are kept.
inline constexpr std::size_t kSpareMemory = std::size_t{1} << 30;

class ResultMemory {
 public:
  // `reuse`: takes memory that was kept, and is kept. Throws std::bad_alloc.
  ResultMemory(std::size_t bytes, bool reuse);
  ~ResultMemory();
  ResultMemory(const ResultMemory&) = delete;
  ResultMemory& operator=(const ResultMemory&) = delete;

  void* data() const { return data_; }

 private:
  std::size_t bytes_;
  bool reuse_;
  void* data_;
};

}  // namespace ntkfast
