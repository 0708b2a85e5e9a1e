// The precisions of products on tensor cores: their errors, emulated, against what the choice of
// repaired pairs assumes; and whole kernels.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "cpu/dispatch.hpp"
#include "cpu/repair.hpp"
#include "doctest.h"
#include "emulated_device.hpp"
#include "gram_case.hpp"

namespace {

using namespace ntkfast::device;

constexpr double kUnit = 0x1p-24;

// The product of two rows as the kernel makes it: one column at a time, or eight columns per
// instruction; sums of one chunk are added to the others.
float dot(const std::vector<float>& a, const std::vector<float>& b, ProductKind kind) {
  using Shape = TileShape<128, 16, 8, 8>;
  const bool plain = kind == ProductKind::Plain;
  const std::size_t chunk = plain ? Shape::kChunk : Shape::kTensorChunk;
  float total = 0;
  for (std::size_t c0 = 0; c0 < a.size(); c0 += chunk) {
    const std::size_t c1 = std::min(a.size(), c0 + chunk);
    float sum = 0;
    if (plain) {
      for (std::size_t k = c0; k < c1; ++k) sum = std::fma(a[k], b[k], sum);
      total += sum;
      continue;
    }
    for (std::size_t k0 = c0; k0 < c1; k0 += 8) {
      double high = 0, first = 0, second = 0;
      for (std::size_t k = k0; k < std::min(c1, k0 + 8); ++k) {
        const SplitTf32 x = split_tf32(a[k]), y = split_tf32(b[k]);
        const auto number = [](std::uint32_t bits) { return static_cast<double>(from_tf32(bits)); };
        high += number(x.high) * number(y.high);
        first += number(x.low) * number(y.high);
        second += number(x.high) * number(y.low);
      }
      if (kind == ProductKind::Tf32x3) {
        sum = emulated::add_truncated(emulated::add_truncated(sum, first), second);
      }
      sum = emulated::add_truncated(sum, high);
    }
    total += sum;
  }
  return total;
}

// Largest error over |a| |b|, of 300 pairs.
double worst_error(std::size_t d, ProductKind kind, const std::string& data) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  double worst = 0;
  for (int pair = 0; pair < 300; ++pair) {
    std::vector<float> a(d), b(d);
    double exact = 0, left = 0, right = 0;
    for (std::size_t k = 0; k < d; ++k) {
      a[k] = normal(random);
      b[k] = normal(random);
      if (data == "positive") {
        a[k] = std::fabs(a[k]);
        b[k] = std::fabs(b[k]);
      }
      if (data == "parallel") b[k] = a[k] + 0.1F * b[k];
      exact += static_cast<double>(a[k]) * static_cast<double>(b[k]);
      left += static_cast<double>(a[k]) * static_cast<double>(a[k]);
      right += static_cast<double>(b[k]) * static_cast<double>(b[k]);
    }
    const double error = static_cast<double>(dot(a, b, kind)) - exact;
    worst = std::max(worst, std::fabs(error) / std::sqrt(left * right));
  }
  return worst;
}

TEST_CASE("rounding to tf32: 10 bits, ties away from zero, and what is left of it") {
  CHECK(from_tf32(to_tf32(1.0F + 0x1p-11F)) == 1.0F + 0x1p-10F);
  CHECK(from_tf32(to_tf32(-1.0F - 0x1p-11F)) == -1.0F - 0x1p-10F);
  CHECK(from_tf32(to_tf32(1.0F + 0x1p-12F)) == 1.0F);
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (int k = 0; k < 10000; ++k) {
    const float x = normal(random);
    const SplitTf32 split = split_tf32(x);
    CHECK(std::fabs(from_tf32(split.high) - x) <= 0x1p-11F * std::fabs(x));
    const double sum =
        static_cast<double>(from_tf32(split.high)) + static_cast<double>(from_tf32(split.low));
    CHECK(std::fabs(sum - static_cast<double>(x)) <= 0x1p-22 * std::fabs(static_cast<double>(x)));
  }
}

TEST_CASE("errors of products on tensor cores are those that docs/cuda.md states") {
  for (const char* data : {"normal", "positive", "parallel"}) {
    for (const std::size_t d : {std::size_t{64}, std::size_t{784}, std::size_t{3072}}) {
      CAPTURE(data);
      CAPTURE(d);
      CHECK(worst_error(d, ProductKind::Plain, data) <= 14 * kUnit);
      CHECK(worst_error(d, ProductKind::Tf32x3, data) <= 26 * kUnit);
      CHECK(worst_error(d, ProductKind::Tf32, data) <=
            (32768 / std::sqrt(static_cast<double>(d)) + 20) * kUnit);
    }
  }
}

// Share of all pairs that are computed again from their rows: none of them is the rule.
template <class T>
double repaired_share(std::int64_t d, ProductKind kind, int depth) {
  const std::int64_t n = 120;
  const auto rows = gram_case::rows<T>(n, d, 3);
  gram_case::ProgramBuilder builder;
  int value = builder.input();
  for (int layer = 0; layer < depth; ++layer) {
    value = builder.activation(builder.dense(value, std::sqrt(2.0), 0.1, true), "ABRelu", {0, 1});
  }
  builder.output(builder.dense(value, 1, 0.1, true));
  const auto program = builder.build();
  ntkfast::cpu::InputRows<T> x(ntkfast::cpu::tile_kernels<T>(""), rows.data(), n, d, "X");
  const auto anchor = ntkfast::cpu::prepare_rows<T>(x, nullptr, d, true, 1, {});
  const auto policy = ntkfast::cpu::choose_repair(program, x, x, d, kind);
  const auto threshold = policy.template thresholds<T>(x);
  std::int64_t repaired = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < i; ++j) {
      const double m = x.half_distance(i, x, j, 1.0);
      repaired += 2 * m <= static_cast<double>(threshold[static_cast<std::size_t>(i)] +
                                               threshold[static_cast<std::size_t>(j)]);
    }
  }
  return static_cast<double>(repaired) / static_cast<double>(n * (n - 1) / 2);
}

TEST_CASE("a less exact product is not made again for most pairs") {
  for (const std::int64_t d : {3, 20, 784}) {
    for (const int depth : {1, 3, 10}) {
      CAPTURE(d);
      CAPTURE(depth);
      for (const ProductKind kind : {ProductKind::Plain, ProductKind::Tf32x3, ProductKind::Tf32}) {
        CAPTURE(static_cast<int>(kind));
        CHECK(repaired_share<float>(d, kind, depth) < 0.1);
      }
    }
  }
}

}  // namespace
