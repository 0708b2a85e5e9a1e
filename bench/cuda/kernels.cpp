// The kernels of a CUDA device by themselves: Gram matrices and products with vectors, every way of
// multiplying the rows, as JSON on standard output.
//
//   ntkfast_cuda_bench [n] [d] [depth] [vectors] [repeats]     default 16384 784 3 10 5
//
// Rows and tables are on the device, results stay there. The floor of a Gram matrix is the slower
// of writing its results (measured: filling memory) and multiplying its rows (measured: the same
// kernel for one Dense layer and one vector, which writes nothing to speak of). That of a product
// with vectors is multiplying the rows. Counted as operations: n (n + 1) d, one triangle.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <random>
#include <string>
#include <vector>

#include "device/gram_job.hpp"
#include "devices.hpp"
#include "gram.hpp"
#include "gram_product.hpp"
#include "program/program.hpp"

namespace {

using ntkfast::Program;
using ntkfast::device::GramJob;
using ntkfast::device::GramJobOptions;
using ntkfast::device::ProductKind;

struct Options {
  std::int64_t n = 16384, d = 784, depth = 3, vectors = 10, repeats = 5;
};

Program network(std::int64_t depth) {
  ntkfast::ProgramBuilder builder;
  int value = builder.input();
  for (std::int64_t layer = 0; layer < depth; ++layer) {
    value = builder.activation(builder.dense(value, std::sqrt(2.0), 0.1, true), "ABRelu", {0, 1});
  }
  builder.output(builder.dense(value, 1, 0.1, true));
  return builder.build();
}

double median(std::vector<double> seconds) {
  seconds.erase(seconds.begin());  // the first one loads the kernel
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

template <class T>
std::vector<T> normal_rows(const Options& options) {
  std::mt19937 random(0);
  std::normal_distribution<float> normal;
  std::vector<T> x(static_cast<std::size_t>(options.n * options.d));
  for (T& entry : x) entry = static_cast<T>(normal(random));
  return x;
}

template <class T>
void measure(const Options& options, const char* dtype, const char* kind_name, ProductKind kind,
             double fill_bytes_per_second, const char* separator) {
  const auto x = normal_rows<T>(options);
  const Program dense = network(0), deep = network(options.depth);
  const GramJobOptions how{16, "", {}, kind};
  const int repeats = static_cast<int>(options.repeats) + 1;
  const auto on_vectors = [&](const Program& program, std::int64_t count) {
    const GramJob<T> owner(program, x.data(), options.n, nullptr, 0, options.d, true, how);
    const auto job = owner.job();
    ntkfast::cuda::GramProduct<T> product(job, {});
    return median(product.time(count, repeats));
  };
  const double rows = on_vectors(dense, 1), with_vectors = on_vectors(deep, options.vectors);
  const GramJob<T> owner(deep, x.data(), options.n, nullptr, 0, options.d, true, how);
  const double gram = median(ntkfast::cuda::time_gram(owner.job(), {}, repeats));
  const double n = static_cast<double>(options.n);
  const double operations = n * (n + 1) * static_cast<double>(options.d);
  const double bytes = 2 * n * n * sizeof(T);  // both kernels
  const double writing = bytes / fill_bytes_per_second, floor = std::max(writing, rows);
  std::printf(
      "%s\n  {\"dtype\": \"%s\", \"product\": \"%s\", \"rows_seconds\": %.6g, "
      "\"rows_gflop_per_s\": "
      "%.5g,\n   \"gram_seconds\": %.6g, \"gram_gflop_per_s\": %.5g, \"gram_gb_per_s\": %.5g, "
      "\"writing_seconds\": %.6g, \"gram_fraction_of_floor\": %.4g,\n   \"vectors_seconds\": %.6g, "
      "\"vectors_over_rows\": %.4g}",
      separator, dtype, kind_name, rows, operations / rows / 1e9, gram, operations / gram / 1e9,
      bytes / gram / 1e9, writing, floor / gram, with_vectors, with_vectors / rows);
}

int run(const Options& options) {
  const std::string reason = ntkfast::cuda::unavailable_reason();
  if (!reason.empty()) {
    std::fprintf(stderr, "no CUDA device: %s\n", reason.c_str());
    return 2;
  }
  const auto device = ntkfast::cuda::devices().front();
  const std::size_t bytes = std::min<std::size_t>(std::size_t{8} << 30, device.free_bytes / 4);
  const auto rate = [&](bool copy) {
    return static_cast<double>(bytes) * (copy ? 2 : 1) /
           median(ntkfast::cuda::memory_seconds(device.index, bytes, copy, 6));
  };
  const double fill = rate(false), copied = rate(true);
  std::printf(
      "{\"device\": \"%s\", \"n\": %lld, \"d\": %lld, \"depth\": %lld, \"vectors\": %lld,\n "
      "\"fill_gb_per_s\": %.5g, \"copy_gb_per_s\": %.5g, \"cases\": [",
      device.name.c_str(), static_cast<long long>(options.n), static_cast<long long>(options.d),
      static_cast<long long>(options.depth), static_cast<long long>(options.vectors), fill / 1e9,
      copied / 1e9);
  measure<float>(options, "float32", "plain", ProductKind::Plain, fill, "");
  measure<float>(options, "float32", "tf32x3", ProductKind::Tf32x3, fill, ",");
  measure<float>(options, "float32", "tf32", ProductKind::Tf32, fill, ",");
  measure<double>(options, "float64", "plain", ProductKind::Plain, fill, ",");
  measure<double>(options, "float64", "tensor", ProductKind::Tensor, fill, ",");
  std::printf("]}\n");
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  const std::array numbers{&options.n, &options.d, &options.depth, &options.vectors,
                           &options.repeats};
  for (int k = 1; k < count; ++k) {
    const long long number = std::atoll(arguments[k]);
    if (k > static_cast<int>(numbers.size()) || number < 1) {
      std::fprintf(stderr, "usage: %s [n] [d] [depth] [vectors] [repeats], all >= 1\n",
                   arguments[0]);
      return 1;
    }
    *numbers[static_cast<std::size_t>(k - 1)] = number;
  }
  try {
    return run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 3;
  }
}
