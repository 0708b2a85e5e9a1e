// Products of a kernel with vectors on CUDA devices, and Gram matrices on several devices: the host
// side on an imitated runtime with the kernel's body on the CPU.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda_runtime_api.h"
#include "doctest.h"
#include "errors.hpp"
#include "gram.hpp"
#include "gram_case.hpp"
#include "gram_product.hpp"
#include "imitated_device.hpp"
#include "product_case.hpp"
#include "table_case.hpp"

namespace {

using gram_case::Program;
using ntkfast::cuda::GramProduct;
using ntkfast::cuda::OutOfMemory;
using ntkfast::cuda::ProductSettings;
using namespace ntkfast::device;

constexpr std::int64_t kColumns = 7;

template <class T>
GramJob<T> make_job(const Program& program, const std::vector<T>& x, const std::vector<T>* z,
                    ProductKind kind = ProductKind::Plain) {
  const auto rows = [](const std::vector<T>& each) {
    return static_cast<std::int64_t>(each.size()) / kColumns;
  };
  return {program,
          x.data(),
          rows(x),
          z == nullptr ? nullptr : z->data(),
          z == nullptr ? 0 : rows(*z),
          kColumns,
          true,
          GramJobOptions{1, "", {}, kind}};
}

template <class T>
std::vector<double> multiply(GramProduct<T>& kernel, const std::vector<double>& v,
                             std::int64_t count, bool transposed) {
  std::vector<double> out(
      static_cast<std::size_t>((transposed ? kernel.columns() : kernel.rows()) * count),
      std::numeric_limits<double>::quiet_NaN());
  kernel.multiply(v.data(), count, transposed, out.data(), {});
  return out;
}

using imitated_device::Clean;

template <class T>
void check(const Program& program, const std::vector<T>& x, const std::vector<T>* z,
           std::int64_t count, ProductKind kind = ProductKind::Plain) {
  const auto kernels = gram_case::gram<T>(program, x, z, kColumns, {}, 1);
  const GramJob<T> owner = make_job(program, x, z, kind);
  const HostJob<T> job = owner.job();
  for (const bool ntk : {false, true}) {
    ProductSettings settings;
    settings.ntk = ntk;
    GramProduct<T> kernel(job, settings);
    for (const bool transposed : {false, true}) {
      const auto v = product_case::vectors(transposed ? kernels.n : kernels.m, count, 5);
      const auto got = multiply(kernel, v, count, transposed);
      CAPTURE(ntk);
      CAPTURE(transposed);
      // Beside the sum, entries differ from the CPU's by their own budget.
      const double slack =
          2 * static_cast<double>(gram_case::kBudget<T>) / std::numeric_limits<T>::epsilon();
      CHECK(product_case::worst_error(ntk ? kernels.ntk[0] : kernels.nngp[0], kernels.n, kernels.m,
                                      v, count, transposed, got, slack) <= 1);
      CHECK(multiply(kernel, v, count, transposed) == got);
    }
  }
}

TEST_CASE_TEMPLATE("products are those of the matrix", T, float, double) {
  const Clean clean;
  const auto x = gram_case::rows<T>(70, kColumns, 1, true),
             z = gram_case::rows<T>(37, kColumns, 2, true);
  const Program program = gram_case::network("relu with bias");
  for (const std::int64_t count : {1, 21}) {
    CAPTURE(count);
    check<T>(program, x, nullptr, count);
    check<T>(program, x, &z, count);
    check<T>(program, z, &x, count);
  }
}

TEST_CASE_TEMPLATE("every network by vectors", T, float, double) {
  const Clean clean;
  const auto x = gram_case::rows<T>(40, kColumns, 3, true), z = gram_case::rows<T>(33, kColumns, 4);
  for (const char* name : gram_case::kNetworks) {
    CAPTURE(name);
    check<T>(gram_case::network(name), x, nullptr, 2);
  }
  check<T>(gram_case::network("joins"), x, &z, 2);
}

Program tabulated() {
  gram_case::ProgramBuilder builder;
  int value = builder.dense(builder.input(), 1, 0.3, true);
  value = builder.table(value, table_case::table(table_case::Parts::Both, 3, 5), "Tabulated");
  builder.output(builder.dense(value, 1, 0.2, true));
  return builder.build();
}

TEST_CASE_TEMPLATE("blocks and devices change no bit of a product", T, float, double) {
  const Clean clean;
  const auto x = gram_case::rows<T>(140, kColumns, 5, true),
             z = gram_case::rows<T>(70, kColumns, 6);
  for (const auto* other : {static_cast<const std::vector<T>*>(nullptr), &z}) {
    const Program program = other == nullptr ? gram_case::network("residual") : tabulated();
    const GramJob<T> owner = make_job(program, x, other);
    const HostJob<T> job = owner.job();
    const auto v = product_case::vectors(other == nullptr ? 140 : 70, 3, 7);
    GramProduct<T> whole(job, {});
    const auto expected = multiply(whole, v, 3, false);
    for (const std::vector<int>& devices : {std::vector{0}, {1, 0}}) {
      GramProduct<T> dealt(job, {devices, true, 64});
      CHECK(multiply(dealt, v, 3, false) == expected);
      CHECK(multiply(dealt, v, 3, false) == expected);
    }
  }
}

TEST_CASE_TEMPLATE("one tile grid, any number of devices: the same matrix", T, float, double) {
  const Clean clean;
  const auto x = gram_case::rows<T>(140, kColumns, 8, true);
  const Program program = gram_case::network("branches");
  const GramJob<T> owner = make_job<T>(program, x, nullptr);
  const HostJob<T> job = owner.job();
  const auto on = [&](const std::vector<int>& devices) {
    ntkfast::cuda::GramSettings settings;
    settings.devices = devices;
    settings.block_edge = 64;
    const std::vector<T> empty(140 * 140, std::numeric_limits<T>::quiet_NaN());
    std::vector<std::vector<T>> all(static_cast<std::size_t>(2 * job.outputs), empty);
    std::vector<DeviceOutput<T>> pointers;
    for (std::size_t k = 0; k < all.size(); k += 2)
      pointers.push_back({all[k].data(), all[k + 1].data()});
    ntkfast::cuda::gram_to_host(job, pointers, settings);
    return all;
  };
  const auto one = on({0});
  CHECK(on({0, 1}) == one);
  CHECK(on({1}) == one);
  CHECK_THROWS_AS((void)on({0, 2}), std::runtime_error);
  CHECK(on({1, 0}) == one);
}

TEST_CASE("tensor cores multiply rows for vectors, too") {
  const Clean clean;
  const auto x = gram_case::rows<float>(70, kColumns, 9, true);
  const auto y = gram_case::rows<double>(70, kColumns, 9, true);
  check<float>(gram_case::network("relu"), x, nullptr, 2, ProductKind::Tf32x3);
  check<double>(gram_case::network("relu"), y, nullptr, 2, ProductKind::Tensor);
}

TEST_CASE("whatever call fails, nothing is lost and the next product works") {
  const Clean clean;
  const auto x = gram_case::rows<double>(70, kColumns, 10);
  const Program program = tabulated();
  const GramJob<double> owner = make_job<double>(program, x, nullptr);
  const HostJob<double> job = owner.job();
  const auto v = product_case::vectors(70, 2, 11);
  const ProductSettings settings{{0, 1}, true, 64};
  std::vector<double> expected;
  {
    GramProduct<double> kernel(job, settings);
    expected = multiply(kernel, v, 2, false);
    const auto resident = fake_cuda::state().memory.size();
    int failures = 0;
    for (int call = 0; call < 1000; ++call) {
      fake_cuda::state().calls_until_failure = call;
      bool failed = false;
      try {
        const auto got = multiply(kernel, v, 2, false);
        CHECK(got == expected);
      } catch (const std::runtime_error&) {
        failed = true;
      }
      CHECK(fake_cuda::state().memory.size() == resident);
      CHECK(fake_cuda::state().current == 0);
      CHECK(fake_cuda::state().last_error == cudaSuccess);  // else the next launch fails for it
      if (!failed) break;
      ++failures;
      // The same operator, once the failure is over.
      if (call % 5 == 0) {
        fake_cuda::state().calls_until_failure = -1;
        CHECK(multiply(kernel, v, 2, false) == expected);
      }
    }
    CHECK(failures > 10);
    fake_cuda::state().calls_until_failure = -1;
  }
  CHECK(fake_cuda::state().memory.empty());
  int failures = 0;
  for (int call = 0; call < 1000; ++call, ++failures) {
    fake_cuda::state().calls_until_failure = call;
    try {
      const GramProduct<double> kernel(job, settings);
      break;
    } catch (const std::runtime_error&) {
      CHECK(fake_cuda::state().memory.empty());
      CHECK(fake_cuda::state().streams == 0);
      CHECK(fake_cuda::state().current == 0);
    }
  }
  CHECK(failures > 10);
  fake_cuda::state().calls_until_failure = -1;
}

TEST_CASE("too little memory is an error with figures, before anything is computed") {
  const Clean clean;
  const auto x = gram_case::rows<float>(2000, kColumns, 12);
  const Program program = gram_case::network("relu");
  const GramJob<float> owner = make_job<float>(program, x, nullptr);
  const HostJob<float> job = owner.job();
  fake_cuda::state().total = std::size_t{100} << 20;
  CHECK_THROWS_WITH_AS((GramProduct<float>(job, {})),
                       doctest::Contains("needed on CUDA device 0 for the rows and their tables"),
                       OutOfMemory);
  fake_cuda::state().total = (std::size_t{256} << 20) + (std::size_t{1} << 20);
  GramProduct<float> kernel(job, {});
  const auto v = product_case::vectors(2000, 100, 13);
  CHECK_THROWS_WITH_AS((void)multiply(kernel, v, 100, false),
                       doctest::Contains("for 100 vectors and their products"), OutOfMemory);
}

TEST_CASE("the monitor sees the blocks of a product and may stop it") {
  const Clean clean;
  const auto x = gram_case::rows<float>(300, kColumns, 14);
  const Program program = gram_case::network("relu");
  const GramJob<float> owner = make_job<float>(program, x, nullptr);
  const HostJob<float> job = owner.job();
  const auto v = product_case::vectors(300, 1, 15);
  std::vector<double> out(300);
  GramProduct<float> kernel(job, {{0, 1}, true, 128});
  std::int64_t last = -1;
  kernel.multiply(v.data(), 1, false, out.data(), [&](std::int64_t done, std::int64_t total) {
    CHECK(done >= last);
    CHECK(total == 6);
    last = done;
  });
  CHECK(last == 6);
  const auto expected = out;
  CHECK_THROWS_AS(kernel.multiply(v.data(), 1, false, out.data(),
                                  [](std::int64_t done, std::int64_t) {
                                    if (done == 2) throw std::logic_error("stop");
                                  }),
                  std::logic_error);
  kernel.multiply(v.data(), 1, false, out.data(), {});
  CHECK(out == expected);
}

TEST_CASE("no rows, no vectors: no launch") {
  const Clean clean;
  std::vector<float> none;
  none.reserve(1);  // a null pointer would mean a symmetric Gram
  const auto x = gram_case::rows<float>(3, kColumns, 16);
  const Program program = gram_case::network("relu");
  const GramJob<float> owner = make_job(program, x, &none);
  const HostJob<float> job = owner.job();
  GramProduct<float> kernel(job, {});
  CHECK(multiply(kernel, {}, 2, false) == std::vector<double>(6, 0.0));
  CHECK(multiply(kernel, {1, 2, 3}, 1, true).empty());
  const GramJob<float> square = make_job<float>(program, x, nullptr);
  const HostJob<float> square_job = square.job();
  GramProduct<float> own(square_job, {});
  CHECK(multiply(own, {}, 0, false).empty());
}

}  // namespace
