// Kernels of images against the recursion on all pairs of positions at once, by the book.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "cpu/dispatch.hpp"
#include "doctest.h"
#include "error.hpp"
#include "program/program.hpp"
#include "program/spatial_window.hpp"
#include "spatial/gram.hpp"

using ntkfast::Grid;
using ntkfast::Padding;
using ntkfast::Program;
using ntkfast::ProgramBuilder;
using ntkfast::SpatialWindow;
using ntkfast::WindowAxis;

namespace {

struct Layer {
  SpatialWindow window;
  double bias;
};

struct Network {
  std::string name;
  Grid grid;
  int channels;
  std::vector<Layer> layers;  // each a convolution with W_std^2 = 2 and ReLU
  bool flat;                  // Flatten, else the mean over all positions
};

constexpr double kWeight = M_SQRT2;

Program build(const Network& network) {
  ProgramBuilder builder;
  int value = builder.image(network.grid.height, network.grid.width, network.channels);
  for (const Layer& layer : network.layers) {
    const std::optional<double> bias = layer.bias > 0 ? std::optional(layer.bias) : std::nullopt;
    value = builder.conv(value, kWeight, bias, true, layer.window, 1, std::nullopt);
    value = builder.activation(value, "ABRelu", {0, 1});
  }
  value = network.flat ? builder.flatten(value) : builder.global_pool(value, true);
  builder.output(builder.dense(value, 1, 0, true));
  return builder.build();
}

// K and T of all pairs of positions of two images, of sizes count x count.
struct Tensor {
  Grid grid;
  std::vector<double> K, T, left, right;
  std::size_t count() const { return static_cast<std::size_t>(grid.count()); }
};

// Input positions of one output position along one axis; -1: outside.
int tap(const WindowAxis& axis, int out, int t) {
  const int in = axis.stride * out - axis.before + t;
  if (axis.circular) return (in % axis.in + axis.in) % axis.in;
  return in >= 0 && in < axis.in ? in : -1;
}

Tensor convolve(const Tensor& in, const Layer& layer) {
  const WindowAxis rows(layer.window, 0, in.grid.height), cols(layer.window, 1, in.grid.width);
  Tensor out{{rows.out, cols.out}, {}, {}, {}, {}};
  const std::size_t n = out.count(), from = in.count();
  out.K.resize(n * n);
  out.T.resize(n * n);
  out.left.resize(n);
  out.right.resize(n);
  const double weight = kWeight * kWeight / (rows.size * cols.size);
  const auto position = [&](std::size_t p, int t) {
    const auto index = static_cast<int>(p);
    const int y = tap(rows, index / cols.out, t / cols.size);
    const int x = tap(cols, index % cols.out, t % cols.size);
    return y < 0 || x < 0 ? -1 : y * in.grid.width + x;
  };
  const double constant = layer.bias * layer.bias;
  for (std::size_t p = 0; p < n; ++p) {
    for (int t = 0; t < rows.size * cols.size; ++t) {
      const int a = position(p, t);
      if (a < 0) continue;
      out.left[p] += weight * in.left[static_cast<std::size_t>(a)];
      out.right[p] += weight * in.right[static_cast<std::size_t>(a)];
    }
    out.left[p] += constant;
    out.right[p] += constant;
    for (std::size_t q = 0; q < n; ++q) {
      double K = constant, T = 0;
      for (int t = 0; t < rows.size * cols.size; ++t) {
        const int a = position(p, t), b = position(q, t);
        if (a < 0 || b < 0) continue;
        const std::size_t pair = static_cast<std::size_t>(a) * from + static_cast<std::size_t>(b);
        K += weight * in.K[pair];
        T += weight * in.T[pair];
      }
      out.K[p * n + q] = K;
      out.T[p * n + q] = T + K;
    }
  }
  return out;
}

void rectify(Tensor& tensor) {
  const std::size_t n = tensor.count();
  for (std::size_t p = 0; p < n; ++p) {
    for (std::size_t q = 0; q < n; ++q) {
      const double scale = std::sqrt(tensor.left[p] * tensor.right[q]);
      const double rho = scale > 0 ? std::clamp(tensor.K[p * n + q] / scale, -1.0, 1.0) : 0;
      const double theta = std::acos(rho);
      tensor.K[p * n + q] = scale * (std::sin(theta) + (M_PI - theta) * rho) / (2 * M_PI);
      tensor.T[p * n + q] *= (M_PI - theta) / (2 * M_PI);
    }
  }
  for (std::size_t p = 0; p < n; ++p) {
    tensor.left[p] /= 2;
    tensor.right[p] /= 2;
  }
}

struct Kernels {
  double nngp, ntk;
};

template <class T>
Kernels by_the_book(const Network& network, const T* x, const T* z) {
  Tensor tensor{network.grid, {}, {}, {}, {}};
  const std::size_t n = tensor.count(), channels = static_cast<std::size_t>(network.channels);
  const auto product = [&](const T* a, std::size_t p, const T* b, std::size_t q) {
    double sum = 0;
    for (std::size_t c = 0; c < channels; ++c) {
      sum += static_cast<double>(a[p * channels + c]) * static_cast<double>(b[q * channels + c]);
    }
    return sum / static_cast<double>(channels);
  };
  for (std::size_t p = 0; p < n; ++p) {
    tensor.left.push_back(product(x, p, x, p));
    tensor.right.push_back(product(z, p, z, p));
    for (std::size_t q = 0; q < n; ++q) tensor.K.push_back(product(x, p, z, q));
  }
  tensor.T.assign(n * n, 0);
  for (const Layer& layer : network.layers) {
    tensor = convolve(tensor, layer);
    rectify(tensor);
  }
  const std::size_t count = tensor.count();
  const auto positions = static_cast<double>(count);
  Kernels sum{0, 0};
  for (std::size_t p = 0; p < count; ++p) {
    for (std::size_t q = network.flat ? p : 0; q < (network.flat ? p + 1 : count); ++q) {
      sum.nngp += tensor.K[p * count + q];
      sum.ntk += tensor.T[p * count + q];
    }
  }
  const double size = network.flat ? positions : positions * positions;
  return {sum.nngp / size, (sum.nngp + sum.ntk) / size};
}

template <class T>
std::vector<T> random_images(const Network& network, std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<T> normal;
  std::vector<T> images(n * static_cast<std::size_t>(network.grid.count() * network.channels));
  for (T& value : images) value = normal(random);
  return images;
}

std::vector<Network> networks() {
  const SpatialWindow same{{3, 3}, {1, 1}, Padding::Same}, valid{{2, 3}, {1, 1}, Padding::Valid};
  const SpatialWindow strided{{3, 2}, {2, 1}, Padding::Same}, wide{{5, 4}, {2, 2}, Padding::Same};
  const SpatialWindow around{{3, 3}, {1, 1}, Padding::Circular},
      one{{1, 1}, {1, 1}, Padding::Valid};
  const SpatialWindow halved{{3, 1}, {2, 1}, Padding::Circular};
  std::vector<Network> cases;
  for (const bool flat : {true, false}) {
    cases.push_back({"same", {5, 6}, 3, {{same, 0.1}, {same, 0}, {same, 0.3}}, flat});
    cases.push_back({"valid", {7, 5}, 1, {{valid, 0.1}, {valid, 0.1}}, flat});
    cases.push_back({"strided", {7, 6}, 2, {{strided, 0}, {same, 0.2}}, flat});
    cases.push_back({"wide filter", {9, 8}, 2, {{wide, 0.1}, {valid, 0}}, flat});
    cases.push_back({"circular", {6, 5}, 2, {{around, 0.1}, {around, 0}, {one, 0.1}}, flat});
    cases.push_back({"circular, strided", {6, 4}, 2, {{halved, 0.1}, {around, 0.1}}, flat});
    cases.push_back({"one pixel", {1, 1}, 4, {{same, 0.1}, {one, 0}}, flat});
    cases.push_back({"one row", {1, 9}, 2, {{same, 0.1}, {one, 0}}, flat});
  }
  return cases;
}

template <class T>
void check(const Network& network, const std::string& isa, double tolerance) {
  constexpr std::size_t n = 3, m = 2;
  const Program program = build(network);
  auto x = random_images<T>(network, n, 1);
  const auto z = random_images<T>(network, m, 2);
  const std::size_t size = x.size() / n;
  std::fill_n(x.begin() + static_cast<std::ptrdiff_t>(size), size / 2,
              T(0));  // half of one is black
  std::vector<T> nngp(n * m), ntk(n * m), own_nngp(n * n), own_ntk(n * n), diagonal(n);
  const ntkfast::cpu::GramOptions options{2, isa, {}};
  ntkfast::spatial::gram<T>(program, x.data(), n, z.data(), m, {{nngp.data(), ntk.data()}},
                            options);
  ntkfast::spatial::gram<T>(program, x.data(), n, nullptr, n, {{own_nngp.data(), own_ntk.data()}},
                            options);
  ntkfast::spatial::diagonal<T>(program, x.data(), n, {{nullptr, diagonal.data()}}, options);
  double scale = 0;
  for (std::size_t i = 0; i < n; ++i) {
    scale = std::max(scale, static_cast<double>(own_ntk[i * n + i]));
  }
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < m; ++j) {
      const Kernels true_value = by_the_book(network, &x[i * size], &z[j * size]);
      CHECK(std::fabs(static_cast<double>(nngp[i * m + j]) - true_value.nngp) <= tolerance * scale);
      CHECK(std::fabs(static_cast<double>(ntk[i * m + j]) - true_value.ntk) <= tolerance * scale);
    }
    for (std::size_t j = 0; j < n; ++j) {
      // The book loses half of its digits where rho is 1: at equal positions of an image.
      const Kernels true_value = by_the_book(network, &x[i * size], &x[j * size]);
      CHECK(std::fabs(static_cast<double>(own_ntk[i * n + j]) - true_value.ntk) <=
            std::max(tolerance, 1e-7) * scale);
      CHECK(own_ntk[i * n + j] == own_ntk[j * n + i]);
    }
    CHECK(static_cast<double>(diagonal[i]) ==
          doctest::Approx(static_cast<double>(own_ntk[i * n + i])).epsilon(1e-6));
  }
}

}  // namespace

TEST_CASE("kernels of images follow the recursion on all pairs of positions") {
  for (const std::string& isa : ntkfast::cpu::available_isas()) {
    for (const Network& network : networks()) {
      CAPTURE(isa);
      CAPTURE(network.name);
      CAPTURE(network.flat);
      check<double>(network, isa, 1e-12);
      check<float>(network, isa, 2e-6);
    }
  }
}

namespace {

using Layers =
    std::vector<std::pair<SpatialWindow, bool>>;  // whether it is a pool, mean of all taps

template <class T>
std::vector<T> kernel_of(const Grid& grid, const Layers& layers, bool flat,
                         const std::string& isa) {
  constexpr std::size_t n = 3;
  ProgramBuilder builder;
  int value = builder.image(grid.height, grid.width, 2);
  for (const auto& [window, pool] : layers) {
    if (pool) {
      value = builder.pool(value, true, window, false);
    } else {
      value = builder.conv(value, kWeight, 0.1, true, window, 1, std::nullopt);
      value = builder.activation(value, "Erf", {1, 1, 0});
    }
  }
  value = flat ? builder.flatten(value) : builder.global_pool(value, true);
  builder.output(builder.dense(value, 1, 0, true));
  const Program program = builder.build();
  auto x = random_images<T>({"", grid, 2, {}, flat}, n, 3);
  const std::size_t size = x.size() / n;
  std::copy_n(x.begin(), size, x.begin() + static_cast<std::ptrdiff_t>(size));  // equal images
  std::vector<T> ntk(n * n);
  ntkfast::spatial::gram<T>(program, x.data(), n, x.data(), n, {{nullptr, ntk.data()}},
                            {2, isa, {}});
  return ntk;
}

template <class T>
void check_equal(const std::vector<T>& a, const std::vector<T>& b, double tolerance) {
  for (std::size_t k = 0; k < a.size(); ++k) {
    CHECK(std::fabs(static_cast<double>(a[k] - b[k])) <= tolerance * static_cast<double>(b[0]));
  }
}

template <class T>
void check_pools(const std::string& isa, double tolerance) {
  const Grid grid{6, 5};
  for (const Padding padding : {Padding::Same, Padding::Circular}) {
    const std::pair conv{SpatialWindow{{3, 3}, {1, 1}, padding}, false};
    const std::pair one{SpatialWindow{{1, 1}, {1, 1}, Padding::Valid}, true};
    const std::pair everything{SpatialWindow{{6, 5}, {1, 1}, Padding::Valid}, true};
    const std::pair halves{SpatialWindow{{2, 1}, {2, 1}, Padding::Valid}, true};
    const std::pair rest{SpatialWindow{{3, 5}, {3, 5}, Padding::Same}, true};
    const auto global = kernel_of<T>(grid, {conv, conv}, false, isa);
    check_equal(kernel_of<T>(grid, {conv, conv, everything}, true, isa), global, tolerance);
    check_equal(kernel_of<T>(grid, {conv, one, conv, one}, false, isa), global, tolerance);
    check_equal(kernel_of<T>(grid, {conv, conv, halves, rest}, true, isa), global, tolerance);
    const auto pooled = kernel_of<T>(grid, {conv, halves, conv, conv}, false, isa);
    check_equal(kernel_of<T>(grid, {conv, halves, conv, one, conv}, false, isa), pooled, tolerance);
    CHECK(pooled[0] == pooled[1]);  // equal images are equal behind a pool, too
    CHECK(pooled[0] == pooled[4]);
    CHECK(pooled[2] == pooled[5]);
  }
}

}  // namespace

TEST_CASE("pools one after the other are the pool of all") {
  for (const std::string& isa : ntkfast::cpu::available_isas()) {
    CAPTURE(isa);
    check_pools<double>(isa, 1e-12);
    check_pools<float>(isa, 2e-6);
  }
}

TEST_CASE("what no set of maps can do is refused") {
  const SpatialWindow same{{3, 3}, {1, 1}, Padding::Same},
      around{{3, 3}, {1, 1}, Padding::Circular};
  const SpatialWindow halved{{3, 3}, {2, 2}, Padding::Circular};
  const auto run = [](const Network& network) {
    const auto x = random_images<double>(network, 1, 1);
    double ntk = 0;
    ntkfast::spatial::gram<double>(build(network), x.data(), 1, nullptr, 1, {{nullptr, &ntk}},
                                   {1, "", {}});
  };
  CHECK_THROWS_AS(run({"mixed", {4, 4}, 1, {{same, 0}, {around, 0}}, true}),
                  ntkfast::ArchitectureError);
  CHECK_THROWS_AS(run({"odd", {5, 5}, 1, {{halved, 0}}, true}), ntkfast::ArchitectureError);
  const SpatialWindow valid{{3, 3}, {1, 1}, Padding::Valid};
  CHECK_THROWS_AS(build({"small", {2, 5}, 1, {{valid, 0}}, true}), ntkfast::ArchitectureError);
}
