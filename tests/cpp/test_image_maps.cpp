// The body of the device kernel for images on the CPU, against the engine of the CPU.
#include <barrier>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "device/image_maps.hpp"
#include "device/image_program.hpp"
#include "doctest.h"
#include "error.hpp"
#include "image_case.hpp"
#include "spatial/image_columns.hpp"

namespace {

using image_case::Grid;
using image_case::Kernels;
using image_case::Program;
using namespace ntkfast::device;
using ntkfast::spatial::ImageColumns;
using ntkfast::spatial::SpatialPlan;

struct OneThread {
  int thread() const { return 0; }
  int size() const { return 1; }
  void sync() const {}
};

class ManyThreads {
 public:
  ManyThreads(std::barrier<>& barrier, int thread, int size)
      : barrier_(barrier), thread_(thread), size_(size) {}
  int thread() const { return thread_; }
  int size() const { return size_; }
  void sync() const { barrier_.arrive_and_wait(); }

 private:
  std::barrier<>& barrier_;
  int thread_, size_;
};

// Readouts of one pair.
template <class T>
std::vector<ImageSums> run_maps(const ImageView<T>& view, const T* left, const T* right, bool same,
                                int threads) {
  std::vector<T> maps(static_cast<std::size_t>(2 * view.slots * view.map_numbers),
                      std::numeric_limits<T>::quiet_NaN());
  std::vector<double> scratch(static_cast<std::size_t>(threads));
  std::vector<ImageSums> sums(static_cast<std::size_t>(view.readouts));
  const auto run = [&](auto group) {
    ImageMaps<T, decltype(group)>(view, left, right, same, group, maps.data(), scratch.data())
        .run(0, view.offset_count, sums.data());
  };
  if (threads == 1) {
    run(OneThread{});
    return sums;
  }
  std::barrier<> barrier(threads);
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t) {
    all.emplace_back([&, t] { run(ManyThreads(barrier, t, threads)); });
  }
  for (auto& thread : all) thread.join();
  return sums;
}

// The first output of every network is its readout.
template <class T>
Kernels<T> with_maps(const Program& program, const std::vector<T>& x, std::int64_t n,
                     const std::vector<T>* z, std::int64_t m, int threads = 1) {
  const SpatialPlan plan(program);
  const ntkfast::spatial::StoredLayout stored(plan);
  const ntkfast::spatial::Sweep own(plan, ntkfast::spatial::Sweep::Of::Itself);
  ntkfast::spatial::MapRunner<T> runner(plan, true, "");
  const ImageProgram<T> flat = flatten_images<T>(plan, stored, true);
  const auto columns = [&](const std::vector<T>& images, std::int64_t count) {
    const auto size = static_cast<std::int64_t>(images.size()) / count;
    std::vector<std::unique_ptr<ImageColumns<T>>> all;
    for (std::int64_t i = 0; i < count; ++i) {
      all.push_back(std::make_unique<ImageColumns<T>>(plan, stored, own, runner,
                                                      images.data() + i * size, i, "X"));
    }
    return all;
  };
  const auto left = columns(x, n), right = columns(z == nullptr ? x : *z, z == nullptr ? n : m);
  const auto rows = static_cast<std::size_t>(n), cols = right.size();
  Kernels<T> kernels(program, n, static_cast<std::int64_t>(cols), T(0));
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) {
      const auto sums = run_maps(flat.view(), left[i]->stage(0), right[j]->stage(0),
                                 z == nullptr && i == j, threads);
      kernels.nngp[0][i * cols + j] = static_cast<T>(sums[0].nngp);
      kernels.ntk[0][i * cols + j] = static_cast<T>(sums[0].ntk);
    }
  }
  return kernels;
}

template <class T>
void check(const char* name, const Grid& grid, int channels, bool flat, int threads = 1) {
  CAPTURE(std::string(name));
  CAPTURE(flat);
  constexpr std::int64_t n = 3, m = 2;
  const Program program = image_case::network(name, grid, channels, flat);
  const auto x = image_case::images<T>(grid, channels, n, 1);
  const auto z = image_case::images<T>(grid, channels, m, 2);
  for (const bool symmetric : {true, false}) {
    CAPTURE(symmetric);
    const auto* other = symmetric ? nullptr : &z;
    auto expected = image_case::on_cpu<T>(program, x.data(), n, other ? z.data() : nullptr, m);
    auto got = with_maps(program, x, n, other, m, threads);
    for (auto* kernels : {&expected, &got}) {  // the readout alone
      kernels->nngp.resize(1);
      kernels->ntk.resize(1);
    }
    CHECK(image_case::worst_difference(expected, got) <= image_case::roundings<T>(grid));
  }
}

TEST_CASE_TEMPLATE("maps of a device are those of the CPU", T, float, double) {
  for (const char* name : image_case::kNetworks) {
    for (const bool flat : {true, false}) check<T>(name, {6, 8}, 3, flat);
  }
}

TEST_CASE("images of one row, one column, one pixel, one channel") {
  for (const char* name : {"same", "circular", "strided", "residual"}) {
    for (const Grid grid : {Grid{1, 9}, Grid{8, 1}, Grid{1, 1}, Grid{2, 3}}) {
      for (const bool flat : {true, false}) check<double>(name, grid, 1, flat);
    }
  }
}

TEST_CASE("threads of a group wait for each other") {
  for (const char* name : {"same", "circular", "residual", "dropout"}) {
    check<float>(name, {4, 5}, 2, false, 4);
  }
  check<double>("strided", {4, 6}, 2, true, 8);
}

TEST_CASE("layers that no device knows are refused by name") {
  Program program = image_case::network("plain", {4, 4}, 1, true);
  for (auto& op : program.ops) {
    if (op.kind == ntkfast::OpKind::Activation) op.kind = ntkfast::OpKind::Dense;
  }
  const SpatialPlan plan(program);
  try {
    (void)flatten_images<float>(plan, ntkfast::spatial::StoredLayout(plan), true);
    FAIL("an unknown layer was taken");
  } catch (const ntkfast::ArchitectureError& error) {
    CHECK(std::string(error.what()).find("ABRelu (layer 2)") != std::string::npos);
    CHECK(std::string(error.what()).find("CPU only") != std::string::npos);
  }
}

TEST_CASE("more readouts than a thread keeps are refused") {
  image_case::ProgramBuilder builder;
  const int value = image_case::block(builder, builder.image(4, 4, 1), image_case::kSame);
  for (int k = 0; k <= kMaxReadouts; ++k) builder.output(builder.flatten(value));
  const Program program = builder.build();
  const SpatialPlan plan(program);
  const ntkfast::spatial::StoredLayout stored(plan);
  CHECK_THROWS_AS(flatten_images<float>(plan, stored, true), ntkfast::ArchitectureError);
}

TEST_CASE("pools that leave positions are refused") {
  image_case::ProgramBuilder builder;
  int value = image_case::block(builder, builder.image(4, 4, 1), image_case::kSame);
  value = builder.pool(value, true, {{2, 2}, {2, 2}, ntkfast::Padding::Valid}, false);
  builder.output(builder.flatten(value));
  const Program program = builder.build();
  const SpatialPlan plan(program);
  const ntkfast::spatial::StoredLayout stored(plan);
  CHECK_THROWS_AS(flatten_images<float>(plan, stored, true), ntkfast::ArchitectureError);
}

}  // namespace
