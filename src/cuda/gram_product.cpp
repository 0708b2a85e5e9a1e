#include "gram_product.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "gram_inputs.hpp"
#include "program/kernel_product.hpp"
#include "tile_sizes.hpp"

namespace ntkfast::cuda {
namespace {

using device::DeviceProduct;

// One launch in flight.
template <class T>
struct Lane {
  Contracted<T> contracted;
  bool busy = false;
  Stream stream;  // last: nothing runs any more when the buffers are freed
};

// Vectors, sums and scales of one product on one device.
template <class T>
struct Vectors {
  DeviceBuffer<T> values;
  DeviceBuffer<double> scales;
  DeviceBuffer<std::int64_t> sums;
};

template <class T>
std::int64_t vector_bytes(std::int64_t met, std::int64_t summed, std::int64_t count) {
  return met * count * static_cast<std::int64_t>(sizeof(T)) + summed * (count + 1) * 8;
}

// Roots of the diagonal of the first output: its columns are the last of a row table.
template <class T>
DiagonalRoots diagonal_roots(const HostJob<T>& job, const HostSide<T>& side, bool ntk) {
  DiagonalRoots roots;
  if (side.count > 0) {
    const T* const first = side.table + (job.columns - 3 * job.outputs) * side.count;
    roots.add(side.count, first, first + side.count, ntk ? first + 2 * side.count : nullptr);
  }
  roots.finish();
  return roots;
}

// What one device does.
template <class T>
class DeviceShare {
 public:
  DeviceShare(const HostJob<T>& job, int device, std::int64_t edge)
      : device_(device), inputs_(job) {
    for (Lane<T>& lane : lanes_) {
      lane.contracted = inputs_.make_contracted(std::min(edge, job.left.count));
    }
    NTKFAST_CUDA_CHECK(cudaDeviceSynchronize());  // see Gram
  }

  Vectors<T> make_vectors(const ScaledVectors<T>& vectors, const DiagonalRoots& summed) const {
    NTKFAST_CUDA_CHECK(cudaSetDevice(device_));
    Vectors<T> made{{vectors.values.data(), vectors.rows * vectors.count},
                    {summed.scales().data(), summed.rows()},
                    DeviceBuffer<std::int64_t>(summed.rows() * vectors.count)};
    clear(made);
    return made;
  }

  void clear(const Vectors<T>& vectors) const {
    NTKFAST_CUDA_CHECK(
        cudaMemset(vectors.sums.data(), 0,
                   static_cast<std::size_t>(vectors.sums.size()) * sizeof(std::int64_t)));
    NTKFAST_CUDA_CHECK(cudaDeviceSynchronize());
  }

  bool launch(std::size_t lane_index, const Range& range, const DeviceProduct<T>& product) {
    const bool done = finish(lane_index);
    Lane<T>& lane = lanes_[lane_index];
    NTKFAST_CUDA_CHECK(cudaSetDevice(device_));
    GramBlock<T> block = inputs_.start(range, lane.contracted, lane.stream.get());
    block.product = product;
    launch_block(block, lane.stream.get());
    lane.busy = true;
    return done;
  }
  bool finish(std::size_t lane_index) {
    Lane<T>& lane = lanes_[lane_index];
    lane.stream.synchronize();
    return std::exchange(lane.busy, false);
  }
  // Waits for what is left of a product that failed.
  void abandon() noexcept {
    for (Lane<T>& lane : lanes_) {
      forget(cudaStreamSynchronize(lane.stream.get()));
      lane.busy = false;
    }
  }

  int device() const { return device_; }

 private:
  int device_;
  Inputs<T> inputs_;
  std::array<Lane<T>, kStreams> lanes_;
};

}  // namespace

template <class T>
struct GramProduct<T>::Parts {
  Parts(const HostJob<T>& host_job, const ProductSettings& product_settings)
      : job(host_job),
        settings(product_settings),
        left(diagonal_roots(job, job.left, settings.ntk)) {
    if (!job.symmetric) right = diagonal_roots(job, job.right, settings.ntk);
    constexpr std::int64_t smallest = Shape<T>::kEdge;
    edge = settings.block_edge > 0 ? settings.block_edge : kBlockEdge;
    edge = std::max(smallest, edge / smallest * smallest);
  }

  bool empty() const { return job.left.count == 0 || job.right.count == 0; }
  const DiagonalRoots& columns() const { return job.symmetric ? left : right; }

  // Throws where the current device lacks `bytes`, which are for `what`.
  void require(int device, std::int64_t bytes, const std::string& what) const {
    const FreeMemory memory;
    const auto free = static_cast<std::int64_t>(memory.free);
    if (bytes + kReservedBytes <= free) return;
    throw OutOfMemory(gibibytes(bytes + kReservedBytes) + " needed on CUDA device " +
                      std::to_string(device) + " for " + what + ", " + gibibytes(free) + " of " +
                      gibibytes(static_cast<std::int64_t>(memory.total)) + " free");
  }

  void make_shares() {
    const std::int64_t bytes =
        input_bytes(job) + kStreams * static_cast<std::int64_t>(sizeof(T)) *
                               contracted_numbers(job, std::min(edge, job.left.count));
    for (const int device : settings.devices) {
      NTKFAST_CUDA_CHECK(cudaSetDevice(device));
      require(device, bytes, "the rows and their tables");
    }
    for (const int device : settings.devices) {
      NTKFAST_CUDA_CHECK(cudaSetDevice(device));
      shares.push_back(std::make_unique<DeviceShare<T>>(job, device, edge));
    }
  }

  DeviceProduct<T> product(const Vectors<T>& vectors, std::int64_t count, bool to_columns) const {
    const T* const values = vectors.values.data();
    std::int64_t* const sums = vectors.sums.data();
    const double* const scales = vectors.scales.data();
    DeviceProduct<T> made{};
    made.count = static_cast<int>(count);
    made.ntk = settings.ntk;
    if (!to_columns) {
      made.right_vectors = values;
      made.left_sums = sums;
      made.left_scales = scales;
    }
    if (to_columns || job.symmetric) {
      made.left_vectors = values;
      made.right_sums = sums;
      made.right_scales = scales;
    }
    return made;
  }

  // All blocks; vectors[k] are those of device k.
  void run(const std::vector<Vectors<T>>& vectors, std::int64_t count, bool to_columns,
           const std::function<void(std::int64_t, std::int64_t)>& monitor) {
    const auto blocks = make_blocks(job.left.count, job.right.count, edge, job.symmetric);
    const auto total = static_cast<std::int64_t>(blocks.size());
    std::int64_t done = 0;
    const auto report = [&](bool finished) {
      done += finished ? 1 : 0;
      if (monitor) monitor(done, total);
    };
    const std::size_t dealt = vectors.size();
    try {
      for (std::size_t k = 0; k < blocks.size(); ++k) {
        report(shares[k % dealt]->launch(k / dealt % kStreams, blocks[k],
                                         product(vectors[k % dealt], count, to_columns)));
      }
      for (std::size_t lane = 0; lane < kStreams; ++lane) {
        for (std::size_t k = 0; k < dealt; ++k) report(shares[k]->finish(lane));
      }
    } catch (...) {
      for (const auto& share : shares) share->abandon();  // before the vectors are freed
      throw;
    }
  }

  const HostJob<T>& job;
  ProductSettings settings;
  DiagonalRoots left, right;  // right stays empty for a symmetric Gram
  std::int64_t edge;
  std::vector<std::unique_ptr<DeviceShare<T>>> shares;
};

template <class T>
GramProduct<T>::GramProduct(const HostJob<T>& job, const ProductSettings& settings)
    : parts_(std::make_unique<Parts>(job, settings)) {
  if (parts_->empty()) return;
  const DeviceGuard guard(settings.devices.front());
  parts_->make_shares();
}

template <class T>
GramProduct<T>::~GramProduct() = default;

template <class T>
std::int64_t GramProduct<T>::rows() const {
  return parts_->job.left.count;
}

template <class T>
std::int64_t GramProduct<T>::columns() const {
  return parts_->job.right.count;
}

template <class T>
void GramProduct<T>::multiply(const double* v, std::int64_t count, bool transposed, double* out,
                              const std::function<void(std::int64_t, std::int64_t)>& monitor) {
  Parts& parts = *parts_;
  const bool to_columns = transposed && !parts.job.symmetric;
  const std::int64_t size = to_columns ? columns() : rows();
  if (parts.empty() || count == 0) {
    std::fill_n(out, size * count, 0.0);
    return;
  }
  if (count > std::numeric_limits<int>::max()) throw std::invalid_argument("too many vectors");
  const DiagonalRoots& met = to_columns ? parts.left : parts.columns();
  const DiagonalRoots& summed = to_columns ? parts.columns() : parts.left;
  const ScaledVectors<T> scaled(v, met.rows(), count, met.roots());
  const DeviceGuard guard(parts.settings.devices.front());
  for (const auto& share : parts.shares) {
    NTKFAST_CUDA_CHECK(cudaSetDevice(share->device()));
    parts.require(share->device(), vector_bytes<T>(met.rows(), summed.rows(), count),
                  std::to_string(count) + " vectors and their products");
  }
  std::vector<Vectors<T>> vectors;
  std::vector<std::int64_t> sums(static_cast<std::size_t>(size * count), 0), part(sums.size());
  for (const auto& share : parts.shares) vectors.push_back(share->make_vectors(scaled, summed));
  parts.run(vectors, count, to_columns, monitor);
  // Integers: the sum of the devices' sums is the same however blocks were dealt.
  for (std::size_t k = 0; k < vectors.size(); ++k) {
    NTKFAST_CUDA_CHECK(cudaSetDevice(parts.shares[k]->device()));
    NTKFAST_CUDA_CHECK(cudaMemcpy(part.data(), vectors[k].sums.data(),
                                  part.size() * sizeof(std::int64_t), cudaMemcpyDeviceToHost));
    for (std::size_t at = 0; at < sums.size(); ++at) sums[at] += part[at];
  }
  finish_sums(sums.data(), 1, size, summed, scaled.exponents, out);
}

template <class T>
std::vector<double> GramProduct<T>::time(std::int64_t count, int repeats) {
  Parts& parts = *parts_;
  const DeviceGuard guard(parts.settings.devices.front());
  std::vector<double> v(static_cast<std::size_t>(columns() * count));
  for (std::size_t k = 0; k < v.size(); ++k) v[k] = std::sin(static_cast<double>(k));
  const ScaledVectors<T> scaled(v.data(), columns(), count, parts.columns().roots());
  std::vector<Vectors<T>> vectors;
  vectors.push_back(parts.shares.front()->make_vectors(scaled, parts.left));
  std::vector<double> seconds;
  for (int k = 0; k < repeats; ++k) {
    const auto start = std::chrono::steady_clock::now();
    parts.shares.front()->clear(vectors.front());
    parts.run(vectors, count, false, {});
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return seconds;
}

template class GramProduct<float>;
template class GramProduct<double>;

}  // namespace ntkfast::cuda
