#include "program/step_plan.hpp"

#include <algorithm>

#include "program/hermite_rows.hpp"
#include "program/row_steps.hpp"

namespace ntkfast {
namespace {

using ConstantsFunction = void (*)(const double*, double*);

constexpr ConstantsFunction kConstants[] = {
#define NTKFAST_CONSTANTS(name, dual, params) &dual::constants,
    NTKFAST_ACTIVATIONS(NTKFAST_CONSTANTS)
#undef NTKFAST_CONSTANTS
};

#define NTKFAST_LIMITS(name, dual, params)                 \
  static_assert(dual::kConstants <= kMaxConstants, #name); \
  static_assert(dual::kParams <= Op::kMaxParams, #name);
NTKFAST_ACTIVATIONS(NTKFAST_LIMITS)
#undef NTKFAST_LIMITS

TauMode tau_mode(const Op& op, const Value& in, bool ntk) {
  if (!ntk) return TauMode::None;
  const bool adds = op.trainable;  // dense layers alone are
  if (!in.has_ntk) return adds ? TauMode::Start : TauMode::None;
  return adds ? TauMode::Add : TauMode::Scale;
}

// The second value of a join; the first has T if any of them has.
TauMode join_mode(const Value& first, const Value& second, bool ntk) {
  if (!ntk || !first.has_ntk) return TauMode::None;
  return second.has_ntk ? TauMode::Add : TauMode::Scale;
}

// Numbers of an op that are the same for every pair.
void op_constants(const Op& op, double* constants) {
  if (op.kind == OpKind::Activation) {
    kConstants[static_cast<std::size_t>(op.activation)](op.params.data(), constants);
  } else if (op.kind == OpKind::Dropout) {
    constants[0] = op.params[0];
    constants[1] = 1 - op.params[0];
  } else if (op.kind == OpKind::StandardDense) {  // without bias
    const double ratio = op.params[2] / op.params[0];
    constants[0] = ratio * ratio;
  }
}

}  // namespace

std::vector<PlannedStep> plan_steps(const Program& program, bool ntk) {
  std::vector<PlannedStep> steps;
  const auto value = [&](int k) -> const Value& {
    return program.values[static_cast<std::size_t>(k)];
  };
  for (std::size_t index = 0; index < program.ops.size(); ++index) {
    const Op& op = program.ops[index];
    if (op.kind == OpKind::LayerNorm) continue;
    // A join is symmetric: what has T comes first.
    const bool swap = op.in2 >= 0 && !value(op.in).has_ntk && value(op.in2).has_ntk;
    const Value& in = value(swap ? op.in2 : op.in);
    PlannedStep step{};
    step.op = &op;
    step.index = index;
    step.in = in.slot;
    step.in2 = -1;
    step.signed1 = in.signed_rho;
    if (op.kind == OpKind::Output) {
      step.out = op.out;
      step.tau = ntk && in.has_ntk ? TauMode::Scale : TauMode::None;
      steps.push_back(step);
      continue;
    }
    step.out = value(op.out).slot;
    if (op.in2 < 0) {
      // Coefficients of either sign may make a negative correlation of a positive one.
      step.signed1 = in.signed_rho || value(op.out).signed_rho ||
                     (op.kind == OpKind::Table && op.table->mixed());
      step.tau = tau_mode(op, in, ntk);
    } else {
      const Value& second = value(swap ? op.in : op.in2);
      step.in2 = second.slot;
      step.signed2 = second.signed_rho;
      step.tau = join_mode(in, second, ntk);
    }
    // A join has one column per value, if any.
    step.first_column = swap ? std::max(0, column_count(op) - 1) : 0;
    step.column_step = swap ? -1 : 1;
    if (op.kind == OpKind::HermiteSeries) {
      const HermiteOrders orders = hermite_orders(op);
      step.even = orders.even;
      step.odd = orders.odd;
    }
    op_constants(op, step.constants);
    steps.push_back(step);
  }
  return steps;
}

}  // namespace ntkfast
