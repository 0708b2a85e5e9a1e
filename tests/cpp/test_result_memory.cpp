// Kept memory: taken again for the same size only, never by two results at once, bounded.
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "backend/result_memory.hpp"
#include "doctest.h"

#if defined(__linux__)
#include <sys/wait.h>
#include <unistd.h>
#endif

using ntkfast::ResultMemory;

namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
// A size per test: what one test leaves is not found by another.
std::size_t own_size() {
  static std::size_t next = 8 * kMiB;
  return next += 4096 + 64;
}

bool holds(const ResultMemory& memory, std::size_t bytes, int value) {
  const auto* first = static_cast<const unsigned char*>(memory.data());
  for (std::size_t i = 0; i < bytes; i += 4096) {
    if (first[i] != value) return false;
  }
  return first[bytes - 1] == value;
}

}  // namespace

#if defined(__linux__)
TEST_CASE("memory that was dropped is taken for the next result of its size") {
  const std::size_t bytes = own_size();
  void* first = std::make_unique<ResultMemory>(bytes, true)->data();
  const ResultMemory other_size(bytes + 64, true);
  CHECK(other_size.data() != first);
  const ResultMemory not_reused(bytes, false);
  CHECK(not_reused.data() != first);
  const ResultMemory again(bytes, true);
  CHECK(again.data() == first);
  const ResultMemory beside(bytes, true);
  CHECK(beside.data() != first);
}

TEST_CASE("kept memory is at most the limit, the oldest goes first") {
  const std::size_t bytes = ntkfast::kSpareMemory / 4 + own_size();
  std::vector<std::unique_ptr<ResultMemory>> results;
  for (int i = 0; i < 4; ++i) results.push_back(std::make_unique<ResultMemory>(bytes, true));
  void* newest = results.back()->data();
  for (auto& result : results) result.reset();
  CHECK(ResultMemory(bytes, true).data() == newest);
  // More than the limit is not kept at all. The newest block is still there.
  {
    const ResultMemory huge(ntkfast::kSpareMemory + 1, true);
  }
  CHECK(ResultMemory(bytes, true).data() == newest);
}

TEST_CASE("a forked child keeps and takes without touching its parent's results") {
  const std::size_t bytes = own_size();
  const auto memory = std::make_unique<ResultMemory>(bytes, true);
  {
    const ResultMemory spare(bytes, true);
  }
  std::memset(memory->data(), 7, bytes);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const ResultMemory own(bytes, true);
    std::memset(own.data(), 9, bytes);
    _exit(holds(*memory, bytes, 7) && holds(own, bytes, 9) ? 0 : 1);
  }
  int status = 1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(holds(*memory, bytes, 7));
}
#endif

TEST_CASE("threads never share memory that is in use, and what is written stays") {
  const std::size_t bytes = own_size();
  std::vector<int> wrong(4);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < 20; ++round) {
        const ResultMemory memory(bytes, round % 5 != 4);
        std::memset(memory.data(), t + 1, bytes);
        std::this_thread::yield();
        wrong[static_cast<std::size_t>(t)] += !holds(memory, bytes, t + 1);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4));
}

TEST_CASE("small and empty results have memory of their own") {
  const ResultMemory empty(0, true), small(64, true), other(64, true);
  CHECK(empty.data() != nullptr);
  CHECK(small.data() != other.data());
}
