// Dual tables made by hand for cubic polynomials, whose duals are polynomials: rows and pairs of
// both signs, on every instruction set. With u, v of variances q, q' and p p' rho = E[uv],
//   phi(x) = a + b x + d x^2 + g x^3:
//   mean    a + d q,
//   odd     (b + 3 g q) (b + 3 g q') p p' rho + 6 g^2 (p p' rho)^3,
//   even    2 d^2 (p p' rho)^2,
// and E[phi'(u) phi'(v)] = (b + 3 g q) (b + 3 g q') + 4 d^2 p p' rho + 18 g^2 (p p' rho)^2.
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "cpu/dispatch.hpp"
#include "gram_case.hpp"
#include "program/dual_table.hpp"

namespace {

using ntkfast::DualTable;
using ntkfast::Program;
using ntkfast::ProgramBuilder;

constexpr double kPi = 3.14159265358979323846;
constexpr double kLow = 0.5, kHigh = 1.6, kStretch = 1.7;  // rows p and the variable of the table
constexpr int kTerms = 26;

template <class Real>
struct Cubic {
  Real a, b, d, g;

  Real slope(Real q) const { return b + 3 * g * q; }
  Real kernel(Real q, Real r, Real k) const {
    return (a + d * q) * (a + d * r) + slope(q) * slope(r) * k + 2 * d * d * k * k +
           6 * g * g * k * k * k;
  }
  Real derivative(Real q, Real r, Real k) const {
    return slope(q) * slope(r) + 4 * d * d * k + 18 * g * g * k * k;
  }
};

double node(int i, int size) { return std::cos(kPi * (i + 0.5) / size); }

// Coefficients of T_0, T_1, ... from values at the nodes.
std::vector<double> transform(const std::vector<double>& values) {
  const int size = static_cast<int>(values.size());
  std::vector<double> c(values.size());
  for (int k = 0; k < size; ++k) {
    double sum = 0;
    for (int i = 0; i < size; ++i) {
      sum += values[static_cast<std::size_t>(i)] * std::cos(kPi * k * (i + 0.5) / size);
    }
    c[static_cast<std::size_t>(k)] = sum * (k == 0 ? 1.0 : 2.0) / size;
  }
  return c;
}

double root_at(double t) {
  const double low = std::asinh(kStretch * kLow), high = std::asinh(kStretch * kHigh);
  return std::sinh(0.5 * (low + high) + 0.5 * (high - low) * t) / kStretch;
}

// Coefficients [a][b] of a function of two rows, given at p(t), p(t') and (t - t')^2: the nodes of
// one side are never those of the other.
std::vector<double> square(const std::function<double(double, double, double)>& f) {
  std::vector<std::vector<double>> by_row;
  for (int i = 0; i < kTerms; ++i) {
    std::vector<double> values;
    for (int j = 0; j <= kTerms; ++j) {
      const double t = node(i, kTerms), other = node(j, kTerms + 1);
      values.push_back(f(root_at(t), root_at(other), (t - other) * (t - other)));
    }
    by_row.push_back(transform(values));
  }
  std::vector<double> out(static_cast<std::size_t>(kTerms) * kTerms);
  for (std::size_t b = 0; b < kTerms; ++b) {
    std::vector<double> column;
    for (const auto& row : by_row) column.push_back(row[b]);
    const auto c = transform(column);
    for (std::size_t a = 0; a < kTerms; ++a) out[a * kTerms + b] = c[a];
  }
  return out;
}

std::vector<double> series(const std::function<double(double)>& f) {
  std::vector<double> values;
  for (int i = 0; i < kTerms; ++i) values.push_back(f(root_at(node(i, kTerms))));
  return transform(values);
}

DualTable::Data table_of(const Cubic<double>& phi) {
  const double a = phi.a, d = phi.d, g = phi.g;
  const auto size = [=](double p) { return std::sqrt(phi.kernel(p * p, p * p, p * p)); };
  const auto slope = [=](double p) { return p * std::sqrt(phi.derivative(p * p, p * p, p * p)); };
  const auto small = [=](double p) { return p / std::hypot(a, p); };
  const auto odd = [=](double p) {  // the orders 1 and 3, over the scale of the row
    const double scale = size(p) * small(p);
    return std::array<double, 2>{p * phi.slope(p * p) / scale,
                                 std::sqrt(6) * g * p * p * p / scale};
  };
  const auto even = [=](double p) {
    return std::sqrt(2) * d * p * p / (size(p) * small(p) * small(p));
  };
  DualTable::Data data;
  data.low = std::asinh(kStretch * kLow);
  data.high = std::asinh(kStretch * kHigh);
  data.stretch = kStretch;
  data.at_zero = a;
  data.odd = phi.b != 0 || g != 0;
  data.even = d != 0;
  data.pure = data.odd && !data.even && a == 0;
  data.mixed = true;
  data.degree_t = kTerms;
  data.degree_x = 2;  // all is linear in mu: f0 + f1 mu = (f0 + f1 / 2) + f1 / 2 x
  data.rows = {
      series([=](double p) { return (a + d * p * p) / size(p); }),
      series([=](double p) { return odd(p)[0] * odd(p)[0] + odd(p)[1] * odd(p)[1]; }),
      series([=](double p) { return even(p) * even(p); }),
      series([=](double p) {
        return slope(p) / (size(p) * small(p) * std::sqrt(std::hypot(1.0, p)));
      }),
      series([=](double p) { return std::log(size(p) / std::hypot(a, p)); }),
  };
  const auto append = [&](auto constant, auto linear) {
    const auto zero = square(constant), one = square(linear);
    for (std::size_t k = 0; k < zero.size(); ++k) {
      data.pair.push_back(zero[k] + 0.5 * one[k]);
      data.pair.push_back(0.5 * one[k]);
    }
  };
  const auto nothing = [](double, double, double) { return 0.0; };
  if (data.odd) append([=](double p, double r, double) { return odd(p)[1] * odd(r)[1]; }, nothing);
  if (data.even) append([=](double p, double r, double) { return even(p) * even(r); }, nothing);
  if (data.odd) {
    const auto cubic = [=](double p, double r, double) {
      return 18 * g * g * std::pow(p * r, 3) / (slope(p) * slope(r));
    };
    append(
        [=](double p, double r, double gap) {
          return p * r * phi.slope(p * p) * phi.slope(r * r) / (slope(p) * slope(r)) +
                 cubic(p, r, gap);
        },
        [=](double p, double r, double gap) { return -cubic(p, r, gap); });
  }
  if (data.even) {
    append(
        [=](double p, double r, double) {
          return 4 * d * d * p * p * r * r / (slope(p) * slope(r) * small(p) * small(r));
        },
        nothing);
  }
  const auto excess = [&](auto distance) {
    const auto c =
        square([=](double p, double r, double gap) { return 0.5 * distance(p, r) / gap; });
    data.excess.insert(data.excess.end(), c.begin(), c.end());
  };
  if (data.odd) {
    excess([=](double p, double r) {
      const auto u = odd(p), v = odd(r);
      return (u[0] - v[0]) * (u[0] - v[0]) + (u[1] - v[1]) * (u[1] - v[1]);
    });
  }
  if (data.even) {
    excess([=](double p, double r) { return (even(p) - even(r)) * (even(p) - even(r)); });
  }
  return data;
}

const Cubic<double> kCubics[] = {
    {0.7, 0.9, 0.3, 0.05},   // all parts, no correlation is sure of its sign
    {0, 0.8, 0, 0.2},        // odd alone
    {0, 0.6, -0.4, 0},       // no constant, and a mean
    {-0.5, 0.7, 0, 0.1},     // odd and a constant
    {0.4, 0, 0.5, 0},        // even alone
    {0.3, 0.5, -0.25, 0.1},  // a mean that changes its sign over the rows
};

// T = K E[phi' phi'] where the first layer alone is trained; with a kink behind, E[phi' phi'] of
// that too.
Program program(const DualTable::Data& data, bool kink) {
  ProgramBuilder builder;
  int value = builder.dense(builder.input(), 1, 0, true);
  value = builder.dense(builder.table(value, std::make_shared<const DualTable>(data), "Cubic"), 1,
                        0, false);
  if (kink) value = builder.dense(builder.activation(value, "ABRelu", {0, 1}), 1, 0, false);
  builder.output(value);
  return builder.build();
}

// Rows with K from kLow^2 to kHigh^2, some of one norm; among them equal, nearly equal and nearly
// opposite ones.
template <class T>
std::vector<T> rows(std::int64_t n, std::int64_t d) {
  auto x = gram_case::rows<T>(n, d, 11);
  const auto width = static_cast<std::size_t>(d);
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
    double sum = 0;
    for (std::size_t k = 0; k < width; ++k) {
      if (i % 7 == 6) {
        const double noise = 1e-5 * static_cast<double>(x[i * width + k]);
        const double near = static_cast<double>(x[(i - 1) * width + k]) + noise;
        x[i * width + k] = static_cast<T>(i % 2 == 0 ? -near : near);
      }
      sum += std::pow(static_cast<double>(x[i * width + k]), 2) / static_cast<double>(d);
    }
    if (i % 7 == 6) continue;
    const double p = i % 3 == 0 ? 1.0 : 1.01 * kLow + 0.03 * static_cast<double>(i);
    for (std::size_t k = 0; k < width; ++k) {
      x[i * width + k] = static_cast<T>(static_cast<double>(x[i * width + k]) * p / std::sqrt(sum));
    }
  }
  return x;
}

}  // namespace

TEST_CASE_TEMPLATE("a table equals the polynomial it was made of", T, float, double) {
  constexpr std::int64_t n = 35, d = 3;
  const auto x = rows<T>(n, d);
  for (const auto& each : kCubics) {
    const Cubic<long double> phi{each.a, each.b, each.d, each.g};
    const DualTable::Data data = table_of(each);
    for (const bool kink : {false, true}) {
      const Program with = program(data, kink);
      for (const std::string& isa : ntkfast::cpu::available_isas()) {
        CAPTURE(each.a);
        CAPTURE(each.d);
        CAPTURE(kink);
        CAPTURE(isa);
        const auto found = gram_case::gram<T>(with, x, nullptr, d, {1, isa, {}});
        double worst = 0;
        for (std::int64_t i = 0; i < n; ++i) {
          for (std::int64_t j = 0; j < n; ++j) {
            if (i == j) continue;
            long double q = 0, r = 0, k = 0;
            for (std::int64_t c = 0; c < d; ++c) {
              const long double u = x[static_cast<std::size_t>(i * d + c)];
              const long double v = x[static_cast<std::size_t>(j * d + c)];
              q += u * u / d, r += v * v / d, k += u * v / d;
            }
            long double size = std::sqrt(phi.kernel(q, q, q) * phi.kernel(r, r, r));
            long double slopes = phi.derivative(q, q, q) * phi.derivative(r, r, r) * q * r;
            long double nngp = phi.kernel(q, r, k), ntk = k * phi.derivative(q, r, k);
            if (kink) {
              const long double rho = std::fmax(-1.0L, std::fmin(1.0L, nngp / size));
              const long double angle = std::acos(rho);
              nngp = size / (2 * kPi) * (std::sin(angle) + (kPi - angle) * rho);
              ntk *= (kPi - angle) / (2 * kPi);
              size /= 2, slopes /= 4;
            }
            const auto at = static_cast<std::size_t>(i * n + j);
            worst =
                std::fmax(worst, static_cast<double>(std::fabs(found.nngp[0][at] - nngp) / size));
            worst = std::fmax(
                worst, static_cast<double>(std::fabs(found.ntk[0][at] - ntk) / std::sqrt(slopes)));
          }
        }
        CHECK(worst <= (std::is_same_v<T, float> ? 2e-6 : 1e-12));
      }
    }
  }
}

TEST_CASE("rows of a table are those of the polynomial, in and at the ends of the range") {
  for (const auto& phi : kCubics) {
    const DualTable table(table_of(phi));
    for (const double p : {kLow, 0.77, 1.3, kHigh}) {
      double columns[ntkfast::kTableColumns];
      const ntkfast::RowStep step = table.row(p, columns);
      const double q = p * p, second = phi.kernel(q, q, q);
      CHECK(step.p == doctest::Approx(std::sqrt(second)).epsilon(1e-13));
      CHECK(step.gain == doctest::Approx(q * phi.derivative(q, q, q) / second).epsilon(1e-12));
      const double squares = columns[ntkfast::kTableConstant] * columns[ntkfast::kTableConstant] +
                             columns[ntkfast::kTableOddScale] * columns[ntkfast::kTableOddShare] +
                             columns[ntkfast::kTableEvenScale] * columns[ntkfast::kTableEvenShare];
      CHECK(squares == doctest::Approx(1).epsilon(1e-13));
    }
    double columns[ntkfast::kTableColumns];
    const ntkfast::RowStep zero = table.row(0, columns);
    CHECK(zero.p == std::fabs(phi.a));
    CHECK(std::isfinite(zero.gain));
    if (phi.a != 0) CHECK(columns[ntkfast::kTableConstant] == std::copysign(1.0, phi.a));
  }
}

TEST_CASE("tables whose numbers do not fit together are refused") {
  const auto refused = [](auto&& change) {
    DualTable::Data data = table_of(kCubics[0]);
    change(data);
    CHECK_THROWS_AS(DualTable{data}, std::invalid_argument);
  };
  refused([](auto& data) { data.pair.pop_back(); });
  refused([](auto& data) { data.excess.push_back(0); });
  refused([](auto& data) { data.rows[3].clear(); });
  refused([](auto& data) { data.degree_t = 0; });
  refused([](auto& data) { data.degree_x = ntkfast::PairTable<double>::kMaxDegreeX + 1; });
  refused([](auto& data) { data.high = data.low - 1; });
  refused([](auto& data) { data.kappa = std::nan(""); });
  refused([](auto& data) { data.stretch = 0; });
  refused([](auto& data) { data.even = false; });
}
