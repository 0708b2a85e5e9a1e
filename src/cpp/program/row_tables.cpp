#include "program/row_tables.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>

#include "error.hpp"

namespace ntkfast {
namespace {

constexpr std::int64_t kBlock = 256;  // rows walked through the program together
std::string overflow_message(const char* argument, std::int64_t row, double p, double tau) {
  char values[96];
  std::snprintf(values, sizeof values, "K = %.3g^2, T = %.3g K", p, tau);
  return "row " + std::to_string(row) + " of " + argument +
         " gives a kernel value beyond the largest finite number of its dtype (" + values +
         "): scale the inputs down, use float64, or use a network that does not amplify them";
}

std::string domain_message(const char* argument, std::int64_t row, const std::string& layer,
                           double variance, double limit) {
  char values[128];
  std::snprintf(values, sizeof values, "K(x, x) = %.6g, and E[phi^2] is finite below %.6g only",
                variance, limit);
  return "row " + std::to_string(row) + " of " + argument + " reaches " + layer + " with " +
         values + ": scale the inputs or W_std down";
}

}  // namespace

int table_width(const Program& program) {
  int width = 3 * program.outputs;
  for (const Op& op : program.ops) width += column_count(op);
  return width;
}

// State of up to kBlock rows, buffer by buffer. `conditioning` is the largest growth met.
template <class T>
struct RowTables<T>::Block {
  std::int64_t first, rows;
  double conditioning = 1;
  std::vector<std::vector<RowState>> buffer;
  std::vector<int> buffer_of;

  std::vector<RowState>& rows_of(int value) {
    return buffer[static_cast<std::size_t>(buffer_of[static_cast<std::size_t>(value)])];
  }
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
  block.buffer.assign(static_cast<std::size_t>(program.row_slots), std::vector<RowState>(rows));
  for (const Value& value : program.values) block.buffer_of.push_back(value.row_slot);
  auto& input = block.rows_of(0);
  for (std::size_t k = 0; k < rows; ++k) {
    input[k] = {p[block.first + static_cast<std::int64_t>(k)], 0, 1, 1};
  }
  for (std::size_t index = 0; index < program.ops.size(); ++index) {
    const Op& op = program.ops[index];
    if (op.kind == OpKind::Output) {
      write_output(op, block, argument);
    } else {
      step(program, index, block, argument);
    }
  }
}

template <class T>
void RowTables<T>::step(const Program& program, std::size_t index, Block& block,
                        const char* argument) {
  const Op& op = program.ops[index];
  const auto& in = block.rows_of(op.in);
  const auto& in2 = op.in2 < 0 ? in : block.rows_of(op.in2);
  auto& out = block.rows_of(op.out);
  const int columns = column_count(op);
  T* table = data_.data() + first_column_[index] * rows_ + block.first;
  std::vector<double> number(static_cast<std::size_t>(columns));
  const double limit = variance_limit(op), largest = std::sqrt(limit);
  for (std::size_t k = 0; k < in.size(); ++k) {
    const auto i = first_row_ + block.first + static_cast<std::int64_t>(k);
    if (in[k].p >= largest) {
      const std::string& layer = program.values[static_cast<std::size_t>(op.out)].produced;
      throw KernelOverflow(domain_message(argument, i, layer, in[k].p * in[k].p, limit));
    }
    const RowState next = step_row(op, in[k], in2[k], number.data());
    // A root that is not finite may turn into NaN, or into finite numbers that mean nothing.
    if (!(next.tau <= static_cast<double>(std::numeric_limits<T>::max())) ||
        !std::isfinite(next.p)) {
      throw KernelOverflow(overflow_message(argument, i, next.p, next.tau));
    }
    out[k] = next;
    for (int c = 0; c < columns; ++c) {
      table[c * rows_ + static_cast<std::int64_t>(k)] =
          static_cast<T>(number[static_cast<std::size_t>(c)]);
    }
    block.conditioning = std::max(block.conditioning, next.growth * std::max(1.0, next.chi));
  }
}

template <class T>
void RowTables<T>::write_output(const Op& op, Block& block, const char* argument) {
  constexpr double kLargest = static_cast<double>(std::numeric_limits<T>::max());
  const auto& rows = block.rows_of(op.in);
  for (std::size_t k = 0; k < rows.size(); ++k) {
    const auto& row = rows[k];
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
