// All layers of a program on one pair of rows: the interpreter of every device.
//
// It calls the same formulas as the loops of the CPU, in the same order of operations; results
// differ by what compilers contract to fused operations, and in series by the order of sums.
#pragma once

#include <cstdint>

#include "device/device_code.hpp"
#include "device/flat_program.hpp"
#include "device/table_pair.hpp"
#include "math/activation_list.hpp"
#include "math/branches.hpp"
#include "math/duals/hermite_series.hpp"
#include "math/tau.hpp"

namespace ntkfast::device {

// The rows of both tables that a pair belongs to, each number by its column. `left_row` and
// `right_row` count from the first row of the tables.
template <class T>
struct PairRows {
  const FlatView<T>& program;
  std::int64_t left_row, right_row;

  NTKFAST_HD T left(int column) const {
    return program.left[column * program.left_rows + left_row];
  }
  NTKFAST_HD T right(int column) const {
    return program.right[column * program.right_rows + right_row];
  }
};

// The numbers that both rows bring to one op.
template <class T, int kColumns>
struct PairColumns {
  T left[kColumns > 0 ? kColumns : 1], right[kColumns > 0 ? kColumns : 1];

  NTKFAST_HD PairColumns(const PairRows<T>& rows, const FlatOp& op) {
    for (int k = 0; k < kColumns; ++k) {
      left[k] = rows.left(op.column + k * op.column_step);
      right[k] = rows.right(op.column + k * op.column_step);
    }
  }
};

template <class T>
NTKFAST_HD inline T correlation_of(bool is_signed, T s) {
  return is_signed ? correlation<T, true>(s) : correlation<T, false>(s);
}

template <class T>
NTKFAST_HD inline T affine_of(bool is_signed, T s, T ri, T ti, T rj, T tj) {
  return is_signed ? affine_deficit<T, true>(s, ri, ti, rj, tj)
                   : affine_deficit<T, false>(s, ri, ti, rj, tj);
}

// One value of a program at one pair.
template <class T>
struct PairState {
  T s, tau;
};

template <class T>
NTKFAST_HD inline PairState<T> dense_pair(const FlatOp& op, const PairRows<T>& rows,
                                          PairState<T> in) {
  if (!op.bias) {
    return {in.s, dense_tau(op.tau, T(1), correlation_of(op.signed1, in.s), in.tau)};
  }
  const PairColumns<T, 2> c(rows, op);
  const T s = affine_of(op.signed1, in.s, c.left[0], c.left[1], c.right[0], c.right[1]);
  return {s, dense_tau(op.tau, c.left[0] * c.right[0], correlation_of(op.signed1, s), in.tau)};
}

template <class T>
NTKFAST_HD inline PairState<T> standard_dense_pair(const FlatOp& op, const PairRows<T>& rows,
                                                   PairState<T> in) {
  const T rho = correlation_of(op.signed1, in.s);
  if (!op.bias) {
    const T own = rows.program.constants[op.constants] * rho;
    return {in.s, dense_tau(op.tau, T(1), own, in.tau)};
  }
  const PairColumns<T, 4> c(rows, op);
  const T own = standard_own_part(c.left[2], c.right[2], rho, c.left[3], c.right[3]);
  return {affine_of(op.signed1, in.s, c.left[0], c.left[1], c.right[0], c.right[1]),
          dense_tau(op.tau, c.left[0] * c.right[0], own, in.tau)};
}

template <class T, class Dual, bool kSigned>
NTKFAST_HD inline PairStep<T> inlined_dual_pair(const FlatOp& op, const PairRows<T>& rows, T s) {
  const PairColumns<T, Dual::kColumns> c(rows, op);
  return Dual::template pair<T, kSigned>(rows.program.constants + op.constants, s, c.left, c.right);
}

template <class T, class Dual, bool kSigned>
NTKFAST_DEVICE_CALL PairStep<T> dual_pair(const FlatOp& op, const PairRows<T>& rows, T s) {
  return inlined_dual_pair<T, Dual, kSigned>(op, rows, s);
}

template <class T>
NTKFAST_DEVICE PairStep<T> activation_pair(const FlatOp& op, const PairRows<T>& rows, T s) {
  switch (op.activation) {
#define NTKFAST_CASE(name, dual, params)                                 \
  case Activation::name:                                                 \
    return op.signed1 ? dual_pair<T, ::ntkfast::dual, true>(op, rows, s) \
                      : dual_pair<T, ::ntkfast::dual, false>(op, rows, s);
    NTKFAST_ACTIVATIONS(NTKFAST_CASE)
#undef NTKFAST_CASE
  }
  return {s, T(1)};
}

template <class T>
NTKFAST_HD inline HermiteSum<T> sum_orders(const FlatOp& op, const PairRows<T>& rows, int first,
                                           int count, T x) {
  HermiteSum<T> sum;
  for (int k = first + count - 1; k >= first; --k) {
    sum.add(rows.left(op.column + k), rows.right(op.column + k), x);
  }
  return sum;
}

template <class T>
NTKFAST_DEVICE_CALL PairStep<T> series_pair(const FlatOp& op, const PairRows<T>& rows, T s) {
  const T rho = correlation_of(op.signed1, s);
  const HermiteSum<T> even = sum_orders(op, rows, 0, op.even, rho * rho);
  const HermiteSum<T> odd = sum_orders(op, rows, op.even, op.odd, rho * rho);
  return op.signed1 ? hermite_pair<T, true>(s, even, odd) : hermite_pair<T, false>(s, even, odd);
}

template <class T>
NTKFAST_DEVICE_CALL PairStep<T> tabulated_pair(const FlatOp& op, const PairRows<T>& rows, T s) {
  const PairColumns<T, kTableColumns> c(rows, op);
  const FlatTable<T>& flat = rows.program.tables[op.table];
  const std::int64_t row = rows.left_row - rows.program.first_contracted;
  return table_pair(flat.table, flat.contracted + row * flat.table.stride, s, op.signed1, c.left,
                    c.right);
}

template <class T>
NTKFAST_HD inline PairState<T> sum_pair(const FlatOp& op, const PairRows<T>& rows, PairState<T> a,
                                        PairState<T> b) {
  const PairColumns<T, 2> c(rows, op);
  const T a1 = c.left[0], a2 = c.left[1], b1 = c.right[0], b2 = c.right[1];
  const auto deficit = [&] {
    if (op.signed1) {
      return op.signed2 ? sum_deficit<T, true, true>(a.s, b.s, a1, a2, b1, b2)
                        : sum_deficit<T, true, false>(a.s, b.s, a1, a2, b1, b2);
    }
    return op.signed2 ? sum_deficit<T, false, true>(a.s, b.s, a1, a2, b1, b2)
                      : sum_deficit<T, false, false>(a.s, b.s, a1, a2, b1, b2);
  };
  return {deficit(),
          op.tau == TauMode::Add ? sum_tau(a1, b1, a.tau, a2, b2, b.tau) : a1 * b1 * a.tau};
}

template <class T>
NTKFAST_HD inline PairState<T> product_pair(const FlatOp& op, PairState<T> a, PairState<T> b) {
  const auto deficit = [&] {
    if (op.signed1) {
      return op.signed2 ? product_deficit<T, true, true>(a.s, b.s)
                        : product_deficit<T, true, false>(a.s, b.s);
    }
    return op.signed2 ? product_deficit<T, false, true>(a.s, b.s)
                      : product_deficit<T, false, false>(a.s, b.s);
  };
  const T rho1 = correlation_of(op.signed1, a.s), rho2 = correlation_of(op.signed2, b.s);
  return {deficit(), op.tau == TauMode::Add ? product_tau(rho1, a.tau, rho2, b.tau) : a.tau * rho2};
}

template <class T>
NTKFAST_HD inline PairState<T> dropout_pair(const FlatOp& op, const PairRows<T>& rows,
                                            PairState<T> in) {
  const T keep = rows.program.constants[op.constants],
          drop = rows.program.constants[op.constants + 1];
  return {op.signed1 ? dropout_deficit<T, true>(in.s, keep, drop)
                     : dropout_deficit<T, false>(in.s, keep, drop),
          keep * in.tau};
}

// tau of a value without T is never read, but carried along: it starts as 0 and stays finite.
template <class T>
NTKFAST_DEVICE PairState<T> step_pair(const FlatOp& op, const PairRows<T>& rows, PairState<T> a,
                                      const PairState<T>* slots) {
  const auto scaled = [&](PairStep<T> step) {
    return PairState<T>{step.s, op.tau == TauMode::None ? T(0) : step.gain * a.tau};
  };
  switch (op.kind) {
    case OpKind::Dense:
      return dense_pair(op, rows, a);
    case OpKind::StandardDense:
      return op.tau == TauMode::None ? dense_pair(op, rows, a) : standard_dense_pair(op, rows, a);
    case OpKind::Activation:
      return scaled(activation_pair(op, rows, a.s));
    case OpKind::HermiteSeries:
      return scaled(series_pair(op, rows, a.s));
    case OpKind::Table:
      return scaled(tabulated_pair(op, rows, a.s));
    case OpKind::Sum:
      return sum_pair(op, rows, a, slots[op.in2]);
    case OpKind::Product:
      return product_pair(op, a, slots[op.in2]);
    case OpKind::Dropout:
      return dropout_pair(op, rows, a);
    case OpKind::LayerNorm:
    case OpKind::Output:
    case OpKind::Conv:  // of positions, which no device knows yet
    case OpKind::Pool:
    case OpKind::Flatten:
    case OpKind::GlobalPool:
      break;
  }
  return a;
}

// K and T of an output.
template <class T, class Sink>
NTKFAST_DEVICE void hand_out(const FlatOp& op, const PairRows<T>& rows, PairState<T> value,
                             const Sink& sink) {
  const T scale = rows.left(op.column) * rows.right(op.column);
  sink(op.out, scale * correlation_of(op.signed1, value.s),
       op.tau == TauMode::None ? T(0) : scale * value.tau);
}

// A chain of dense layers and activations of one kind, the most common program: the same formulas
// without calls, branches by kind of layer, and values in memory.
template <class T, class Dual, class Sink>
NTKFAST_DEVICE void run_chain(const FlatView<T>& program, const PairRows<T>& rows, T s,
                              const Sink& sink) {
  PairState<T> value{s, T(0)};
  for (int k = 0; k < program.op_count; ++k) {
    const FlatOp op = program.ops[k];
    if (op.kind == OpKind::Output) {
      hand_out(op, rows, value, sink);
    } else if (op.kind == OpKind::Dense) {
      value = dense_pair(op, rows, value);
    } else {
      const PairStep<T> step = op.signed1 ? inlined_dual_pair<T, Dual, true>(op, rows, value.s)
                                          : inlined_dual_pair<T, Dual, false>(op, rows, value.s);
      value = {step.s, op.tau == TauMode::None ? T(0) : step.gain * value.tau};
    }
  }
}

// Runs the program on the pair with the initial signed deficit `s`; calls sink(output, K, T) for
// every output. The same sample needs no run: its K and T are in the row tables.
template <class T, class Sink>
NTKFAST_DEVICE void run_pair(const FlatView<T>& program, std::int64_t left_row,
                             std::int64_t right_row, T s, const Sink& sink) {
  const PairRows<T> rows{program, left_row, right_row};
  if (program.chain == Chain::AbRelu) return run_chain<T, AbRelu>(program, rows, s, sink);
  if (program.chain == Chain::Erf) return run_chain<T, Erf>(program, rows, s, sink);
  PairState<T> slots[kMaxSlots];
  // The last value written, which the next op mostly reads, stays out of the array's memory.
  PairState<T> last{s, T(0)};
  int last_slot = 0;
  slots[0] = last;
  for (int k = 0; k < program.op_count; ++k) {
    const FlatOp op = program.ops[k];
    const PairState<T> in = op.in == last_slot ? last : slots[op.in];
    if (op.kind == OpKind::Output) {
      hand_out(op, rows, in, sink);
      continue;
    }
    last = step_pair(op, rows, in, slots);
    last_slot = op.out;
    slots[last_slot] = last;
  }
}

}  // namespace ntkfast::device
