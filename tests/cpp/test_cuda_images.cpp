// The host side of kernels of images on CUDA devices (src/cuda/images.cpp) on an imitated runtime,
// with the kernel's body on the CPU: slabs, tiles, copies, memory, errors.
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda_runtime_api.h"
#include "device/image_job.hpp"
#include "doctest.h"
#include "error.hpp"
#include "errors.hpp"
#include "image_case.hpp"
#include "images.hpp"
#include "images_kernel.hpp"
#include "imitated_device.hpp"

namespace {

bool maps_in_memory = false;  // of the device, as for maps that shared memory does not hold
constexpr std::int64_t kGroups = 3;

struct OneThread {
  int thread() const { return 0; }
  int size() const { return 1; }
  void sync() const {}
};

}  // namespace

namespace ntkfast::cuda {

template <class T>
std::int64_t image_maps_numbers(const device::ImageView<T>& program) {
  return maps_in_memory ? kGroups * device::maps_numbers(program) : 0;
}

template <class T>
void launch_images(const device::ImageBlock<T>& block, cudaStream_t stream) {
  const auto& state = fake_cuda::state();
  CHECK(state.stream_devices.at(stream) == state.current);
  for (const void* read :
       {static_cast<const void*>(block.left), static_cast<const void*>(block.right),
        static_cast<const void*>(block.sums), static_cast<const void*>(block.program.ops),
        static_cast<const void*>(block.program.values),
        static_cast<const void*>(block.program.constants),
        static_cast<const void*>(block.program.offsets)}) {
    CHECK(state.device_of(read) == state.current);
  }
  CHECK((block.maps != nullptr) == maps_in_memory);
  std::vector<T> shared(static_cast<std::size_t>(device::maps_numbers(block.program)));
  double scratch = 0;
  OneThread group;
  for (std::int64_t item = 0; item < device::item_count(block); ++item) {
    T* const maps = block.maps == nullptr
                        ? shared.data()
                        : block.maps + item % kGroups * device::maps_numbers(block.program);
    device::run_item(block, item, group, maps, &scratch);
  }
}

#define NTKFAST_INSTANTIATE(T)                                           \
  template std::int64_t image_maps_numbers(const device::ImageView<T>&); \
  template void launch_images(const device::ImageBlock<T>&, cudaStream_t);
NTKFAST_INSTANTIATE(float)
NTKFAST_INSTANTIATE(double)
#undef NTKFAST_INSTANTIATE

}  // namespace ntkfast::cuda

namespace {

using image_case::Grid;
using image_case::Kernels;
using image_case::Program;
using ntkfast::cuda::ImageSettings;
using ntkfast::cuda::OutOfMemory;

constexpr Grid kGrid{5, 6};
constexpr int kChannels = 2;

template <class T>
Kernels<T> on_device(const Program& program, const std::vector<T>& x, std::int64_t n,
                     const std::vector<T>* z, std::int64_t m, const ImageSettings& settings = {},
                     bool ntk = true) {
  Kernels<T> kernels(program, n, z == nullptr ? n : m, std::numeric_limits<T>::quiet_NaN());
  auto outputs = kernels.outputs();
  for (auto& output : outputs) output.ntk = ntk ? output.ntk : nullptr;
  const auto job = ntkfast::device::make_image_job<T>(
      program, x.data(), n, z == nullptr ? nullptr : z->data(), m, outputs, {2, "", {}});
  ntkfast::cuda::run_images(*job, settings);
  return kernels;
}

struct Clean : imitated_device::Clean {
  Clean() { maps_in_memory = false; }
};

TEST_CASE_TEMPLATE("kernels of images on a device are those of the CPU", T, float, double) {
  const Clean clean;
  const std::int64_t n = 5, m = 3;
  const auto x = image_case::images<T>(kGrid, kChannels, n, 1, false);
  const auto z = image_case::images<T>(kGrid, kChannels, m, 2);
  for (const char* name : {"same", "residual", "norm", "standard"}) {
    CAPTURE(std::string(name));
    for (const bool flat : {true, false}) {
      const Program program = image_case::network(name, kGrid, kChannels, flat);
      for (const auto* other : {static_cast<const std::vector<T>*>(nullptr), &z}) {
        const auto expected =
            image_case::on_cpu<T>(program, x.data(), n, other ? z.data() : nullptr, m);
        const auto got = on_device(program, x, n, other, m);
        CHECK(image_case::worst_difference(expected, got) <= image_case::roundings<T>(kGrid));
      }
    }
  }
}

TEST_CASE("tiles, slabs, devices and the place of maps change no bit") {
  const Clean clean;
  const std::int64_t n = 9, m = 7;
  const auto x = image_case::images<float>(kGrid, kChannels, n, 3);
  const auto z = image_case::images<float>(kGrid, kChannels, m, 4);
  const Program program = image_case::network("same", kGrid, kChannels, false);
  for (const auto* other : {static_cast<const std::vector<float>*>(nullptr), &z}) {
    const auto whole = on_device(program, x, n, other, m);
    ImageSettings settings;
    for (const std::int64_t edge : {1, 2, 4}) {
      settings.tile_edge = edge;
      settings.slab = 0;
      CHECK(on_device(program, x, n, other, m, settings) == whole);
      settings.slab = 4;
      CHECK(on_device(program, x, n, other, m, settings) == whole);
      settings.devices = {1, 0};
      CHECK(on_device(program, x, n, other, m, settings) == whole);
      maps_in_memory = true;
      CHECK(on_device(program, x, n, other, m, settings) == whole);
      maps_in_memory = false;
      settings.devices = {0};
    }
  }
}

TEST_CASE("one kernel of images alone is the same as both") {
  const Clean clean;
  const auto x = image_case::images<double>(kGrid, kChannels, 4, 5);
  const Program program = image_case::network("residual", kGrid, kChannels, true);
  const auto both = on_device<double>(program, x, 4, nullptr, 4);
  CHECK(on_device<double>(program, x, 4, nullptr, 4, {}, false).nngp == both.nngp);
}

TEST_CASE("little device memory makes slabs of images, less is an error with figures") {
  const Clean clean;
  const std::int64_t n = 40;
  const auto x = image_case::images<float>({16, 16}, 1, n, 6);
  const Program program = image_case::network("plain", {16, 16}, 1, true);
  ImageSettings settings;
  settings.tile_edge = 4;
  const auto expected = on_device<float>(program, x, n, nullptr, n, settings);
  const std::size_t largest = fake_cuda::state().largest_use;
  fake_cuda::state().total = (std::size_t{256} << 20) + largest / 2;
  fake_cuda::state().largest_use = 0;
  CHECK(on_device<float>(program, x, n, nullptr, n, settings) == expected);
  CHECK(fake_cuda::state().largest_use <= largest / 2);
  fake_cuda::state().total = std::size_t{256} << 20;
  try {
    (void)on_device<float>(program, x, n, nullptr, n, settings);
    FAIL("too little memory was not noticed");
  } catch (const OutOfMemory& error) {
    const std::string message = error.what();
    CHECK(message.find("needed on CUDA device 0") != std::string::npos);
    CHECK(message.find("0.25 GiB of 0.25 GiB free") != std::string::npos);
  }
  fake_cuda::state().total = std::size_t{8} << 30;
  CHECK(on_device<float>(program, x, n, nullptr, n, settings) == expected);
}

TEST_CASE("whatever call fails for images, nothing is left behind and the next call works") {
  const Clean clean;
  const auto x = image_case::images<double>(kGrid, kChannels, 3, 7);
  const Program program = image_case::network("plain", kGrid, kChannels, true);
  ImageSettings settings;
  settings.tile_edge = 1;
  const auto expected = on_device<double>(program, x, 3, nullptr, 3, settings);
  const int failures = imitated_device::count_failures(
      [&] { (void)on_device<double>(program, x, 3, nullptr, 3, settings); });
  CHECK(failures > 20);
  CHECK(on_device<double>(program, x, 3, nullptr, 3, settings) == expected);
}

TEST_CASE("the monitor of images sees tiles and may stop; images that overflow are refused") {
  const Clean clean;
  auto x = image_case::images<float>(kGrid, kChannels, 5, 8);
  const Program program = image_case::network("plain", kGrid, kChannels, true);
  ImageSettings settings;
  settings.tile_edge = 2;
  std::int64_t last = -1;
  settings.monitor = [&](std::int64_t done, std::int64_t total) {
    CHECK(done >= last);
    CHECK(total == 6);
    last = done;
  };
  (void)on_device<float>(program, x, 5, nullptr, 5, settings);
  CHECK(last == 6);
  settings.monitor = [](std::int64_t done, std::int64_t) {
    if (done == 2) throw std::logic_error("stop");
  };
  CHECK_THROWS_AS((void)on_device<float>(program, x, 5, nullptr, 5, settings), std::logic_error);
  for (float& pixel : x) pixel *= 1e20F;
  CHECK_THROWS_AS((void)on_device<float>(program, x, 5, nullptr, 5), ntkfast::KernelOverflow);
}

TEST_CASE("no images, no launch") {
  const Clean clean;
  std::vector<float> none;
  none.reserve(1);
  const Program program = image_case::network("plain", kGrid, kChannels, true);
  CHECK(on_device<float>(program, none, 0, nullptr, 0).nngp[0].empty());
}

}  // namespace
