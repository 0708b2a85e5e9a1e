#include "backend/parallel.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "error.hpp"

namespace ntkfast {
namespace {

// Often enough for Ctrl-C and a progress bar, rare enough to cost nothing.
constexpr std::int64_t kPollNanoseconds = 50'000'000;

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

void Tasks::checkpoint(int worker) {
  if (stop_.load(std::memory_order_relaxed)) throw Interrupted("stopped");
  if (worker != 0 || !monitor_) return;
  const std::int64_t now = now_ns();
  if (now - last_poll_ns_ < kPollNanoseconds) return;
  last_poll_ns_ = now;
  monitor_(done_.load(std::memory_order_relaxed), count_);
}

void Tasks::work(int worker, const std::function<void(int, std::int64_t)>& task) {
  for (;;) {
    const std::int64_t index = next_.fetch_add(1, std::memory_order_relaxed);
    if (index >= count_) return;
    checkpoint(worker);
    task(worker, index);
    done_.fetch_add(1, std::memory_order_relaxed);
  }
}

void Tasks::run(const std::function<void(int, std::int64_t)>& task) {
  std::mutex mutex;
  std::exception_ptr first;
  last_poll_ns_ = now_ns();
  const auto guarded = [&](int worker) {
    try {
      work(worker, task);
    } catch (...) {
      const std::lock_guard lock(mutex);
      // A worker that only noticed the stop must not hide the reason for it.
      if (!first) first = std::current_exception();
      stop_.store(true, std::memory_order_relaxed);
    }
  };
  std::vector<std::thread> helpers;
  const auto wanted = static_cast<int>(std::min<std::int64_t>(threads_, count_));
  helpers.reserve(static_cast<std::size_t>(wanted));
  for (int worker = 1; worker < wanted; ++worker) {
    try {
      helpers.emplace_back(guarded, worker);
    } catch (const std::system_error&) {
      break;  // the system gives no more threads: those at hand do all the tasks
    }
  }
  guarded(0);
  for (auto& helper : helpers) helper.join();
  if (first) std::rethrow_exception(first);
  if (monitor_) monitor_(count_, count_);
}

}  // namespace ntkfast
