// Data, networks and comparisons that the tests of the Gram engine share.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "cpu/gram.hpp"
#include "doctest.h"
#include "reference_kernel.hpp"

namespace gram_case {

using ntkfast::Program;
using ntkfast::ProgramBuilder;
using ntkfast::cpu::GramOptions;
using ntkfast::cpu::GramOutput;

// Random rows of different lengths. With `special`: a zero row, a multiple of a row, one nearly
// parallel and one nearly opposite to it, and two equal rows.
template <class T>
std::vector<T> rows(std::int64_t n, std::int64_t d, unsigned seed, bool special = false) {
  std::mt19937 random(seed);
  const auto uniform = [&] { return std::ldexp(static_cast<double>(random()), -31) - 1; };
  std::vector<T> x(static_cast<std::size_t>(n * d));
  for (std::int64_t i = 0; i < n; ++i) {
    const double scale = std::exp(uniform());
    for (std::int64_t k = 0; k < d; ++k) {
      x[static_cast<std::size_t>(i * d + k)] = static_cast<T>(scale * uniform());
    }
  }
  if (!special || n < 8) return x;
  for (std::size_t k = 0; k < static_cast<std::size_t>(d); ++k) {
    const auto width = static_cast<std::size_t>(d);
    x[2 * width + k] = 0;
    x[3 * width + k] = 4 * x[k];
    x[4 * width + k] = x[k] * static_cast<T>(1 + 1e-3 * uniform());
    x[6 * width + k] = -x[k] * static_cast<T>(1 + 1e-4 * uniform());
    x[7 * width + k] = x[5 * width + k];
  }
  return x;
}

// Named networks; every one ends in a trainable Dense layer.
inline Program network(const std::string& name) {
  ProgramBuilder builder;
  int value = builder.input();
  const auto layer = [&](double w, double b, bool trainable, const char* activation,
                         const std::vector<double>& params) {
    value = builder.activation(builder.dense(value, w, b, trainable), activation, params);
  };
  const auto finish = [&](double w, double b) {
    builder.output(builder.dense(value, w, b, true));
    return builder.build();
  };
  const double root2 = std::sqrt(2.0);
  if (name == "relu") {
    for (int k = 0; k < 3; ++k) layer(root2, 0, true, "ABRelu", {0, 1});
    return finish(root2, 0);
  }
  if (name == "relu with bias") {
    for (int k = 0; k < 2; ++k) layer(1.25, 0.5, true, "ABRelu", {0, 1});
    return finish(1, 0.1);
  }
  if (name == "leaky") {
    for (int k = 0; k < 3; ++k) layer(1.2, 0.2, true, "ABRelu", {0.3, 1});
    return finish(1, 0);
  }
  if (name == "abs") {
    for (int k = 0; k < 2; ++k) layer(1, 0, true, "ABRelu", {-1, 1});
    return finish(1, 0);
  }
  if (name == "erf") {
    for (int k = 0; k < 3; ++k) layer(1.3, 0.1, true, "Erf", {1, 1, 0});
    return finish(1, 0);
  }
  if (name == "mixed") {
    layer(1.5, 0.25, true, "Erf", {1, 0.7, 0.2});
    value = builder.dense(value, 1.1, 0.3, true);  // two affine layers in a row
    layer(1.2, 0, true, "ABRelu", {-0.2, 1});
    layer(1.4, 0.1, true, "ABRelu", {1, 1});  // linear
    return finish(1, 0.5);
  }
  if (name == "fixed layers") {
    layer(1.4, 0.1, false, "ABRelu", {0.1, 1});
    layer(1.4, 0, false, "Erf", {1, 1, 0});
    layer(1.4, 0, true, "ABRelu", {0, 1});
    builder.output(builder.dense(value, 1, 0.2, false));
    return builder.build();
  }
  if (name == "only the readout") {  // T = K
    for (int k = 0; k < 2; ++k) layer(root2, 0.1, false, "ABRelu", {0, 1});
    return finish(1, 0);
  }
  if (name == "every depth") {
    builder.output(value);
    for (int k = 0; k < 3; ++k) {
      const int dense = builder.dense(value, 1.3, 0.2, k > 0);
      builder.output(dense);
      value =
          builder.activation(dense, k == 1 ? "Erf" : "ABRelu",
                             k == 1 ? std::vector<double>{1, 1, 0} : std::vector<double>{.2, 1});
      builder.output(value);
    }
    return builder.build();
  }
  if (name == "residual") {  // the sign of the branches differs, and a norm shares a buffer
    value = builder.dense(value, 1.3, 0.1, true);
    for (int k = 0; k < 3; ++k) {
      const int norm = builder.layer_norm(value, 1e-3);
      const int phi = builder.activation(norm, "ABRelu", {k == 1 ? -0.7 : 0.0, 1});
      value = builder.fan_in_sum(value, builder.dense(phi, 0.9, k * 0.1, true));
    }
    return finish(1, 0.1);
  }
  if (name == "joins") {
    const int trunk = builder.dense(value, 1.2, 0.2, true, 3);
    const int kinked = builder.activation(trunk, "ABRelu", {-0.3, 1});
    const int left = builder.dense(builder.dropout(kinked, 0.7), 1.1, 0.3, false, 3);
    const int product = builder.fan_in_product(trunk, left);
    const int side = builder.fan_in_concat(builder.fan_in_concat(product, kinked), product);
    builder.output(product);
    builder.output(side);
    builder.output(builder.fan_in_sum(builder.dense(side, 0.8, 0, true), kinked));
    builder.output(builder.layer_norm(trunk, 0.5));
    return builder.build();
  }
  if (name == "one side trained") {  // T comes from the second value alone
    const int fixed = builder.dense(value, 1.2, 0.2, false);
    const int trained = builder.activation(builder.dense(value, 0.9, 0.1, true), "Erf", {1, 1, 2});
    const int sum = builder.fan_in_sum(fixed, trained);
    builder.output(sum);
    builder.output(builder.fan_in_product(fixed, trained));
    builder.output(builder.fan_in_concat(fixed, trained));
    builder.output(builder.dropout(sum, 0.25));
    return builder.build();
  }
  if (name == "standard") {
    value = builder.dense_standard(value, 1.3, 0.2, true, 64, 1);
    value = builder.activation(value, "ABRelu", {-0.2, 1});
    value = builder.dense_standard(value, 1.1, {}, true, 8, 4);
    value = builder.activation(value, "Erf", {1, 1, 0});
    builder.output(builder.dense_standard(value, 1.1, 0.4, false, 1, 1));
    builder.output(builder.dense_standard(value, 0, 0.4, true, 1, 1));
    return builder.build();
  }
  // "branches": values that are read twice.
  const int trunk = builder.dense(value, 1.4, 0.2, true);
  const int left = builder.activation(trunk, "ABRelu", {0, 1});
  const int right = builder.activation(trunk, "Erf", {1, 1, 0});
  builder.output(builder.dense(left, 1, 0, true));
  builder.output(builder.dense(right, 1.5, 0.3, false));
  builder.output(trunk);
  return builder.build();
}

inline const char* const kNetworks[] = {"relu",
                                        "relu with bias",
                                        "leaky",
                                        "abs",
                                        "erf",
                                        "mixed",
                                        "fixed layers",
                                        "only the readout",
                                        "every depth",
                                        "branches",
                                        "residual",
                                        "joins",
                                        "one side trained",
                                        "standard"};

// K and T of every output.
template <class T>
struct Kernels {
  std::int64_t n, m;
  std::vector<std::vector<T>> nngp, ntk;

  bool operator==(const Kernels&) const = default;
};

// z null: symmetric. Fills the results with NaN first: what the engine leaves alone is seen. Of the
// outputs only the first `wanted` are asked for; the others stay empty.
template <class T>
Kernels<T> gram(const Program& program, const std::vector<T>& x, const std::vector<T>* z,
                std::int64_t d, const GramOptions& options = {}, std::size_t wanted = 1000) {
  const auto n = static_cast<std::int64_t>(x.size()) / d;
  const auto m = z == nullptr ? n : static_cast<std::int64_t>(z->size()) / d;
  const auto outputs = static_cast<std::size_t>(program.outputs);
  const std::vector<T> empty(static_cast<std::size_t>(n * m), std::numeric_limits<T>::quiet_NaN());
  Kernels<T> result{n, m, {}, {}};
  result.nngp.resize(outputs);
  result.ntk.resize(outputs);
  std::vector<GramOutput<T>> pointers(outputs, {nullptr, nullptr});
  for (std::size_t k = 0; k < std::min(outputs, wanted); ++k) {
    result.nngp[k] = result.ntk[k] = empty;
    pointers[k] = {result.nngp[k].data(), result.ntk[k].data()};
  }
  ntkfast::cpu::gram<T>(program, x.data(), n, z == nullptr ? nullptr : z->data(), m, d, pointers,
                        options);
  return result;
}

// The error budget: relative to the entry, or to a quarter of its size for parallel rows.
template <class T>
constexpr long double kBudget = std::is_same_v<T, float> ? 2e-6L : 1e-12L;

inline long double budget_size(long double value, long double diagonal) {
  return std::fmax(std::fabs(value), diagonal / 4);
}

// Largest error over every `stride`-th entry, in units of the budget.
template <class T>
long double worst_error(const Program& program, const std::vector<T>& x, const std::vector<T>* z,
                        std::int64_t d, const Kernels<T>& got, std::int64_t stride = 1) {
  const std::vector<T>& other = z == nullptr ? x : *z;
  const long double unit =
      kBudget<T> * std::fmax(ntkfast::cpu::conditioning<T>(program, x.data(), got.n, d, {}),
                             ntkfast::cpu::conditioning<T>(program, other.data(), got.m, d, {}));
  const auto diagonals = [&](const std::vector<T>& from, std::int64_t count) {
    std::vector<std::vector<reference::Pair>> all;
    for (std::int64_t i = 0; i < count; ++i) {
      all.push_back(
          reference::outputs(program,
                             reference::input_pair(&from[static_cast<std::size_t>(i * d)],
                                                   &from[static_cast<std::size_t>(i * d)], d),
                             true));
    }
    return all;
  };
  const auto left = diagonals(x, got.n);
  const auto right = z == nullptr ? left : diagonals(other, got.m);
  long double worst = 0;
  for (std::int64_t at = 0; at < got.n * got.m; at += stride) {
    const std::int64_t i = at / got.m, j = at % got.m;
    const auto expected =
        reference::outputs(program,
                           reference::input_pair(&x[static_cast<std::size_t>(i * d)],
                                                 &other[static_cast<std::size_t>(j * d)], d),
                           z == nullptr && i == j);
    for (std::size_t k = 0; k < expected.size() && !got.nngp[k].empty(); ++k) {
      const auto& a = left[static_cast<std::size_t>(i)][k];
      const auto& b = right[static_cast<std::size_t>(j)][k];
      const auto entry = static_cast<std::size_t>(at);
      const auto error = [&](T value, long double exact, long double size) {
        const long double difference = std::fabs(value - exact);
        const long double scaled = difference > 0 ? difference / (unit * size) : 0;
        worst = std::isnan(difference) ? std::numeric_limits<long double>::infinity()
                                       : std::fmax(worst, scaled);
      };
      error(got.nngp[k][entry], expected[k].nngp(),
            budget_size(expected[k].nngp(), std::sqrt(a.qi * b.qi)));
      error(got.ntk[k][entry], expected[k].ntk,
            budget_size(expected[k].ntk, std::sqrt(a.ntk * b.ntk)));
    }
  }
  return worst;
}

template <class T>
bool is_symmetric(const std::vector<T>& k, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < i; ++j) {
      if (!(k[static_cast<std::size_t>(i * n + j)] == k[static_cast<std::size_t>(j * n + i)])) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace gram_case
