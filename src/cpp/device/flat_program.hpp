// A program as plain data that can be copied to a device: no pointers between its parts, columns
// and constants by number. Made from the same plan of steps as the loops of the CPU.
#pragma once

#include <cstdint>
#include <vector>

#include "math/tau.hpp"
#include "program/op.hpp"
#include "program/pair_table.hpp"
#include "program/program.hpp"
#include "program/step_plan.hpp"

namespace ntkfast::device {

// Values that are alive at the same time, at most: the state of a pair lies in local memory.
inline constexpr int kMaxSlots = 16;

struct FlatOp {
  OpKind kind;
  Activation activation;
  TauMode tau;            // of an output: None where T is identically zero
  bool signed1, signed2;  // correlations that may be negative
  bool bias;              // of dense layers: there are columns
  int in, in2, out;       // slots; `out` of an output is its number
  int even, odd;          // columns of each parity, of a Hermite series
  // Column k of the step in the row tables is column + k column_step. Of an output: sqrt(K_ii),
  // K_ii, T_ii.
  int column, column_step;
  int constants;  // number of the first
  int table;      // number of the pair table
};

// Whether a program is one row of dense layers, activations of one kind, and outputs.
enum class Chain { None, AbRelu, Erf };

// One pair table, and what left rows make of it: each contracts its coefficients with T_a(t_i) to
// `stride` numbers, one row after the other from the row FlatView::first_contracted on.
template <class T>
struct FlatTable {
  PairTable<T> table;
  const T* contracted;
};

// What run_pair() reads; all pointers in one address space. Row tables are stored column by column.
template <class T>
struct FlatView {
  const FlatOp* ops;
  int op_count;
  const T* constants;
  const FlatTable<T>* tables;
  const T *left, *right;
  std::int64_t left_rows, right_rows;  // length of a column
  std::int64_t first_contracted;
  Chain chain;
};

template <class T>
struct FlatProgram {
  std::vector<FlatOp> ops;
  std::vector<T> constants;
  std::vector<PairTable<T>> tables;  // coefficients belong to the program
  int slots = 0;
  int outputs = 0;
  int columns = 0;  // of a row table
  Chain chain = Chain::None;
};

// What a step does to a pair; columns and constants are left to the caller.
FlatOp flat_op(const PlannedStep& step);

// `ntk` says whether T is wanted at all. Throws ArchitectureError for more than kMaxSlots slots.
// The tables of `program` must outlive the result.
template <class T>
FlatProgram<T> flatten(const Program& program, bool ntk);

}  // namespace ntkfast::device
