// Networks over images that tests of devices share, and their kernels from the CPU engine.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "program/program.hpp"
#include "spatial/gram.hpp"

namespace image_case {

using ntkfast::Grid;
using ntkfast::Padding;
using ntkfast::Program;
using ntkfast::ProgramBuilder;
using ntkfast::SpatialWindow;

inline constexpr SpatialWindow kSame{{3, 3}, {1, 1}, Padding::Same};
inline constexpr SpatialWindow kAround{{3, 3}, {1, 1}, Padding::Circular};
inline constexpr SpatialWindow kOne{{1, 1}, {1, 1}, Padding::Valid};

// A convolution with a bias unless it is zero, and ReLU.
inline int block(ProgramBuilder& builder, int value, const SpatialWindow& window,
                 double bias = 0.1) {
  const std::optional<double> own = bias > 0 ? std::optional(bias) : std::nullopt;
  value = builder.conv(value, 1.4, own, true, window, 1, std::nullopt);
  return builder.activation(value, "ABRelu", {0, 1});
}

// The mean over all positions, that over equal ones, and a head.
inline Program finish(ProgramBuilder& builder, int value, bool flat) {
  const int readout = flat ? builder.flatten(value) : builder.global_pool(value, true);
  builder.output(readout);
  if (!flat) {
    const int hidden = builder.dense(readout, 1.2, 0.1, true);
    builder.output(builder.dense(builder.activation(hidden, "ABRelu", {0, 1}), 1, 0.1, true));
  }
  return builder.build();
}

inline const char* const kNetworks[] = {
    "same",    "plain",    "valid",   "strided", "wide", "even",     "circular", "circular strided",
    "one tap", "residual", "product", "dropout", "norm", "standard", "signed",   "erf",
    "series",  "untrained"};

inline Program network(const std::string& name, const Grid& grid, int channels, bool flat) {
  ProgramBuilder builder;
  int value = builder.image(grid.height, grid.width, channels);
  const auto conv = [&](int from, const SpatialWindow& window, double bias = 0.1,
                        bool trainable = true) {
    return builder.conv(from, 1.2, bias, trainable, window, 4, std::nullopt);
  };
  if (name == "same") {
    for (const double bias : {0.1, 0.0, 0.3}) value = block(builder, value, kSame, bias);
  } else if (name == "plain") {
    for (int k = 0; k < 2; ++k) value = block(builder, value, kSame, 0);
  } else if (name == "valid") {
    value = block(builder, value, {{2, 3}, {1, 1}, Padding::Valid});
    value = block(builder, value, {{3, 2}, {1, 1}, Padding::Valid});
  } else if (name == "strided") {
    value = block(builder, value, {{3, 2}, {2, 1}, Padding::Same});
    value = block(builder, value, kSame);
  } else if (name == "wide") {
    value = block(builder, value, {{5, 5}, {1, 1}, Padding::Same});
    value = block(builder, value, {{5, 4}, {2, 2}, Padding::Same});
  } else if (name == "even") {
    value = block(builder, value, {{2, 4}, {1, 1}, Padding::Same});
  } else if (name == "circular") {
    value = block(builder, block(builder, block(builder, value, kAround), kOne), kAround, 0);
  } else if (name == "circular strided") {
    value = block(builder, value, {{3, 3}, {2, 1}, Padding::Circular});
    value = block(builder, value, kAround);
  } else if (name == "one tap") {
    value = block(builder, block(builder, value, kOne), kSame);
  } else if (name == "residual") {
    value = block(builder, value, kSame);
    for (int k = 0; k < 2; ++k) {
      const int inner = conv(block(builder, value, kSame), kSame, 0);
      value = builder.fan_in_sum(inner, conv(value, kOne, 0));
      value = builder.activation(value, "ABRelu", {0.1, 1});
    }
  } else if (name == "product") {
    value = builder.fan_in_product(block(builder, value, kSame), conv(value, kSame, 0.1, false));
    value = block(builder, value, kSame);
  } else if (name == "dropout") {
    value = builder.dropout(block(builder, value, kSame), 0.8);
    value = builder.dropout(block(builder, value, kSame), 0.5);
  } else if (name == "norm") {
    value = builder.activation(builder.layer_norm(conv(value, kSame), 1e-5), "ABRelu", {0, 1});
    value = builder.layer_norm(conv(value, kSame), 1e-3);
    value = builder.activation(value, "Erf", {1, 0.7, 0.2});
  } else if (name == "standard") {
    value = builder.conv(value, 1.3, 0.1, true, kSame, 8, 1.0);
    value = builder.activation(value, "ABRelu", {0, 1});
    value = builder.conv(value, 1.3, std::nullopt, true, kSame, 8, 2.0);
    value = builder.activation(value, "ABRelu", {0, 1});
  } else if (name == "signed") {
    value = conv(builder.activation(conv(value, kSame), "Erf", {1, 1, 0}), kSame);
    value = conv(builder.activation(value, "Sinusoid", {1, 0.9, 0.3}), kSame);
  } else if (name == "erf") {
    value = builder.activation(conv(value, kSame), "Erf", {1, 0.7, 0.2});
    value = builder.activation(conv(value, kSame, 0.1, false), "Gelu", {});
  } else if (name == "series") {
    value = builder.hermite_series(conv(value, kSame), "Polynomial", 1, {0.3, -1, 0.2, 0.5});
    value = block(builder, value, kSame);
  } else {  // untrained
    value = builder.activation(conv(value, kSame, 0.1, false), "ABRelu", {0, 1});
    value = builder.activation(conv(value, kSame, 0, false), "RectifiedMonomial", {2});
  }
  return finish(builder, value, flat);
}

// Normal pixels; of two or more images the second is half black, and with `near` the last of three
// is nearly the first: layers behind a readout then amplify the rounding of its K.
template <class T>
std::vector<T> images(const Grid& grid, int channels, std::int64_t n, unsigned seed,
                      bool near = true) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  const auto size = static_cast<std::size_t>(grid.count() * channels);
  const auto count = static_cast<std::size_t>(n);
  std::vector<T> all(count * size);
  for (T& value : all) value = static_cast<T>(normal(random));
  if (n < 2) return all;
  for (std::size_t k = 0; k < size / 2; ++k) all[size + k] = T(0);
  if (n < 3 || !near) return all;
  for (std::size_t k = 0; k < size; ++k) {
    all[(count - 1) * size + k] = all[k] * T(1 + 1e-3 * normal(random));
  }
  return all;
}

template <class T>
struct Kernels {
  std::vector<std::vector<T>> nngp, ntk;  // per output
  friend bool operator==(const Kernels&, const Kernels&) = default;

  Kernels(const Program& program, std::int64_t n, std::int64_t m, T value)
      : nngp(static_cast<std::size_t>(program.outputs),
             std::vector<T>(static_cast<std::size_t>(n * m), value)),
        ntk(nngp) {}
  std::vector<ntkfast::cpu::GramOutput<T>> outputs() {
    std::vector<ntkfast::cpu::GramOutput<T>> pointers;
    for (std::size_t k = 0; k < nngp.size(); ++k)
      pointers.push_back({nngp[k].data(), ntk[k].data()});
    return pointers;
  }
};

// From the CPU engine; z null: symmetric.
template <class T>
Kernels<T> on_cpu(const Program& program, const T* x, std::int64_t n, const T* z, std::int64_t m) {
  Kernels<T> kernels(program, n, z == nullptr ? n : m, T(0));
  ntkfast::spatial::gram<T>(program, x, n, z, m, kernels.outputs(), {2, "", {}});
  return kernels;
}

// Largest difference in units of the roundoff of T times the largest entry of each matrix.
template <class T>
double worst_difference(const Kernels<T>& a, const Kernels<T>& b) {
  double worst = 0;
  const auto compare = [&](const std::vector<T>& one, const std::vector<T>& other) {
    double scale = 0;
    for (const T value : one) scale = std::max(scale, std::fabs(static_cast<double>(value)));
    for (std::size_t k = 0; k < one.size(); ++k) {
      const double apart = std::fabs(static_cast<double>(one[k]) - static_cast<double>(other[k]));
      const double units = apart == 0 ? 0 : apart / (scale * std::numeric_limits<T>::epsilon());
      worst =
          std::isfinite(units) ? std::max(worst, units) : std::numeric_limits<double>::infinity();
    }
  };
  for (std::size_t k = 0; k < a.nngp.size(); ++k) {
    compare(a.nngp[k], b.nngp[k]);
    compare(a.ntk[k], b.ntk[k]);
  }
  return worst;
}

// What two orders of adding may differ by, in the units above: some roundings of each term, and in
// double the random walk of all pairs of positions, which are added one by one (float is added in
// double).
template <class T>
double roundings(const Grid& grid) {
  return 16 + (sizeof(T) == 8 ? static_cast<double>(grid.count()) : 0);
}

}  // namespace image_case
