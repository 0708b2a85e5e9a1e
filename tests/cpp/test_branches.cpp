// Joined branches, dropout and LayerNorm: deficits against long double, legality, buffers.
#include "math/branches.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "doctest.h"
#include "error.hpp"
#include "program/program.hpp"
#include "program/row_tables.hpp"
#include "reference_kernel.hpp"

namespace {

using ntkfast::ArchitectureError;
using ntkfast::Op;
using ntkfast::OpKind;
using ntkfast::Program;
using ntkfast::ProgramBuilder;
using ntkfast::RowTables;
using ntkfast::Value;

const std::vector<double> kRelu = {0, 1}, kErf = {1, 1, 0};

template <class T>
constexpr long double kUnit = std::numeric_limits<T>::epsilon() / 2;

// Signed deficits of both ends and the middle.
const double kDeficits[] = {0.0,  1e-30, 1e-7,   0.01,   0.3,   0.7,   1.0,
                            -0.0, -1e-9, -0.003, -0.499, -0.99, -1e-25};

// A pair at covariance q = q' = 1.
reference::Pair pair(double s) {
  const long double m = std::fabs(s);
  return std::signbit(s) ? reference::Pair{1, 1, 2 - m, m, 0} : reference::Pair{1, 1, m, 2 - m, 0};
}

// Relative error of the nearer end, in units of the last place.
template <class T>
long double end_error(T s, long double minus, long double plus) {
  const long double want = std::fmin(minus, plus), got = std::fabs(s);
  const bool right_end = std::signbit(s) == (plus < minus) || std::fabs(minus - plus) < 1e-6L;
  if (!right_end) return std::numeric_limits<long double>::infinity();
  return want == got ? 0 : std::fabs(got - want) / (kUnit<T> * want);
}

const Value& value_of(const Program& program, int value) {
  return program.values[static_cast<std::size_t>(value)];
}

}  // namespace

TEST_CASE_TEMPLATE("sums of covariances keep both ends", T, float, double) {
  long double worst = 0;
  for (const double s1 : kDeficits) {
    for (const double s2 : kDeficits) {
      for (const double size1 : {0.0, 1e-4, 0.5, 1.0, 1.0001, 30.0}) {
        for (const double size2 : {0.0, 1e-4, 0.5, 1.0, 1.0001, 30.0}) {
          // Branch 1 has root 1, branch 2 of the two rows the roots size1 and size2.
          const T a1 = static_cast<T>(1 / std::hypot(1, size1)), a2 = static_cast<T>(size1) * a1;
          const T b1 = static_cast<T>(1 / std::hypot(1, size2)), b2 = static_cast<T>(size2) * b1;
          const auto p1 = pair(static_cast<T>(s1)), p2 = pair(static_cast<T>(s2));
          const long double d1 = static_cast<long double>(a1) - b1,
                            d2 = static_cast<long double>(a2) - b2, apart = (d1 * d1 + d2 * d2) / 2;
          const long double w1 = static_cast<long double>(a1) * b1,
                            w2 = static_cast<long double>(a2) * b2;
          const long double minus = w1 * p1.minus + w2 * p2.minus + apart,
                            plus = w1 * p1.plus + w2 * p2.plus + apart;
          const T got = ntkfast::sum_deficit<T, true, true>(static_cast<T>(s1), static_cast<T>(s2),
                                                            a1, a2, b1, b2);
          worst = std::fmax(worst, end_error<T>(got, minus, plus));
          if (s1 < 0 || std::signbit(s1)) continue;
          const T mixed = ntkfast::sum_deficit<T, false, true>(static_cast<T>(s1),
                                                               static_cast<T>(s2), a1, a2, b1, b2);
          CHECK(mixed == got);
          if (s2 < 0 || std::signbit(s2)) continue;
          const T positive = ntkfast::sum_deficit<T, false, false>(
              static_cast<T>(s1), static_cast<T>(s2), a1, a2, b1, b2);
          CHECK(std::fabs(positive - static_cast<T>(minus)) <= 8 * kUnit<T> * minus);
        }
      }
    }
  }
  CHECK(worst <= 8);
}

TEST_CASE("rounding below zero of an unsigned branch does not pass for opposite rows") {
  const double r = std::sqrt(0.5);
  const double s = ntkfast::sum_deficit<double, false, true>(-1e-20, 0.0, r, r, r, r);
  CHECK(s == 0);
  CHECK_FALSE(std::signbit(s));
}

TEST_CASE_TEMPLATE("products of covariances keep both ends", T, float, double) {
  long double worst = 0;
  for (const double s1 : kDeficits) {
    for (const double s2 : kDeficits) {
      const T t1 = static_cast<T>(s1), t2 = static_cast<T>(s2);
      const auto want = reference::product(pair(t1), pair(t2));
      const T got = ntkfast::product_deficit<T, true, true>(t1, t2);
      if (std::fabs(s1) == 1 || std::fabs(s2) == 1) {  // rho = 0 has any sign
        CHECK(std::fabs(got) == T(1));
        continue;
      }
      CHECK(std::signbit(got) == (std::signbit(s1) != std::signbit(s2)));
      worst = std::fmax(worst, end_error<T>(got, want.minus, want.plus));
      if (!std::signbit(s1)) CHECK(ntkfast::product_deficit<T, false, true>(t1, t2) == got);
      if (!std::signbit(s2)) CHECK(ntkfast::product_deficit<T, true, false>(t1, t2) == got);
    }
  }
  CHECK(worst <= 4);
}

TEST_CASE_TEMPLATE("dropout moves both ends towards zero correlation", T, float, double) {
  for (const double s : kDeficits) {
    for (const double keep : {1e-3, 0.5, 0.999}) {
      const T r = static_cast<T>(keep), drop = static_cast<T>(1 - keep), t = static_cast<T>(s);
      const T got = ntkfast::dropout_deficit<T, true>(t, r, drop);
      CHECK(std::signbit(got) == std::signbit(s));
      const long double want = drop + static_cast<long double>(r) * std::fabs(t);
      CHECK(std::fabs(std::fabs(got) - want) <= 3 * kUnit<T> * want);
    }
  }
}

TEST_CASE("branches must be independent where they are added or multiplied") {
  ProgramBuilder builder;
  const int trunk = builder.dense(builder.input(), 1, 0, true);
  const int relu = builder.activation(trunk, "ABRelu", kRelu);
  const int fresh = builder.dense(relu, 1, 0, true);
  const int sum = builder.fan_in_sum(trunk, fresh);  // a residual block
  for (const int other : {trunk, relu, sum, builder.layer_norm(trunk, 0)}) {
    const auto wanted = doctest::Contains("which are not independent: both reach back");
    CHECK_THROWS_WITH_AS(builder.fan_in_sum(trunk, other), wanted, ArchitectureError);
    CHECK_THROWS_WITH_AS(builder.fan_in_product(other, trunk), wanted, ArchitectureError);
    CHECK_NOTHROW(builder.fan_in_concat(trunk, other));
  }
  CHECK_THROWS_WITH_AS(
      builder.fan_in_sum(sum, fresh),
      doctest::Contains("joins FanInSum (layer 4) and Dense (layer 3), which are not independent"),
      ArchitectureError);
}

TEST_CASE("one branch of a sum may have a mean") {
  ProgramBuilder builder;
  const int x = builder.input();
  const int a = builder.activation(builder.dense(x, 1, 0, true), "ABRelu", kRelu);
  const int b = builder.activation(builder.dense(x, 1, 0, true), "ABRelu", kRelu);
  const int c = builder.dense(x, 1, 0, true);
  CHECK_THROWS_WITH_AS(builder.fan_in_sum(a, b),
                       doctest::Contains("ABRelu (layer 2) and ABRelu (layer 4), both of which may "
                                         "have a mean that is not zero"),
                       ArchitectureError);
  const int sum = builder.fan_in_sum(a, c);
  CHECK_THROWS_AS(builder.fan_in_sum(sum, b), ArchitectureError);
  CHECK_THROWS_AS(builder.fan_in_sum(x, b), ArchitectureError);
  CHECK_NOTHROW(builder.fan_in_product(a, b));
  CHECK_NOTHROW(builder.fan_in_sum(x, c));
  // A factor of mean zero makes a product of mean zero.
  CHECK_NOTHROW(builder.fan_in_sum(builder.fan_in_product(a, c), b));
}

TEST_CASE("what is Gaussian, has mean zero, may be negative or has a tangent kernel") {
  ProgramBuilder builder;
  const int x = builder.input(5);
  const int a = builder.dense(x, 1, 0, false, 2), b = builder.dense(x, 1, 0, true, 3);
  const int phi = builder.activation(builder.dense(x, 1, 0, false, 4), "ABRelu", kRelu);
  const int sum = builder.fan_in_sum(a, b), with_mean = builder.fan_in_sum(a, phi);
  const int product = builder.fan_in_product(a, phi), concat = builder.fan_in_concat(a, b);
  const int norm = builder.layer_norm(sum, 1e-12), dropped = builder.dropout(b, 0.5);
  const int squares = builder.fan_in_product(phi, b);
  builder.output(norm);
  CHECK(builder.dropout(b, 1) == b);
  const Program program = builder.build();
  for (const int k : {sum, norm}) CHECK(value_of(program, k).gaussian);
  for (const int k : {with_mean, product, concat, dropped}) {
    CHECK_FALSE(value_of(program, k).gaussian);
  }
  for (const int k : {sum, product, concat, norm, dropped}) CHECK(value_of(program, k).mean_zero);
  for (const int k : {x, phi, with_mean}) CHECK_FALSE(value_of(program, k).mean_zero);
  for (const int k : {sum, concat, norm, dropped, squares}) CHECK(value_of(program, k).has_ntk);
  for (const int k : {a, with_mean, product}) CHECK_FALSE(value_of(program, k).has_ntk);
  CHECK_FALSE(value_of(program, phi).signed_rho);
  for (const int k : {sum, with_mean, product}) CHECK(value_of(program, k).signed_rho);
  CHECK(value_of(program, concat).width == 5);
  CHECK(value_of(program, sum).width == ntkfast::kMixedWidths);
  CHECK(value_of(program, dropped).width == 3);
}

TEST_CASE("refusals give their reason") {
  ProgramBuilder builder;
  const int x = builder.input();
  const int z = builder.dense(x, 1, 0, true, 3), y = builder.dense(x, 1, 0, true, 4);
  const int relu = builder.activation(z, "ABRelu", kRelu);
  const int sum = builder.fan_in_sum(z, y), concat = builder.fan_in_concat(z, y);
  CHECK_THROWS_WITH_AS(builder.layer_norm(relu, 0), doctest::Contains("a mean that is not zero"),
                       ArchitectureError);
  CHECK_THROWS_AS(builder.layer_norm(x, 0), ArchitectureError);
  CHECK_THROWS_WITH_AS(builder.layer_norm(z, -1), doctest::Contains("eps"), ArchitectureError);
  CHECK_THROWS_WITH_AS(builder.dropout(x, 0.5), doctest::Contains("finitely many"),
                       ArchitectureError);
  for (const double keep : {0.0, -1.0, 1.5, std::nan("")}) {
    CHECK_THROWS_WITH_AS(builder.dropout(z, keep), doctest::Contains("(0, 1]"), ArchitectureError);
  }
  for (const int value : {concat, builder.dropout(z, 0.5), builder.fan_in_product(z, y)}) {
    CHECK_THROWS_WITH_AS(builder.activation(value, "Erf", kErf),
                         doctest::Contains("not a mean-zero Gaussian"), ArchitectureError);
  }
  CHECK_THROWS_WITH_AS(builder.dense_standard(sum, 1, {}, true, 1, 1),
                       doctest::Contains("number of channels of FanInSum (layer 4), before which "
                                         "branches of different widths are joined"),
                       ArchitectureError);
  CHECK_THROWS_AS(builder.fan_in_concat(z, sum), ArchitectureError);
  CHECK_THROWS_WITH_AS(builder.dense_standard(z, 1, {}, true, 1, 0), doctest::Contains("Dense: s"),
                       ArchitectureError);
  for (const int bad : {-1, 1000}) {
    CHECK_THROWS_AS(builder.fan_in_sum(z, bad), ArchitectureError);
    CHECK_THROWS_AS(builder.fan_in_product(bad, z), ArchitectureError);
    CHECK_THROWS_AS(builder.fan_in_concat(z, bad), ArchitectureError);
    CHECK_THROWS_AS(builder.layer_norm(bad, 0), ArchitectureError);
    CHECK_THROWS_AS(builder.dropout(bad, 0.5), ArchitectureError);
  }
}

namespace {

// Walks the ops and checks that every op finds the values that it reads. A norm hands on what is in
// its buffer: the pairs of its result are those of its input.
void check_buffers(const Program& program, bool rows) {
  std::vector<int> origin(program.values.size());
  for (std::size_t v = 0; v < origin.size(); ++v) origin[v] = static_cast<int>(v);
  std::vector<int> held(static_cast<std::size_t>(rows ? program.row_slots : program.slots), -1);
  const auto buffer = [&](int value) -> int& {
    const Value& v = value_of(program, value);
    const int slot = rows ? v.row_slot : v.slot;
    REQUIRE(slot >= 0);
    REQUIRE(slot < static_cast<int>(held.size()));
    return held[static_cast<std::size_t>(slot)];
  };
  buffer(0) = 0;
  for (const Op& op : program.ops) {
    CHECK(buffer(op.in) == origin[static_cast<std::size_t>(op.in)]);
    if (op.in2 >= 0) CHECK(buffer(op.in2) == origin[static_cast<std::size_t>(op.in2)]);
    if (op.kind == OpKind::Output) continue;
    if (op.kind == OpKind::LayerNorm && !rows) {
      origin[static_cast<std::size_t>(op.out)] = origin[static_cast<std::size_t>(op.in)];
      CHECK(value_of(program, op.out).slot == value_of(program, op.in).slot);
    } else {
      buffer(op.out) = op.out;
    }
  }
}

}  // namespace

TEST_CASE("a residual chain needs two buffers, with a norm as well") {
  for (const bool norm : {false, true}) {
    ProgramBuilder builder;
    int value = builder.dense(builder.input(), 1, 0, true);
    for (int k = 0; k < 5; ++k) {
      const int in = norm ? builder.layer_norm(value, 1e-12) : value;
      const int branch = builder.dense(builder.activation(in, "ABRelu", kRelu), 1, 0, true);
      value = builder.fan_in_sum(value, branch);
    }
    builder.output(value);
    const Program program = builder.build();
    CHECK(program.slots == 2);
    check_buffers(program, false);
    check_buffers(program, true);
  }
}

TEST_CASE("random programs with joins and norms keep every value until its last reader") {
  std::mt19937 random(11);
  int joins = 0;
  for (int round = 0; round < 200; ++round) {
    ProgramBuilder builder;
    std::vector<int> values = {builder.input()};
    const auto any = [&] { return values[random() % values.size()]; };
    for (int k = 0; k < 20; ++k) {
      try {
        switch (random() % 7) {
          case 0:
          case 1:
            values.push_back(builder.dense(any(), 1, 0.1, true));
            break;
          case 2:
            values.push_back(builder.activation(any(), "ABRelu", kRelu));
            break;
          case 3:
            values.push_back(builder.layer_norm(any(), 1e-12));
            break;
          case 4:
            values.push_back(builder.fan_in_sum(any(), any()));
            ++joins;
            break;
          case 5:
            values.push_back(builder.fan_in_product(any(), any()));
            break;
          default:
            values.push_back(builder.fan_in_concat(any(), any()));
        }
      } catch (const ArchitectureError&) {  // refused: draw another
      }
      if (random() % 5 == 0) builder.output(any());
    }
    builder.output(values.back());
    const Program program = builder.build();
    check_buffers(program, false);
    check_buffers(program, true);
    CHECK(program.slots <= program.row_slots);
  }
  CHECK(joins > 100);
}

TEST_CASE("rows of a join form unit vectors, and zero rows neutral ones") {
  ProgramBuilder builder;
  const int x = builder.input();
  const int a = builder.dense(x, 2, 0, true, 3), b = builder.dense(x, 0.5, 0, true);
  builder.output(builder.fan_in_sum(a, b));
  builder.output(builder.fan_in_concat(a, b));
  const Program program = builder.build();
  const double p[] = {0, 1e-200, 0.25, 1e30};
  const RowTables<double> tables(program, p, 4, 0, "X");
  for (const std::size_t op : {std::size_t{2}, std::size_t{4}}) {
    CHECK(tables.column(op, 0)[0] == 1);
    CHECK(tables.column(op, 1)[0] == 0);
    for (int i = 1; i < 4; ++i) {
      const double weight = op == 2 ? 1 : 3;  // 3 channels beside 1
      const double ratio = 0.5 / 2 / std::sqrt(weight);
      CHECK(tables.column(op, 1)[i] / tables.column(op, 0)[i] == doctest::Approx(ratio));
      CHECK(std::hypot(tables.column(op, 0)[i], tables.column(op, 1)[i]) == doctest::Approx(1));
    }
  }
}

TEST_CASE("norms of rows of any size stay in range") {
  for (const double eps : {0.0, 1e-12}) {
    ProgramBuilder builder;
    builder.output(builder.layer_norm(builder.dense(builder.input(), 1, 0, true), eps));
    const Program program = builder.build();
    const double p[] = {0, 1e-300, 1e-6, 1, 1e150};
    const RowTables<double> tables(program, p, 5, 0, "X");
    CHECK(tables.root(0)[0] == 0);
    for (int i = 1; i < 5; ++i) {
      const double want = eps == 0 ? 1 : p[i] / std::hypot(p[i], 1e-6);
      CHECK(tables.root(0)[i] == doctest::Approx(want).epsilon(1e-14));
    }
  }
}
