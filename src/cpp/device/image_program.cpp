#include "device/image_program.hpp"

#include <algorithm>
#include <string>

#include "error.hpp"
#include "program/spatial_window.hpp"
#include "spatial/map_runner.hpp"

namespace ntkfast::device {
namespace {

std::size_t at(int value) { return static_cast<std::size_t>(value); }

// Whether ImageMaps knows the layer.
bool is_known(OpKind kind) {
  switch (kind) {
    case OpKind::Activation:
    case OpKind::HermiteSeries:
    case OpKind::Sum:
    case OpKind::Product:
    case OpKind::Dropout:
    case OpKind::Conv:
    case OpKind::Flatten:
    case OpKind::GlobalPool:
      return true;
    default:
      return false;
  }
}

}  // namespace

template <class T>
ImageView<T> ImageProgram<T>::view() const {
  ImageView<T> view = sizes;
  view.ops = ops.data();
  view.op_count = static_cast<int>(ops.size());
  view.values = values.data();
  view.constants = constants.data();
  view.offsets = offsets.data();
  view.offset_count = static_cast<int>(offsets.size());
  return view;
}

template <class T>
ImageProgram<T> flatten_images(const spatial::SpatialPlan& plan,
                               const spatial::StoredLayout& stored, bool ntk) {
  const Program& program = plan.program();
  const int readouts = spatial::readout_count(program);
  if (readouts > kMaxReadouts) {
    throw ArchitectureError("the networks have " + std::to_string(readouts) +
                            " readouts, and a device keeps the sums of at most " +
                            std::to_string(kMaxReadouts) + ": compute them on the CPU");
  }
  for (const PlannedStep& step : plan.steps(ntk)) {
    const Op& op = *step.op;
    if (op.kind == OpKind::Output || !plan.on_maps(op) || is_known(op.kind)) continue;
    throw ArchitectureError(program.values[at(op.out)].produced +
                            " between layers with positions is computed on the CPU only: pass "
                            "device=\"cpu\"");
  }
  // Without pools there is one stage.
  const spatial::Stage& stage = plan.stages()[0];
  const spatial::OffsetLayout& layout = stored.stage[0];  // as ImageColumns has the columns
  ImageProgram<T> flat;
  for (std::size_t v = 0; v < program.values.size(); ++v) {
    const Value& value = program.values[v];
    ImageValue next{{value.grid.height, value.grid.width}, {0, 0}};
    if (value.grid.has_positions()) {
      const auto shape = plan.shape(static_cast<int>(v), {1, 1});
      for (std::size_t axis = 0; axis < 2; ++axis) {
        next.step[axis] = shape.axis[axis].right - shape.axis[axis].left;
      }
      flat.sizes.map_numbers = std::max(flat.sizes.map_numbers, value.grid.count());
    }
    flat.values.push_back(next);
  }
  int readout = 0;
  for (const PlannedStep& step : plan.steps(ntk)) {
    const Op& op = *step.op;
    if (op.kind == OpKind::Output || !plan.on_maps(op)) continue;
    ImageOp<T> next{};
    next.op = flat_op(step);
    next.op.column = step.first_column;
    next.op.column_step = step.column_step;
    next.op.constants = static_cast<int>(flat.constants.size());
    for (const double constant : step.constants) {
      flat.constants.push_back(static_cast<T>(constant));
    }
    next.in = op.in;
    next.out = op.out;
    const std::size_t first = plan.first_column(step.index);
    if (first < layout.column.size()) next.column = layout.column[first];
    next.column_step = layout.stride[at(op.in)];
    if (spatial::is_readout(op)) {
      next.out = readout++;
      const auto positions = static_cast<double>(program.values[at(op.in)].grid.count());
      next.weight = op.kind == OpKind::Flatten ? 1 / positions : op.params[0];
    } else if (op.kind == OpKind::Conv) {
      const Grid& grid = program.values[at(op.in)].grid;
      for (std::size_t axis = 0; axis < 2; ++axis) {
        const WindowAxis window(op.window, axis, axis == 0 ? grid.height : grid.width);
        next.taps[axis] = window.size;
        next.stride[axis] = window.stride;
        next.before[axis] = window.before;
      }
      next.inverse = layout.column[first + 1];
      next.bias = layout.column[first + 2];
      const spatial::OwnPart own = spatial::own_part(step);
      next.own_ratio = static_cast<T>(own.ratio);
      next.own_bias = static_cast<T>(own.bias);
      next.input_tau = step.tau == TauMode::Add || step.tau == TauMode::Scale;
    }
    flat.ops.push_back(next);
  }
  const spatial::Sweep pairs(plan, spatial::Sweep::Of::Pairs);
  for (const spatial::Sweep::Point& point : pairs.offsets(0)) {
    const spatial::Offset& offset = point.offset;
    flat.offsets.push_back({{offset[0], offset[1]}, plan.copies(0, offset)});
  }
  ImageView<T>& sizes = flat.sizes;
  sizes.channels = program.values[0].width;
  sizes.border[0] = stage.border[0];
  sizes.border[1] = stage.border[1];
  sizes.input_slot = program.values[0].slot;
  sizes.slots = program.slots;
  sizes.readouts = readouts;
  sizes.circular = stage.circular;
  sizes.channel_step = layout.stride[0];
  sizes.image_numbers = layout.size;
  return flat;
}

template struct ImageProgram<float>;
template struct ImageProgram<double>;
template ImageProgram<float> flatten_images(const spatial::SpatialPlan&,
                                            const spatial::StoredLayout&, bool);
template ImageProgram<double> flatten_images(const spatial::SpatialPlan&,
                                             const spatial::StoredLayout&, bool);

}  // namespace ntkfast::device
