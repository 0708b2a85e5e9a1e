#include "device/flat_program.hpp"

#include <string>

#include "error.hpp"
#include "program/row_tables.hpp"

namespace ntkfast::device {
namespace {

// Every op reads what the one before it has written.
Chain chain_of(const std::vector<FlatOp>& ops) {
  Chain chain = Chain::None;
  int last = 0;
  for (const FlatOp& op : ops) {
    if (op.in != last) return Chain::None;
    if (op.kind == OpKind::Activation) {
      const Chain own = op.activation == Activation::ABRelu ? Chain::AbRelu
                        : op.activation == Activation::Erf  ? Chain::Erf
                                                            : Chain::None;
      if (own == Chain::None || (chain != Chain::None && own != chain)) return Chain::None;
      chain = own;
    } else if (op.kind != OpKind::Dense && op.kind != OpKind::Output) {
      return Chain::None;
    }
    if (op.kind != OpKind::Output) last = op.out;
  }
  return chain;
}

}  // namespace

FlatOp flat_op(const PlannedStep& step) {
  FlatOp next{};
  next.kind = step.op->kind;
  next.activation = step.op->activation;
  next.tau = step.tau;
  next.signed1 = step.signed1;
  next.signed2 = step.signed2;
  next.bias = column_count(*step.op) > 0;
  next.in = step.in;
  next.in2 = step.in2;
  next.out = step.out;
  next.even = step.even;
  next.odd = step.odd;
  return next;
}

template <class T>
FlatProgram<T> flatten(const Program& program, bool ntk) {
  if (program.slots > kMaxSlots) {
    throw ArchitectureError("the network keeps " + std::to_string(program.slots) +
                            " values alive at one time, and a device at most " +
                            std::to_string(kMaxSlots) + ": compute it on the CPU");
  }
  FlatProgram<T> flat;
  flat.slots = program.slots;
  flat.outputs = program.outputs;
  flat.columns = table_width(program);
  std::vector<int> first_column;  // of each op; those of the outputs follow them all
  int columns = 0;
  for (const Op& op : program.ops) {
    first_column.push_back(columns);
    columns += column_count(op);
  }
  for (const PlannedStep& step : plan_steps(program, ntk)) {
    const Op& op = *step.op;
    FlatOp next = flat_op(step);
    next.column = op.kind == OpKind::Output ? columns + 3 * op.out
                                            : first_column[step.index] + step.first_column;
    next.column_step = op.kind == OpKind::Output ? 1 : step.column_step;
    next.constants = static_cast<int>(flat.constants.size());
    for (const double constant : step.constants) {
      flat.constants.push_back(static_cast<T>(constant));
    }
    next.table = static_cast<int>(flat.tables.size());
    if (op.kind == OpKind::Table) flat.tables.push_back(op.table->pairs<T>());
    flat.ops.push_back(next);
  }
  flat.chain = chain_of(flat.ops);
  return flat;
}

template FlatProgram<float> flatten(const Program&, bool);
template FlatProgram<double> flatten(const Program&, bool);

}  // namespace ntkfast::device
