// What the kernels read of one Gram matrix, in the memory of one device; and how its blocks are
// dealt.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "device/gram_job.hpp"
#include "gram_kernel.hpp"
#include "resources.hpp"

namespace ntkfast::cuda {

using device::DeviceSide;
using device::FlatOp;
using device::FlatTable;
using device::GramBlock;
using device::HostJob;
using device::HostSide;

inline std::string gibibytes(std::int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g GiB", static_cast<double>(bytes) / (1 << 30));
  return text;
}

template <class T>
std::int64_t side_bytes(const HostJob<T>& job, const HostSide<T>& side) {
  const std::int64_t copies = side.rows == side.given ? 1 : 2;
  const std::int64_t row = (copies * job.d + job.columns + 3) * sizeof(T) + sizeof(double);
  return side.count * row;
}

template <class T>
std::int64_t input_bytes(const HostJob<T>& job) {
  std::int64_t bytes = side_bytes(job, job.left) + (job.symmetric ? 0 : side_bytes(job, job.right));
  bytes += job.op_count * static_cast<std::int64_t>(sizeof(FlatOp)) +
           job.constant_count * static_cast<std::int64_t>(sizeof(T));
  for (int k = 0; k < job.table_count; ++k) {
    bytes += job.tables[k].stride * job.tables[k].degree_t * static_cast<std::int64_t>(sizeof(T));
  }
  return bytes;
}

// Numbers of the tables as `rows` rows contract them.
template <class T>
std::int64_t contracted_numbers(const HostJob<T>& job, std::int64_t rows) {
  std::int64_t numbers = 0;
  for (int k = 0; k < job.table_count; ++k) numbers += job.tables[k].stride * rows;
  return numbers;
}

template <class T>
class SideBuffers {
 public:
  SideBuffers(const HostJob<T>& job, const HostSide<T>& side)
      : count_(side.count),
        rows_(side.rows, side.count * job.d),
        given_(side.given, side.rows == side.given ? 0 : side.count * job.d),
        inverse_(side.inverse, side.count),
        factor_(side.factor, side.count),
        half_norm_(side.half_norm, side.count),
        threshold_(side.threshold, side.count),
        table_(side.table, side.count * job.columns) {}

  DeviceSide<T> side() const {
    return {rows_.data(),      given_.size() > 0 ? given_.data() : rows_.data(),
            inverse_.data(),   factor_.data(),
            half_norm_.data(), threshold_.data()};
  }
  const T* table() const { return table_.data(); }
  std::int64_t count() const { return count_; }

 private:
  std::int64_t count_;
  DeviceBuffer<T> rows_, given_;
  DeviceBuffer<double> inverse_;
  DeviceBuffer<T> factor_, half_norm_, threshold_, table_;
};

// A block of the result: rows [i0, i0 + rows) and columns [j0, j0 + cols).
struct Range {
  std::int64_t i0, j0, rows, cols;
};

// Of a symmetric Gram those on and below the diagonal.
inline std::vector<Range> make_blocks(std::int64_t n, std::int64_t m, std::int64_t edge,
                                      bool symmetric) {
  std::vector<Range> blocks;
  for (std::int64_t i0 = 0; i0 < n; i0 += edge) {
    for (std::int64_t j0 = 0; j0 < (symmetric ? i0 + 1 : m); j0 += edge) {
      blocks.push_back({i0, j0, std::min(edge, n - i0), std::min(edge, m - j0)});
    }
  }
  return blocks;
}

// The tables as the rows of one launch contract them.
template <class T>
struct Contracted {
  std::vector<DeviceBuffer<T>> numbers;
  DeviceBuffer<FlatTable<T>> tables;
};

// On the device that is current when it is made.
template <class T>
class Inputs {
 public:
  explicit Inputs(const HostJob<T>& job)
      : job_(job),
        left_(job, job.left),
        ops_(job.ops, job.op_count),
        constants_(job.constants, job.constant_count) {
    if (!job.symmetric) right_.emplace(job, job.right);
    for (int k = 0; k < job.table_count; ++k) {
      const PairTable<T>& table = job.tables[k];
      coefficients_.emplace_back(table.coefficients,
                                 static_cast<std::int64_t>(table.stride) * table.degree_t);
    }
  }

  // Memory for launches of up to `rows` rows.
  Contracted<T> make_contracted(std::int64_t rows) const {
    Contracted<T> contracted;
    std::vector<FlatTable<T>> tables;
    for (int k = 0; k < job_.table_count; ++k) {
      contracted.numbers.emplace_back(job_.tables[k].stride * rows);
      tables.push_back({table(k), contracted.numbers.back().data()});
    }
    contracted.tables = {tables.data(), job_.table_count};
    return contracted;
  }

  // Contracts the tables; returns a block without results.
  GramBlock<T> start(const Range& range, const Contracted<T>& contracted,
                     cudaStream_t stream) const {
    for (int o = 0; o < job_.op_count; ++o) {
      const FlatOp& op = job_.ops[o];
      if (op.kind != OpKind::Table) continue;
      const T* position = left_.table() + (op.column + kTablePosition) * job_.left.count + range.i0;
      launch_contraction(table(op.table), position, range.rows,
                         contracted.numbers[static_cast<std::size_t>(op.table)].data(), stream);
    }
    GramBlock<T> block{};
    block.program = {ops_.data(),   job_.op_count,   constants_.data(), contracted.tables.data(),
                     left_.table(), right().table(), job_.left.count,   job_.right.count,
                     range.i0,      job_.chain};
    block.left = left_.side();
    block.right = right().side();
    block.d = job_.d;
    block.i0 = range.i0;
    block.j0 = range.j0;
    block.rows = range.rows;
    block.cols = range.cols;
    block.symmetric = job_.symmetric;
    block.kind = job_.kind;
    block.lower = job_.symmetric && range.i0 == range.j0;
    return block;
  }

 private:
  const SideBuffers<T>& right() const { return right_ ? *right_ : left_; }
  PairTable<T> table(int k) const {
    PairTable<T> table = job_.tables[k];
    table.coefficients = coefficients_[static_cast<std::size_t>(k)].data();
    return table;
  }

  const HostJob<T>& job_;
  SideBuffers<T> left_;
  std::optional<SideBuffers<T>> right_;  // empty: symmetric
  DeviceBuffer<FlatOp> ops_;
  DeviceBuffer<T> constants_;
  std::vector<DeviceBuffer<T>> coefficients_;
};

// Free and total bytes of the current device.
struct FreeMemory {
  std::size_t free = 0, total = 0;
  FreeMemory() { NTKFAST_CUDA_CHECK(cudaMemGetInfo(&free, &total)); }
};

}  // namespace ntkfast::cuda
