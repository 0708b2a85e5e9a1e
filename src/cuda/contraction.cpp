#include "contraction.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "contraction_kernel.hpp"
#include "gram_inputs.hpp"
#include "tile_sizes.hpp"

namespace ntkfast::cuda {
namespace {

using device::ContractionBlock;
using device::ContractionLayer;
using tangent::Layer;
using tangent::Mode;

// Rows and columns of the kernel's matrix per launch: milliseconds of work.
constexpr std::int64_t kContractionBlock = 4096;

std::int64_t rows_per_sample(const ContractionShape& shape) {
  return shape.mode == Mode::kFull ? shape.outputs : 1;
}

template <class T>
std::int64_t layer_numbers(const Layer<T>& layer, const ContractionShape& shape) {
  const std::int64_t samples = shape.n + (layer.s_other == nullptr ? 0 : shape.m);
  return samples * layer.uses * (layer.fan_in + shape.outputs * layer.units);
}

// `count` rows of `width` numbers, `pitch` numbers apart in host memory.
template <class T>
void copy_rows(T* to, const T* from, std::int64_t count, std::int64_t width, std::int64_t pitch) {
  if (count == 0 || width == 0) return;
  const auto bytes = [](std::int64_t numbers) {
    return static_cast<std::size_t>(numbers) * sizeof(T);
  };
  if (pitch == width) {
    NTKFAST_CUDA_CHECK(cudaMemcpy(to, from, bytes(count * width), cudaMemcpyHostToDevice));
    return;
  }
  NTKFAST_CUDA_CHECK(cudaMemcpy2D(to, bytes(width), from, bytes(pitch), bytes(width),
                                  static_cast<std::size_t>(count), cudaMemcpyHostToDevice));
}

// Inputs and signals of one side of a weight, in the order of ContractionLayer.
template <class T>
class Side {
 public:
  Side(const Layer<T>& layer, const T* a, const T* s, std::int64_t samples,
       const ContractionShape& shape)
      : a_(samples * layer.uses * layer.fan_in),
        s_(samples * shape.outputs * layer.uses * layer.units) {
    const std::int64_t uses = layer.uses, d = layer.fan_in, units = layer.units;
    for (std::int64_t u = 0; u < uses; ++u) {
      copy_rows(a_.data() + u * samples * d, a + u * d, samples, d, uses * d);
    }
    const bool planes = shape.mode == Mode::kDiagonal;
    const std::int64_t count = planes ? samples : samples * shape.outputs;
    const std::int64_t pitch = planes ? shape.outputs * uses * units : uses * units;
    for (std::int64_t k = 0; k < (planes ? shape.outputs : 1) * uses; ++k) {
      copy_rows(s_.data() + k * count * units, s + k * units, count, units, pitch);
    }
  }

  const T* a() const { return a_.data(); }
  const T* s() const { return s_.data(); }

 private:
  DeviceBuffer<T> a_, s_;
};

// Block and mirrored block of one launch in flight.
template <class T>
struct Lane {
  DeviceBuffer<T> block, mirrored;
  bool busy = false;
  Stream stream;  // last: nothing runs any more when the buffers are freed
};

template <class T>
class Contraction {
 public:
  Contraction(const std::vector<Layer<T>>& layers, const ContractionShape& shape, std::int64_t edge)
      : shape_(shape),
        symmetric_(layers.front().s_other == nullptr),
        rows_(shape.n * rows_per_sample(shape)),
        cols_(shape.m * rows_per_sample(shape)) {
    std::vector<ContractionLayer<T>> on_device;
    for (const Layer<T>& layer : layers) {
      sides_.emplace_back(layer, layer.a, layer.s, shape.n, shape);
      const std::size_t left = sides_.size() - 1;
      if (!symmetric_) {
        sides_.emplace_back(layer, layer.a_other, layer.s_other, shape.m, shape);
      }
      const Side<T>&ours = sides_[left], &theirs = sides_.back();
      const std::int64_t joined = shape.mode == Mode::kTrace ? shape.outputs : 1;
      on_device.push_back({ours.a(), ours.s(), theirs.a(), theirs.s(), layer.uses, layer.fan_in,
                           joined * layer.units, layer.weight, layer.bias});
    }
    layers_ = {on_device.data(), static_cast<std::int64_t>(on_device.size())};
    const std::int64_t size = std::min(edge, rows_) * std::min(edge, cols_);
    for (Lane<T>& lane : lanes_) {
      lane.block = DeviceBuffer<T>(size);
      if (symmetric_) lane.mirrored = DeviceBuffer<T>(size);
    }
    NTKFAST_CUDA_CHECK(cudaDeviceSynchronize());  // our streams do not wait for the copies
  }

  // The next block of plane `plane`, which lies at `out`. Says whether one was finished.
  bool launch(std::size_t lane_index, const Range& range, std::int64_t plane, T* out) {
    const bool done = finish(lane_index);
    Lane<T>& lane = lanes_[lane_index];
    ContractionBlock<T> block{};
    block.layers = layers_.data();
    block.layer_count = static_cast<int>(layers_.size());
    block.n = shape_.n;
    block.m = shape_.m;
    block.per_sample = rows_per_sample(shape_);
    block.plane = plane;
    block.i0 = range.i0;
    block.j0 = range.j0;
    block.rows = range.rows;
    block.cols = range.cols;
    block.lower = symmetric_ && range.i0 == range.j0;
    block.scale = shape_.mode == Mode::kTrace ? 1.0 / static_cast<double>(shape_.outputs) : 1.0;
    block.out = lane.block.data();
    block.ld = range.cols;
    block.mirror_ld = range.rows;
    if (symmetric_) block.mirror = block.lower ? block.out : lane.mirrored.data();
    launch_contraction_block(block, lane.stream.get());
    lane.busy = true;
    copy(lane, block.out, out + range.i0 * cols_ + range.j0, range.rows, range.cols);
    if (symmetric_ && !block.lower) {
      copy(lane, block.mirror, out + range.j0 * cols_ + range.i0, range.cols, range.rows);
    }
    return done;
  }

  bool finish(std::size_t lane_index) {
    Lane<T>& lane = lanes_[lane_index];
    lane.stream.synchronize();
    return std::exchange(lane.busy, false);
  }

 private:
  void copy(const Lane<T>& lane, const T* from, T* to, std::int64_t rows, std::int64_t cols) const {
    const auto width = static_cast<std::size_t>(cols) * sizeof(T);
    NTKFAST_CUDA_CHECK(cudaMemcpy2DAsync(to, static_cast<std::size_t>(cols_) * sizeof(T), from,
                                         width, width, static_cast<std::size_t>(rows),
                                         cudaMemcpyDeviceToHost, lane.stream.get()));
  }

  const ContractionShape& shape_;
  bool symmetric_;
  std::int64_t rows_, cols_;
  std::vector<Side<T>> sides_;
  DeviceBuffer<ContractionLayer<T>> layers_;
  std::array<Lane<T>, kStreams> lanes_;  // last: see Lane::stream
};

// The edge of the blocks, or what is missing.
template <class T>
std::int64_t plan_edge(const std::vector<Layer<T>>& layers, const ContractionShape& shape,
                       const ContractionSettings& settings) {
  const FreeMemory memory;
  const std::int64_t rows = shape.n * rows_per_sample(shape),
                     cols = shape.m * rows_per_sample(shape);
  const std::int64_t copies = kStreams * (layers.front().s_other == nullptr ? 2 : 1);
  std::int64_t fixed = kReservedBytes;
  for (const Layer<T>& layer : layers) {
    fixed += layer_numbers(layer, shape) * static_cast<std::int64_t>(sizeof(T));
  }
  std::int64_t edge = settings.block_edge > 0 ? settings.block_edge : kContractionBlock;
  edge = std::max<std::int64_t>(1, edge);
  const auto needed = [&] {
    return fixed + copies * std::min(edge, rows) * std::min(edge, cols) *
                       static_cast<std::int64_t>(sizeof(T));
  };
  const auto free = static_cast<std::int64_t>(memory.free);
  while (needed() > free && edge > kContractionEdge) edge /= 2;
  if (needed() <= free) return edge;
  throw OutOfMemory(gibibytes(needed()) + " needed on CUDA device " +
                    std::to_string(settings.device) + " for inputs and signals, " +
                    gibibytes(free) + " of " + gibibytes(static_cast<std::int64_t>(memory.total)) +
                    " free");
}

}  // namespace

template <class T>
void contract(const std::vector<Layer<T>>& layers, const ContractionShape& shape, T* out,
              const ContractionSettings& settings) {
  if (shape.n == 0 || shape.m == 0 || shape.outputs == 0) return;
  const std::int64_t rows = shape.n * rows_per_sample(shape),
                     cols = shape.m * rows_per_sample(shape);
  const std::int64_t planes = shape.mode == Mode::kDiagonal ? shape.outputs : 1;
  if (layers.empty()) {
    std::fill_n(out, planes * rows * cols, T(0));
    return;
  }
  const DeviceGuard guard(settings.device);
  const std::int64_t edge = plan_edge(layers, shape, settings);
  Contraction<T> contraction(layers, shape, edge);
  const auto blocks = make_blocks(rows, cols, edge, layers.front().s_other == nullptr);
  const auto total = planes * static_cast<std::int64_t>(blocks.size());
  std::int64_t done = 0;
  const auto report = [&](bool finished) {
    done += finished ? 1 : 0;
    if (settings.monitor) settings.monitor(done, total);
  };
  std::size_t turn = 0;
  for (std::int64_t plane = 0; plane < planes; ++plane) {
    for (const Range& range : blocks) {
      report(contraction.launch(turn++ % kStreams, range, plane, out + plane * rows * cols));
    }
  }
  for (std::size_t k = 0; k < kStreams; ++k) report(contraction.finish(turn++ % kStreams));
}

template void contract(const std::vector<Layer<float>>&, const ContractionShape&, float*,
                       const ContractionSettings&);
template void contract(const std::vector<Layer<double>>&, const ContractionShape&, double*,
                       const ContractionSettings&);

}  // namespace ntkfast::cuda
