#include "spatial/map_runner.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "program/spatial_window.hpp"

namespace ntkfast::spatial {
namespace {

// s and tau per slot, and the scratch of a convolution, which has margins.
std::int64_t scratch_numbers(const SpatialPlan& plan) {
  const std::int64_t slots = plan.program().slots;
  return 2 * ((slots + 1) * plan.largest_map() + 2 * cpu::kConvMargin);
}

}  // namespace

int readout_count(const Program& program) {
  return static_cast<int>(std::count_if(program.ops.begin(), program.ops.end(), is_readout));
}

OwnPart own_part(const PlannedStep& step) {
  const Op& op = *step.op;
  if (step.tau != TauMode::Start && step.tau != TauMode::Add) return {0, 0};
  const auto square = [](double root, double by) { return by > 0 ? root / by * (root / by) : 0; };
  return {square(op.params[2], op.params[0]), square(op.params[3], op.params[1])};
}

OffsetLayout::OffsetLayout(const SpatialPlan& plan, const Offset& at) : offset(at) {
  const Program& program = plan.program();
  for (std::size_t v = 0; v < program.values.size(); ++v) {
    const Grid& grid = program.values[v].grid;
    shape.push_back(grid.has_positions() ? plan.shape(static_cast<int>(v), at) : MapShape{});
    const std::int64_t height = grid.height + 2 * plan.border()[0];
    // The last map may read less than a vector behind its rows.
    stride.push_back(!grid.has_positions() || plan.circular()
                         ? shape[v].lanes
                         : cpu::padded_lanes(height * shape[v].pitch + cpu::kLaneMultiple - 1));
  }
  for (const ColumnPlan& planned : plan.columns()) {
    column.push_back(size);
    left.push_back(size);
    right.push_back(size);
    if (planned.value == kOneNumber) {
      size += cpu::kLaneMultiple;
      continue;
    }
    const auto v = static_cast<std::size_t>(planned.value);
    if (!plan.circular()) {
      left.back() += shape[v].axis[0].left * shape[v].pitch;
      right.back() += shape[v].axis[0].right * shape[v].pitch;
    }
    size += stride[v];
  }
}

bool OffsetLayout::same_buffer(const SpatialPlan& plan, const Offset& other) const {
  return offset[1] == other[1] && (!plan.circular() || offset[0] == other[0]);
}

template <class T>
MapRunner<T>::MapRunner(const SpatialPlan& plan, bool ntk, std::string_view isa)
    : plan_(plan), kernels_(cpu::map_kernels<T>(isa)) {
  int readouts = 0;
  for (const PlannedStep& planned : plan.steps(ntk)) {
    const Op& op = *planned.op;
    if (op.kind == OpKind::Output || !plan.on_maps(op)) continue;
    MapStep next{planned, {}, nullptr, {}, {}, 0};
    if (is_readout(op)) {
      next.readout = readouts++;
    } else if (op.kind == OpKind::Conv) {
      const bool tau = planned.tau == TauMode::Add || planned.tau == TauMode::Scale;
      next.conv = kernels_.conv(planned.signed1, tau);
      plan_conv(next);
    } else {
      next.step.run = planned.in2 < 0
                          ? kernels_.step(op, planned.signed1, planned.tau)
                          : kernels_.join(op, planned.signed1, planned.signed2, planned.tau);
      next.step.in = planned.in;
      next.step.in2 = planned.in2;
      next.step.out = planned.out;
      next.step.even = planned.even;
      next.step.odd = planned.odd;
      for (int k = 0; k < kMaxConstants; ++k) {
        next.step.constants[k] = static_cast<T>(planned.constants[k]);
      }
    }
    steps_.push_back(next);
  }
  const std::int64_t lanes = plan.largest_map();
  const auto numbers = static_cast<std::size_t>(scratch_numbers(plan));
  memory_ = cpu::aligned_array<T>(numbers);
  std::fill_n(memory_.get(), numbers, T(0));
  T* next = memory_.get();
  for (int slot = 0; slot < plan.program().slots; ++slot, next += 2 * lanes) {
    s_.push_back(next);
    tau_.push_back(next + lanes);
  }
  K_ = next + cpu::kConvMargin;
  T_sum_ = K_ + lanes + 2 * cpu::kConvMargin;
}

template <class T>
std::int64_t MapRunner<T>::scratch_bytes(const SpatialPlan& plan) {
  return scratch_numbers(plan) * static_cast<std::int64_t>(sizeof(T));
}

template <class T>
void MapRunner<T>::run(const OffsetLayout& layout, const T* left, const T* right, bool same,
                       Readout* readouts) {
  const int copies = same ? plan_.copies(layout.offset) : 1;
  if (copies == 0) return;
  const bool same_position = same && layout.offset == Offset{0, 0};
  const Value& input = plan_.program().values[0];
  kernels_.pixels(left + layout.left[0], right + layout.right[0], input.width, layout.stride[0],
                  layout.shape[0].lanes, s_[static_cast<std::size_t>(input.slot)]);
  for (MapStep& step : steps_) {
    const Op& op = *step.plan.op;
    if (step.conv != nullptr) {
      convolve(step, layout, left, right);
      continue;
    }
    if (is_readout(op)) {
      read_out(step, layout, left, right, copies, readouts);
      continue;
    }
    const auto n = layout.shape[static_cast<std::size_t>(op.out)].lanes;
    if (op.kind == OpKind::Dropout && same_position) {  // the same units: rho and T / K stay
      const auto in = static_cast<std::size_t>(step.plan.in),
                 out = static_cast<std::size_t>(step.plan.out);
      if (in == out) continue;
      std::copy_n(s_[in], n, s_[out]);
      std::copy_n(tau_[in], n, tau_[out]);
      continue;
    }
    const std::size_t first = plan_.first_column(step.plan.index);
    if (first < layout.column.size()) {
      const std::int64_t stride = layout.stride[static_cast<std::size_t>(op.out)];
      const std::int64_t start = step.plan.first_column * stride;
      step.step.left = {left + layout.left[first] + start, step.plan.column_step * stride};
      step.step.right = {right + layout.right[first] + start, step.plan.column_step * stride};
    }
    step.step.run(step.step, {0, 0, static_cast<int>(n), s_.data(), tau_.data()});
  }
}

template <class T>
void MapRunner<T>::plan_conv(MapStep& step) {
  const Op& op = *step.plan.op;
  const Grid& grid = plan_.program().values[static_cast<std::size_t>(op.in)].grid;
  const WindowAxis rows(op.window, 0, grid.height), cols(op.window, 1, grid.width);
  cpu::ConvMap<T>& map = step.map;
  step.before = {rows.before, cols.before};
  map.taps_y = rows.size;
  map.taps_x = cols.size;
  map.stride_y = rows.stride;
  map.stride_x = cols.stride;
  const OwnPart own = own_part(step.plan);
  map.own_ratio = static_cast<T>(own.ratio);
  map.own_bias = static_cast<T>(own.bias);
}

template <class T>
void MapRunner<T>::convolve(const MapStep& step, const OffsetLayout& layout, const T* left,
                            const T* right) {
  const Op& op = *step.plan.op;
  const MapShape& in = layout.shape[static_cast<std::size_t>(op.in)];
  const MapShape& out = layout.shape[static_cast<std::size_t>(op.out)];
  const auto border = plan_.border();
  const std::size_t first = plan_.first_column(step.plan.index);
  const auto left_column = [&](std::size_t k) { return left + layout.left[first + k]; };
  const auto right_column = [&](std::size_t k) { return right + layout.right[first + k]; };
  const auto in_slot = static_cast<std::size_t>(step.plan.in),
             out_slot = static_cast<std::size_t>(step.plan.out);
  cpu::ConvMap<T> map = step.map;
  map.s = s_[in_slot];
  map.tau = tau_[in_slot];
  map.s_out = s_[out_slot];
  map.tau_out = tau_[out_slot];
  map.left = left_column(0);
  map.right = right_column(0);
  map.inverse_left = left_column(1);
  map.inverse_right = right_column(1);
  map.K = K_;
  map.T_sum = T_sum_;
  map.lanes_in = in.lanes;
  map.first_in = (border[0] - step.before[0]) * in.pitch + border[1] - step.before[1];
  map.first_out = border[0] * out.pitch + border[1];
  map.pitch_in = in.pitch;
  map.pitch_out = out.pitch;
  map.rows = out.axis[0].size;
  map.cols = out.axis[1].size;
  map.bias_left = *left_column(2);
  map.bias_right = *right_column(2);
  // Lanes that are not written hold what another layer left there, which may be no legal number
  // here. All that matters is that it is one: the roots of these lanes are zero.
  const auto clear = [&](std::int64_t from, std::int64_t to) {
    std::fill(map.s_out + from, map.s_out + to, T(0));
    std::fill(map.tau_out + from, map.tau_out + to, T(0));
  };
  if (map.stride_y == 1 && map.stride_x == 1 && in.pitch == out.pitch) {
    // All rows as one, with the border in between.
    map.cols += static_cast<int>((map.rows - 1) * out.pitch);
    map.rows = 1;
    map.lead = static_cast<int>(map.first_out % cpu::kLaneMultiple);
    const std::int64_t start = map.first_out - map.lead;
    map.padded = static_cast<int>(cpu::padded_lanes(map.lead + map.cols));
    clear(0, start);
    clear(start + map.padded, out.lanes);
  } else {
    map.padded = map.cols;
    clear(0, out.lanes);
  }
  step.conv(map);
  if (plan_.circular()) {
    fill_border(out, map.s_out);
    fill_border(out, map.tau_out);
  }
}

// In circular images the border holds what lies there.
template <class T>
void MapRunner<T>::fill_border(const MapShape& shape, T* lanes) const {
  const auto [by, bx] = plan_.border();
  const int rows = shape.axis[0].size, cols = shape.axis[1].size;
  const std::int64_t pitch = shape.pitch;
  const auto wrap = [](int k, int size) { return ((k % size) + size) % size; };
  for (int r = by; r < by + rows; ++r) {
    T* row = lanes + r * pitch;
    for (int x = 0; x < bx; ++x) {
      row[x] = row[bx + wrap(x - bx, cols)];
      row[bx + cols + x] = row[bx + wrap(x, cols)];
    }
  }
  for (int r = 0; r < by; ++r) {
    std::copy_n(lanes + (by + wrap(r - by, rows)) * pitch, pitch, lanes + r * pitch);
    std::copy_n(lanes + (by + wrap(r, rows)) * pitch, pitch, lanes + (by + rows + r) * pitch);
  }
}

template <class T>
void MapRunner<T>::read_out(const MapStep& step, const OffsetLayout& layout, const T* left,
                            const T* right, int copies, Readout* readouts) {
  const Op& op = *step.plan.op;
  if (op.kind == OpKind::Flatten && layout.offset != Offset{0, 0}) return;
  const auto in = static_cast<std::size_t>(op.in), slot = static_cast<std::size_t>(step.plan.in);
  const std::size_t column = plan_.first_column(step.plan.index);
  Readout sum;
  kernels_.total(left + layout.left[column], right + layout.right[column], s_[slot],
                 step.plan.signed1, step.plan.tau == TauMode::None ? nullptr : tau_[slot],
                 layout.shape[in].lanes, &sum.nngp, &sum.ntk);
  const auto positions = static_cast<double>(plan_.program().values[in].grid.count());
  const double weight = copies * (op.kind == OpKind::Flatten ? 1 / positions : op.params[0]);
  readouts[step.readout].nngp += weight * sum.nngp;
  readouts[step.readout].ntk += weight * sum.ntk;
}

template class MapRunner<float>;
template class MapRunner<double>;

}  // namespace ntkfast::spatial
