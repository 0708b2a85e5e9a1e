// The host side of CUDA Gram matrices (src/cuda/gram.cpp) on an imitated runtime, with the kernel's
// body on the CPU: blocks, staging, copies, memory, errors.
#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda_runtime_api.h"
#include "device/gram_job.hpp"
#include "dlpack.hpp"
#include "doctest.h"
#include "emulated_device.hpp"
#include "errors.hpp"
#include "gram.hpp"
#include "gram_case.hpp"
#include "gram_kernel.hpp"
#include "imitated_device.hpp"
#include "table_case.hpp"

namespace ntkfast::cuda {

template <class T>
void launch_block(const device::GramBlock<T>& block, cudaStream_t stream) {
  // A launch on the stream of another device fails, and reading its memory is slow at best.
  const auto& state = fake_cuda::state();
  CHECK(state.stream_devices.at(stream) == state.current);
  for (const void* read :
       {static_cast<const void*>(block.left.rows), static_cast<const void*>(block.right.threshold),
        static_cast<const void*>(block.program.ops),
        static_cast<const void*>(block.program.right)}) {
    CHECK(state.device_of(read) == state.current);
  }
  emulated::launch(block);
}

template <class T>
void launch_contraction(const PairTable<T>& table, const T* t, std::int64_t rows, T* contracted,
                        cudaStream_t) {
  for (std::int64_t at = 0; at < rows * table.stride; ++at) {
    contracted[at] =
        device::contracted_number(table, t[at / table.stride], static_cast<int>(at % table.stride));
  }
}

#define NTKFAST_INSTANTIATE(T)                                           \
  template void launch_block(const device::GramBlock<T>&, cudaStream_t); \
  template void launch_contraction(const PairTable<T>&, const T*, std::int64_t, T*, cudaStream_t);
NTKFAST_INSTANTIATE(float)
NTKFAST_INSTANTIATE(double)
#undef NTKFAST_INSTANTIATE

}  // namespace ntkfast::cuda

namespace {

using gram_case::Kernels;
using gram_case::Program;
using gram_case::ProgramBuilder;
using ntkfast::cuda::GramSettings;
using ntkfast::cuda::OutOfMemory;
using namespace ntkfast::device;

constexpr std::int64_t kColumns = 7;

template <class T>
GramJob<T> make_job(const Program& program, const std::vector<T>& x, const std::vector<T>* z) {
  return {program,
          x.data(),
          static_cast<std::int64_t>(x.size()) / kColumns,
          z == nullptr ? nullptr : z->data(),
          z == nullptr ? 0 : static_cast<std::int64_t>(z->size()) / kColumns,
          kColumns,
          true,
          {}};
}

// Results filled with NaN first.
template <class T>
Kernels<T> empty(const HostJob<T>& job) {
  const auto size = static_cast<std::size_t>(job.left.count * job.right.count);
  const std::vector<T> matrix(size, std::numeric_limits<T>::quiet_NaN());
  const std::vector<std::vector<T>> all(static_cast<std::size_t>(job.outputs), matrix);
  return {job.left.count, job.right.count, all, all};
}

template <class T>
Kernels<T> to_host(const Program& program, const std::vector<T>& x, const std::vector<T>* z,
                   const GramSettings& settings) {
  const GramJob<T> owner = make_job(program, x, z);
  const HostJob<T> job = owner.job();
  Kernels<T> result = empty(job);
  std::vector<DeviceOutput<T>> pointers;
  for (std::size_t k = 0; k < result.nngp.size(); ++k) {
    pointers.push_back({settings.nngp ? result.nngp[k].data() : nullptr,
                        settings.ntk ? result.ntk[k].data() : nullptr});
  }
  ntkfast::cuda::gram_to_host(job, pointers, settings);
  return result;
}

template <class T>
Kernels<T> on_device(const Program& program, const std::vector<T>& x, const std::vector<T>* z,
                     const GramSettings& settings) {
  const GramJob<T> owner = make_job(program, x, z);
  const HostJob<T> job = owner.job();
  Kernels<T> result = empty(job);
  const auto matrices = ntkfast::cuda::gram_on_device(job, settings);
  for (std::size_t k = 0; k < matrices.size(); ++k) {
    std::copy_n(matrices[k].nngp.get(), result.nngp[k].size(), result.nngp[k].begin());
    std::copy_n(matrices[k].ntk.get(), result.ntk[k].size(), result.ntk[k].begin());
  }
  return result;
}

Program tabulated() {
  ProgramBuilder builder;
  int value = builder.dense(builder.input(), 1, 0.3, true);
  value = builder.table(value, table_case::table(table_case::Parts::Both, 3, 5), "Tabulated");
  builder.output(builder.dense(value, 1, 0.2, true));
  value = builder.table(value = builder.dense(value, 1, 0.2, true),
                        table_case::table(table_case::Parts::Odd, 2, 4), "Tabulated");
  builder.output(value);
  return builder.build();
}

using imitated_device::Clean;

TEST_CASE_TEMPLATE("blocks, staged or in place, change no bit", T, float, double) {
  const Clean clean;
  const auto x = gram_case::rows<T>(150, kColumns, 1, true),
             z = gram_case::rows<T>(135, kColumns, 2);
  for (const bool tables : {false, true}) {
    const Program program = tables ? tabulated() : gram_case::network("joins");
    for (const auto* other : {static_cast<const std::vector<T>*>(nullptr), &z}) {
      const auto whole = on_device(program, x, other, {});
      const std::int64_t rows = static_cast<std::int64_t>(x.size()) / kColumns;
      CHECK(whole.n == rows);
      if (!tables) {
        CHECK(gram_case::worst_error(program, x, other, kColumns, whole, 101) <= 1);
      }
      GramSettings settings;
      settings.block_edge = 128;
      CHECK(to_host(program, x, other, settings) == whole);
      CHECK(on_device(program, x, other, settings) == whole);
      CHECK(to_host(program, x, other, {}) == whole);
    }
  }
}

TEST_CASE("one kernel alone is the same as both") {
  const Clean clean;
  const auto x = gram_case::rows<float>(150, kColumns, 3);
  const Program program = gram_case::network("residual");
  const auto both = to_host<float>(program, x, nullptr, {});
  GramSettings settings;
  settings.block_edge = 128;
  settings.ntk = false;
  CHECK(to_host<float>(program, x, nullptr, settings).nngp == both.nngp);
  settings.ntk = true;
  settings.nngp = false;
  CHECK(to_host<float>(program, x, nullptr, settings).ntk == both.ntk);
}

TEST_CASE(
    "little memory makes small blocks, less is an error with figures, and the next call works") {
  const Clean clean;
  const auto x = gram_case::rows<float>(400, kColumns, 4);
  const Program program = gram_case::network("relu");
  const auto expected = to_host<float>(program, x, nullptr, {});
  // Staging for whole blocks would be 2 streams x 2 kernels x 2 x 400^2 x 4 bytes = 5.1 MB.
  fake_cuda::state().total = (std::size_t{256} << 20) + (std::size_t{3} << 20);
  fake_cuda::state().largest_use = 0;
  CHECK(to_host<float>(program, x, nullptr, {}) == expected);
  CHECK(fake_cuda::state().largest_use < std::size_t{3} << 20);
  fake_cuda::state().total = std::size_t{100} << 20;
  try {
    (void)on_device<float>(program, x, nullptr, {});
    FAIL("too little memory was not noticed");
  } catch (const OutOfMemory& error) {
    const std::string message = error.what();
    CHECK(message.find("needed on CUDA device 0") != std::string::npos);
    CHECK(message.find("0.0977 GiB of 0.0977 GiB free") != std::string::npos);
  }
  CHECK_THROWS_AS((void)to_host<float>(program, x, nullptr, {}), OutOfMemory);
  fake_cuda::state().total = std::size_t{8} << 30;
  CHECK(on_device<float>(program, x, nullptr, {}) == expected);
}

TEST_CASE("whatever call fails, nothing is left behind and the next call works") {
  const Clean clean;
  const auto x = gram_case::rows<double>(70, kColumns, 5);
  const Program program = gram_case::network("relu");
  const auto expected = to_host<double>(program, x, nullptr, {});
  const int failures =
      imitated_device::count_failures([&] { (void)to_host<double>(program, x, nullptr, {}); });
  CHECK(failures > 20);
  CHECK(to_host<double>(program, x, nullptr, {}) == expected);
}

TEST_CASE("the monitor sees blocks and may stop") {
  const Clean clean;
  const auto x = gram_case::rows<float>(300, kColumns, 6);
  const Program program = gram_case::network("relu");
  GramSettings settings;
  settings.block_edge = 128;
  std::int64_t last = -1;
  settings.monitor = [&](std::int64_t done, std::int64_t total) {
    CHECK(done >= last);
    CHECK(total == 6);
    last = done;
  };
  (void)to_host<float>(program, x, nullptr, settings);
  CHECK(last == 6);
  settings.monitor = [](std::int64_t done, std::int64_t) {
    if (done == 2) throw std::logic_error("stop");
  };
  CHECK_THROWS_AS((void)to_host<float>(program, x, nullptr, settings), std::logic_error);
}

TEST_CASE("no rows, no launch") {
  const Clean clean;
  std::vector<float> none;
  none.reserve(1);  // a null pointer would mean a symmetric Gram
  const auto x = gram_case::rows<float>(3, kColumns, 7);
  const Program program = gram_case::network("relu");
  CHECK(to_host<float>(program, none, nullptr, {}).nngp[0].empty());
  CHECK(on_device<float>(program, x, &none, {}).nngp[0].empty());
}

TEST_CASE("a matrix handed on through DLPack lives until it is given back") {
  const Clean clean;
  const auto x = gram_case::rows<float>(5, kColumns, 8);
  const Program program = gram_case::network("relu");
  for (const bool is_double : {false, true}) {
    const GramJob<float> owner = make_job<float>(program, x, nullptr);
    auto matrices = ntkfast::cuda::gram_on_device(owner.job(), {});
    float* const data = matrices[0].ntk.get();
    auto* const managed =
        ntkfast::cuda::make_dlpack(std::move(matrices[0].ntk), 5, 5, is_double, 3);
    matrices.clear();
    CHECK(fake_cuda::state().memory.size() == 1);
    const auto& tensor = managed->tensor;
    CHECK(tensor.data == data);
    CHECK(tensor.device.type == 2);
    CHECK(tensor.device.id == 3);
    CHECK(tensor.ndim == 2);
    CHECK(tensor.dtype.code == 2);
    CHECK(tensor.dtype.bits == (is_double ? 64 : 32));
    CHECK(tensor.dtype.lanes == 1);
    CHECK(tensor.shape[0] == 5);
    CHECK(tensor.shape[1] == 5);
    CHECK(tensor.strides[0] == 5);
    CHECK(tensor.strides[1] == 1);
    CHECK(tensor.byte_offset == 0);
    managed->deleter(managed);
    CHECK(fake_cuda::state().memory.empty());
  }
}

TEST_CASE("pinned memory, and ordinary memory where there is none to pin") {
  const Clean clean;
  for (const int failure : {-1, 0}) {
    fake_cuda::state().calls_until_failure = failure;
    void* const memory = ntkfast::cuda::allocate_pinned(1000);
    REQUIRE(memory != nullptr);
    std::memset(memory, 1, 1000);
    ntkfast::cuda::free_pinned(memory);
  }
}

}  // namespace
