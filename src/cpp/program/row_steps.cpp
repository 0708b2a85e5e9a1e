#include "program/row_steps.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "program/dual_table.hpp"
#include "program/hermite_rows.hpp"

namespace ntkfast {
namespace {

using RowFunction = RowStep (*)(const double* params, double p, double* columns);

struct RowEntry {
  int columns;
  RowFunction row;
  double (*variance_limit)(const double* params);
  bool homogeneous;
};

// Duals without a limit of their own are finite at every variance.
template <class Dual>
double limit_of(const double* params) {
  if constexpr (requires { Dual::variance_limit(params); }) {
    return Dual::variance_limit(params);
  } else {
    return std::numeric_limits<double>::infinity();
  }
}

template <class Dual>
constexpr bool declared_homogeneous() {
  if constexpr (requires { Dual::kHomogeneous; }) {
    return Dual::kHomogeneous;
  } else {
    return false;
  }
}

constexpr RowEntry kRows[] = {
#define NTKFAST_ROW(name, dual, params) \
  {dual::kColumns, &dual::row, &limit_of<dual>, declared_homogeneous<dual>()},
    NTKFAST_ACTIVATIONS(NTKFAST_ROW)
#undef NTKFAST_ROW
};

const RowEntry& row_entry(Activation id) { return kRows[static_cast<std::size_t>(id)]; }

// Dense: the unit vector (W p, b) / p'. A row that stays zero keeps the neutral (1, 0).
RowStep dense_row(const Op& op, double p, double* columns) {
  const double weight = op.params[0] * p, bias = op.params[1];
  if (bias == 0) return {weight, 1.0};
  const double next = std::hypot(weight, bias);
  columns[0] = weight / next;
  columns[1] = bias / next;
  return {next, columns[0] * columns[0]};
}

RowState after_dense(const Op& op, const RowState& in, double own, const RowStep& next) {
  const double tau = in.tau * next.gain + (op.trainable ? own : 0.0);
  return {next.p, tau, in.chi * next.gain, in.growth};
}

// Behind the columns of Dense: (g p, e) / p', whose square is the layer's own part of T / K'.
RowState standard_dense_row(const Op& op, const RowState& in, double* columns) {
  const RowStep next = dense_row(op, in.p, columns);
  const double g = op.params[2], e = op.params[3];
  if (op.params[1] == 0) {  // then e = 0, and the ratio is the same for all rows
    const double ratio = g / op.params[0];
    return after_dense(op, in, ratio * ratio, next);
  }
  columns[2] = g * in.p / next.p;
  columns[3] = e / next.p;
  return after_dense(op, in, columns[2] * columns[2] + columns[3] * columns[3], next);
}

RowState activation_row(const Op& op, const RowState& in, double* columns) {
  const RowStep next = op.kind == OpKind::HermiteSeries ? hermite_row(op, in.p, columns)
                       : op.kind == OpKind::Table
                           ? op.table->row(in.p, columns)
                           : row_entry(op.activation).row(op.params.data(), in.p, columns);
  return {next.p, in.tau * next.gain, 1.0, in.growth * std::max(1.0, in.chi * next.gain)};
}

// p / sqrt(p^2 + eps) without squaring p.
RowState layer_norm_row(const Op& op, RowState row) {
  if (row.p > 0) row.p /= std::hypot(row.p, std::sqrt(op.params[0]));
  return row;
}

// The same sample loses the same units: K and T are divided by the keep probability.
RowState dropout_row(const Op& op, RowState row) {
  row.p /= std::sqrt(op.params[0]);
  row.chi *= op.params[0];
  return row;
}

// The unit vector (sqrt(w) p, sqrt(w2) p2) / p'. Deficits, and errors of them, add up with the
// squares of its entries. A row that is zero in both branches gets the neutral (1, 0).
RowState sum_row(const Op& op, const RowState& a, const RowState& b, double* columns) {
  const double pa = std::sqrt(op.params[0]) * a.p, pb = std::sqrt(op.params[1]) * b.p;
  const double next = std::hypot(pa, pb);
  const double ra = next > 0 ? pa / next : 1, rb = next > 0 ? pb / next : 0;
  columns[0] = ra;
  columns[1] = rb;
  const double wa = ra * ra, wb = rb * rb;
  const double growth = std::max(a.growth, b.growth);
  const double chi = (wa * a.growth * a.chi + wb * b.growth * b.chi) / growth;
  return {next, wa * a.tau + wb * b.tau, chi, growth};
}

// Near rho = 1 the deficits of both branches add up.
RowState product_row(const RowState& a, const RowState& b) {
  const double growth = std::max(a.growth, b.growth);
  const double chi = (a.growth * a.chi + b.growth * b.chi) / growth;
  return {a.p * b.p, a.tau + b.tau, chi, growth};
}

}  // namespace

int column_count(const Op& op) {
  switch (op.kind) {
    case OpKind::Dense:
      return op.params[1] == 0 ? 0 : 2;
    case OpKind::StandardDense:
      return op.params[1] == 0 ? 0 : 4;
    case OpKind::Activation:
      return row_entry(op.activation).columns;
    case OpKind::HermiteSeries:
      return hermite_orders(op).count();
    case OpKind::Table:
      return kTableColumns;
    case OpKind::Sum:
      return 2;
    default:
      return 0;
  }
}

bool is_homogeneous(const Op& op) {
  return op.kind == OpKind::Activation && row_entry(op.activation).homogeneous;
}

double variance_limit(const Op& op) {
  if (op.kind != OpKind::Activation) return std::numeric_limits<double>::infinity();
  return row_entry(op.activation).variance_limit(op.params.data());
}

RowState step_row(const Op& op, const RowState& in, const RowState& in2, double* columns) {
  switch (op.kind) {
    case OpKind::Dense:
      return after_dense(op, in, 1.0, dense_row(op, in.p, columns));
    case OpKind::StandardDense:
      return standard_dense_row(op, in, columns);
    case OpKind::Activation:
    case OpKind::HermiteSeries:
    case OpKind::Table:
      return activation_row(op, in, columns);
    case OpKind::LayerNorm:
      return layer_norm_row(op, in);
    case OpKind::Dropout:
      return dropout_row(op, in);
    case OpKind::Sum:
      return sum_row(op, in, in2, columns);
    case OpKind::Product:
      return product_row(in, in2);
    case OpKind::Output:
    case OpKind::Conv:  // of positions, which are no rows
    case OpKind::Pool:
    case OpKind::Flatten:
    case OpKind::GlobalPool:
      break;
  }
  return in;
}

}  // namespace ntkfast
