// Tasks: every index once, exceptions and interrupts reach the caller and stop the rest.
#include "backend/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "doctest.h"
#include "error.hpp"

namespace {

using ntkfast::Interrupted;
using ntkfast::Monitor;
using ntkfast::Tasks;

const Monitor kNoMonitor;

struct Stop : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace

TEST_CASE("every index runs once on a worker that exists") {
  for (const int threads : {0, 1, 2, 3, 8}) {
    for (const std::int64_t count : {0, 1, 2, 7, 1000}) {
      CAPTURE(threads);
      CAPTURE(count);
      std::vector<std::atomic<int>> seen(static_cast<std::size_t>(count));
      std::atomic<bool> legal{true};
      Tasks tasks(count, threads, kNoMonitor);
      tasks.run([&](int worker, std::int64_t index) {
        if (worker < 0 || worker >= std::max(threads, 1)) legal = false;
        ++seen[static_cast<std::size_t>(index)];
      });
      CHECK(legal);
      CHECK(std::all_of(seen.begin(), seen.end(), [](const auto& n) { return n == 1; }));
    }
  }
}

TEST_CASE("no more threads are made than there are tasks") {
  std::atomic<int> highest{0};
  Tasks tasks(2, 64, kNoMonitor);
  tasks.run([&](int worker, std::int64_t) { highest = std::max(highest.load(), worker); });
  CHECK(highest < 2);
}

TEST_CASE("one worker never runs two tasks at a time") {
  constexpr int kThreads = 3;
  std::vector<int> inside(kThreads);  // unsynchronised on purpose: each worker owns one entry
  std::atomic<bool> alone{true};
  Tasks tasks(300, kThreads, kNoMonitor);
  tasks.run([&](int worker, std::int64_t) {
    int& mine = inside[static_cast<std::size_t>(worker)];
    if (++mine != 1) alone = false;
    std::this_thread::yield();
    --mine;
  });
  CHECK(alone);
}

TEST_CASE("the exception of a task reaches the caller and stops the rest") {
  for (const int threads : {1, 3}) {
    std::atomic<int> ran{0};
    Tasks tasks(100000, threads, kNoMonitor);
    const auto run = [&] {
      tasks.run([&](int, std::int64_t index) {
        ++ran;
        if (index == 5) throw Stop("task " + std::to_string(index));
      });
    };
    CHECK_THROWS_WITH_AS(run(), "task 5", Stop);
    if (threads == 1) CHECK(ran == 6);
  }
}

TEST_CASE("others notice a failure at their next checkpoint, and do not hide its reason") {
  std::atomic<bool> failed{false};
  Tasks tasks(3, 3, kNoMonitor);
  const auto run = [&] {
    tasks.run([&](int worker, std::int64_t index) {
      if (index == 0) {
        failed = true;
        throw Stop("the reason");
      }
      // A long task: ends through the checkpoint alone.
      for (;;) {
        if (failed) std::this_thread::yield();
        tasks.checkpoint(worker);
      }
    });
  };
  CHECK_THROWS_WITH_AS(run(), "the reason", Stop);
}

TEST_CASE("the monitor hears of the end, on the calling thread") {
  const auto caller = std::this_thread::get_id();
  bool same_thread = true;
  std::vector<std::int64_t> done;
  const Monitor monitor = [&](std::int64_t finished, std::int64_t count) {
    same_thread = same_thread && std::this_thread::get_id() == caller;
    CHECK(count == 40);
    done.push_back(finished);
  };
  Tasks tasks(40, 2, monitor);
  tasks.run([](int, std::int64_t) {});
  REQUIRE_FALSE(done.empty());
  CHECK(done.back() == 40);
  CHECK(std::is_sorted(done.begin(), done.end()));
  CHECK(same_thread);
}

TEST_CASE("a monitor that throws stops long tasks on every thread") {
  for (const int threads : {1, 3}) {
    int calls = 0;
    const Monitor monitor = [&](std::int64_t, std::int64_t) {
      ++calls;
      throw Interrupted("Ctrl-C");
    };
    Tasks tasks(1000, threads, monitor);
    const auto run = [&] {
      tasks.run([&](int worker, std::int64_t) {
        for (;;) {
          tasks.checkpoint(worker);
          std::this_thread::yield();
        }
      });
    };
    CHECK_THROWS_WITH_AS(run(), "Ctrl-C", Interrupted);
    CHECK(calls == 1);
  }
}

TEST_CASE("a failed run does not report the end") {
  bool ended = false;
  const Monitor monitor = [&](std::int64_t done, std::int64_t count) { ended = done == count; };
  Tasks tasks(3, 2, monitor);
  CHECK_THROWS_AS(tasks.run([](int, std::int64_t) { throw Stop("at once"); }), Stop);
  CHECK_FALSE(ended);
}
