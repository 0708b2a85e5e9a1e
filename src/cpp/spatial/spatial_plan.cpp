#include "spatial/spatial_plan.hpp"

#include <algorithm>
#include <string>

#include "cpu/map_kernels.hpp"
#include "error.hpp"
#include "program/row_steps.hpp"
#include "program/spatial_window.hpp"

namespace ntkfast::spatial {
namespace {

int positions(const Grid& grid, std::size_t axis) { return axis == 0 ? grid.height : grid.width; }

}  // namespace

SpatialPlan::SpatialPlan(const Program& program)
    : program_(program),
      with_ntk_(plan_steps(program, true)),
      without_ntk_(plan_steps(program, false)) {
  find_border();
  find_strides();
  find_columns();
  find_offsets();
  for (std::size_t v = 0; v < program_.values.size(); ++v) {
    if (!program_.values[v].grid.has_positions()) continue;
    // No overlap is larger than that of equal positions.
    largest_map_ = std::max(largest_map_, shape(static_cast<int>(v), {0, 0}).lanes);
  }
}

void SpatialPlan::find_border() {
  bool other = false;
  for (const Op& op : program_.ops) {
    if (op.kind != OpKind::Conv) continue;
    for (std::size_t axis = 0; axis < 2; ++axis) {
      const WindowAxis window(op.window, axis, positions(value(op.in).grid, axis));
      border_[axis] = std::max({border_[axis], window.before, window.after()});
      if (window.size == 1) continue;
      (window.circular ? circular_ : other) = true;
    }
  }
  if (circular_ && other) {
    throw ArchitectureError(
        "convolutions with CIRCULAR padding and with another one cannot be mixed in one network");
  }
}

// Strides up to each value first, then how many positions of it one position at the end stands for.
void SpatialPlan::find_strides() {
  stride_.assign(program_.values.size(), {1, 1});
  std::array<int, 2> last{0, 0};
  for (const Op& op : program_.ops) {
    if (op.kind == OpKind::Output || !on_maps(op)) continue;
    auto here = stride_[static_cast<std::size_t>(op.in)];
    if (op.in2 >= 0 && stride_[static_cast<std::size_t>(op.in2)] != here) {
      throw ArchitectureError("branches that are joined must have equal strides");
    }
    if (is_readout(op)) {
      if (last[0] != 0 && last != here) {
        throw ArchitectureError(
            "all Flatten and global pools of a network must stand behind equal "
            "strides");
      }
      last = here;
      continue;
    }
    for (std::size_t axis = 0; axis < 2 && op.kind == OpKind::Conv; ++axis) {
      const int in = positions(value(op.in).grid, axis), out = positions(value(op.out).grid, axis);
      const int stride = op.window.stride[axis];
      if (circular_ && stride * out != in) {
        throw ArchitectureError("a stride in a network with CIRCULAR padding must divide the " +
                                std::to_string(in) + " positions it steps over, got " +
                                std::to_string(stride));
      }
      here[axis] *= stride;
    }
    stride_[static_cast<std::size_t>(op.out)] = here;
  }
  for (auto& stride : stride_) {
    for (std::size_t axis = 0; axis < 2; ++axis) stride[axis] = last[axis] / stride[axis];
  }
}

void SpatialPlan::find_columns() {
  for (int c = 0; c < program_.values[0].width; ++c) {
    columns_.push_back({kInputColumns, c, 0, Edge::Nearest});
  }
  for (std::size_t index = 0; index < program_.ops.size(); ++index) {
    const Op& op = program_.ops[index];
    first_column_.push_back(columns_.size());
    if (op.kind == OpKind::Output || !on_maps(op)) continue;
    if (is_readout(op)) columns_.push_back({index, 0, op.in, Edge::Border});
    if (op.kind == OpKind::Conv) {
      columns_.push_back({index, 0, op.in, Edge::Zero});
      columns_.push_back({index, 1, op.out, Edge::Nearest});
      columns_.push_back({index, 2, kOneNumber, Edge::Nearest});
      continue;
    }
    for (int k = 0; k < column_count(op); ++k) {
      columns_.push_back({index, k, op.out, Edge::Nearest});
    }
  }
}

void SpatialPlan::find_offsets() {
  bool all = false;
  for (const Op& op : program_.ops) {
    if (!is_readout(op)) continue;
    end_ = value(op.in).grid;
    all = all || op.kind == OpKind::GlobalPool;
  }
  if (!all) {
    offsets_.push_back({0, 0});
    return;
  }
  const int low_y = circular_ ? 0 : 1 - end_.height, low_x = circular_ ? 0 : 1 - end_.width;
  // Those that share their windows (OffsetLayout) one after the other.
  for (int x = low_x; x < end_.width; ++x) {
    for (int y = low_y; y < end_.height; ++y) offsets_.push_back({y, x});
  }
}

int SpatialPlan::copies(const Offset& offset) const {
  Offset opposite;
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const int size = positions(end_, axis);
    opposite[axis] = circular_ ? (size - offset[axis]) % size : -offset[axis];
  }
  return offset == opposite ? 1 : offset < opposite ? 0 : 2;
}

MapShape SpatialPlan::shape(int index, const Offset& offset) const {
  MapShape shape;
  std::array<std::int64_t, 2> with_border{};
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const int n = positions(value(index).grid, axis);
    const int shift = stride_[static_cast<std::size_t>(index)][axis] * offset[axis];
    MapAxis& range = shape.axis[axis];
    if (circular_) {
      range = {0, shift, n};
    } else {
      range.left = std::max(0, -shift);
      range.right = range.left + shift;
      range.size = std::min(n, n - shift) - range.left;
    }
    with_border[axis] = range.size + 2 * border_[axis];
  }
  shape.pitch = with_border[1];
  shape.lanes = cpu::padded_lanes(with_border[0] * with_border[1]);
  return shape;
}

}  // namespace ntkfast::spatial
