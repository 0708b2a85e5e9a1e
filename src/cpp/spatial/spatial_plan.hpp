// How a program over images is run: which offsets between positions are needed, and which maps and
// columns each of them takes.
//
// A map holds all pairs (p, p + offset) of positions of two images. Convolutions move along p only,
// so that every offset goes through all layers on its own; a stride divides offsets.
#pragma once

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
  int value;  // whose positions they are, or kOneNumber
  Edge edge;
};
// Columns of a convolution (cpu::ConvMap): the root of its input, the inverse of that of its
// output, and b_std, all in a unit of the image. The last is one number.
inline constexpr int kConvColumns = 3;
inline constexpr int kOneNumber = -1;
inline constexpr std::size_t kInputColumns = static_cast<std::size_t>(-1);

// One axis of the map of a value at one offset.
struct MapAxis {
  int left,
      right;  // first position of each image; the right one counts modulo the size if circular
  int size;   // positions
};

struct MapShape {
  std::array<MapAxis, 2> axis;
  std::int64_t pitch = 0, lanes = 0;  // with the border
};

using Offset = std::array<int, 2>;

class SpatialPlan {
 public:
  // Throws ArchitectureError for what no set of maps can do.
  explicit SpatialPlan(const Program& program);

  const std::vector<PlannedStep>& steps(bool ntk) const { return ntk ? with_ntk_ : without_ntk_; }
  bool on_maps(const Op& op) const { return value(op.in).grid.has_positions(); }
  const std::vector<ColumnPlan>& columns() const { return columns_; }
  // The first column of the op with that index.
  std::size_t first_column(std::size_t op) const { return first_column_[op]; }
  const std::vector<Offset>& offsets() const { return offsets_; }
  // How many maps of an image with itself the one at this offset stands for: that at the opposite
  // offset holds the same pairs, the other way around. 0: it is left to that one.
  int copies(const Offset& offset) const;
  const std::array<int, 2>& border() const { return border_; }
  bool circular() const { return circular_; }
  const Program& program() const { return program_; }

  MapShape shape(int value, const Offset& offset) const;
  // Most lanes of any map.
  std::int64_t largest_map() const { return largest_map_; }

 private:
  const Value& value(int k) const { return program_.values[static_cast<std::size_t>(k)]; }
  void find_strides();
  void find_border();
  void find_columns();
  void find_offsets();

  const Program& program_;
  std::vector<PlannedStep> with_ntk_, without_ntk_;
  std::vector<std::array<int, 2>> stride_;  // per value: positions of it per position at the end
  std::vector<ColumnPlan> columns_;
  std::vector<std::size_t> first_column_;
  std::vector<Offset> offsets_;
  Grid end_;  // of the values that are read out
  std::array<int, 2> border_{};
  bool circular_ = false;
  std::int64_t largest_map_ = 0;
};

}  // namespace ntkfast::spatial
