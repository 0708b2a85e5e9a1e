#include "gram.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <string>

#include "gram_inputs.hpp"
#include "tile_sizes.hpp"

namespace ntkfast::cuda {
namespace {

using device::DeviceOutput;

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
  numbers += contracted_numbers(job, std::min(edge, job.left.count));
  return numbers * static_cast<std::int64_t>(sizeof(T));
}

// Chooses the edge of the blocks, or says what is missing.
template <class T>
std::int64_t plan_blocks(const HostJob<T>& job, const GramSettings& settings, int device,
                         bool staged) {
  constexpr std::int64_t smallest = Shape<T>::kEdge;
  const FreeMemory memory;
  const std::int64_t result = staged ? 0
                                     : matrix_count(job.outputs, settings) * job.left.count *
                                           job.right.count * static_cast<std::int64_t>(sizeof(T));
  const std::int64_t fixed = input_bytes(job) + result + kReservedBytes;
  const auto free = static_cast<std::int64_t>(memory.free);
  std::int64_t edge = settings.block_edge > 0 ? settings.block_edge : kBlockEdge;
  edge = std::max(smallest, edge / smallest * smallest);
  const auto needed = [&] { return fixed + kStreams * stream_bytes(job, settings, edge, staged); };
  while (needed() > free && edge > smallest)
    edge = std::max(smallest, edge / 2 / smallest * smallest);
  if (needed() <= free) return edge;
  throw OutOfMemory(gibibytes(needed()) + " needed on CUDA device " + std::to_string(device) +
                    " (" + gibibytes(input_bytes(job)) + " for the rows and their tables" +
                    (staged ? "" : ", " + gibibytes(result) + " for the results") + "), " +
                    gibibytes(free) + " of " + gibibytes(static_cast<std::int64_t>(memory.total)) +
                    " free");
}

// One launch in flight: its stream, and memory that the next one on it uses again.
template <class T>
struct Lane {
  DeviceBuffer<T> staging, mirror_staging;
  std::vector<DeviceOutput<T>> staged, mirrored;   // per output, into the two above
  DeviceBuffer<DeviceOutput<T>> outputs, mirrors;  // the same on the device
  Contracted<T> contracted;
  bool busy = false;
  Stream stream;  // last: nothing runs any more when the buffers are freed
};

// One device's share of a Gram matrix.
template <class T>
class Gram {
 public:
  // results: on the device, or null to pass through staging memory.
  Gram(const HostJob<T>& job, const GramSettings& settings, int device, std::int64_t edge,
       const std::vector<DeviceOutput<T>>* results)
      : job_(job), settings_(settings), device_(device), edge_(edge), inputs_(job) {
    for (Lane<T>& lane : lanes_) prepare(lane, results);
    // Copies from ordinary memory return when it has been read, not when they have arrived, and our
    // streams do not wait for them.
    NTKFAST_CUDA_CHECK(cudaDeviceSynchronize());
  }

  // The next launch, after the one before it on the same lane, of which it says whether there was
  // any. host null: in place.
  bool launch(std::size_t lane_index, const Range& range,
              const std::vector<DeviceOutput<T>>* host) {
    Lane<T>& lane = lanes_[lane_index];
    const bool done = finish(lane_index);
    NTKFAST_CUDA_CHECK(cudaSetDevice(device_));
    compute(lane, range, host == nullptr);
    if (host != nullptr) copy(lane, range, *host);
    lane.busy = true;
    return done;
  }
  // Whether there was anything to wait for.
  bool finish(std::size_t lane_index) {
    Lane<T>& lane = lanes_[lane_index];
    lane.stream.synchronize();
    return std::exchange(lane.busy, false);
  }

 private:
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
    lane.contracted = inputs_.make_contracted(std::min(edge_, job_.left.count));
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

  void compute(Lane<T>& lane, const Range& range, bool in_place) const {
    GramBlock<T> block = inputs_.start(range, lane.contracted, lane.stream.get());
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
    launch_block(block, lane.stream.get());
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
  int device_;
  std::int64_t edge_;
  Inputs<T> inputs_;
  std::array<Lane<T>, kStreams> lanes_;  // last: see Lane::stream
};

// Deals the blocks to the devices in turn, and on each to its lanes.
template <class T>
void compute_all(const HostJob<T>& job, const GramSettings& settings, std::int64_t edge,
                 const std::vector<std::unique_ptr<Gram<T>>>& devices,
                 const std::vector<DeviceOutput<T>>* host) {
  const auto blocks = make_blocks(job.left.count, job.right.count, edge, job.symmetric);
  const auto total = static_cast<std::int64_t>(blocks.size());
  std::int64_t done = 0;
  const auto count = [&](bool finished) {
    done += finished ? 1 : 0;
    if (settings.monitor) settings.monitor(done, total);
  };
  for (std::size_t k = 0; k < blocks.size(); ++k) {
    const std::size_t lane = k / devices.size() % kStreams;
    count(devices[k % devices.size()]->launch(lane, blocks[k], host));
  }
  for (std::size_t lane = 0; lane < kStreams; ++lane) {
    for (const auto& device : devices) count(device->finish(lane));
  }
}

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
    forget(cudaFreeHost(start));
  } else {
    std::free(start);
  }
}

template <class T>
void gram_to_host(const HostJob<T>& job, const std::vector<DeviceOutput<T>>& host,
                  const GramSettings& settings) {
  if (job.left.count == 0 || job.right.count == 0) return;
  const DeviceGuard guard(settings.devices.front());
  std::int64_t edge = kBlockEdge;
  for (const int device : settings.devices) {
    NTKFAST_CUDA_CHECK(cudaSetDevice(device));
    edge = std::min(edge, plan_blocks(job, settings, device, true));
  }
  std::vector<std::unique_ptr<Gram<T>>> devices;
  for (const int device : settings.devices) {
    NTKFAST_CUDA_CHECK(cudaSetDevice(device));
    devices.push_back(std::make_unique<Gram<T>>(job, settings, device, edge, nullptr));
  }
  compute_all(job, settings, edge, devices, &host);
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
  const int device = settings.devices.front();
  const DeviceGuard guard(device);
  if (job.left.count == 0 || job.right.count == 0) return make_matrices(job, settings);
  const std::int64_t edge = plan_blocks(job, settings, device, false);
  const auto matrices = make_matrices(job, settings);
  const auto results = pointers(matrices);
  std::vector<std::unique_ptr<Gram<T>>> one;
  one.push_back(std::make_unique<Gram<T>>(job, settings, device, edge, &results));
  compute_all<T>(job, settings, edge, one, nullptr);
  return matrices;
}

template <class T>
std::vector<double> time_gram(const HostJob<T>& job, const GramSettings& settings, int repeats) {
  const int device = settings.devices.front();
  const DeviceGuard guard(device);
  const std::int64_t edge = plan_blocks(job, settings, device, false);
  const auto matrices = make_matrices(job, settings);
  const auto results = pointers(matrices);
  std::vector<std::unique_ptr<Gram<T>>> one;
  one.push_back(std::make_unique<Gram<T>>(job, settings, device, edge, &results));
  std::vector<double> seconds;
  for (int k = 0; k < repeats; ++k) {
    const auto start = std::chrono::steady_clock::now();
    compute_all<T>(job, settings, edge, one, nullptr);
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
