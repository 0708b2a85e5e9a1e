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

// Deficits and T of the lanes of a map, and sums of either along the width.
constexpr std::size_t kProductArrays = 3;

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

OffsetLayout::OffsetLayout(const SpatialPlan& plan, std::size_t of_stage, const Sweep::Point& at)
    : stage(of_stage), point(at), column(plan.columns().size(), 0), left(column), right(column) {
  const Program& program = plan.program();
  const Stage& own = plan.stages()[stage];
  for (int v = 0; v < static_cast<int>(program.values.size()); ++v) {
    const Grid& grid = program.values[static_cast<std::size_t>(v)].grid;
    const bool here = grid.has_positions() && plan.stage_of(v) == stage;
    shape.push_back(here ? plan.shape(v, at.offset) : MapShape{});
    const MapShape& map = shape.back();
    const std::int64_t height = grid.height + 2 * own.border[0];
    // The last map may read less than a vector behind its rows.
    stride.push_back(!here || map.axis[1].size == 0 ? 0
                     : own.circular
                         ? map.lanes
                         : cpu::padded_lanes(height * map.pitch + cpu::kLaneMultiple - 1));
  }
  for (const std::size_t k : own.columns) {
    const ColumnPlan& planned = plan.columns()[k];
    column[k] = left[k] = right[k] = size;
    if (planned.value == kOneNumber) {
      size += cpu::kLaneMultiple;
      continue;
    }
    const auto v = static_cast<std::size_t>(planned.value);
    if (!own.circular) {
      left[k] += shape[v].axis[0].left * shape[v].pitch;
      right[k] += shape[v].axis[0].right * shape[v].pitch;
    }
    size += stride[v];
  }
}

bool OffsetLayout::same_buffer(const SpatialPlan& plan, const Offset& other) const {
  const Offset& offset = point.offset;
  return offset[1] == other[1] && (!plan.stages()[stage].circular || offset[0] == other[0]);
}

StoredLayout::StoredLayout(const SpatialPlan& plan) {
  for (std::size_t s = 0; s < plan.stages().size(); ++s) {
    stage.emplace_back(plan, s, Sweep::Point{{0, 0}, {0, 0}});
    begin.push_back(size);
    size += stage.back().size;
    largest = std::max(largest, stage.back().size);
  }
}

template <class T>
MapRunner<T>::MapRunner(const SpatialPlan& plan, bool ntk, std::string_view isa)
    : plan_(plan), kernels_(cpu::map_kernels<T>(isa)), steps_(plan.stages().size()) {
  int readouts = 0;
  for (const PlannedStep& planned : plan.steps(ntk)) {
    const Op& op = *planned.op;
    if (op.kind == OpKind::Output || !plan.on_maps(op)) continue;
    MapStep next{planned, {}, nullptr, {}, {}, 0, 0, false};
    if (is_readout(op)) {
      next.readout = readouts++;
    } else if (op.kind == OpKind::Pool) {
      next.pool = plan.pool_number(planned.index);
      steps_[plan.stage_of(op.in)].push_back(next);
      next.enters = true;
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
      if (op.kind == OpKind::Table) next.step.table = &op.table->maps<T>();
      for (int k = 0; k < kMaxConstants; ++k) {
        next.step.constants[k] = static_cast<T>(planned.constants[k]);
      }
    }
    steps_[plan.stage_of(next.enters ? op.out : op.in)].push_back(next);
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
  if (!plan.pools().empty()) products_.resize(kProductArrays * static_cast<std::size_t>(lanes));
}

template <class T>
std::int64_t MapRunner<T>::scratch_bytes(const SpatialPlan& plan) {
  const std::int64_t products =
      plan.pools().empty() ? 0 : static_cast<std::int64_t>(kProductArrays) * plan.largest_map();
  return scratch_numbers(plan) * static_cast<std::int64_t>(sizeof(T)) +
         products * static_cast<std::int64_t>(sizeof(double));
}

template <class T>
void MapRunner<T>::run(const Sweep& sweep, const OffsetLayout& layout, const MapSide<T>& left,
                       const MapSide<T>& right, bool same, const PairSums& sums) {
  const Offset& offset = layout.point.offset;
  const int copies = same ? plan_.copies(layout.stage, offset) : 1;
  if (copies == 0) return;
  if (layout.stage == 0) {
    const Value& input = plan_.program().values[0];
    kernels_.pixels(left.lanes + layout.left[0], right.lanes + layout.right[0], input.width,
                    layout.stride[0], layout.shape[0].lanes,
                    s_[static_cast<std::size_t>(input.slot)]);
  }
  for (MapStep& step : steps_[layout.stage]) {
    const Op& op = *step.plan.op;
    const int value = step.enters || step.conv != nullptr ? op.out : op.in;
    if (layout.shape[static_cast<std::size_t>(value)].lanes == 0) continue;
    if (step.enters) {
      const std::int64_t entry = plan_.pools()[step.pool].entry;
      enter(step, sweep.maps(step.pool), layout, left.entries + entry, right.entries + entry,
            sums.in);
    } else if (op.kind == OpKind::Pool) {
      add_to_pool(step, sweep.maps(step.pool), layout, left.lanes, right.lanes, sums.out);
    } else if (step.conv != nullptr) {
      convolve(step, layout, left.lanes, right.lanes);
    } else if (is_readout(op)) {
      if (sums.readouts == nullptr) continue;
      read_out(step, layout, left.lanes, right.lanes, copies, sums.readouts);
    } else {
      pointwise(step, layout, left.lanes, right.lanes, same && offset == Offset{0, 0});
    }
  }
}

template <class T>
void MapRunner<T>::pointwise(MapStep& step, const OffsetLayout& layout, const T* left,
                             const T* right, bool same_position) {
  const Op& op = *step.plan.op;
  const auto n = layout.shape[static_cast<std::size_t>(op.out)].lanes;
  if (op.kind == OpKind::Dropout && same_position) {  // the same units: rho and T / K stay
    const auto in = static_cast<std::size_t>(step.plan.in),
               out = static_cast<std::size_t>(step.plan.out);
    if (in == out) return;
    std::copy_n(s_[in], n, s_[out]);
    std::copy_n(tau_[in], n, tau_[out]);
    return;
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

template <class T>
void MapRunner<T>::add_to_pool(const MapStep& step, const CoarseMaps& maps,
                               const OffsetLayout& layout, const T* left, const T* right,
                               double* out) {
  const Op& op = *step.plan.op;
  const MapShape& shape = layout.shape[static_cast<std::size_t>(op.in)];
  const auto slot = static_cast<std::size_t>(step.plan.in);
  const std::size_t column = plan_.first_column(step.plan.index);
  const bool tau = step.plan.tau != TauMode::None;
  double *deficit = products_.data(), *ntk = deficit + plan_.largest_map();
  kernels_.pools->products(left + layout.left[column], right + layout.right[column], s_[slot],
                           step.plan.signed1, tau ? tau_[slot] : nullptr, shape.lanes, deficit,
                           ntk);
  const auto [by, bx] = plan_.stages()[layout.stage].border;
  const std::int64_t first = by * shape.pitch + bx;
  add_windows(maps, layout, deficit + first, shape, op.window.stride, out);
  if (!tau) return;
  add_windows(maps, layout, ntk + first, shape, op.window.stride, out + maps.size);
}

// Sums over windows along the width, then along the height.
template <class T>
void MapRunner<T>::add_windows(const CoarseMaps& maps, const OffsetLayout& layout,
                               const double* from, const MapShape& shape,
                               const std::array<int, 2>& stride, double* out) {
  const std::array<int, 2>& number = layout.point.number;
  double* sums = products_.data() + 2 * plan_.largest_map();
  const auto& along_rows = maps.runs[1][static_cast<std::size_t>(number[1])];
  const int height = shape.axis[0].size;
  for (auto cols = along_rows.begin(); cols != along_rows.end();) {
    const int to = cols->to;
    const std::int64_t width = maps.positions[1][static_cast<std::size_t>(to)];
    std::fill_n(sums, height * width, 0.0);
    for (; cols != along_rows.end() && cols->to == to; ++cols) {
      kernels_.pools->add_columns(from + cols->from, shape.pitch, height, stride[1], cols->count,
                                  cols->taps, sums + cols->first, width);
    }
    for (const PoolRun& rows : maps.runs[0][static_cast<std::size_t>(number[0])]) {
      kernels_.pools->add_rows(sums + rows.from * width, width, stride[0], rows.count, rows.taps,
                               out + maps.map({rows.to, to}) + rows.first * width);
    }
  }
}

template <class T>
void MapRunner<T>::enter(const MapStep& step, const CoarseMaps& maps, const OffsetLayout& layout,
                         const double* left, const double* right, double* in) {
  const int value = step.plan.op->out;
  const MapShape& shape = layout.shape[static_cast<std::size_t>(value)];
  const std::int64_t count = plan_.program().values[static_cast<std::size_t>(value)].grid.count();
  const bool tau = step.plan.tau != TauMode::None;
  double* deficit = in + maps.map(layout.point.number);
  double* ntk = deficit + maps.size;
  const auto slot = static_cast<std::size_t>(step.plan.out);
  clear(step.plan.out, 0, shape.lanes);
  plan_.visit_runs(value, shape,
                   [&](std::int64_t lane, std::int64_t p, std::int64_t q, std::int64_t n) {
                     const cpu::PoolSide a{left + p, left + count + p, left + 2 * count + p},
                         b{right + q, right + count + q, right + 2 * count + q};
                     kernels_.pools->scale(a.inverse, b.inverse, n, deficit);
                     if (tau) kernels_.pools->scale(a.inverse, b.inverse, n, ntk);
                     kernels_.pools->enter(a, b, deficit, ntk, step.plan.signed1, n,
                                           s_[slot] + lane, tau_[slot] + lane);
                     deficit += n;
                     ntk += n;
                   });
  fill_border(value, shape, step.plan.out);
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
  const auto& border = plan_.stages()[layout.stage].border;
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
  if (map.stride_y == 1 && map.stride_x == 1 && in.pitch == out.pitch) {
    // All rows as one, with the border in between.
    map.cols += static_cast<int>((map.rows - 1) * out.pitch);
    map.rows = 1;
    map.lead = static_cast<int>(map.first_out % cpu::kLaneMultiple);
    const std::int64_t start = map.first_out - map.lead;
    map.padded = static_cast<int>(cpu::padded_lanes(map.lead + map.cols));
    clear(step.plan.out, 0, start);
    clear(step.plan.out, start + map.padded, out.lanes);
  } else {
    map.padded = map.cols;
    clear(step.plan.out, 0, out.lanes);
  }
  step.conv(map);
  fill_border(op.out, out, step.plan.out);
}

template <class T>
void MapRunner<T>::clear(int slot, std::int64_t from, std::int64_t to) {
  for (T* lanes : {s_[static_cast<std::size_t>(slot)], tau_[static_cast<std::size_t>(slot)]}) {
    std::fill(lanes + from, lanes + to, T(0));
  }
}

// In circular images the border holds what lies there.
template <class T>
void MapRunner<T>::fill_border(int value, const MapShape& shape, int slot) {
  if (!plan_.stage(value).circular) return;
  const auto [by, bx] = plan_.stage(value).border;
  const int rows = shape.axis[0].size, cols = shape.axis[1].size;
  const std::int64_t pitch = shape.pitch;
  const auto wrap = [](int k, int size) { return ((k % size) + size) % size; };
  for (T* lanes : {s_[static_cast<std::size_t>(slot)], tau_[static_cast<std::size_t>(slot)]}) {
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
}

template <class T>
void MapRunner<T>::read_out(const MapStep& step, const OffsetLayout& layout, const T* left,
                            const T* right, int copies, Readout* readouts) {
  const Op& op = *step.plan.op;
  if (op.kind == OpKind::Flatten && layout.point.offset != Offset{0, 0}) return;
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
