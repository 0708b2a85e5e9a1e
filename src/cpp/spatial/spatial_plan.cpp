#include "spatial/spatial_plan.hpp"

#include <algorithm>
#include <string>

#include "error.hpp"
#include "program/row_steps.hpp"
#include "program/spatial_window.hpp"

namespace ntkfast::spatial {
namespace {

int positions(const Grid& grid, std::size_t axis) { return axis == 0 ? grid.height : grid.width; }

constexpr std::int64_t kLaneMultiple = 16;  // so that every map starts a cache line

std::size_t at(int value) { return static_cast<std::size_t>(value); }

}  // namespace

SpatialPlan::SpatialPlan(const Program& program)
    : program_(program),
      with_ntk_(plan_steps(program, true)),
      without_ntk_(plan_steps(program, false)) {
  find_stages();
  find_strides();
  find_columns();
  for (std::size_t v = 0; v < program_.values.size(); ++v) {
    if (!program_.values[v].grid.has_positions()) continue;
    // No overlap is larger than that of equal positions.
    largest_map_ = std::max(largest_map_, shape(static_cast<int>(v), {0, 0}).lanes);
  }
}

void SpatialPlan::find_stages() {
  int last = 0;
  for (const Op& op : program_.ops) last = std::max(last, value(op.in).pools);
  stages_.resize(at(last) + 1);
  std::vector<bool> other(stages_.size(), false);
  for (std::size_t index = 0; index < program_.ops.size(); ++index) {
    const Op& op = program_.ops[index];
    if (op.kind == OpKind::Output || !on_maps(op)) continue;
    Stage& stage = stages_[stage_of(op.in)];
    if (is_readout(op) || op.kind == OpKind::Pool) {
      const Grid& grid = value(op.in).grid;
      stage.end = {std::max(stage.end.height, grid.height), std::max(stage.end.width, grid.width)};
    }
    stage.all_offsets = stage.all_offsets || op.kind == OpKind::GlobalPool;
    stage.equal_positions = stage.equal_positions || op.kind == OpKind::Flatten;
    if (op.kind == OpKind::Pool) {
      stage.pools.push_back(pools_.size());
      pools_.push_back({index, entry_size_});
      entry_size_ += 3 * value(op.out).grid.count();
    }
    for (std::size_t axis = 0; axis < 2 && op.kind == OpKind::Conv; ++axis) {
      const WindowAxis window(op.window, axis, positions(value(op.in).grid, axis));
      stage.border[axis] = std::max({stage.border[axis], window.before, window.after()});
      if (window.size == 1) continue;
      if (window.circular) stage.circular = true;
      if (!window.circular) other[stage_of(op.in)] = true;
    }
  }
  for (std::size_t s = 0; s < stages_.size(); ++s) {
    if (stages_[s].circular && other[s]) {
      throw ArchitectureError(
          "convolutions with CIRCULAR padding and with another one cannot be mixed in one network "
          "without a pool in between");
    }
  }
}

std::size_t SpatialPlan::pool_number(std::size_t op) const {
  const auto found = std::find_if(pools_.begin(), pools_.end(),
                                  [&](const PoolPlan& pool) { return pool.op == op; });
  return static_cast<std::size_t>(found - pools_.begin());
}

// Strides from the beginning of a stage to each value first, then how many positions of it one
// position at the end stands for.
void SpatialPlan::find_strides() {
  stride_.assign(program_.values.size(), {1, 1});
  std::vector<std::array<int, 2>> last(stages_.size(), {0, 0});
  for (const Op& op : program_.ops) {
    if (op.kind == OpKind::Output || !on_maps(op)) continue;
    auto here = stride_[at(op.in)];
    if (op.in2 >= 0 && stride_[at(op.in2)] != here) {
      throw ArchitectureError("branches that are joined must have equal strides");
    }
    if (is_readout(op) || op.kind == OpKind::Pool) {
      auto& end = last[stage_of(op.in)];
      if (end[0] != 0 && end != here) {
        throw ArchitectureError(
            "all Flatten and pools behind the same number of pools must stand behind equal "
            "strides");
      }
      end = here;
      continue;
    }
    for (std::size_t axis = 0; axis < 2 && op.kind == OpKind::Conv; ++axis) {
      const int in = positions(value(op.in).grid, axis), out = positions(value(op.out).grid, axis);
      const int stride = op.window.stride[axis];
      if (stage(op.in).circular && stride * out != in) {
        throw ArchitectureError("a stride beside CIRCULAR padding must divide the " +
                                std::to_string(in) + " positions it steps over, got " +
                                std::to_string(stride));
      }
      here[axis] *= stride;
    }
    stride_[at(op.out)] = here;
  }
  for (std::size_t v = 0; v < stride_.size(); ++v) {
    if (!program_.values[v].grid.has_positions()) continue;
    const auto& end = last[at(program_.values[v].pools)];
    for (std::size_t axis = 0; axis < 2; ++axis) stride_[v][axis] = end[axis] / stride_[v][axis];
  }
}

void SpatialPlan::find_columns() {
  const auto add = [&](const ColumnPlan& column) {
    stages_[stage_of(column.value)].columns.push_back(columns_.size());
    columns_.push_back(column);
  };
  for (int c = 0; c < program_.values[0].width; ++c) add({kInputColumns, c, 0, Edge::Nearest});
  for (std::size_t index = 0; index < program_.ops.size(); ++index) {
    const Op& op = program_.ops[index];
    first_column_.push_back(columns_.size());
    if (op.kind == OpKind::Output || !on_maps(op)) continue;
    if (op.kind == OpKind::Conv) add({index, 0, op.in, Edge::Zero});
    if (is_readout(op) || op.kind == OpKind::Pool) add({index, 0, op.in, Edge::Border});
    const int count = op.kind == OpKind::Conv ? kConvColumns - 1 : column_count(op);
    for (int k = 0; k < count; ++k) {
      const int first = op.kind == OpKind::Conv ? 1 : 0;
      add({index, first + k, op.out, Edge::Nearest});
    }
  }
}

int SpatialPlan::copies(std::size_t s, const Offset& offset) const {
  const Stage& stage = stages_[s];
  if (!stage.pools.empty()) return 1;
  Offset opposite;
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const int size = positions(stage.end, axis);
    opposite[axis] = stage.circular ? (size - offset[axis]) % size : -offset[axis];
  }
  return offset == opposite ? 1 : offset < opposite ? 0 : 2;
}

MapShape SpatialPlan::shape(int index, const Offset& offset) const {
  MapShape shape;
  const Stage& own = stage(index);
  std::array<std::int64_t, 2> with_border{};
  bool empty = false;
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const int n = positions(value(index).grid, axis);
    const int shift = stride_[at(index)][axis] * offset[axis];
    MapAxis& range = shape.axis[axis];
    if (own.circular) {
      range = {0, shift, n};
    } else {
      range.left = std::max(0, -shift);
      range.right = range.left + shift;
      range.size = std::max(0, std::min(n, n - shift) - range.left);
    }
    empty = empty || range.size == 0;
    with_border[axis] = range.size + 2 * own.border[axis];
  }
  shape.pitch = with_border[1];
  const std::int64_t lanes = empty ? 0 : with_border[0] * with_border[1];
  shape.lanes = (lanes + kLaneMultiple - 1) / kLaneMultiple * kLaneMultiple;
  return shape;
}

}  // namespace ntkfast::spatial
