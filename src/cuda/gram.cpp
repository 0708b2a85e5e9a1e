#include "gram.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

#include "gram_kernel.hpp"
#include "resources.hpp"
#include "tile_sizes.hpp"

namespace ntkfast::cuda {
namespace {

using device::DeviceOutput;
using device::DeviceSide;
using device::FlatOp;
using device::FlatTable;
using device::GramBlock;
using device::HostJob;
using device::HostSide;

std::string gibibytes(std::int64_t bytes) {
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

int matrix_count(int outputs, const GramSettings& settings) {
  return outputs * (int{settings.nngp} + int{settings.ntk});
}

// What every stream holds for blocks of the given edge. `staged`: results pass through it.
template <class T>
std::int64_t stream_bytes(const HostJob<T>& job, const GramSettings& settings, std::int64_t edge,
                          bool staged) {
  std::int64_t numbers = 0;
  if (staged) {
    numbers += matrix_count(job.outputs, settings) * (job.symmetric ? 2 : 1) *
               std::min(edge, job.left.count) * std::min(edge, job.right.count);
  }
  for (int k = 0; k < job.table_count; ++k) {
    numbers += job.tables[k].stride * std::min(edge, job.left.count);
  }
  return numbers * static_cast<std::int64_t>(sizeof(T));
}

// Chooses the edge of the blocks, or says what is missing.
template <class T>
std::int64_t plan_blocks(const HostJob<T>& job, const GramSettings& settings, bool staged) {
  constexpr std::int64_t smallest = Shape<T>::kEdge;
  std::size_t free_bytes = 0, total_bytes = 0;
  NTKFAST_CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total_bytes));
  const std::int64_t result = staged ? 0
                                     : matrix_count(job.outputs, settings) * job.left.count *
                                           job.right.count * static_cast<std::int64_t>(sizeof(T));
  const std::int64_t fixed = input_bytes(job) + result + kReservedBytes;
  const auto free = static_cast<std::int64_t>(free_bytes);
  std::int64_t edge = settings.block_edge > 0 ? settings.block_edge : kBlockEdge;
  edge = std::max(smallest, edge / smallest * smallest);
  const auto needed = [&] { return fixed + kStreams * stream_bytes(job, settings, edge, staged); };
  while (needed() > free && edge > smallest)
    edge = std::max(smallest, edge / 2 / smallest * smallest);
  if (needed() <= free) return edge;
  throw OutOfMemory(
      gibibytes(needed()) + " needed on CUDA device " + std::to_string(settings.device) + " (" +
      gibibytes(input_bytes(job)) + " for the rows and their tables" +
      (staged ? "" : ", " + gibibytes(result) + " for the results") + "), " + gibibytes(free) +
      " of " + gibibytes(static_cast<std::int64_t>(total_bytes)) + " free");
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
std::vector<Range> make_blocks(std::int64_t n, std::int64_t m, std::int64_t edge, bool symmetric) {
  std::vector<Range> blocks;
  for (std::int64_t i0 = 0; i0 < n; i0 += edge) {
    for (std::int64_t j0 = 0; j0 < (symmetric ? i0 + 1 : m); j0 += edge) {
      blocks.push_back({i0, j0, std::min(edge, n - i0), std::min(edge, m - j0)});
    }
  }
  return blocks;
}

// One launch in flight: its stream, and memory that the next one on it uses again.
template <class T>
struct Lane {
  DeviceBuffer<T> staging, mirror_staging;
  std::vector<DeviceOutput<T>> staged, mirrored;   // per output, into the two above
  DeviceBuffer<DeviceOutput<T>> outputs, mirrors;  // the same on the device
  std::vector<DeviceBuffer<T>> contracted;
  DeviceBuffer<FlatTable<T>> tables;
  std::int64_t blocks = 0;  // in flight
  Stream stream;            // last: nothing runs any more when the buffers are freed
};

template <class T>
class Gram {
 public:
  Gram(const HostJob<T>& job, const GramSettings& settings, std::int64_t edge)
      : job_(job),
        settings_(settings),
        edge_(edge),
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

  // results: on the device, or null to pass through staging memory to `host`.
  void run(const std::vector<DeviceOutput<T>>* results, const std::vector<DeviceOutput<T>>* host) {
    prepare(results);
    compute_all(results != nullptr, host);
  }

  void prepare(const std::vector<DeviceOutput<T>>* results) {
    for (Lane<T>& lane : lanes_) prepare(lane, results);
    // Copies from ordinary memory return when it has been read, not when they have arrived, and our
    // streams do not wait for them.
    NTKFAST_CUDA_CHECK(cudaDeviceSynchronize());
  }

  void compute_all(bool in_place, const std::vector<DeviceOutput<T>>* host) {
    const auto blocks = make_blocks(job_.left.count, job_.right.count, edge_, job_.symmetric);
    const auto total = static_cast<std::int64_t>(blocks.size());
    std::int64_t done = 0;
    const auto finish = [&](Lane<T>& lane) {
      lane.stream.synchronize();
      done += std::exchange(lane.blocks, 0);
      if (settings_.monitor) settings_.monitor(done, total);
    };
    for (std::size_t k = 0; k < blocks.size(); ++k) {
      Lane<T>& lane = lanes_[k % kStreams];
      finish(lane);
      compute(lane, blocks[k], in_place);
      if (host != nullptr) copy(lane, blocks[k], *host);
      lane.blocks = 1;
    }
    for (Lane<T>& lane : lanes_) finish(lane);
  }

 private:
  const SideBuffers<T>& right() const { return right_ ? *right_ : left_; }

  void prepare(Lane<T>& lane, const std::vector<DeviceOutput<T>>* results) {
    if (results != nullptr) {
      lane.outputs = {results->data(), job_.outputs};
    } else {
      lane.staged = stage(lane.staging);
      lane.outputs = {lane.staged.data(), job_.outputs};
      if (job_.symmetric) {
        lane.mirrored = stage(lane.mirror_staging);
        lane.mirrors = {lane.mirrored.data(), job_.outputs};
      }
    }
    std::vector<FlatTable<T>> tables;
    for (int k = 0; k < job_.table_count; ++k) {
      PairTable<T> table = job_.tables[k];
      table.coefficients = coefficients_[static_cast<std::size_t>(k)].data();
      lane.contracted.emplace_back(table.stride * std::min(edge_, job_.left.count));
      tables.push_back({table, lane.contracted.back().data()});
    }
    lane.tables = {tables.data(), job_.table_count};
  }

  // One block of every matrix that is wanted.
  std::vector<DeviceOutput<T>> stage(DeviceBuffer<T>& buffer) const {
    const std::int64_t size = std::min(edge_, job_.left.count) * std::min(edge_, job_.right.count);
    buffer = DeviceBuffer<T>(size * matrix_count(job_.outputs, settings_));
    std::vector<DeviceOutput<T>> staged;
    T* next = buffer.data();
    const auto take = [&](bool wanted) {
      if (!wanted) return static_cast<T*>(nullptr);
      return std::exchange(next, next + size);
    };
    for (int k = 0; k < job_.outputs; ++k) {
      T* nngp = take(settings_.nngp);
      staged.push_back({nngp, take(settings_.ntk)});
    }
    return staged;
  }

  void compute(Lane<T>& lane, const Range& range, bool in_place) {
    const cudaStream_t stream = lane.stream.get();
    for (int o = 0; o < job_.op_count; ++o) {
      const FlatOp& op = job_.ops[o];
      if (op.kind != OpKind::Table) continue;
      const auto k = static_cast<std::size_t>(op.table);
      PairTable<T> table = job_.tables[k];
      table.coefficients = coefficients_[k].data();
      const T* position = left_.table() + (op.column + kTablePosition) * job_.left.count + range.i0;
      launch_contraction(table, position, range.rows, lane.contracted[k].data(), stream);
    }
    GramBlock<T> block{};
    block.program = {ops_.data(),        job_.op_count,    constants_.data(),
                     lane.tables.data(), left_.table(),    right().table(),
                     job_.left.count,    job_.right.count, range.i0};
    block.left = left_.side();
    block.right = right().side();
    block.d = job_.d;
    block.i0 = range.i0;
    block.j0 = range.j0;
    block.rows = range.rows;
    block.cols = range.cols;
    block.symmetric = job_.symmetric;
    block.lower = job_.symmetric && range.i0 == range.j0;
    block.outputs = lane.outputs.data();
    block.output_count = job_.outputs;
    if (in_place) {
      const std::int64_t ld = job_.right.count;
      block.mirrors = job_.symmetric ? block.outputs : nullptr;
      block.offset = range.i0 * ld + range.j0;
      block.mirror_offset = range.j0 * ld + range.i0;
      block.ld = block.mirror_ld = ld;
    } else {
      block.ld = range.cols;
      block.mirror_ld = range.rows;
      if (job_.symmetric) block.mirrors = block.lower ? block.outputs : lane.mirrors.data();
    }
    launch_block(block, stream);
  }

  // Staged blocks to their places in the results on the host.
  void copy(Lane<T>& lane, const Range& range, const std::vector<DeviceOutput<T>>& host) const {
    const std::int64_t ld = job_.right.count;
    const auto copy_matrix = [&](T* to, const T* from, std::int64_t rows, std::int64_t cols) {
      if (to == nullptr) return;
      const auto width = static_cast<std::size_t>(cols) * sizeof(T);
      NTKFAST_CUDA_CHECK(cudaMemcpy2DAsync(to, static_cast<std::size_t>(ld) * sizeof(T), from,
                                           width, width, static_cast<std::size_t>(rows),
                                           cudaMemcpyDeviceToHost, lane.stream.get()));
    };
    const auto at = [](T* matrix, std::int64_t offset) {
      return matrix == nullptr ? nullptr : matrix + offset;
    };
    for (std::size_t k = 0; k < host.size(); ++k) {
      const std::int64_t offset = range.i0 * ld + range.j0;
      copy_matrix(at(host[k].nngp, offset), lane.staged[k].nngp, range.rows, range.cols);
      copy_matrix(at(host[k].ntk, offset), lane.staged[k].ntk, range.rows, range.cols);
      if (!job_.symmetric || range.i0 == range.j0) continue;
      const std::int64_t mirrored = range.j0 * ld + range.i0;
      copy_matrix(at(host[k].nngp, mirrored), lane.mirrored[k].nngp, range.cols, range.rows);
      copy_matrix(at(host[k].ntk, mirrored), lane.mirrored[k].ntk, range.cols, range.rows);
    }
  }

  const HostJob<T>& job_;
  const GramSettings& settings_;
  std::int64_t edge_;
  SideBuffers<T> left_;
  std::optional<SideBuffers<T>> right_;  // empty: symmetric
  DeviceBuffer<FlatOp> ops_;
  DeviceBuffer<T> constants_;
  std::vector<DeviceBuffer<T>> coefficients_;
  std::array<Lane<T>, kStreams> lanes_;  // last: see Lane::stream
};

// What lies in front of memory that allocate_pinned() returns: how it has to be freed.
constexpr std::size_t kHeader = 256;

}  // namespace

void* allocate_pinned(std::size_t bytes) {
  void* memory = nullptr;
  const bool pinned = cudaHostAlloc(&memory, bytes + kHeader, cudaHostAllocPortable) == cudaSuccess;
  if (!pinned) {
    (void)cudaGetLastError();
    memory = std::aligned_alloc(kHeader, (bytes + 2 * kHeader - 1) / kHeader * kHeader);
    if (memory == nullptr) return nullptr;
  }
  *static_cast<bool*>(memory) = pinned;
  return static_cast<unsigned char*>(memory) + kHeader;
}

void free_pinned(void* memory) {
  if (memory == nullptr) return;
  void* const start = static_cast<unsigned char*>(memory) - kHeader;
  if (*static_cast<bool*>(start)) {
    (void)cudaFreeHost(start);
  } else {
    std::free(start);
  }
}

template <class T>
void gram_to_host(const HostJob<T>& job, const std::vector<DeviceOutput<T>>& host,
                  const GramSettings& settings) {
  if (job.left.count == 0 || job.right.count == 0) return;
  const DeviceGuard guard(settings.device);
  const std::int64_t edge = plan_blocks(job, settings, true);
  Gram<T>(job, settings, edge).run(nullptr, &host);
}

namespace {

// Memory for the results on the current device.
template <class T>
std::vector<DeviceMatrices<T>> make_matrices(const HostJob<T>& job, const GramSettings& settings) {
  const std::int64_t size = job.left.count * job.right.count;
  std::vector<DeviceMatrices<T>> matrices;
  const auto make = [&](bool wanted) {
    if (!wanted) return std::shared_ptr<T>();
    auto buffer = std::make_shared<DeviceBuffer<T>>(size);
    T* const data = buffer->data();
    return std::shared_ptr<T>(std::move(buffer), data);
  };
  for (int k = 0; k < job.outputs; ++k) {
    matrices.push_back({make(settings.nngp), make(settings.ntk)});
  }
  return matrices;
}

template <class T>
std::vector<DeviceOutput<T>> pointers(const std::vector<DeviceMatrices<T>>& matrices) {
  std::vector<DeviceOutput<T>> all;
  for (const auto& each : matrices) all.push_back({each.nngp.get(), each.ntk.get()});
  return all;
}

}  // namespace

template <class T>
std::vector<DeviceMatrices<T>> gram_on_device(const HostJob<T>& job, const GramSettings& settings) {
  const DeviceGuard guard(settings.device);
  if (job.left.count == 0 || job.right.count == 0) return make_matrices(job, settings);
  const std::int64_t edge = plan_blocks(job, settings, false);
  const auto matrices = make_matrices(job, settings);
  const auto results = pointers(matrices);
  Gram<T>(job, settings, edge).run(&results, nullptr);
  return matrices;
}

template <class T>
std::vector<double> time_gram(const HostJob<T>& job, const GramSettings& settings, int repeats) {
  const DeviceGuard guard(settings.device);
  const std::int64_t edge = plan_blocks(job, settings, false);
  const auto matrices = make_matrices(job, settings);
  const auto results = pointers(matrices);
  Gram<T> gram(job, settings, edge);
  gram.prepare(&results);
  std::vector<double> seconds;
  for (int k = 0; k < repeats; ++k) {
    const auto start = std::chrono::steady_clock::now();
    gram.compute_all(true, nullptr);
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return seconds;
}

#define NTKFAST_INSTANTIATE(T)                                                                    \
  template void gram_to_host(const HostJob<T>&, const std::vector<DeviceOutput<T>>&,              \
                             const GramSettings&);                                                \
  template std::vector<DeviceMatrices<T>> gram_on_device(const HostJob<T>&, const GramSettings&); \
  template std::vector<double> time_gram(const HostJob<T>&, const GramSettings&, int);
NTKFAST_INSTANTIATE(float)
NTKFAST_INSTANTIATE(double)
#undef NTKFAST_INSTANTIATE

}  // namespace ntkfast::cuda
