// What must not change a Gram matrix: threads, instruction set, alignment, slabs of row tables; and
// how a run ends early.
#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpu/aligned.hpp"
#include "cpu/dispatch.hpp"
#include "cpu/gram.hpp"
#include "doctest.h"
#include "error.hpp"
#include "gram_case.hpp"

namespace {

using gram_case::GramOptions;
using gram_case::GramOutput;
using gram_case::Program;
using gram_case::ProgramBuilder;
using ntkfast::KernelOverflow;

GramOptions with_threads(int threads) { return {threads, {}, {}}; }

Program deep_erf(int depth) {
  ProgramBuilder builder;
  int value = builder.input();
  for (int k = 0; k < depth; ++k) {
    value = builder.activation(builder.dense(value, 1.1, 0.2, true), "Erf", {1, 1, 0});
    if (k == depth / 2) builder.output(value);
  }
  builder.output(builder.dense(value, 1, 0, true));
  return builder.build();
}

// Results `offset` elements after a cache line, with a guard element on both sides.
template <class T>
class Placed {
 public:
  Placed(std::int64_t count, std::int64_t offset)
      : count_(static_cast<std::size_t>(count)),
        offset_(static_cast<std::size_t>(offset)),
        memory_(ntkfast::cpu::aligned_array<T>(count_ + 2 * kGuard + offset_)) {
    std::fill_n(memory_.get(), count_ + 2 * kGuard + offset_, T(-77));
  }
  T* data() { return memory_.get() + kGuard + offset_; }
  std::vector<T> values() { return {data(), data() + count_}; }
  bool guards_hold() const {
    const T* first = memory_.get();
    const auto untouched = [](T value) { return value == T(-77); };
    return std::all_of(first, first + kGuard + offset_, untouched) &&
           std::all_of(first + kGuard + offset_ + count_, first + 2 * kGuard + offset_ + count_,
                       untouched);
  }

 private:
  static constexpr std::size_t kGuard = 64;
  std::size_t count_, offset_;
  ntkfast::cpu::AlignedArray<T> memory_;
};

}  // namespace

TEST_CASE_TEMPLATE("threads do not change a bit", T, float, double) {
  for (const char* name : {"relu with bias", "every depth"}) {
    const Program program = gram_case::network(name);
    const auto x = gram_case::rows<T>(600, 9, 1, true);
    const auto z = gram_case::rows<T>(531, 9, 2, true);
    const auto one = gram_case::gram<T>(program, x, nullptr, 9, with_threads(1));
    const auto cross = gram_case::gram<T>(program, x, &z, 9, with_threads(1));
    for (const int threads : {2, 3}) {
      CHECK(gram_case::gram<T>(program, x, nullptr, 9, with_threads(threads)) == one);
      CHECK(gram_case::gram<T>(program, x, &z, 9, with_threads(threads)) == cross);
    }
  }
}

TEST_CASE_TEMPLATE("every instruction set of this machine keeps the budget", T, float, double) {
  for (const std::string& isa : ntkfast::cpu::available_isas()) {
    for (const char* name : gram_case::kNetworks) {
      CAPTURE(isa);
      CAPTURE(std::string(name));
      const Program program = gram_case::network(name);
      const auto x = gram_case::rows<T>(50, 5, 3), z = gram_case::rows<T>(39, 5, 4);
      const GramOptions options{1, isa, {}};
      const auto square = gram_case::gram<T>(program, x, nullptr, 5, options);
      CHECK(gram_case::worst_error<T>(program, x, nullptr, 5, square) <= 1);
      const auto cross = gram_case::gram<T>(program, x, &z, 5, options);
      CHECK(gram_case::worst_error<T>(program, x, &z, 5, cross, 3) <= 1);
    }
  }
}

TEST_CASE("an unknown instruction set is refused with the list") {
  const std::vector<double> x = {1, 2};
  CHECK_THROWS_WITH_AS(
      gram_case::gram<double>(gram_case::network("relu"), x, nullptr, 2, {1, "mmx", {}}),
      doctest::Contains("expected one of baseline"), std::invalid_argument);
  CHECK(ntkfast::cpu::available_isas().front() == "baseline");
}

TEST_CASE_TEMPLATE("streamed and ordinary stores write the same matrix and nothing else", T, float,
                   double) {
  const Program program = gram_case::network("relu with bias");
  constexpr std::int64_t d = 5;
  for (const std::string& isa : ntkfast::cpu::available_isas()) {
    for (const std::int64_t n : {48, 53, 288, 301}) {
      const auto x = gram_case::rows<T>(n, d, 5);
      for (const std::int64_t m : {std::int64_t{0}, n, std::int64_t{64}, std::int64_t{70}}) {
        const auto z = gram_case::rows<T>(m, d, 6);
        const T* other = m == 0 ? nullptr : z.data();
        const std::int64_t cols = m == 0 ? n : m;
        const auto expected =
            gram_case::gram<T>(program, x, m == 0 ? nullptr : &z, d, {1, isa, {}});
        for (const std::int64_t offset : {0, 1, 4}) {
          CAPTURE(isa);
          CAPTURE(n);
          CAPTURE(m);
          CAPTURE(offset);
          Placed<T> nngp(n * cols, offset), ntk(n * cols, offset);
          const std::vector<GramOutput<T>> out = {{nngp.data(), ntk.data()}};
          ntkfast::cpu::gram<T>(program, x.data(), n, other, m, d, out, {1, isa, {}});
          CHECK(nngp.values() == expected.nngp[0]);
          CHECK(ntk.values() == expected.ntk[0]);
          CHECK(nngp.guards_hold());
          CHECK(ntk.guards_hold());
        }
      }
    }
  }
}

TEST_CASE("tables in several slabs of rows: a few columns") {
  // 10 Erf layers: 170 numbers of 8 bytes a row, 6144 rows a slab.
  const Program program = deep_erf(10);
  const auto x = gram_case::rows<double>(7001, 2, 7), z = gram_case::rows<double>(5, 2, 8);
  const auto tall = gram_case::gram<double>(program, x, &z, 2, with_threads(2));
  CHECK(gram_case::worst_error<double>(program, x, &z, 2, tall, 37) <= 1);
  const auto wide = gram_case::gram<double>(program, z, &x, 2);
  CHECK(gram_case::worst_error<double>(program, z, &x, 2, wide, 37) <= 1);
}

TEST_CASE("tables in several slabs of rows: symmetric and cross") {
  // 350 outputs of three numbers: fewer than 1024 rows a slab. One output is asked for.
  ProgramBuilder builder;
  const int hidden =
      builder.activation(builder.dense(builder.input(), 1.1, 0.2, true), "Erf", {1, 1, 0});
  const int last = builder.dense(hidden, 1, 0.1, true);
  for (int k = 0; k < 350; ++k) builder.output(last);
  const Program program = builder.build();
  const auto x = gram_case::rows<double>(1100, 3, 9), z = gram_case::rows<double>(1030, 3, 10);
  const auto square = gram_case::gram<double>(program, x, nullptr, 3, {}, 1);
  CHECK(gram_case::worst_error<double>(program, x, nullptr, 3, square, 2003) <= 1);
  CHECK(gram_case::is_symmetric(square.nngp[0], 1100));
  CHECK(gram_case::is_symmetric(square.ntk[0], 1100));
  const auto cross = gram_case::gram<double>(program, x, &z, 3, {}, 1);
  CHECK(gram_case::worst_error<double>(program, x, &z, 3, cross, 2003) <= 1);
}

TEST_CASE("an overflow is found before anything is computed, and named") {
  const Program program = gram_case::network("relu");
  auto x = gram_case::rows<float>(40, 4, 11);
  auto z = x;
  z[13 * 4] = 1e30F;
  std::vector<float> nngp(1600, -1), ntk(1600, -1);
  const std::vector<GramOutput<float>> out = {{nngp.data(), ntk.data()}};
  CHECK_THROWS_WITH_AS(ntkfast::cpu::gram<float>(program, x.data(), 40, z.data(), 40, 4, out, {}),
                       doctest::Contains("row 13 of Z"), KernelOverflow);
  CHECK_THROWS_WITH_AS(ntkfast::cpu::gram<float>(program, z.data(), 40, nullptr, 40, 4, out, {}),
                       doctest::Contains("row 13 of X"), KernelOverflow);
  CHECK(nngp == std::vector<float>(1600, -1));
  CHECK(ntk == std::vector<float>(1600, -1));
  CHECK_THROWS_AS(ntkfast::cpu::diagonal<float>(program, z.data(), 40, 4, out, {}), KernelOverflow);
}

TEST_CASE("an overflow in a later slab is found before the first is computed") {
  auto x = gram_case::rows<double>(7001, 2, 12);
  const auto z = gram_case::rows<double>(3, 2, 13);
  ProgramBuilder builder;  // several slabs, and an output that overflows
  int value = builder.input();
  builder.output(value);
  for (int k = 0; k < 10; ++k) {
    value = builder.activation(builder.dense(value, 1.1, 0.2, true), "Erf", {1, 1, 0});
  }
  builder.output(value);
  x[2 * 6900] = 1e160;
  std::vector<double> nngp(7001 * 3, -1);
  const std::vector<GramOutput<double>> out = {{nngp.data(), nullptr}, {nullptr, nullptr}};
  CHECK_THROWS_WITH_AS(
      ntkfast::cpu::gram<double>(builder.build(), x.data(), 7001, z.data(), 3, 2, out, {}),
      doctest::Contains("row 6900 of X"), KernelOverflow);
  CHECK(nngp == std::vector<double>(7001 * 3, -1));
}

TEST_CASE("a monitor that throws ends the run") {
  const Program program = gram_case::network("relu");
  const auto x = gram_case::rows<double>(300, 4, 14);
  for (const int threads : {1, 3}) {
    const GramOptions options{
        threads, {}, [](std::int64_t, std::int64_t) { throw ntkfast::Interrupted("Ctrl-C"); }};
    CHECK_THROWS_WITH_AS(gram_case::gram<double>(program, x, nullptr, 4, options), "Ctrl-C",
                         ntkfast::Interrupted);
  }
}

TEST_CASE("the workspace grows with what it is made of") {
  const Program program = gram_case::network("erf");
  const auto bytes = [&](std::int64_t n, std::int64_t m, std::int64_t d, int threads) {
    return ntkfast::cpu::workspace_bytes(program, n, m, d, 8, threads);
  };
  CHECK(bytes(100, 0, 10, 1) > 0);
  CHECK(bytes(100, 0, 10, 2) > bytes(100, 0, 10, 1));
  CHECK(bytes(100, 50, 10, 1) > bytes(100, 0, 10, 1));
  // Bounded beside the rows themselves: a million rows need megabytes, not their square.
  CHECK(bytes(1000000, 0, 1000, 2) < std::int64_t{200} << 20);
}
