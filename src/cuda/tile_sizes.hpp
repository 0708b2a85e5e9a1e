// Sizes of tiles and blocks, with their reasons. All are reasoned from data sheets; none has been
// measured on a device.
#pragma once

#include <cstdint>
#include <type_traits>

#include "device/gram_tile.hpp"

namespace ntkfast::cuda {

// float: 256 threads with 8 x 8 sums each do 64 multiplications for 16 numbers from shared memory,
// 4 loads of 16 bytes. double: 128 threads with 8 x 4 sums, 32 multiplications for 12 numbers. On
// tensor cores a warp computes 64 x 32 entries in float, 32 x 32 in double.
template <class T, int kDepth>
using DeepShape = std::conditional_t<std::is_same_v<T, float>, device::TileShape<128, kDepth, 8, 8>,
                                     device::TileShape<64, kDepth, 8, 4>>;
template <class T>
using Shape = DeepShape<T, 8>;  // for what does not depend on the depth

// Columns of a panel, by the major compute capability: 16 from Hopper on, where tensor cores are
// done with 8 before the next ones have come. A tile of float takes 97 KB of shared memory then,
// and two groups of threads fit (227 KB); with 8 it takes 81 KB, of which two fit on an A100 (163
// KB) and one on 8.6 and 8.9 (99 KB). Tiles of double take 65 or 49 KB.
constexpr int panel_depth(int major) { return major >= 9 ? 16 : 8; }

// Groups of threads that should fit on a multiprocessor, one of them multiplying rows while the
// other computes layers: bounds the registers of a thread to 128 in float and leaves doubles, whose
// layers need up to 170, all 255.
template <class T>
inline constexpr int kGroupsPerProcessor = 2;

// Rows and columns of the result per launch: some milliseconds of work, so that Ctrl-C and the
// progress bar answer; long enough that thousands of tiles leave no device idle; and rows of 32 KB
// where a block is copied to the host.
inline constexpr std::int64_t kBlockEdge = 8192;
// Launches in flight: one computes while the other's results are copied.
inline constexpr int kStreams = 2;
// Memory that is left alone: the runtime keeps the stacks of all threads in it, and its own things.
inline constexpr std::int64_t kReservedBytes = std::int64_t{256} << 20;

// Images: threads of a group, which share the maps of one pair, and groups that should fit on a
// multiprocessor. A thread has 8 numbers of a 32 x 32 map. A network without branches keeps two
// values alive, 16 KB of float or 32 KB of double per group.
inline constexpr int kMapThreads = 128, kMapGroups = 4;

}  // namespace ntkfast::cuda
