// The C++ benchmark: one Gram matrix against its floor, in interleaved rounds of alternating order.
//
// The floor is what no exact program can do without: half of the full product of that shape (the
// best of several tilings, this library's BLAS, all threads) and one write of both outputs to new
// memory. Ratios are formed within a round; their median counts. bench/README.md says more.
#include "cpu/gram.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <random>
#include <vector>

#include "backend/blas.hpp"
#include "cpu/dispatch.hpp"
#include "gram_check.hpp"
#include "gram_floor.hpp"
#include "gram_options.hpp"

namespace ntkfast::bench {
namespace {

constexpr std::array kTiles{256, 512, 1024};
constexpr std::int64_t kChecked = 24;  // rows and columns of the block whose entries are compared

template <class F>
double seconds(const F& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Round {
  double product, writing, gram, floor;
};

struct Quartiles {
  double first, median, third;
};

template <class F>
Quartiles quartiles(const std::vector<Round>& rounds, const F& value) {
  std::vector<double> all;
  for (const Round& round : rounds) all.push_back(value(round));
  std::sort(all.begin(), all.end());
  const auto at = [&](double share) {  // linear interpolation, as NumPy's quantile
    const double place = share * static_cast<double>(all.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const auto above = std::min(below + 1, all.size() - 1);
    return std::lerp(all[below], all[above], place - std::floor(place));
  };
  return {at(0.25), at(0.5), at(0.75)};
}

Program network(const Options& options) {
  ProgramBuilder builder;
  int value = builder.input();
  for (int layer = 0; layer < options.depth; ++layer) {
    value = builder.dense(value, kWeightStd, kBiasStd, true);
    value = options.activation == "relu" ? builder.activation(value, "ABRelu", {0.0, 1.0})
                                         : builder.activation(value, "Erf", {1.0, 1.0, 0.0});
  }
  builder.output(builder.dense(value, kWeightStd, kBiasStd, true));
  return builder.build();
}

template <class T>
class GramBenchmark {
 public:
  explicit GramBenchmark(const Options& options)
      : options_(options),
        program_(network(options)),
        x_(normal_rows(options.n, 1)),
        z_(options.symmetric() ? x_ : normal_rows(options.m, 2)),
        scratch_(fresh<T>(entries())) {
    use_single_threaded_blas();
  }

  // Largest relative difference of (K, T) from the recursion in long double.
  std::array<double, 2> check() const {
    const auto [nngp, ntk] = gram();
    std::array<double, 2> worst{0, 0};
    const std::int64_t rows = std::min(kChecked, options_.n);
    const std::int64_t columns = std::min(kChecked, options_.columns());
    for (std::int64_t a = 0; a < rows; ++a) {
      for (std::int64_t b = 0; b < columns; ++b) {
        const std::int64_t i = a * options_.n / rows, j = b * options_.columns() / columns;
        const std::int64_t at = i * options_.columns() + j;
        const Pair want = recursion(options_, x_.data() + i * options_.d,
                                    z_.data() + j * options_.d, options_.symmetric() && i == j);
        worst[0] = std::max(worst[0], difference(nngp[at], want.nngp, want.scale));
        worst[1] = std::max(worst[1], difference(ntk[at], want.ntk, want.scale));
      }
    }
    return worst;
  }

  std::vector<Round> run() const {
    round(false);  // warms caches, BLAS buffers and the clock of the processor
    std::vector<Round> rounds;
    for (int i = 0; i < options_.repeat; ++i) rounds.push_back(round(i % 2 != 0));
    return rounds;
  }

 private:
  std::int64_t entries() const { return options_.n * options_.columns(); }

  std::vector<T> normal_rows(std::int64_t rows, unsigned seed) const {
    std::mt19937_64 engine(seed);
    std::normal_distribution<double> normal;
    std::vector<T> values(static_cast<std::size_t>(rows * options_.d));
    for (T& value : values) value = static_cast<T>(normal(engine));
    return values;
  }

  std::array<Fresh<T>, 2> gram() const {
    std::array<Fresh<T>, 2> out{fresh<T>(entries()), fresh<T>(entries())};
    cpu::GramOptions options;
    options.threads = options_.threads;
    options.isa = options_.isa;
    cpu::gram(program_, x_.data(), options_.n, options_.symmetric() ? nullptr : z_.data(),
              options_.columns(), options_.d, {cpu::GramOutput<T>{out[0].get(), out[1].get()}},
              options);
    return out;
  }

  Round round(bool reversed) const {
    Round result{};
    if (reversed) result.gram = time_gram();
    result.product = time_product();
    result.writing = time_writing();
    if (!reversed) result.gram = time_gram();
    result.floor = (options_.symmetric() ? 0.5 : 1.0) * result.product + result.writing;
    return result;
  }

  double time_product() const {
    double best = INFINITY;
    for (const int tile : kTiles) {
      best = std::min(best, seconds([&] {
                        product(x_.data(), z_.data(), options_.n, options_.columns(), options_.d,
                                tile, options_.threads, scratch_.get());
                      }));
    }
    return best;
  }

  // One thread or all, whichever is faster. The memory is given back outside the clock.
  double time_writing() const {
    double best = INFINITY;
    for (const int threads : {1, options_.threads}) {
      std::array<Fresh<T>, 2> out;
      best = std::min(best, seconds([&] {
                        for (Fresh<T>& part : out) {
                          part = fresh<T>(entries());
                          write_all(part.get(), entries(), threads);
                        }
                      }));
    }
    return best;
  }

  double time_gram() const {
    std::array<Fresh<T>, 2> out;
    return seconds([&] { out = gram(); });
  }

  static double difference(T got, long double want, long double scale) {
    const long double size = std::max(std::abs(want), scale / 100);
    return static_cast<double>(std::abs(static_cast<long double>(got) - want) / size);
  }

  Options options_;
  Program program_;
  std::vector<T> x_, z_;
  Fresh<T> scratch_;
};

void print(const Options& options, const std::vector<Round>& rounds,
           const std::array<double, 2>& worst) {
  const double n = static_cast<double>(options.n), m = static_cast<double>(options.columns());
  const double computed = options.symmetric() ? n * (n + 1) / 2 : n * m;
  const auto product = quartiles(rounds, [](const Round& r) { return r.product; });
  const auto writing = quartiles(rounds, [](const Round& r) { return r.writing; });
  const auto floor = quartiles(rounds, [](const Round& r) { return r.floor; });
  const auto gram = quartiles(rounds, [](const Round& r) { return r.gram; });
  const auto ratio = quartiles(rounds, [](const Round& r) { return r.gram / r.floor; });
  const auto layer = quartiles(rounds, [&](const Round& r) {
    return 1e9 * (r.gram - r.floor) * options.threads / (computed * options.depth);
  });
  const double gflops = 2e-9 * n * m * static_cast<double>(options.d) / product.median;
  const std::string isa = options.isa.empty() ? cpu::available_isas().back() : options.isa;
  const char* text =
      "n %lld, m %lld (0: symmetric), d %lld, depth %d, %s, %s, %d threads, %s, BLAS %s\n"
      "product    %9.3f ms  (%.0f GFLOP/s)\n"
      "writing    %9.3f ms\n"
      "floor      %9.3f ms\n"
      "Gram       %9.3f ms\n"
      "Gram/floor %9.3f     (quartiles %.3f %.3f, %d rounds)\n"
      "beyond the floor: %.3f ns per computed entry and layer and thread\n"
      "largest relative difference: nngp %.2g, ntk %.2g\n";
  const char* json =
      "{\"n\": %lld, \"m\": %lld, \"d\": %lld, \"depth\": %d, \"activation\": \"%s\", "
      "\"dtype\": \"%s\", \"threads\": %d, \"isa\": \"%s\", \"blas\": \"%s\", "
      "\"product_ms\": %.6g, \"product_gflops\": %.6g, \"writing_ms\": %.6g, \"floor_ms\": %.6g, "
      "\"gram_ms\": %.6g, \"ratio\": %.6g, \"ratio_quartiles\": [%.6g, %.6g], \"rounds\": %d, "
      "\"ns_per_entry_layer\": %.6g, \"difference_nngp\": %.3g, \"difference_ntk\": %.3g}\n";
  std::printf(options.json ? json : text, static_cast<long long>(options.n),
              static_cast<long long>(options.m), static_cast<long long>(options.d), options.depth,
              options.activation.c_str(), options.dtype.c_str(), options.threads, isa.c_str(),
              blas_description().c_str(), 1e3 * product.median, gflops, 1e3 * writing.median,
              1e3 * floor.median, 1e3 * gram.median, ratio.median, ratio.first, ratio.third,
              options.repeat, layer.median, worst[0], worst[1]);
}

template <class T>
void run(const Options& options) {
  const GramBenchmark<T> benchmark(options);
  const auto worst = benchmark.check();
  print(options, benchmark.run(), worst);
}

}  // namespace
}  // namespace ntkfast::bench

int main(int argc, char** argv) {
  using namespace ntkfast::bench;
  try {
    const Options options = parse(argc, argv);
    if (options.help) {
      std::fputs(usage(), stdout);
    } else if (options.dtype == "float32") {
      run<float>(options);
    } else {
      run<double>(options);
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ntkfast_bench: %s\n", error.what());
    return 2;
  }
}
