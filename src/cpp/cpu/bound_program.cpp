#include "cpu/bound_program.hpp"

#include "program/step_plan.hpp"

namespace ntkfast::cpu {

template <class T>
std::vector<BoundOp<T>> bind_program(const Program& program, const TileKernels<T>& kernels,
                                     const RowTables<T>& left, const RowTables<T>& right,
                                     bool ntk) {
  std::vector<BoundOp<T>> bound;
  for (const PlannedStep& plan : plan_steps(program, ntk)) {
    const Op& op = *plan.op;
    BoundOp<T> next{};
    next.step.in = plan.in;
    next.signed_rho = plan.signed1;
    if (op.kind == OpKind::Output) {
      next.output = op.out;
      next.has_ntk = plan.tau != TauMode::None;
      next.root_left = left.root(op.out);
      next.root_right = right.root(op.out);
      bound.push_back(next);
      continue;
    }
    next.step.out = plan.out;
    next.step.in2 = plan.in2;
    next.step.run = plan.in2 < 0 ? kernels.step(op, plan.signed1, plan.tau)
                                 : kernels.join(op, plan.signed1, plan.signed2, plan.tau);
    const auto columns = [&](const RowTables<T>& table) {
      return Columns<T>{table.column(plan.index, plan.first_column),
                        plan.column_step * table.rows()};
    };
    next.step.left = columns(left);
    next.step.right = columns(right);
    if (op.kind == OpKind::Table) next.step.table = &op.table->pairs<T>();
    next.step.even = plan.even;
    next.step.odd = plan.odd;
    for (int k = 0; k < kMaxConstants; ++k) {
      next.step.constants[k] = static_cast<T>(plan.constants[k]);
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
