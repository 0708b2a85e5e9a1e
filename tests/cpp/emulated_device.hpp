// A device on the CPU: one thread of the CPU for each of the device, barriers for synchronisation,
// small tiles. It runs the body of the CUDA kernel as it stands.
#pragma once

#include <atomic>
#include <barrier>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "device/gram_tile.hpp"

namespace emulated {

using namespace ntkfast::device;

// Edge 32, 64 threads: two warps; the product is flushed every 8 columns.
using SmallShape = TileShape<32, 8, 4, 4, 8, 8>;

// What a tensor core makes of c + sum_k a_k b_k in its float32 mode, as far as it is known:
// products are exact, and what does not fit into the sum is cut off.
inline float add_truncated(float c, double products) {
  const double exact = static_cast<double>(c) + products;
  const auto sum = static_cast<float>(exact);
  return std::fabs(static_cast<double>(sum)) > std::fabs(exact) ? std::nextafter(sum, 0.0F) : sum;
}

// What 64 threads share, and the view of one of them.
struct Shared {
  std::barrier<> all{SmallShape::kThreads};
  struct Warp {
    std::barrier<> barrier{kWarp};
    double numbers[kWarp];
    bool votes[kWarp];
    double left[kWarp][4], right[kWarp][2];  // operands of tensor cores
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
  template <class T>
  void copy_async(T* to, const T* from, bool valid) const {
    *to = valid ? *from : T(0);
  }
  void commit() const {}
  void wait() const {}
  void add(std::int64_t* to, std::int64_t number) const {
    std::atomic_ref(*to).fetch_add(number, std::memory_order_relaxed);
  }
  void mma(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) const {
    const int lane = thread_ % kWarp;
    for (int k = 0; k < 4; ++k) warp_.left[lane][k] = static_cast<double>(from_tf32(a[k]));
    for (int k = 0; k < 2; ++k) warp_.right[lane][k] = static_cast<double>(from_tf32(b[k]));
    warp_.barrier.arrive_and_wait();
    for (int part = 0; part < 4; ++part) {
      double sum = 0;
      for (int k = 0; k < 8; ++k) sum += left(part, k) * right(part, k);
      c[part] = add_truncated(c[part], sum);
    }
    warp_.barrier.arrive_and_wait();
  }
  void mma(double (&c)[4], const double (&a)[2], const double (&b)[1]) const {
    const int lane = thread_ % kWarp;
    for (int k = 0; k < 2; ++k) warp_.left[lane][k] = a[k];
    warp_.right[lane][0] = b[0];
    warp_.barrier.arrive_and_wait();
    for (int part = 0; part < 4; ++part) {
      for (int k = 0; k < 4; ++k) c[part] = std::fma(left(part, k), right(part, k), c[part]);
    }
    warp_.barrier.arrive_and_wait();
  }
  double shuffle_xor(double number, int mask) const {
    warp_.numbers[thread_ % kWarp] = number;
    warp_.barrier.arrive_and_wait();
    const double other = warp_.numbers[(thread_ % kWarp) ^ mask];
    warp_.barrier.arrive_and_wait();
    return other;
  }

 private:
  // Entry k of the row and of the column that meet in a part of this thread's sums.
  double left(int part, int k) const {
    const int row = thread_ % kWarp / 4;
    return warp_.left[4 * row + k % 4][k / 4 * 2 + part / 2];
  }
  double right(int part, int k) const {
    const int column = 2 * (thread_ % kWarp % 4) + part % 2;
    return warp_.right[4 * column + k % 4][k / 4];
  }

  Shared& shared_;
  Shared::Warp& warp_;
  int thread_;
};

// Runs all tiles of one block.
template <class T>
void launch(const GramBlock<T>& block) {
  const auto memory = std::make_unique<TileMemory<T, SmallShape>>();
  // What was never written is seen.
  std::memset(static_cast<void*>(memory.get()), 0xff, sizeof *memory);
  Shared shared;
  for_kind<T>(block.kind, [&](auto kind) {
    std::vector<std::thread> threads;
    for (int t = 0; t < SmallShape::kThreads; ++t) {
      threads.emplace_back([&, t] {
        HostGroup group(shared, t);
        for (std::int64_t tile = 0; tile < tile_count(block, SmallShape::kEdge); ++tile) {
          GramTile<T, SmallShape, kind(), HostGroup>(block, tile, group, *memory).run();
          group.sync();
        }
      });
    }
    for (auto& thread : threads) thread.join();
  });
}

}  // namespace emulated
