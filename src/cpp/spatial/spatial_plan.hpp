// How a program over images is run: which maps of pairs of positions it takes, and which columns.
//
// A map holds all pairs (p, p + offset) of positions of two images. Convolutions move along p only,
// so that every offset goes through all layers on its own; a stride divides offsets. A pool mixes
// offsets: it ends a stage, and the values behind it belong to the next.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "program/program.hpp"
#include "program/step_plan.hpp"

namespace ntkfast::spatial {

// Ops that turn values with positions into values without.
inline bool is_readout(const Op& op) {
  return op.kind == OpKind::Flatten || op.kind == OpKind::GlobalPool;
}

// Beyond the border of an image.
enum class Edge : std::uint8_t {
  Zero,     // of roots, which weigh what a convolution reads
  Border,   // of roots that are summed: the whole border is zero, also where an image goes on
  Nearest,  // of columns that must be some legal number
};

// One number per position that an image contributes to all its maps.
struct ColumnPlan {
  std::size_t op;  // that reads it; the input has kInputColumns
  int k;
  int value;  // whose positions they are
  Edge edge;
};
// Columns of a convolution: the root of its input, and the inverse of that of its output.
inline constexpr int kConvColumns = 2;
inline constexpr std::size_t kInputColumns = static_cast<std::size_t>(-1);

// One axis of the map of a value at one offset.
struct MapAxis {
  int left,
      right;  // first position of each image; the right one counts modulo the size if circular
  int size;   // positions; 0: no pair has this offset
};

struct MapShape {
  std::array<MapAxis, 2> axis;
  std::int64_t pitch = 0, lanes = 0;  // with the border; no lanes where there is no pair
};

using Offset = std::array<int, 2>;

// The values between two pools, the input and the outputs.
struct Stage {
  std::array<int, 2> border{};                        // lanes around every map
  bool circular = false;                              // offsets, too, count modulo the size
  Grid end;                                           // positions of what it ends with, at most
  std::vector<std::size_t> columns;                   // that its maps read
  std::vector<std::size_t> pools;                     // that end it, by number
  bool all_offsets = false, equal_positions = false;  // what its readouts need
};

// A pool, and where its numbers of one image begin (see ImageColumns).
struct PoolPlan {
  std::size_t op;
  std::int64_t entry;
};

class SpatialPlan {
 public:
  // Throws ArchitectureError for what no set of maps can do.
  explicit SpatialPlan(const Program& program);

  const std::vector<PlannedStep>& steps(bool ntk) const { return ntk ? with_ntk_ : without_ntk_; }
  bool on_maps(const Op& op) const { return value(op.in).grid.has_positions(); }
  const std::vector<ColumnPlan>& columns() const { return columns_; }
  // The first column of the op with that index.
  std::size_t first_column(std::size_t op) const { return first_column_[op]; }
  const std::vector<Stage>& stages() const { return stages_; }
  std::size_t stage_of(int v) const { return static_cast<std::size_t>(value(v).pools); }
  const Stage& stage(int v) const { return stages_[stage_of(v)]; }
  const std::vector<PoolPlan>& pools() const { return pools_; }
  const Op& pool(std::size_t number) const { return program_.ops[pools_[number].op]; }
  // The number of the pool that is the op with that index.
  std::size_t pool_number(std::size_t op) const;
  std::int64_t entry_size() const { return entry_size_; }
  // How many maps of an image with itself the one at this offset stands for: that at the opposite
  // offset holds the same pairs, the other way around. 0: it is left to that one. Pools need both.
  int copies(std::size_t stage, const Offset& offset) const;
  const Program& program() const { return program_; }
  // Positions of a value per position at the end of its stage.
  const std::array<int, 2>& stride(int v) const { return stride_[static_cast<std::size_t>(v)]; }

  // The map of a value at an offset of the end of its stage.
  MapShape shape(int value, const Offset& offset) const;
  // Most lanes of any map.
  std::int64_t largest_map() const { return largest_map_; }

  // Calls visit(lane, left position, right position, count) for all runs of neighbouring lanes of
  // a map whose positions are neighbours in both images.
  template <class Visit>
  void visit_runs(int v, const MapShape& shape, const Visit& visit) const;

 private:
  const Value& value(int k) const { return program_.values[static_cast<std::size_t>(k)]; }
  void find_stages();
  void find_strides();
  void find_columns();

  const Program& program_;
  std::vector<PlannedStep> with_ntk_, without_ntk_;
  std::vector<std::array<int, 2>> stride_;
  std::vector<ColumnPlan> columns_;
  std::vector<std::size_t> first_column_;
  std::vector<Stage> stages_;
  std::vector<PoolPlan> pools_;
  std::int64_t entry_size_ = 0, largest_map_ = 0;
};

template <class Visit>
void SpatialPlan::visit_runs(int v, const MapShape& shape, const Visit& visit) const {
  const Grid& grid = value(v).grid;
  const Stage& own = stage(v);
  const MapAxis &rows = shape.axis[0], &cols = shape.axis[1];
  // Only a circular image goes on at its beginning.
  const int before_end = std::min(cols.size, grid.width - cols.right);
  for (int r = 0; r < rows.size; ++r) {
    const std::int64_t lane = (own.border[0] + r) * shape.pitch + own.border[1];
    const std::int64_t left = std::int64_t{rows.left + r} * grid.width + cols.left;
    const std::int64_t right = std::int64_t{(rows.right + r) % grid.height} * grid.width;
    visit(lane, left, right + cols.right, before_end);
    if (before_end < cols.size) {
      visit(lane + before_end, left + before_end, right, cols.size - before_end);
    }
  }
}

}  // namespace ntkfast::spatial
