// The size of a tile, what its threads share, and how they share the work.
#pragma once

#include <cstdint>

#include "device/device_code.hpp"

namespace ntkfast::device {

inline constexpr int kWarp = 32;

// Tiles are kEdge x kEdge. A thread accumulates kMicroRows x kMicroCols entries of the product, as
// squares of four by four (two 16-byte loads of float for 16 products each way).
template <int kEdge_, int kDepth_, int kMicroRows_, int kMicroCols_, int kChunk_ = 512,
          int kTensorChunk_ = 128>
struct TileShape {
  static constexpr int kEdge = kEdge_, kDepth = kDepth_;
  static constexpr int kMicroRows = kMicroRows_, kMicroCols = kMicroCols_;
  static constexpr int kAcross = kEdge / kMicroCols, kDown = kEdge / kMicroRows;
  static constexpr int kThreads = kAcross * kDown, kWarps = kThreads / kWarp;
  // Products are summed in registers over this depth, and then in shared memory: the rounding of a
  // long sum grows as on the CPU, where BLAS sums blocks of 512 terms. Tensor cores cut off what
  // does not fit instead of rounding, which adds up: their chunks are shorter.
  static constexpr int kChunk = kChunk_, kTensorChunk = kTensorChunk_;
  // On tensor cores a warp computes kWarpRows x kWarpCols entries.
  static constexpr int kWarpsDown = kWarps >= 4 ? 2 : 1, kWarpsAcross = kWarps / kWarpsDown;
  static constexpr int kWarpRows = kEdge / kWarpsDown, kWarpCols = kEdge / kWarpsAcross;
  static_assert(kThreads % kWarp == 0 && kThreads % kDepth == 0 && kThreads % kEdge == 0);
  static_assert(kMicroRows % 4 == 0 && kMicroCols % 4 == 0 && kEdge * kDepth % kThreads == 0);
  static_assert(kDepth % 8 == 0 && kChunk % kDepth == 0 && kTensorChunk % kDepth == 0);
  static_assert(kWarpRows % 16 == 0 && kWarpCols % 8 == 0);
};

// Four numbers that are loaded from shared memory together.
template <class T>
struct alignas(16) Quad {
  T v[4];
};

template <class T, class Shape>
struct TileMemory {
  // Two panels per side: one is multiplied while the next one is on its way.
  static constexpr int kStages = 2;
  struct Panels {
    T left[Shape::kDepth][Shape::kEdge], right[Shape::kDepth][Shape::kEdge];
  };
  // + 1: a column of the tile lies in different banks.
  static constexpr int kStride = Shape::kEdge + 1;
  alignas(16) Panels panels[kStages];
  T tile[Shape::kEdge][kStride];

  // Where row r of column k of a panel lies: rows are swapped in such a way that the four columns
  // by eight rows that a warp reads for tensor cores lie in different banks, and that four
  // neighbours stay neighbours.
  static NTKFAST_HD int place(int k, int r) {
    return r ^ ((k & 3) * (32 / static_cast<int>(sizeof(T))));
  }
};

}  // namespace ntkfast::device
