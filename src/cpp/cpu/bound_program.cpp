#include "cpu/bound_program.hpp"

namespace ntkfast::cpu {
namespace {

using ConstantsFunction = void (*)(const double*, double*);

constexpr ConstantsFunction kConstants[] = {
#define NTKFAST_CONSTANTS(name, dual, params) &dual::constants,
    NTKFAST_ACTIVATIONS(NTKFAST_CONSTANTS)
#undef NTKFAST_CONSTANTS
};

#define NTKFAST_LIMITS(name, dual, params)                  \
  static_assert(dual::kColumns <= kMaxTableColumns, #name); \
  static_assert(dual::kConstants <= kMaxConstants, #name);  \
  static_assert(dual::kParams <= Op::kMaxParams, #name);
NTKFAST_ACTIVATIONS(NTKFAST_LIMITS)
#undef NTKFAST_LIMITS

TauMode tau_mode(const Op& op, const Value& in, bool ntk) {
  if (!ntk) return TauMode::None;
  const bool adds = op.kind == OpKind::Dense && op.trainable;
  if (!in.has_ntk) return adds ? TauMode::Start : TauMode::None;
  return adds ? TauMode::Add : TauMode::Scale;
}

}  // namespace

template <class T>
std::vector<BoundOp<T>> bind_program(const Program& program, const TileKernels<T>& kernels,
                                     const RowTables<T>& left, const RowTables<T>& right,
                                     bool ntk) {
  std::vector<BoundOp<T>> bound;
  for (std::size_t index = 0; index < program.ops.size(); ++index) {
    const Op& op = program.ops[index];
    const Value& in = program.values[static_cast<std::size_t>(op.in)];
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
    next.step.out = program.values[static_cast<std::size_t>(op.out)].slot;
    next.step.run = kernels.step(op, in.signed_rho, tau_mode(op, in, ntk));
    for (int k = 0; k < column_count(op); ++k) {
      next.step.left[k] = left.column(index, k);
      next.step.right[k] = right.column(index, k);
    }
    if (op.kind == OpKind::Activation) {
      double constants[kMaxConstants] = {};
      kConstants[static_cast<std::size_t>(op.activation)](op.params.data(), constants);
      for (int k = 0; k < kMaxConstants; ++k) next.step.constants[k] = static_cast<T>(constants[k]);
    }
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
