#include "cpu/bound_program.hpp"

#include <algorithm>

#include "program/hermite_rows.hpp"

namespace ntkfast::cpu {
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

template <class T>
std::vector<BoundOp<T>> bind_program(const Program& program, const TileKernels<T>& kernels,
                                     const RowTables<T>& left, const RowTables<T>& right,
                                     bool ntk) {
  std::vector<BoundOp<T>> bound;
  const auto value = [&](int k) -> const Value& {
    return program.values[static_cast<std::size_t>(k)];
  };
  for (std::size_t index = 0; index < program.ops.size(); ++index) {
    const Op& op = program.ops[index];
    if (op.kind == OpKind::LayerNorm) continue;  // changes rows alone
    // A join is symmetric: what has T comes first.
    const bool swap = op.in2 >= 0 && !value(op.in).has_ntk && value(op.in2).has_ntk;
    const Value& in = value(swap ? op.in2 : op.in);
    BoundOp<T> next{};
    next.step.in = in.slot;
    next.signed_rho = in.signed_rho;
    if (op.kind == OpKind::Output) {
      next.output = op.out;
      next.has_ntk = in.has_ntk;
      next.root_left = left.root(op.out);
      next.root_right = right.root(op.out);
      bound.push_back(next);
      continue;
    }
    next.step.out = value(op.out).slot;
    if (op.in2 < 0) {
      // Coefficients of either sign may make a negative correlation of a positive one.
      const bool signed_rho = in.signed_rho || value(op.out).signed_rho ||
                              (op.kind == OpKind::Table && op.table->mixed());
      next.step.run = kernels.step(op, signed_rho, tau_mode(op, in, ntk));
    } else {
      const Value& second = value(swap ? op.in : op.in2);
      next.step.in2 = second.slot;
      next.step.run =
          kernels.join(op, in.signed_rho, second.signed_rho, join_mode(in, second, ntk));
    }
    // A join has one column per value, if any.
    const int first = swap ? std::max(0, column_count(op) - 1) : 0;
    next.step.left = {left.column(index, first), swap ? -left.rows() : left.rows()};
    next.step.right = {right.column(index, first), swap ? -right.rows() : right.rows()};
    if (op.kind == OpKind::Table) next.step.table = &op.table->pairs<T>();
    if (op.kind == OpKind::HermiteSeries) {
      const HermiteOrders orders = hermite_orders(op);
      next.step.even = orders.even;
      next.step.odd = orders.odd;
    }
    double constants[kMaxConstants] = {};
    op_constants(op, constants);
    for (int k = 0; k < kMaxConstants; ++k) next.step.constants[k] = static_cast<T>(constants[k]);
    bound.push_back(next);
  }
  return bound;
}

template std::vector<BoundOp<float>> bind_program(const Program&, const TileKernels<float>&,
                                                  const RowTables<float>&, const RowTables<float>&,
                                                  bool);
template std::vector<BoundOp<double>> bind_program(const Program&, const TileKernels<double>&,
                                                   const RowTables<double>&,
                                                   const RowTables<double>&, bool);

}  // namespace ntkfast::cpu
