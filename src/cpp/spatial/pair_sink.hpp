// Where the readouts of pairs of images go: through the layers behind them, to the results.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "cpu/gram.hpp"
#include "spatial/head.hpp"

namespace ntkfast::spatial {

// Images [i0, i0 + rows) against [j0, j0 + cols).
struct Tile {
  std::int64_t i0, rows, j0, cols;

  // Pairs above the diagonal are mirrored.
  bool skips(bool symmetric, std::int64_t i, std::int64_t j) const {
    return symmetric && j0 + j > i0 + i;
  }
};

template <class T>
class PairSink {
 public:
  // `outputs` must outlive it.
  PairSink(const SpatialPlan& plan, bool ntk, std::string_view isa,
           const std::vector<cpu::GramOutput<T>>& outputs);

  // What single images contribute, where the layers behind a readout ask for it. z null: symmetric.
  // Throws KernelOverflow.
  void take_rows(const T* x, std::int64_t n, const T* z, std::int64_t m,
                 const cpu::GramOptions& options);

  // `sums`: the readouts of all pairs of the tile, row by row; `columns`: those of the results.
  // Tiles may be finished side by side. Throws KernelOverflow.
  void finish(const Tile& tile, bool symmetric, const Readout* sums, std::int64_t columns) const;
  // Entry i of a diagonal.
  void finish_own(std::int64_t i, const Readout* sums) const;

 private:
  std::vector<HeadRow> rows(const T* images, std::int64_t n, const char* argument,
                            const cpu::GramOptions& options) const;
  void write(std::int64_t at, std::size_t output, const Readout& value) const;

  const SpatialPlan& plan_;
  bool ntk_;
  Head head_;
  const std::vector<cpu::GramOutput<T>>& outputs_;
  std::size_t readouts_;
  std::vector<HeadRow> left_, right_;
};

}  // namespace ntkfast::spatial
