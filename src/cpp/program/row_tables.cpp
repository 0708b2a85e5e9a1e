#include "program/row_tables.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>

#include "error.hpp"

namespace ntkfast {
namespace {

constexpr std::int64_t kBlock = 256;  // rows walked through the program together
constexpr int kMaxColumns = 16;

using RowFunction = RowStep (*)(const double* params, double p, double* columns);

struct RowEntry {
  int columns;
  RowFunction row;
};

constexpr RowEntry kRows[] = {
#define NTKFAST_ROW(name, dual, params) {dual::kColumns, &dual::row},
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

std::string overflow_message(const char* argument, std::int64_t row, double p, double tau) {
  char values[96];
  std::snprintf(values, sizeof values, "K = %.3g^2, T = %.3g K", p, tau);
  return "row " + std::to_string(row) + " of " + argument +
         " gives a kernel value beyond the largest finite number of its dtype (" + values +
         "): scale the inputs down, use float64, or use a network that does not amplify them";
}

}  // namespace

int column_count(const Op& op) {
  if (op.kind == OpKind::Dense) return op.params[1] == 0 ? 0 : 2;
  return op.kind == OpKind::Activation ? row_entry(op.activation).columns : 0;
}

int table_width(const Program& program) {
  int width = 3 * program.outputs;
  for (const Op& op : program.ops) width += column_count(op);
  return width;
}

// State of up to kBlock rows: per slot sqrt(q), tau = T/q, and the growth of errors so far.
// `conditioning` is the largest growth met.
template <class T>
struct RowTables<T>::Block {
  struct Row {
    double p, tau, chi, growth;
  };
  std::int64_t first, rows;
  double conditioning = 1;
  std::vector<std::vector<Row>> slot;
  std::vector<int> slot_of;
};

template <class T>
RowTables<T>::RowTables(const Program& program, const double* p, std::int64_t rows,
                        std::int64_t first_row, const char* argument, int threads,
                        const Monitor& monitor)
    : rows_(rows), first_row_(first_row) {
  std::int64_t columns = 0;
  for (const Op& op : program.ops) {
    first_column_.push_back(columns);
    columns += column_count(op);
  }
  first_output_ = columns;
  data_.resize(static_cast<std::size_t>((columns + 3 * program.outputs) * rows));
  const std::int64_t blocks = (rows + kBlock - 1) / kBlock;
  std::vector<double> conditioning(static_cast<std::size_t>(blocks), 1.0);
  Tasks tasks(blocks, threads, monitor);
  tasks.run([&](int, std::int64_t index) {
    Block block{index * kBlock, std::min(kBlock, rows - index * kBlock), 1.0, {}, {}};
    fill(program, p, block, argument);
    conditioning[static_cast<std::size_t>(index)] = block.conditioning;
  });
  for (const double growth : conditioning) conditioning_ = std::max(conditioning_, growth);
}

template <class T>
void RowTables<T>::fill(const Program& program, const double* p, Block& block,
                        const char* argument) {
  const auto rows = static_cast<std::size_t>(block.rows);
  block.slot.assign(static_cast<std::size_t>(program.slots),
                    std::vector<typename Block::Row>(rows));
  for (const Value& value : program.values) block.slot_of.push_back(value.slot);
  auto& input = block.slot[static_cast<std::size_t>(block.slot_of[0])];
  for (std::size_t k = 0; k < rows; ++k) {
    input[k] = {p[block.first + static_cast<std::int64_t>(k)], 0, 1, 1};
  }
  for (std::size_t index = 0; index < program.ops.size(); ++index) {
    const Op& op = program.ops[index];
    if (op.kind == OpKind::Output) {
      write_output(op, block, argument);
    } else {
      step(op, index, block, argument);
    }
  }
}

template <class T>
void RowTables<T>::step(const Op& op, std::size_t index, Block& block, const char* argument) {
  const auto slot = [&](int value) -> auto& {
    return block.slot[static_cast<std::size_t>(block.slot_of[static_cast<std::size_t>(value)])];
  };
  const auto& in = slot(op.in);
  auto& out = slot(op.out);
  const int columns = column_count(op);
  T* table = data_.data() + first_column_[index] * rows_ + block.first;
  std::array<double, kMaxColumns> number{};
  for (std::size_t k = 0; k < in.size(); ++k) {
    const auto row = in[k];
    const bool dense = op.kind == OpKind::Dense;
    const RowStep next = dense
                             ? dense_row(op, row.p, number.data())
                             : row_entry(op.activation).row(op.params.data(), row.p, number.data());
    const double tau = row.tau * next.gain + (dense && op.trainable ? 1.0 : 0.0);
    if (!(tau <= static_cast<double>(std::numeric_limits<T>::max()))) {
      throw KernelOverflow(overflow_message(
          argument, first_row_ + block.first + static_cast<std::int64_t>(k), next.p, tau));
    }
    const double chi = row.chi * next.gain;
    const double growth = dense ? row.growth : row.growth * std::max(1.0, chi);
    out[k] = {next.p, tau, dense ? chi : 1.0, growth};
    for (int c = 0; c < columns; ++c) {
      table[c * rows_ + static_cast<std::int64_t>(k)] =
          static_cast<T>(number[static_cast<std::size_t>(c)]);
    }
    block.conditioning = std::max(block.conditioning, growth);
  }
}

template <class T>
void RowTables<T>::write_output(const Op& op, Block& block, const char* argument) {
  constexpr double kLargest = static_cast<double>(std::numeric_limits<T>::max());
  const auto slot = static_cast<std::size_t>(block.slot_of[static_cast<std::size_t>(op.in)]);
  for (std::size_t k = 0; k < block.slot[slot].size(); ++k) {
    const auto& row = block.slot[slot][k];
    const auto i = block.first + static_cast<std::int64_t>(k);
    const double nngp = row.p * row.p, ntk = nngp * row.tau;
    if (!(nngp <= kLargest) || !(ntk <= kLargest)) {
      throw KernelOverflow(overflow_message(argument, first_row_ + i, row.p, row.tau));
    }
    T* table = data_.data() + (first_output_ + 3 * op.out) * rows_ + i;
    table[0] = static_cast<T>(row.p);
    table[rows_] = static_cast<T>(nngp);
    table[2 * rows_] = static_cast<T>(ntk);
  }
}

template class RowTables<float>;
template class RowTables<double>;

}  // namespace ntkfast
