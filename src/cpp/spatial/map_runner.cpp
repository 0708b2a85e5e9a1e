#include "spatial/map_runner.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "program/spatial_window.hpp"

namespace ntkfast::spatial {
namespace {

std::size_t map_arrays(const Program& program) {
  return 2 * static_cast<std::size_t>(program.slots);
}

// Deficits and T of the lanes of a map, and sums of either along the width.
constexpr std::size_t kProductArrays = 3;

}  // namespace

int readout_count(const Program& program) {
  return static_cast<int>(std::count_if(program.ops.begin(), program.ops.end(), is_readout));
}

OffsetLayout::OffsetLayout(const SpatialPlan& plan, std::size_t of_stage, const Sweep::Point& at)
    : stage(of_stage), point(at), column(plan.columns().size(), 0) {
  const Program& program = plan.program();
  for (int v = 0; v < static_cast<int>(program.values.size()); ++v) {
    const bool here = program.values[static_cast<std::size_t>(v)].grid.has_positions() &&
                      plan.stage_of(v) == stage;
    shape.push_back(here ? plan.shape(v, at.offset) : MapShape{});
  }
  for (const std::size_t k : plan.stages()[stage].columns) {
    column[k] = size;
    size += shape[static_cast<std::size_t>(plan.columns()[k].value)].lanes;
  }
}

std::int64_t largest_layout(const SpatialPlan& plan) {
  std::int64_t size = 0;
  for (std::size_t stage = 0; stage < plan.stages().size(); ++stage) {
    // No offset has larger windows than equal positions.
    size = std::max(size, OffsetLayout(plan, stage, {{0, 0}, {0, 0}}).size);
  }
  return size;
}

template <class T>
MapRunner<T>::MapRunner(const SpatialPlan& plan, bool ntk, std::string_view isa)
    : plan_(plan), kernels_(cpu::map_kernels<T>(isa)), steps_(plan.stages().size()) {
  int readouts = 0;
  for (const PlannedStep& planned : plan.steps(ntk)) {
    const Op& op = *planned.op;
    if (op.kind == OpKind::Output || !plan.on_maps(op)) continue;
    MapStep next{planned, {}, nullptr, 0, 0, false};
    if (is_readout(op)) {
      next.readout = readouts++;
    } else if (op.kind == OpKind::Pool) {
      next.pool = plan.pool_number(planned.index);
      steps_[plan.stage_of(op.in)].push_back(next);
      next.enters = true;
    } else if (op.kind == OpKind::Conv) {
      const bool tau = planned.tau == TauMode::Add || planned.tau == TauMode::Scale;
      next.conv = kernels_.conv(planned.signed1, tau);
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
  const auto lanes = static_cast<std::size_t>(plan.largest_map());
  const std::size_t arrays = map_arrays(plan.program());
  memory_ = cpu::aligned_array<T>(arrays * lanes);
  std::fill_n(memory_.get(), arrays * lanes, T(0));
  for (int slot = 0; slot < plan.program().slots; ++slot) {
    s_.push_back(memory_.get() + 2 * static_cast<std::size_t>(slot) * lanes);
    tau_.push_back(s_.back() + lanes);
  }
  if (!plan.pools().empty()) products_.resize(kProductArrays * lanes);
}

template <class T>
std::int64_t MapRunner<T>::scratch_bytes(const SpatialPlan& plan) {
  const std::size_t products = plan.pools().empty() ? 0 : kProductArrays * sizeof(double);
  return static_cast<std::int64_t>(map_arrays(plan.program()) * sizeof(T) + products) *
         plan.largest_map();
}

template <class T>
void MapRunner<T>::run(const Sweep& sweep, const OffsetLayout& layout, const MapSide<T>& left,
                       const MapSide<T>& right, bool same, const PairSums& sums) {
  const Offset& offset = layout.point.offset;
  const int copies = same ? plan_.copies(layout.stage, offset) : 1;
  if (copies == 0) return;
  if (layout.stage == 0) {
    const Value& input = plan_.program().values[0];
    const std::int64_t lanes = layout.shape[0].lanes;
    kernels_.pixels(left.lanes, right.lanes, input.width, lanes, lanes,
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
    const std::int64_t start = layout.column[first] + step.plan.first_column * n;
    step.step.left = {left + start, step.plan.column_step * n};
    step.step.right = {right + start, step.plan.column_step * n};
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
  const std::int64_t start = layout.column[plan_.first_column(step.plan.index)];
  const bool tau = step.plan.tau != TauMode::None;
  double *deficit = products_.data(), *ntk = deficit + plan_.largest_map();
  kernels_.pools->products(left + start, right + start, s_[slot], step.plan.signed1,
                           tau ? tau_[slot] : nullptr, shape.lanes, deficit, ntk);
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
void MapRunner<T>::convolve(const MapStep& step, const OffsetLayout& layout, const T* left,
                            const T* right) {
  const Op& op = *step.plan.op;
  const MapShape& in = layout.shape[static_cast<std::size_t>(op.in)];
  const MapShape& out = layout.shape[static_cast<std::size_t>(op.out)];
  const Grid& grid = plan_.program().values[static_cast<std::size_t>(op.in)].grid;
  const WindowAxis rows(op.window, 0, grid.height), cols(op.window, 1, grid.width);
  const auto& border = plan_.stages()[layout.stage].border;
  const std::size_t first = plan_.first_column(step.plan.index);
  const auto column = [&](const T* side, std::size_t k) { return side + layout.column[first + k]; };
  const auto in_slot = static_cast<std::size_t>(step.plan.in),
             out_slot = static_cast<std::size_t>(step.plan.out);
  cpu::ConvMap<T> map{};
  map.s = s_[in_slot];
  map.tau = tau_[in_slot];
  map.s_out = s_[out_slot];
  map.tau_out = tau_[out_slot];
  map.left = column(left, 0);
  map.right = column(right, 0);
  map.inverse_left = column(left, 1);
  map.inverse_right = column(right, 1);
  map.first_in = (border[0] - rows.before) * in.pitch + border[1] - cols.before;
  map.first_out = border[0] * out.pitch + border[1];
  map.pitch_in = in.pitch;
  map.pitch_out = out.pitch;
  map.rows = out.axis[0].size;
  map.cols = out.axis[1].size;
  map.taps_y = rows.size;
  map.taps_x = cols.size;
  map.stride_y = rows.stride;
  map.stride_x = cols.stride;
  map.weight = static_cast<T>(op.params[0] / std::sqrt(1.0 * rows.size * cols.size));
  map.bias = static_cast<T>(op.params[1]);
  const bool trained = step.plan.tau == TauMode::Start || step.plan.tau == TauMode::Add;
  if (trained && op.params[0] > 0) {
    const double ratio = op.params[2] / op.params[0];
    map.own_ratio = static_cast<T>(ratio * ratio);
  }
  if (trained) map.own_bias = static_cast<T>(op.params[3]);
  if (rows.stride == 1 && cols.stride == 1 && in.pitch == out.pitch) {
    // All rows as one, with the border in between.
    map.cols += static_cast<int>((map.rows - 1) * out.pitch);
    map.rows = 1;
    clear(step.plan.out, 0, map.first_out);
    clear(step.plan.out, map.first_out + map.cols, out.lanes);
  } else {
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
  const std::int64_t start = layout.column[plan_.first_column(step.plan.index)];
  Readout sum;
  kernels_.total(left + start, right + start, s_[slot], step.plan.signed1,
                 step.plan.tau == TauMode::None ? nullptr : tau_[slot], layout.shape[in].lanes,
                 &sum.nngp, &sum.ntk);
  const auto positions = static_cast<double>(plan_.program().values[in].grid.count());
  const double weight = copies * (op.kind == OpKind::Flatten ? 1 / positions : op.params[0]);
  readouts[step.readout].nngp += weight * sum.nngp;
  readouts[step.readout].ntk += weight * sum.ntk;
}

template class MapRunner<float>;
template class MapRunner<double>;

}  // namespace ntkfast::spatial
