#include "spatial/head.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "error.hpp"
#include "math/deficit.hpp"

namespace ntkfast::spatial {
namespace {

bool is_activation(const Op& op) {
  return op.kind == OpKind::Activation || op.kind == OpKind::HermiteSeries ||
         op.kind == OpKind::Table;
}

std::size_t at(int value) { return static_cast<std::size_t>(value); }

}  // namespace

Head::Head(const SpatialPlan& plan, bool ntk, std::string_view isa)
    : plan_(plan), steps_(plan.steps(ntk)), bound_(steps_.size()) {
  const auto& kernels = cpu::tile_kernels<double>(isa);
  for (const Op& op : plan.program().ops) {
    if (op.kind == OpKind::LayerNorm && !plan.on_maps(op)) needs_rows_ = true;
  }
  for (std::size_t k = 0; k < steps_.size(); ++k) {
    const PlannedStep& step = steps_[k];
    if (!is_activation(*step.op) || plan.on_maps(*step.op)) continue;
    needs_rows_ = true;
    cpu::Step<double>& bound = bound_[k];
    // T is carried along, also where it is zero.
    bound.run = kernels.step(*step.op, true, TauMode::Scale);
    bound.in = bound.out = 0;
    bound.even = step.even;
    bound.odd = step.odd;
    if (step.op->kind == OpKind::Table) bound.table = &step.op->table->pairs<double>();
    std::copy_n(step.constants, kMaxConstants, bound.constants);
  }
}

HeadRow Head::row(const Readout* readouts, std::int64_t number, const char* argument) const {
  const Program& program = plan_.program();
  HeadRow row{std::vector<RowState>(program.values.size()),
              std::vector<std::vector<double>>(program.ops.size())};
  int readout = 0;
  for (std::size_t index = 0; index < program.ops.size(); ++index) {
    const Op& op = program.ops[index];
    if (op.kind == OpKind::Output) continue;
    if (is_readout(op)) {
      const Readout& own = readouts[readout++];
      row.value[at(op.out)] = {std::sqrt(own.nngp), own.nngp > 0 ? own.ntk / own.nngp : 0, 1, 1};
      continue;
    }
    if (plan_.on_maps(op)) continue;
    const RowState& in = row.value[at(op.in)];
    auto& columns = row.columns[index];
    columns.resize(static_cast<std::size_t>(column_count(op)));
    const RowState next =
        step_row(op, in, row.value[at(op.in2 < 0 ? op.in : op.in2)], columns.data());
    if (in.p * in.p >= variance_limit(op) || !std::isfinite(next.p) || !std::isfinite(next.tau)) {
      throw KernelOverflow("image " + std::to_string(number) + " of " + argument +
                           " gives a kernel value that is not finite at " +
                           program.values[at(op.out)].produced +
                           ": scale the inputs or W_std down");
    }
    row.value[at(op.out)] = next;
  }
  return row;
}

Head::Pair Head::nonlinear(std::size_t k, const HeadRow& left, const HeadRow& right, bool same,
                           const Pair& in) const {
  const PlannedStep& step = steps_[k];
  const Op& op = *step.op;
  const double scale = left.value[at(op.in)].p * right.value[at(op.in)].p;
  const double next = left.value[at(op.out)].p * right.value[at(op.out)].p;
  double s = 0, tau = scale > 0 ? in.T / scale : 0;
  // Zero rows have no direction: any will do, their results are zero or do not depend on it.
  if (!same && scale > 0) s = signed_deficit(1 - in.K / scale);
  cpu::Step<double> bound = bound_[k];
  bound.left = {left.columns[step.index].data(), 1};
  bound.right = {right.columns[step.index].data(), 1};
  double *s_slot = &s, *tau_slot = &tau;
  bound.run(bound, {0, 0, 1, &s_slot, &tau_slot});
  return {next * correlation<double, true>(s), next * tau};
}

void Head::run(const Readout* readouts, const HeadRow* left, const HeadRow* right, bool same,
               Readout* outputs) const {
  const Program& program = plan_.program();
  std::vector<Pair> value(program.values.size());
  int readout = 0;
  std::size_t k = 0;
  // Ops in order, LayerNorm included, which has no step.
  for (const Op& op : program.ops) {
    const bool has_step = op.kind != OpKind::LayerNorm;
    const std::size_t own_step = has_step ? k++ : k;
    if (is_readout(op)) {
      value[at(op.out)] = {readouts[readout].nngp, readouts[readout].ntk};
      ++readout;
      continue;
    }
    const Pair& in = value[at(op.in)];
    if (op.kind == OpKind::Output) {
      outputs[op.out] = {in.K, in.T};
      continue;
    }
    if (plan_.on_maps(op)) continue;
    Pair& out = value[at(op.out)];
    const double w = op.params[0] * op.params[0], b = op.params[1] * op.params[1];
    switch (op.kind) {
      case OpKind::Dense: {
        const double K = w * in.K + b;
        out = {K, w * in.T + (op.trainable ? K : 0)};
        break;
      }
      case OpKind::StandardDense: {
        const double own = op.params[2] * op.params[2] * in.K + op.params[3] * op.params[3];
        out = {w * in.K + b, w * in.T + own};
        break;
      }
      case OpKind::Sum: {
        const Pair& other = value[at(op.in2)];
        out = {op.params[0] * in.K + op.params[1] * other.K,
               op.params[0] * in.T + op.params[1] * other.T};
        break;
      }
      case OpKind::Product: {
        const Pair& other = value[at(op.in2)];
        out = {in.K * other.K, in.T * other.K + in.K * other.T};
        break;
      }
      case OpKind::Dropout: {
        const double factor = same ? 1 / op.params[0] : 1;
        out = {factor * in.K, factor * in.T};
        break;
      }
      case OpKind::LayerNorm: {
        const double before = left->value[at(op.in)].p * right->value[at(op.in)].p;
        const double after = left->value[at(op.out)].p * right->value[at(op.out)].p;
        const double factor = before > 0 ? after / before : 0;
        out = {factor * in.K, factor * in.T};
        break;
      }
      default:
        out = nonlinear(own_step, *left, *right, same, in);
    }
  }
}

}  // namespace ntkfast::spatial
