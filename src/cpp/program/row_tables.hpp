// Everything that depends on one row only, computed once per row in double: O(n) per layer.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/parallel.hpp"
#include "program/program.hpp"
#include "program/row_steps.hpp"

namespace ntkfast {

// Per-row numbers of one program on one set of rows, stored column by column in the compute dtype.
template <class T>
class RowTables {
 public:
  // p: sqrt(q) of each input row in double. Throws KernelOverflow where an output's K or T, or T on
  // the way, would not be finite in T, or where an expectation is infinite; the message calls the
  // rows `argument`, from first_row on.
  RowTables(const Program& program, const double* p, std::int64_t rows, std::int64_t first_row,
            const char* argument, int threads = 1, const Monitor& monitor = {});

  // Column k of op number `op`; ops without columns have none.
  const T* column(std::size_t op, int k) const {
    return data_.data() + (first_column_[op] + k) * rows_;
  }
  std::int64_t rows() const { return rows_; }
  // Output number `out`: sqrt(K_ii), K_ii and T_ii of each row.
  const T* root(int out) const { return output_column(out, 0); }
  const T* nngp_diagonal(int out) const { return output_column(out, 1); }
  const T* ntk_diagonal(int out) const { return output_column(out, 2); }

  // Largest product over layers of max(1, chi) over the rows: how much an error of the input
  // correlation can grow. 1 for ReLU networks, chi^L in the chaotic phase.
  double conditioning() const { return conditioning_; }

 private:
  const T* output_column(int out, int k) const {
    return data_.data() + (first_output_ + 3 * out + k) * rows_;
  }
  struct Block;
  void fill(const Program& program, const double* p, Block& block, const char* argument);
  void step(const Program& program, std::size_t index, Block& block, const char* argument);
  void write_output(const Op& op, Block& block, const char* argument);

  std::int64_t rows_;
  std::int64_t first_row_;
  std::int64_t first_output_ = 0;
  std::vector<std::int64_t> first_column_;
  std::vector<T> data_;
  double conditioning_ = 1;
};

// Numbers of a row in all tables of a program.
int table_width(const Program& program);

}  // namespace ntkfast
