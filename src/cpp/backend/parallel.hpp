// Numbered tasks dealt to threads that live for one call.
//
// Threads are made per call (about 30 us each) instead of kept in a pool: nothing outlives the
// call, so fork() is always safe and two callers never share a queue. Tasks write disjoint results,
// so the answer does not depend on who takes which.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

namespace ntkfast {

// Called on the calling thread now and then with (tasks done, tasks in all); may throw to stop.
using Monitor = std::function<void(std::int64_t, std::int64_t)>;

class Tasks {
 public:
  Tasks(std::int64_t count, int threads, const Monitor& monitor)
      : count_(count), threads_(threads), monitor_(monitor) {}

  // Runs task(worker, index) for every index, worker in [0, threads). Rethrows the first exception.
  void run(const std::function<void(int, std::int64_t)>& task);

  // For long tasks: throws when the run is being stopped; polls the monitor on worker 0.
  void checkpoint(int worker);

 private:
  void work(int worker, const std::function<void(int, std::int64_t)>& task);

  std::int64_t count_;
  int threads_;
  const Monitor& monitor_;
  std::atomic<std::int64_t> next_{0};
  std::atomic<std::int64_t> done_{0};
  std::atomic<bool> stop_{false};
  std::int64_t last_poll_ns_ = 0;
};

}  // namespace ntkfast
