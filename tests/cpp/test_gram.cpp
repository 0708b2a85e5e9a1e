// Gram matrices against the recursion in long double: symmetric, cross and diagonal, at the sizes
// where strips, tiles and the tile grid change.
#include "cpu/gram.hpp"

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "doctest.h"
#include "gram_case.hpp"

namespace {

using gram_case::GramOutput;
using gram_case::Program;
using gram_case::ProgramBuilder;

template <class T>
void check_case(const char* name, std::int64_t n, std::int64_t m, std::int64_t d, bool special,
                std::int64_t stride = 1, const gram_case::GramOptions& options = {}) {
  CAPTURE(std::string(name));
  CAPTURE(n);
  CAPTURE(m);
  CAPTURE(d);
  const Program program = gram_case::network(name);
  const auto x = gram_case::rows<T>(n, d, 1, special);
  const auto z = gram_case::rows<T>(m, d, 2, special);
  const auto* other = m == 0 ? nullptr : &z;
  const auto got = gram_case::gram<T>(program, x, other, d, options);
  CHECK(gram_case::worst_error<T>(program, x, other, d, got, stride) <= 1);
  if (m > 0) return;
  for (const auto* kernels : {&got.nngp, &got.ntk}) {
    for (const auto& kernel : *kernels) CHECK(gram_case::is_symmetric(kernel, n));
  }
}

}  // namespace

TEST_CASE_TEMPLATE("every network, symmetric and cross", T, float, double) {
  for (const char* name : gram_case::kNetworks) {
    check_case<T>(name, 33, 0, 10, false);
    check_case<T>(name, 21, 35, 10, false);
  }
}

TEST_CASE_TEMPLATE("rows that are zero, parallel, opposite and equal", T, float, double) {
  for (const char* name : gram_case::kNetworks) {
    check_case<T>(name, 20, 0, 6, true);
    check_case<T>(name, 20, 9, 6, true);
  }
}

TEST_CASE_TEMPLATE("one row, one column, one feature", T, float, double) {
  for (const char* name : {"relu with bias", "erf", "every depth"}) {
    check_case<T>(name, 1, 0, 5, false);
    check_case<T>(name, 1, 40, 5, false);
    check_case<T>(name, 40, 1, 5, false);
  }
  check_case<T>("relu with bias", 9, 7, 1, false);
  check_case<T>("erf", 9, 0, 1, false);
}

TEST_CASE_TEMPLATE("sizes around strips and tiles", T, float, double) {
  for (const std::int64_t n : {15, 16, 17, 255, 256, 257, 272, 513}) {
    check_case<T>("leaky", n, 0, 4, false, n < 100 ? 1 : 31);
    check_case<T>("every depth", n, 16, 4, false, n < 100 ? 7 : 61);
    check_case<T>("relu", 17, n, 4, false, n < 100 ? 1 : 31);
  }
  check_case<T>("relu with bias", 1024, 0, 4, false, 1009);
  check_case<T>("leaky", 1024, 300, 4, false, 509);
}

TEST_CASE("large tiles, symmetric") { check_case<float>("relu with bias", 4130, 0, 3, false, 401); }

TEST_CASE("large tiles, cross") { check_case<float>("relu", 4097, 4111, 3, false, 401); }

TEST_CASE_TEMPLATE("rows too long to be kept are centred panel by panel", T, float, double) {
  constexpr std::int64_t n = 19, d = (std::int64_t{34} << 20) / (n * std::int64_t{sizeof(T)});
  const Program program = gram_case::network("relu with bias");
  const auto x = gram_case::rows<T>(n, d, 1);
  const auto got = gram_case::gram<T>(program, x, nullptr, d);
  CHECK(gram_case::worst_error<T>(program, x, nullptr, d, got, 23) <= 1);
  CHECK(gram_case::is_symmetric(got.ntk[0], n));
}

TEST_CASE_TEMPLATE("rows of any magnitude", T, float, double) {
  // Squares of these overflow or vanish in the dtype (in double, even the double sums do).
  const double large = sizeof(T) == 4 ? 1e18 : 1e150, small = sizeof(T) == 4 ? 1e-18 : 1e-150;
  const Program program = gram_case::network("leaky");
  const auto unit = gram_case::rows<T>(12, 5, 3);
  for (const double scale : {large, small}) {
    auto x = unit;
    for (auto& value : x) value = static_cast<T>(value * scale);
    const auto got = gram_case::gram<T>(program, x, nullptr, 5);
    CHECK(gram_case::worst_error<T>(program, x, nullptr, 5, got) <= 1);
  }
}

TEST_CASE_TEMPLATE("rows whose squares vanish keep their directions", T, float, double) {
  // Subnormal in float; in double down to the norm below which a row counts as zero.
  const double tiny = sizeof(T) == 4 ? 1e-40 : 1e-298, weight = sizeof(T) == 4 ? 1e30 : 1e200;
  auto x = gram_case::rows<T>(12, 5, 3);
  for (auto& value : x) value = static_cast<T>(value * tiny);
  ProgramBuilder builder;
  const int hidden = builder.dense(builder.input(), weight, 0, true);
  builder.output(builder.dense(builder.activation(hidden, "ABRelu", {0, 1}), 1, 0, true));
  const Program program = builder.build();
  const auto got = gram_case::gram<T>(program, x, nullptr, 5);
  CHECK(gram_case::worst_error<T>(program, x, nullptr, 5, got) <= 1);
}

TEST_CASE("double rows of norm below 1e-300 count as zero rows") {
  const auto x = gram_case::rows<double>(4, 5, 3);
  auto tiny = x;
  for (auto& value : tiny) value *= 1e-310;
  const std::vector<double> zero(x.size(), 0.0);
  const Program program = gram_case::network("relu with bias");
  const auto got = gram_case::gram<double>(program, tiny, nullptr, 5);
  const auto want = gram_case::gram<double>(program, zero, nullptr, 5);
  CHECK(got.nngp == want.nngp);
  CHECK(got.ntk == want.ntk);
}

TEST_CASE_TEMPLATE("equal rows of a cross kernel have the kernel of one row with itself", T, float,
                   double) {
  // A chaotic network: whatever is left of the distance would grow beyond recognition.
  ProgramBuilder builder;
  int value = builder.input();
  for (int layer = 0; layer < 6; ++layer) {
    value = builder.activation(builder.dense(value, 1e3, 0, true), "Erf", {1, 1, 0});
  }
  builder.output(builder.dense(value, 1, 0, true));
  const Program program = builder.build();
  const auto x = gram_case::rows<T>(3, 50, 1);
  const auto same = gram_case::gram<T>(program, x, nullptr, 50);
  const auto cross = gram_case::gram<T>(program, x, &x, 50);
  for (std::size_t k = 0; k < 9; k += 4) {
    CHECK(cross.ntk[0][k] == doctest::Approx(same.ntk[0][k]).epsilon(1e-4));
  }
}

TEST_CASE_TEMPLATE("the diagonal is that of the matrix, bit for bit", T, float, double) {
  for (const char* name : gram_case::kNetworks) {
    CAPTURE(std::string(name));
    constexpr std::int64_t n = 37, d = 6;
    const Program program = gram_case::network(name);
    const auto x = gram_case::rows<T>(n, d, 4, true);
    const auto full = gram_case::gram<T>(program, x, nullptr, d);
    const auto outputs = static_cast<std::size_t>(program.outputs);
    std::vector<std::vector<T>> nngp(outputs, std::vector<T>(n)), ntk = nngp;
    std::vector<GramOutput<T>> pointers;
    for (std::size_t k = 0; k < outputs; ++k) pointers.push_back({nngp[k].data(), ntk[k].data()});
    ntkfast::cpu::diagonal<T>(program, x.data(), n, d, pointers, {});
    for (std::size_t k = 0; k < outputs; ++k) {
      for (std::size_t i = 0; i < n; ++i) {
        CHECK(nngp[k][i] == full.nngp[k][i * n + i]);
        CHECK(ntk[k][i] == full.ntk[k][i * n + i]);
      }
    }
  }
}

TEST_CASE_TEMPLATE("any part of the results may be left out", T, float, double) {
  constexpr std::int64_t n = 50, d = 7;
  const Program program = gram_case::network("every depth");
  const auto x = gram_case::rows<T>(n, d, 5);
  const auto full = gram_case::gram<T>(program, x, nullptr, d);
  const auto outputs = static_cast<std::size_t>(program.outputs);
  for (const bool ntk : {false, true}) {
    std::vector<std::vector<T>> part(outputs, std::vector<T>(n * n));
    std::vector<GramOutput<T>> pointers(outputs, {nullptr, nullptr});
    for (std::size_t k = ntk ? 1 : 0; k < outputs; k += 2) {
      (ntk ? pointers[k].ntk : pointers[k].nngp) = part[k].data();
    }
    ntkfast::cpu::gram<T>(program, x.data(), n, nullptr, n, d, pointers, {});
    for (std::size_t k = ntk ? 1 : 0; k < outputs; k += 2) {
      const auto& whole = ntk ? full.ntk[k] : full.nngp[k];
      for (std::size_t at = 0; at < n * n; ++at) {
        // Without T other loops run, which may round otherwise.
        const long double size = std::fabs(full.nngp[k][at / n * (n + 1)]) + std::fabs(whole[at]);
        CHECK(std::fabs(part[k][at] - whole[at]) <= gram_case::kBudget<T> * size);
      }
    }
  }
}

TEST_CASE_TEMPLATE("T is K where only the readout is trained, 0 where nothing is", T, float,
                   double) {
  const auto x = gram_case::rows<T>(30, 6, 6);
  const auto readout = gram_case::gram<T>(gram_case::network("only the readout"), x, nullptr, 6);
  CHECK(readout.ntk[0] == readout.nngp[0]);
  ProgramBuilder builder;
  builder.output(builder.dense(
      builder.activation(builder.dense(builder.input(), 1, 0, false), "ABRelu", {0, 1}), 1, 0.1,
      false));
  const auto none = gram_case::gram<T>(builder.build(), x, nullptr, 6);
  CHECK(none.ntk[0] == std::vector<T>(900, T(0)));
  CHECK(none.nngp[0][1] > T(0));
}

TEST_CASE_TEMPLATE("a cross kernel of the same rows is not the symmetric one by accident", T, float,
                   double) {
  // Same values, other code: the diagonal goes through rho = 1 as any pair does.
  const Program program = gram_case::network("relu");
  const auto x = gram_case::rows<T>(40, 8, 7);
  const auto cross = gram_case::gram<T>(program, x, &x, 8);
  CHECK(gram_case::worst_error<T>(program, x, &x, 8, cross) <= 1);
}

TEST_CASE("no rows are no work") {
  const Program program = gram_case::network("relu");
  const std::vector<double> x = {1, 2};
  const std::vector<GramOutput<double>> nowhere = {{nullptr, nullptr}};
  CHECK_NOTHROW(ntkfast::cpu::gram<double>(program, x.data(), 0, nullptr, 0, 2, nowhere, {}));
  CHECK_NOTHROW(ntkfast::cpu::gram<double>(program, x.data(), 1, x.data(), 0, 2, nowhere, {}));
  CHECK_NOTHROW(ntkfast::cpu::diagonal<double>(program, x.data(), 0, 2, nowhere, {}));
}
