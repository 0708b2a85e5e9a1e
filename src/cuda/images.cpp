#include "images.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>

#include "gram.hpp"
#include "gram_inputs.hpp"
#include "images_kernel.hpp"
#include "resources.hpp"
#include "tile_sizes.hpp"

namespace ntkfast::cuda {
namespace {

using device::HostImages;
using device::ImageBlock;
using device::ImageSums;
using device::ImageTile;
using device::ImageView;

// Sums of a tile, on a device and on the host.
template <class T>
std::int64_t sum_count(const HostImages<T>& job, std::int64_t edge) {
  return std::min(edge, job.n) * std::min(edge, job.m) *
         device::chunk_count(job.program.offset_count) * job.program.readouts;
}

// Images per side that fit on the current device, or says what is missing.
template <class T>
std::int64_t plan_slab(const HostImages<T>& job, const ImageSettings& settings, int device,
                       std::int64_t edge) {
  const FreeMemory memory;
  const auto size = static_cast<std::int64_t>(sizeof(T));
  const std::int64_t lane = image_maps_numbers(job.program) * size +
                            sum_count(job, edge) * static_cast<std::int64_t>(sizeof(ImageSums));
  const std::int64_t fixed = kStreams * lane + kReservedBytes;
  const std::int64_t image = job.program.image_numbers * size, sides = job.symmetric ? 1 : 2;
  const auto free = static_cast<std::int64_t>(memory.free);
  const std::int64_t all = std::max(job.n, job.m), smallest = std::min(edge, all);
  // A symmetric Gram of all images at once keeps one copy of them.
  if (settings.slab == 0 && fixed + sides * all * image <= free) return all;
  std::int64_t slab = (free - fixed) / (2 * image) / edge * edge;
  if (settings.slab > 0)
    slab = std::min(slab, std::max<std::int64_t>(1, settings.slab / edge) * edge);
  if (slab >= smallest) return slab;
  throw OutOfMemory(gibibytes(fixed + 2 * smallest * image) + " needed on CUDA device " +
                    std::to_string(device) + " (" + gibibytes(2 * smallest * image) +
                    " for the numbers of images), " + gibibytes(free) + " of " +
                    gibibytes(static_cast<std::int64_t>(memory.total)) + " free");
}

struct PinnedSums {
  explicit PinnedSums(std::int64_t count)
      : memory(allocate_pinned(static_cast<std::size_t>(count) * sizeof(ImageSums)), free_pinned) {
    if (!memory) throw std::bad_alloc();
  }
  ImageSums* data() const { return static_cast<ImageSums*>(memory.get()); }
  std::unique_ptr<void, void (*)(void*)> memory;
};

// One launch in flight.
template <class T>
struct ImageLane {
  ImageLane(const HostImages<T>& job, std::int64_t edge)
      : sums(sum_count(job, edge)),
        host(sum_count(job, edge)),
        maps(image_maps_numbers(job.program)) {}

  DeviceBuffer<ImageSums> sums;
  PinnedSums host;
  DeviceBuffer<T> maps;
  std::optional<ImageTile> tile;  // whose sums are on their way
  Stream stream;                  // last: nothing runs any more when the buffers are freed
};

// The images of one side that a device keeps.
template <class T>
struct Slab {
  Slab(const HostImages<T>& job, std::int64_t count) : numbers(count * job.program.image_numbers) {}
  DeviceBuffer<T> numbers;
  std::int64_t first = 0;
};

// What one device holds.
template <class T>
class ImageDevice {
 public:
  ImageDevice(const HostImages<T>& job, int device, std::int64_t edge, std::int64_t slab)
      : job_(job),
        device_(device),
        ops_(job.program.ops, job.program.op_count),
        values_(job.program.values, job.value_count),
        constants_(job.program.constants, job.constant_count),
        offsets_(job.program.offsets, job.program.offset_count),
        left_(job, std::min(slab, job.n)) {
    if (!job.symmetric || slab < job.n) right_.emplace(job, std::min(slab, job.m));
    for (auto& lane : lanes_) lane = std::make_unique<ImageLane<T>>(job, edge);
  }

  void load(bool left, std::int64_t first, std::int64_t at, const T* numbers, std::int64_t count) {
    NTKFAST_CUDA_CHECK(cudaSetDevice(device_));
    Slab<T>& slab = left ? left_ : *right_;
    slab.first = first;
    const std::int64_t size = job_.program.image_numbers;
    NTKFAST_CUDA_CHECK(cudaMemcpy(slab.numbers.data() + at * size, numbers,
                                  static_cast<std::size_t>(count * size) * sizeof(T),
                                  cudaMemcpyHostToDevice));
  }
  // Copies from ordinary memory return when it has been read, not when they have arrived.
  void wait_for_loads() const {
    NTKFAST_CUDA_CHECK(cudaSetDevice(device_));
    NTKFAST_CUDA_CHECK(cudaDeviceSynchronize());
  }

  // `diagonal`: both sides are the left slab.
  void launch(std::size_t lane_index, const ImageTile& tile, bool diagonal) {
    NTKFAST_CUDA_CHECK(cudaSetDevice(device_));
    ImageLane<T>& lane = *lanes_[lane_index];
    const Slab<T>& right = diagonal ? left_ : *right_;
    ImageBlock<T> block{};
    block.program = job_.program;
    block.program.ops = ops_.data();
    block.program.values = values_.data();
    block.program.constants = constants_.data();
    block.program.offsets = offsets_.data();
    const std::int64_t size = job_.program.image_numbers;
    block.left = left_.numbers.data() + (tile.i0 - left_.first) * size;
    block.right = right.numbers.data() + (tile.j0 - right.first) * size;
    block.i0 = tile.i0;
    block.j0 = tile.j0;
    block.rows = tile.rows;
    block.cols = tile.cols;
    block.symmetric = job_.symmetric;
    block.sums = lane.sums.data();
    block.maps = lane.maps.data();
    launch_images(block, lane.stream.get());
    const auto bytes = static_cast<std::size_t>(tile.rows * tile.cols *
                                                device::chunk_count(job_.program.offset_count) *
                                                job_.program.readouts) *
                       sizeof(ImageSums);
    NTKFAST_CUDA_CHECK(cudaMemcpy2DAsync(lane.host.data(), bytes, lane.sums.data(), bytes, bytes, 1,
                                         cudaMemcpyDeviceToHost, lane.stream.get()));
    lane.tile = tile;
  }

  // Whether there was anything to wait for.
  bool finish(std::size_t lane_index) {
    ImageLane<T>& lane = *lanes_[lane_index];
    lane.stream.synchronize();
    if (!lane.tile) return false;
    job_.finish(*std::exchange(lane.tile, std::nullopt), lane.host.data());
    return true;
  }

 private:
  const HostImages<T>& job_;
  int device_;
  DeviceBuffer<device::ImageOp<T>> ops_;
  DeviceBuffer<device::ImageValue> values_;
  DeviceBuffer<T> constants_;
  DeviceBuffer<device::ImageOffset> offsets_;
  Slab<T> left_;
  std::optional<Slab<T>> right_;
  std::array<std::unique_ptr<ImageLane<T>>, kStreams> lanes_;  // last: see ImageLane::stream
};

template <class T>
class ImageRun {
 public:
  ImageRun(const HostImages<T>& job, const ImageSettings& settings)
      : job_(job),
        settings_(settings),
        edge_(settings.tile_edge > 0 ? settings.tile_edge
                                     : device::image_tile_edge(job.program.offset_count)),
        slab_(std::max(job.n, job.m)) {
    for (const int device : settings.devices) {
      NTKFAST_CUDA_CHECK(cudaSetDevice(device));
      slab_ = std::min(slab_, plan_slab(job, settings, device, edge_));
    }
    for (const int device : settings.devices) {
      NTKFAST_CUDA_CHECK(cudaSetDevice(device));
      devices_.push_back(std::make_unique<ImageDevice<T>>(job, device, edge_, slab_));
    }
    for (const Range& slabs : make_blocks(job.n, job.m, slab_, job.symmetric)) {
      total_ += static_cast<std::int64_t>(tiles(slabs).size());
    }
  }

  void run() {
    for (std::int64_t i = 0; i < job_.n; i += slab_) {
      load(true, i, std::min(slab_, job_.n - i));
      for (std::int64_t j = 0; j < (job_.symmetric ? i + 1 : job_.m); j += slab_) {
        const bool diagonal = job_.symmetric && i == j;
        if (!diagonal) load(false, j, std::min(slab_, job_.m - j));
        for (const auto& device : devices_) device->wait_for_loads();
        run_slabs({i, j, std::min(slab_, job_.n - i), std::min(slab_, job_.m - j)}, diagonal);
      }
    }
  }

 private:
  std::vector<ImageTile> tiles(const Range& slabs) const {
    std::vector<ImageTile> all;
    const bool diagonal = job_.symmetric && slabs.i0 == slabs.j0;
    for (const Range& tile : make_blocks(slabs.rows, slabs.cols, edge_, diagonal)) {
      all.push_back({slabs.i0 + tile.i0, tile.rows, slabs.j0 + tile.j0, tile.cols});
    }
    return all;
  }

  // In chunks, so that the host keeps few of them.
  void load(bool left, std::int64_t first, std::int64_t count) {
    const std::int64_t size = job_.program.image_numbers;
    const std::int64_t chunk = std::clamp<std::int64_t>(
        device::kImageChunkBytes / (size * static_cast<std::int64_t>(sizeof(T))), 1, count);
    std::vector<T> numbers(static_cast<std::size_t>(chunk * size));
    for (std::int64_t at = 0; at < count; at += chunk) {
      report(0);
      const std::int64_t here = std::min(chunk, count - at);
      job_.columns(left, first + at, here, numbers.data());
      for (const auto& device : devices_) device->load(left, first, at, numbers.data(), here);
    }
  }

  void run_slabs(const Range& slabs, bool diagonal) {
    const auto all = tiles(slabs);
    for (std::size_t k = 0; k < all.size(); ++k) {
      const std::size_t lane = k / devices_.size() % kStreams;
      ImageDevice<T>& device = *devices_[k % devices_.size()];
      report(device.finish(lane));
      device.launch(lane, all[k], diagonal);
    }
    // The slabs are read until the last launch is done.
    for (std::size_t lane = 0; lane < kStreams; ++lane) {
      for (const auto& device : devices_) report(device->finish(lane));
    }
  }

  void report(bool finished) {
    done_ += finished ? 1 : 0;
    if (settings_.monitor) settings_.monitor(done_, total_);
  }

  const HostImages<T>& job_;
  const ImageSettings& settings_;
  std::int64_t edge_, slab_, done_ = 0, total_ = 0;
  std::vector<std::unique_ptr<ImageDevice<T>>> devices_;
};

}  // namespace

template <class T>
void run_images(const HostImages<T>& job, const ImageSettings& settings) {
  if (job.n == 0 || job.m == 0) return;
  const DeviceGuard guard(settings.devices.front());
  ImageRun<T>(job, settings).run();
}

template void run_images(const HostImages<float>&, const ImageSettings&);
template void run_images(const HostImages<double>&, const ImageSettings&);

}  // namespace ntkfast::cuda
