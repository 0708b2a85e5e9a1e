// Sizes of tiles and blocks, with their reasons. All are reasoned from data sheets; none has been
// measured on a device.
#pragma once

#include <cstdint>
#include <type_traits>

#include "device/gram_tile.hpp"

namespace ntkfast::cuda {

// float: 256 threads with 8 x 8 sums each do 64 multiplications for 16 numbers from shared memory,
// 4 loads of 16 bytes. A tile takes 83 KB of shared memory: two groups of threads fit on an H100 or
// H200 (227 KB) and on an A100 (163 KB), one on 8.6 and 8.9 (99 KB).
// double: 4 x 4 sums, since 8 x 8 would take 128 of 255 registers for themselves; 51 KB. Devices
// multiply doubles at half the rate of float at best, so fewer multiplications per load suffice.
template <class T>
using Shape = std::conditional_t<std::is_same_v<T, float>, device::TileShape<128, 16, 8>,
                                 device::TileShape<64, 16, 4>>;

// Groups of threads that should fit on a multiprocessor: bounds the registers of a thread to 128 in
// float and leaves doubles, whose layers need up to 170, all 255.
template <class T>
inline constexpr int kGroupsPerProcessor = std::is_same_v<T, float> ? 2 : 1;

// Rows and columns of the result per launch: some milliseconds of work, so that Ctrl-C and the
// progress bar answer; long enough that thousands of tiles leave no device idle; and rows of 32 KB
// where a block is copied to the host.
inline constexpr std::int64_t kBlockEdge = 8192;
// Launches in flight: one computes while the other's results are copied.
inline constexpr int kStreams = 2;
// Memory that is left alone: the runtime keeps the stacks of all threads in it, and its own things.
inline constexpr std::int64_t kReservedBytes = std::int64_t{256} << 20;

}  // namespace ntkfast::cuda
