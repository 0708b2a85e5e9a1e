// What one layer does to one row.
#pragma once

#include "program/op.hpp"

namespace ntkfast {

// A row with itself, the same sample: p = sqrt(K), tau = T / K. `growth` bounds how much an error
// of the correlation with a near row has grown so far, but for the current layers since the last
// activation, which changed it by the factor `chi`.
struct RowState {
  double p, tau, chi, growth;
};

// The state behind `op`, and the numbers that the row contributes to every pair with it. `in2` is
// read by ops that join two values.
RowState step_row(const Op& op, const RowState& in, const RowState& in2, double* columns);

// The state in front of `op` needs a K below this: beyond, its expectation is infinite.
double variance_limit(const Op& op);

// Whether the root behind `op` is the one in front of it times a number, and there are no columns.
bool is_homogeneous(const Op& op);

// Numbers that a row contributes to one op.
int column_count(const Op& op);

}  // namespace ntkfast
