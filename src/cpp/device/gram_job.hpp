// All that a device needs for one Gram matrix, made on the host: O((n + m) d) work.
//
// The rows go through the same passes as on the CPU: norms, centring, the row tables, and the
// thresholds below which a deficit is made again from the rows.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "cpu/input_rows.hpp"
#include "device/flat_program.hpp"
#include "device/product_kind.hpp"
#include "program/row_tables.hpp"

namespace ntkfast::device {

// One side of the pairs; pointers into host memory.
template <class T>
struct HostSide {
  std::int64_t count;
  const T* rows;   // (count, d), to be multiplied
  const T* given;  // (count, d), as given; the same pointer where they are multiplied as such
  const double* inverse;  // 1 / |x|, 0 of a zero row
  const T *factor, *half_norm, *threshold;
  const T* table;  // columns of `count` numbers
};

// What the device code of another module reads: plain data alone.
template <class T>
struct HostJob {
  std::int64_t d;
  bool symmetric;
  HostSide<T> left, right;  // the same where symmetric
  const FlatOp* ops;
  int op_count;
  const T* constants;
  int constant_count;
  const PairTable<T>* tables;
  int table_count;
  int columns;  // of a row table
  int outputs;
  ProductKind kind;
  Chain chain;
};

struct GramJobOptions {
  int threads = 1;
  std::string_view isa;
  Monitor monitor;
  ProductKind kind = ProductKind::Plain;  // how the device will multiply the rows
};

// Owns what job() points to, but for x, z and the program, which must outlive it. z null means the
// symmetric Gram of x. Throws what cpu::gram() throws, and ArchitectureError for a program that
// keeps too many values alive.
template <class T>
class GramJob {
 public:
  GramJob(const Program& program, const T* x, std::int64_t n, const T* z, std::int64_t m,
          std::int64_t d, bool ntk, const GramJobOptions& options);
  HostJob<T> job() const;

 private:
  struct Side;
  HostSide<T> host_side(const Side& side) const;

  std::int64_t d_;
  ProductKind kind_;
  FlatProgram<T> flat_;
  std::vector<double> anchor_;
  std::shared_ptr<Side> x_, z_;  // z_ null: symmetric
};

// Bytes on the host that a job holds beside inputs.
std::int64_t job_bytes(const Program& program, std::int64_t n, std::int64_t m, std::int64_t d,
                       std::int64_t itemsize);

}  // namespace ntkfast::device
