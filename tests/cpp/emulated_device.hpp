// A device on the CPU: one thread of the CPU for each of the device, barriers for synchronisation,
// small tiles. It runs the body of the CUDA kernel as it stands.
#pragma once

#include <barrier>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "device/gram_tile.hpp"

namespace emulated {

using namespace ntkfast::device;

// Edge 32, 64 threads: two warps; the product is flushed every 8 columns.
using SmallShape = TileShape<32, 4, 4, 8>;

// What 64 threads share, and the view of one of them.
struct Shared {
  std::barrier<> all{SmallShape::kThreads};
  struct Warp {
    std::barrier<> barrier{kWarp};
    double numbers[kWarp];
    bool votes[kWarp];
  };
  Warp warps[SmallShape::kThreads / kWarp];
};

class HostGroup {
 public:
  HostGroup(Shared& shared, int thread)
      : shared_(shared), warp_(shared.warps[thread / kWarp]), thread_(thread) {}
  int thread() const { return thread_; }
  void sync() const { shared_.all.arrive_and_wait(); }
  std::uint32_t ballot(bool vote) const {
    warp_.votes[thread_ % kWarp] = vote;
    warp_.barrier.arrive_and_wait();
    std::uint32_t all = 0;
    for (int lane = 0; lane < kWarp; ++lane) all |= std::uint32_t{warp_.votes[lane]} << lane;
    warp_.barrier.arrive_and_wait();
    return all;
  }
  double shuffle_xor(double number, int mask) const {
    warp_.numbers[thread_ % kWarp] = number;
    warp_.barrier.arrive_and_wait();
    const double other = warp_.numbers[(thread_ % kWarp) ^ mask];
    warp_.barrier.arrive_and_wait();
    return other;
  }

 private:
  Shared& shared_;
  Shared::Warp& warp_;
  int thread_;
};

// Runs all tiles of one block.
template <class T>
void launch(const GramBlock<T>& block) {
  const auto memory = std::make_unique<TileMemory<T, SmallShape>>();
  Shared shared;
  std::vector<std::thread> threads;
  for (int t = 0; t < SmallShape::kThreads; ++t) {
    threads.emplace_back([&, t] {
      HostGroup group(shared, t);
      for (std::int64_t tile = 0; tile < tile_count(block, SmallShape::kEdge); ++tile) {
        GramTile<T, SmallShape, HostGroup>(block, tile, group, *memory).run();
        group.sync();
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace emulated
