// Tangent kernels on a CUDA device: the body of the kernel with one CPU thread for each of the
// device, the host side on an imitated runtime, against the engine of the CPU.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "contraction.hpp"
#include "contraction_kernel.hpp"
#include "cuda_runtime_api.h"
#include "doctest.h"
#include "emulated_device.hpp"
#include "errors.hpp"
#include "imitated_device.hpp"
#include "tangent/uses.hpp"

namespace ntkfast::cuda {

template <class T>
void launch_contraction_block(const device::ContractionBlock<T>& block, cudaStream_t stream) {
  using emulated::HostGroup;
  using emulated::SmallShape;
  const auto& state = fake_cuda::state();
  CHECK(state.stream_devices.at(stream) == state.current);
  for (const void* used :
       {static_cast<const void*>(block.layers), static_cast<const void*>(block.out)}) {
    CHECK(state.device_of(used) == state.current);
  }
  const auto memory = std::make_unique<device::TileMemory<T, SmallShape>>();
  std::memset(static_cast<void*>(memory.get()), 0xff, sizeof *memory);
  emulated::Shared shared;
  std::vector<std::thread> threads;
  for (int t = 0; t < SmallShape::kThreads; ++t) {
    threads.emplace_back([&, t] {
      HostGroup group(shared, t);
      for (std::int64_t tile = 0; tile < contraction_tiles(block, SmallShape::kEdge); ++tile) {
        device::ContractionTile<T, SmallShape, HostGroup>(block, tile, group, *memory).run();
        group.sync();
      }
    });
  }
  for (auto& thread : threads) thread.join();
}
template void launch_contraction_block(const device::ContractionBlock<float>&, cudaStream_t);
template void launch_contraction_block(const device::ContractionBlock<double>&, cudaStream_t);

}  // namespace ntkfast::cuda

namespace {

using ntkfast::cuda::ContractionSettings;
using ntkfast::cuda::ContractionShape;
using ntkfast::cuda::OutOfMemory;
using namespace ntkfast::tangent;

constexpr Mode kModes[] = {Mode::kFull, Mode::kTrace, Mode::kDiagonal};

struct Weight {
  std::int64_t uses, fan_in, units;
};

// Layers with random inputs and signals, and the memory they lie in.
template <class T>
class Case {
 public:
  Case(const std::vector<Weight>& weights, std::int64_t n, std::int64_t m, std::int64_t outputs,
       bool symmetric)
      : n_(n), m_(symmetric ? n : m), outputs_(outputs) {
    for (const Weight& w : weights) {
      const T* a = draw(n * w.uses * w.fan_in);
      const T* s = draw(n * outputs * w.uses * w.units);
      const T* b = symmetric ? nullptr : draw(m * w.uses * w.fan_in);
      const T* t = symmetric ? nullptr : draw(m * outputs * w.uses * w.units);
      layers_.push_back({a, s, b, t, w.uses, w.fan_in, w.units, 0.7, 0.3});
    }
  }

  ContractionShape shape(Mode mode) const { return {mode, n_, m_, outputs_}; }

  // In the order of cuda::contract().
  std::vector<T> on_device(Mode mode, const ContractionSettings& settings) const {
    std::vector<T> out(size(mode), std::numeric_limits<T>::quiet_NaN());
    ntkfast::cuda::contract(layers_, shape(mode), out.data(), settings);
    return out;
  }

  std::vector<double> on_cpu(Mode mode) const {
    std::vector<double> out(size(mode));
    const std::int64_t o = outputs_;
    const KernelView<double> view =
        mode == Mode::kFull
            ? KernelView<double>{out.data(), mode, n_, m_, o, o * m_ * o, o, m_ * o, 1}
        : mode == Mode::kTrace ? KernelView<double>{out.data(), mode, n_, m_, o, m_, 1, 0, 0}
                               : KernelView<double>{out.data(), mode, n_, m_, o, m_, 1, n_ * m_, 0};
    contract_uses(layers_, std::vector(layers_.size(), Order::kPairsOfUses), view, {2, {}, true});
    return out;
  }

  std::int64_t n() const { return n_; }

 private:
  std::size_t size(Mode mode) const {
    return static_cast<std::size_t>(n_ * m_ *
                                    (mode == Mode::kFull    ? outputs_ * outputs_
                                     : mode == Mode::kTrace ? 1
                                                            : outputs_));
  }
  const T* draw(std::int64_t count) {
    std::normal_distribution<double> normal;
    auto& numbers = memory_.emplace_back();
    numbers.reserve(1);  // no null, which is a side that is not there
    for (std::int64_t k = 0; k < count; ++k) numbers.push_back(static_cast<T>(normal(engine_)));
    return numbers.data();
  }

  std::int64_t n_, m_, outputs_;
  std::mt19937 engine_{5};
  std::vector<std::vector<T>> memory_;
  std::vector<Layer<T>> layers_;
};

using imitated_device::Clean;

template <class T>
void check(const Case<T>& problem, const ContractionSettings& settings) {
  for (const Mode mode : kModes) {
    CAPTURE(static_cast<int>(mode));
    const auto got = problem.on_device(mode, settings);
    const auto want = problem.on_cpu(mode);
    double largest = 0.0, worst = 0.0;
    bool finite = true;
    for (std::size_t k = 0; k < want.size(); ++k) {
      largest = std::max(largest, std::abs(want[k]));
      finite = finite && std::isfinite(got[k]);
      worst = std::max(worst, std::abs(static_cast<double>(got[k]) - want[k]));
    }
    CHECK(finite);
    CHECK(worst <= 16 * static_cast<double>(std::numeric_limits<T>::epsilon()) * largest);
  }
}

const std::vector<Weight> kNetwork{{1, 9, 11}, {1, 17, 3}, {1, 1, 1}};

TEST_CASE_TEMPLATE("contractions of ragged size, any number of outputs", T, float, double) {
  const Clean clean;
  // Some more than a tile of 32 rows.
  for (const std::int64_t outputs : {1, 3, 4, 11}) {
    CAPTURE(outputs);
    check(Case<T>(kNetwork, 37 / outputs + 2, 0, outputs, true), {});
    check(Case<T>(kNetwork, 37 / outputs + 2, 3, outputs, false), {});
  }
}

TEST_CASE_TEMPLATE("contractions of weights without inputs, units, and of many uses", T, float,
                   double) {
  const Clean clean;
  for (const bool symmetric : {true, false}) {
    for (const std::int64_t outputs : {1, 5}) {
      check(Case<T>({{1, 0, 30}}, 9, 7, outputs, symmetric), {});
      check(Case<T>({{1, 3, 0}, {1, 2, 2}}, 9, 7, outputs, symmetric), {});
      check(Case<T>({{3, 4, 5}, {1, 2, 2}, {2, 0, 3}}, 9, 7, outputs, symmetric), {});
    }
  }
}

TEST_CASE_TEMPLATE("blocks and devices change no bit of a contraction", T, float, double) {
  const Clean clean;
  const Case<T> own(kNetwork, 34, 0, 2, true), cross(kNetwork, 34, 5, 2, false);
  for (const Mode mode : kModes) {
    const auto whole = own.on_device(mode, {}), rectangle = cross.on_device(mode, {});
    CHECK(own.on_device(mode, {1, 32, {}}) == whole);
    CHECK(cross.on_device(mode, {0, 32, {}}) == rectangle);
  }
  // Exactly symmetric.
  const auto trace = own.on_device(Mode::kTrace, {0, 32, {}});
  const auto n = static_cast<std::size_t>(own.n());
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < i; ++j) CHECK(trace[i * n + j] == trace[j * n + i]);
  }
}

TEST_CASE("whatever call of a contraction fails, nothing is left behind") {
  const Clean clean;
  const Case<double> problem({{2, 3, 4}}, 17, 0, 2, true);
  const auto expected = problem.on_device(Mode::kFull, {0, 32, {}});
  const int failures =
      imitated_device::count_failures([&] { (void)problem.on_device(Mode::kFull, {0, 32, {}}); });
  CHECK(failures > 15);
  CHECK(problem.on_device(Mode::kFull, {0, 32, {}}) == expected);
}

TEST_CASE("a contraction that does not fit takes smaller blocks, or says so") {
  const Clean clean;
  const Case<float> problem({{1, 9, 11}}, 160, 0, 1, true);
  const auto expected = problem.on_device(Mode::kTrace, {});
  const std::size_t reserved = std::size_t{256} << 20;
  fake_cuda::state().total = reserved + (std::size_t{120} << 10);
  fake_cuda::state().largest_use = 0;
  CHECK(problem.on_device(Mode::kTrace, {}) == expected);
  CHECK(fake_cuda::state().largest_use <= (std::size_t{120} << 10));
  fake_cuda::state().total = reserved + (std::size_t{10} << 10);
  CHECK_THROWS_AS((void)problem.on_device(Mode::kTrace, {}), OutOfMemory);
  fake_cuda::state().total = std::size_t{8} << 30;
  CHECK(problem.on_device(Mode::kTrace, {}) == expected);
}

TEST_CASE("the monitor of a contraction sees blocks and may stop") {
  const Clean clean;
  const Case<float> problem({{1, 2, 3}}, 100, 0, 2, true);
  std::int64_t last = -1, all = 0;
  const auto count = [&](std::int64_t done, std::int64_t total) {
    CHECK(done >= last);
    last = done;
    all = total;
  };
  (void)problem.on_device(Mode::kDiagonal, {0, 32, count});
  CHECK(last == all);
  CHECK(all == 2 * 10);
  const auto stop = [](std::int64_t done, std::int64_t) {
    if (done == 2) throw std::runtime_error("enough");
  };
  CHECK_THROWS_WITH((void)problem.on_device(Mode::kDiagonal, {0, 32, stop}), "enough");
}

}  // namespace
