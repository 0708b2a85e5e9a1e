// A sink: finished tiles are multiplied by vectors while they are in the cache, and forgotten.
//
// A tile of rows I against columns J adds K_IJ v_J to the sums of I and, where it stands for its
// mirror image too, K_IJ' v_I to those of J. Within a tile BLAS adds in the dtype of the kernel;
// the sums of tiles are integers (math/fixed_sum.hpp), the same in whatever order threads add.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "cpu/tile.hpp"
#include "program/kernel_product.hpp"

namespace ntkfast::cpu {

// Vectors that one call of BLAS takes: bounds the scratch memory of a thread.
inline constexpr int kVectorsAtOnce = 64;

// One side: its vectors, which meet the kernel on the other side's behalf, and the other way round.
template <class T>
class TileProduct {
 public:
  // The sums of rows of the left side take `vectors` of the right side, and the other way round
  // where `transposed`; `both` adds both (a symmetric Gram). `roots`: of the rows that are summed.
  TileProduct(bool ntk, bool rows, bool columns, const ScaledVectors<T>& vectors,
              const DiagonalRoots& roots);

  // values: the finished tile. Its first `mirrored` columns stand for their mirror image, too.
  // `scratch`: the longer edge of a tile x kVectorsAtOnce numbers.
  void add(const TileRange& tile, int mirrored, const T* values, int ld, T* scratch);

  bool ntk() const { return ntk_; }
  const std::int64_t* sums() const { return sums_.data(); }

 private:
  void multiply(bool transpose, int rows, int cols, const T* values, int ld, std::int64_t from,
                std::int64_t to, T* scratch);
  void add_sums(std::int64_t to, int rows, std::int64_t first, int count, const T* terms);

  // Rows that share a lock: tiles begin at multiples of it.
  static constexpr int kLockedRows = kSmallTiles.rows;

  bool ntk_, rows_, columns_;
  const ScaledVectors<T>& vectors_;
  const std::vector<double>& scales_;
  std::vector<std::int64_t> sums_;  // rows x vectors
  std::vector<std::mutex> locks_;
};

}  // namespace ntkfast::cpu
