// Inner products of Jacobians against sums over explicit derivatives.
#include "tangent/contraction.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include "backend/product.hpp"
#include "doctest.h"
#include "tangent/uses.hpp"

namespace {

using namespace ntkfast::tangent;
using ntkfast::Monitor;

struct Shape {
  std::int64_t uses, fan_in, units;
  double weight, bias;
};

// The arrays of one weight and one side.
template <class T>
struct Side {
  std::vector<T> a, s;

  Side(const Shape& shape, std::int64_t samples, std::int64_t outputs, unsigned seed)
      : a(static_cast<std::size_t>(samples * shape.uses * shape.fan_in)),
        s(static_cast<std::size_t>(samples * outputs * shape.uses * shape.units)) {
    std::mt19937 engine(seed);
    std::normal_distribution<double> normal;
    for (auto& value : a) value = static_cast<T>(normal(engine));
    for (auto& value : s) value = static_cast<T>(normal(engine));
  }
};

template <class T>
Layer<T> make_layer(const Shape& shape, const Side<T>& left, const Side<T>* right) {
  return {left.a.data(),
          left.s.data(),
          right == nullptr ? nullptr : right->a.data(),
          right == nullptr ? nullptr : right->s.data(),
          shape.uses,
          shape.fan_in,
          shape.units,
          shape.weight,
          shape.bias};
}

template <class R>
KernelView<R> view(std::vector<R>& data, Mode mode, std::int64_t n, std::int64_t m,
                   std::int64_t o) {
  if (mode == Mode::kFull) return {data.data(), mode, n, m, o, m * o * o, o * o, o, 1};
  if (mode == Mode::kTrace) return {data.data(), mode, n, m, o, m, 1, 0, 0};
  return {data.data(), mode, n, m, o, m * o, o, 1, 0};
}

std::int64_t entries(Mode mode, std::int64_t o) {
  return mode == Mode::kFull ? o * o : mode == Mode::kTrace ? 1 : o;
}

// sum over weights of d f_c / dw: (outputs, fan_in * units), then the biases times a root.
template <class T>
std::vector<double> jacobian(const Shape& shape, const Side<T>& side, std::int64_t i,
                             std::int64_t outputs) {
  std::vector<double> rows;
  for (std::int64_t c = 0; c < outputs; ++c) {
    for (std::int64_t f = 0; f <= shape.fan_in; ++f) {
      for (std::int64_t k = 0; k < shape.units; ++k) {
        double sum = 0.0;
        for (std::int64_t u = 0; u < shape.uses; ++u) {
          const auto in = static_cast<std::size_t>((i * shape.uses + u) * shape.fan_in + f);
          const auto out =
              static_cast<std::size_t>(((i * outputs + c) * shape.uses + u) * shape.units + k);
          const double a = f == shape.fan_in ? std::sqrt(shape.bias)
                                             : std::sqrt(shape.weight) * double{side.a[in]};
          sum += a * double{side.s[out]};
        }
        rows.push_back(sum);
      }
    }
  }
  return rows;
}

// Theta_{cc'} of two samples, added up over the weights.
double expected(const std::vector<std::vector<double>>& left,
                const std::vector<std::vector<double>>& right, std::int64_t outputs, std::int64_t c,
                std::int64_t d) {
  double sum = 0.0;
  for (std::size_t l = 0; l < left.size(); ++l) {
    const std::size_t width = left[l].size() / static_cast<std::size_t>(outputs);
    for (std::size_t p = 0; p < width; ++p) {
      sum += left[l][static_cast<std::size_t>(c) * width + p] *
             right[l][static_cast<std::size_t>(d) * width + p];
    }
  }
  return sum;
}

constexpr Mode kModes[] = {Mode::kFull, Mode::kTrace, Mode::kDiagonal};

// Checks every entry of both orders on the given sizes.
template <class T>
void check(const std::vector<Shape>& shapes, std::int64_t n, std::int64_t m, std::int64_t o,
           bool symmetric, double tolerance) {
  std::vector<Side<T>> left, right;
  for (unsigned k = 0; k < shapes.size(); ++k) {
    left.emplace_back(shapes[k], n, o, k);
    right.emplace_back(shapes[k], m, o, symmetric ? k : 100 + k);
  }
  std::vector<Layer<T>> layers;
  for (std::size_t k = 0; k < shapes.size(); ++k) {
    layers.push_back(make_layer(shapes[k], left[k], symmetric ? nullptr : &right[k]));
  }
  const auto all = [&](const std::vector<Side<T>>& sides, std::int64_t i) {
    std::vector<std::vector<double>> found;
    for (std::size_t k = 0; k < shapes.size(); ++k) {
      found.push_back(jacobian(shapes[k], sides[k], i, o));
    }
    return found;
  };
  for (const Mode mode : kModes) {
    for (const Order order : {Order::kPairsOfUses, Order::kWeightGradients}) {
      std::vector<double> kernel(static_cast<std::size_t>(n * m * entries(mode, o)), 1.0);
      const auto out = view(kernel, mode, n, m, o);
      contract_uses(layers, std::vector(layers.size(), order), out, {2, {}});
      if (symmetric) mirror_kernel(out, {2, {}});
      std::vector<double> written(kernel.size(), std::nan(""));
      contract_uses(layers, std::vector(layers.size(), order), view(written, mode, n, m, o),
                    {2, {}, true});
      double worst = 0.0;
      bool same = true;  // and not the NaN that was there
      for (std::size_t k = 0; k < kernel.size(); ++k) {
        same = same && std::abs(kernel[k] - 1.0 - written[k]) <= tolerance;
      }
      CHECK(same);
      for (std::int64_t i = 0; i < n; ++i) {
        const auto ours = all(left, i);
        for (std::int64_t j = 0; j < m; ++j) {
          const auto theirs = all(right, j);
          double trace = 0.0;
          for (std::int64_t c = 0; c < o; ++c) {
            for (std::int64_t d = 0; d < o; ++d) {
              const double want = expected(ours, theirs, o, c, d);
              if (c == d) trace += want / static_cast<double>(o);
              if (mode == Mode::kTrace || (mode == Mode::kDiagonal && c != d)) continue;
              const auto at = static_cast<std::size_t>(
                  mode == Mode::kFull ? ((i * m + j) * o + c) * o + d : (i * m + j) * o + c);
              worst = std::max(worst, std::abs(kernel[at] - 1.0 - want));
            }
          }
          if (mode == Mode::kTrace) {
            const auto at = static_cast<std::size_t>(i * m + j);
            worst = std::max(worst, std::abs(kernel[at] - 1.0 - trace));
          }
        }
      }
      CAPTURE(static_cast<int>(mode));
      CAPTURE(static_cast<int>(order));
      CHECK(worst <= tolerance);
    }
  }
}

}  // namespace

TEST_CASE("weights of any number of uses give the inner products of explicit derivatives") {
  const std::vector<Shape> shapes{{1, 5, 4, 0.7, 0.3}, {3, 4, 2, 1.0, 0.0}, {7, 2, 3, 0.5, 1.0}};
  for (const bool symmetric : {false, true}) {
    CAPTURE(symmetric);
    check<double>(shapes, 37, symmetric ? 37 : 41, 3, symmetric, 1e-11);
    check<float>(shapes, 37, symmetric ? 37 : 41, 3, symmetric, 1e-4);
    check<double>(shapes, 1, 1, 1, symmetric, 1e-12);
  }
}

TEST_CASE("products longer than BLAS gets at a time, and tiles that cut through a sample") {
  check<double>({{1, 1100, 3, 0.5, 0.1}, {1, 3, 700, 0.5, 0.1}}, 5, 4, 9, false, 1e-9);
  check<double>({{1, 2, 2, 0.5, 0.1}}, 30, 30, 11, true, 1e-11);
}

TEST_CASE("weights without inputs are blocks of a Jacobian") {
  check<double>({{1, 0, 600, 1.0, 1.0}, {3, 0, 4, 1.0, 2.0}}, 35, 3, 2, false, 1e-10);
}

TEST_CASE("the order with fewer multiplications is taken") {
  std::vector<float> data(1);
  const auto order = [&](std::int64_t uses, std::int64_t fan_in, std::int64_t units, Mode mode,
                         std::int64_t outputs) {
    const Layer<float> layer{nullptr, nullptr, nullptr, nullptr, uses, fan_in, units, 1.0, 0.0};
    return cheaper_order(layer, view(data, mode, 100, 100, outputs));
  };
  CHECK(order(1, 10000, 10000, Mode::kFull, 10) == Order::kPairsOfUses);
  CHECK(order(1, 1, 1, Mode::kTrace, 1) == Order::kPairsOfUses);
  CHECK(order(1024, 576, 64, Mode::kFull, 10) == Order::kWeightGradients);
  CHECK(order(1024, 576, 64, Mode::kTrace, 10) == Order::kWeightGradients);
  CHECK(order(16, 4608, 512, Mode::kFull, 10) == Order::kPairsOfUses);
  CHECK(order(2, 512, 512, Mode::kDiagonal, 10) == Order::kPairsOfUses);
  // Once uses^2 > fan_in, gradients are cheaper than pairs of uses, whatever the outputs.
  for (const Mode mode : kModes) {
    for (const std::int64_t outputs : {1, 10, 1000}) {
      CHECK(order(80, 576, 4000, mode, outputs) == Order::kWeightGradients);
    }
  }
}

TEST_CASE("the bits do not depend on threads") {
  const Shape shape{2, 30, 20, 0.5, 0.1};
  const Side<float> side(shape, 150, 3, 0);
  for (const Order order : {Order::kPairsOfUses, Order::kWeightGradients}) {
    std::vector<float> first;
    for (const int threads : {1, 2, 5}) {
      std::vector<float> kernel(150 * 150 * 9);
      contract_uses<float, float>({make_layer<float>(shape, side, nullptr)}, {order},
                                  view(kernel, Mode::kFull, 150, 150, 3), {threads, {}});
      if (first.empty()) first = kernel;
      CHECK(first == kernel);
    }
  }
}

TEST_CASE("a monitor that throws stops the work, and counts to the end otherwise") {
  const Shape shape{4, 8, 8, 0.5, 0.1};
  const Side<double> side(shape, 300, 2, 0);
  const auto layer = make_layer<double>(shape, side, nullptr);
  std::vector<double> kernel(300 * 300 * 4);
  const auto out = view(kernel, Mode::kFull, 300, 300, 2);
  std::int64_t done = 0, total = 0;
  bool forwards = true;
  const Monitor count = [&](std::int64_t d, std::int64_t t) {
    forwards = forwards && d >= done && (total == 0 || t == total);
    done = d;
    total = t;
  };
  contract_uses<double, double>({layer, layer}, {Order::kPairsOfUses, Order::kWeightGradients}, out,
                                {2, count});
  CHECK(forwards);
  CHECK(done == total);
  CHECK(total > 0);
  const Monitor stop = [](std::int64_t, std::int64_t) { throw std::runtime_error("stop"); };
  CHECK_THROWS_AS((contract_uses<double, double>({layer}, {Order::kPairsOfUses}, out, {2, stop})),
                  std::runtime_error);
}

TEST_CASE("rows that BLAS cannot address are refused") {
  std::vector<float> kernel(4);
  Layer<float> layer{nullptr, nullptr, nullptr, nullptr, 1, 0, 1, 1.0, 1.0};
  layer.units = std::numeric_limits<int>::max();
  CHECK_THROWS_AS((contract<float, float>({layer}, view(kernel, Mode::kTrace, 2, 2, 2), {1, {}})),
                  std::invalid_argument);
}

TEST_CASE("products of matrices") {
  std::mt19937 engine(3);
  std::normal_distribution<double> normal;
  for (const std::int64_t m : {0, 1, 31, 33, 300}) {
    for (const bool transposed : {false, true}) {
      const std::int64_t n = 7, k = 11;
      std::vector<double> a(static_cast<std::size_t>(m * k)), b(static_cast<std::size_t>(n * k));
      for (auto& value : a) value = normal(engine);
      for (auto& value : b) value = normal(engine);
      std::vector<double> c(static_cast<std::size_t>(m * n), -1.0);
      ntkfast::product(m, n, k, 0.5, a.data(), b.data(), transposed, c.data(), 3, Monitor());
      double worst = 0.0;
      for (std::int64_t i = 0; i < m; ++i) {
        for (std::int64_t j = 0; j < n; ++j) {
          double sum = 0.0;
          for (std::int64_t p = 0; p < k; ++p) {
            sum += a[static_cast<std::size_t>(i * k + p)] *
                   b[static_cast<std::size_t>(transposed ? j * k + p : p * n + j)];
          }
          worst = std::max(worst, std::abs(c[static_cast<std::size_t>(i * n + j)] - 0.5 * sum));
        }
      }
      CHECK(worst <= 1e-13);
    }
  }
}
