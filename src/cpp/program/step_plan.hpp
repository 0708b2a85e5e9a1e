// What each op of a program does to a pair of rows, decided once for every engine: which values it
// reads and writes, whether a correlation may be negative, and what becomes of T.
#pragma once

#include <vector>

#include "math/tau.hpp"
#include "program/program.hpp"

namespace ntkfast {

struct PlannedStep {
  const Op* op;
  std::size_t index;  // of the op, for the row tables
  int in, in2, out;   // slots; of an output, `out` is its number. in2: -1, or the second value
  bool signed1;       // a correlation that the op reads or writes may be negative
  bool signed2;       // the same of the second value
  TauMode tau;        // of an output: None where T is identically zero, else Scale
  // Column k of the step is column first_column + k column_step of the op: a join reads the value
  // that has T first.
  int first_column, column_step;
  int even, odd;  // columns of each parity, of a Hermite series
  double constants[kMaxConstants];
};

// LayerNorm, which changes rows alone, has no step. `ntk` says whether T is wanted at all. Pointers
// into the program.
std::vector<PlannedStep> plan_steps(const Program& program, bool ntk);

}  // namespace ntkfast
