// Row tables: diagonals, overflow, conditioning, zero rows, and rows in several blocks.
#include "program/row_tables.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "doctest.h"
#include "error.hpp"
#include "reference_kernel.hpp"

namespace {

using ntkfast::KernelOverflow;
using ntkfast::Program;
using ntkfast::ProgramBuilder;
using ntkfast::RowTables;

template <class T>
constexpr long double kUnit = std::numeric_limits<T>::epsilon() / 2;

// Dense, ABRelu, Dense, Erf, Dense, with an output after every layer.
Program every_depth() {
  ProgramBuilder builder;
  int value = builder.input();
  builder.output(value);
  const auto dense = [&](double w, double b, bool trainable) {
    builder.output(value = builder.dense(value, w, b, trainable));
  };
  dense(1.5, 0.25, false);
  builder.output(value = builder.activation(value, "ABRelu", {-0.5, 1}));
  dense(1.25, 0, true);
  builder.output(value = builder.activation(value, "Erf", {1.5, 0.75, 0.25}));
  dense(0.5, 2, true);
  return builder.build();
}

Program chain(int depth, double w, double b, const char* name, const std::vector<double>& params) {
  ProgramBuilder builder;
  int value = builder.input();
  for (int k = 0; k < depth; ++k) {
    value = builder.activation(builder.dense(value, w, b, true), name, params);
  }
  builder.output(builder.dense(value, w, b, true));
  return builder.build();
}

std::vector<double> spread(int rows) {
  std::vector<double> p;
  for (int k = 0; k < rows; ++k) p.push_back(std::ldexp(1 + 0.001 * k, k % 9 - 4));
  p[0] = 0;
  return p;
}

template <class T>
void check_diagonals(const Program& program, const RowTables<T>& tables,
                     const std::vector<double>& p) {
  for (std::size_t i = 0; i < p.size(); ++i) {
    const long double q = static_cast<long double>(p[i]) * p[i];
    const auto expected = reference::outputs(program, {q, q, 0, 2, 0});
    for (int out = 0; out < program.outputs; ++out) {
      CAPTURE(i);
      CAPTURE(out);
      const auto& pair = expected[static_cast<std::size_t>(out)];
      // The pass runs in double; its results are rounded once to T.
      const long double bound = kUnit<T> + 60 * kUnit<double>;
      CHECK(std::fabs(tables.root(out)[i] - std::sqrt(pair.qi)) <= bound * std::sqrt(pair.qi));
      CHECK(std::fabs(tables.nngp_diagonal(out)[i] - pair.qi) <= bound * pair.qi);
      CHECK(std::fabs(tables.ntk_diagonal(out)[i] - pair.ntk) <= bound * pair.ntk);
    }
  }
}

}  // namespace

TEST_CASE_TEMPLATE("diagonals agree with the recursion at every depth", T, float, double) {
  const Program program = every_depth();
  const std::vector<double> p = spread(40);
  check_diagonals(program, RowTables<T>(program, p.data(), 40, 0, "X"), p);
}

TEST_CASE("several blocks of rows, on one thread or more, are the same as one row at a time") {
  const Program program = every_depth();
  constexpr int kRows = 777;  // four blocks
  const std::vector<double> p = spread(kRows);
  const RowTables<double> one(program, p.data(), kRows, 0, "X", 1);
  const RowTables<double> three(program, p.data(), kRows, 0, "X", 3);
  check_diagonals(program, one, p);
  double conditioning = 1;
  for (int i = 0; i < kRows; ++i) {
    const RowTables<double> alone(program, &p[static_cast<std::size_t>(i)], 1, i, "X");
    for (const auto* tables : {&one, &three}) {
      for (int out = 0; out < program.outputs; ++out) {
        CHECK(tables->root(out)[i] == alone.root(out)[0]);
        CHECK(tables->ntk_diagonal(out)[i] == alone.ntk_diagonal(out)[0]);
      }
      for (std::size_t op = 0; op < program.ops.size(); ++op) {
        for (int k = 0; k < ntkfast::column_count(program.ops[op]); ++k) {
          CHECK(tables->column(op, k)[i] == alone.column(op, k)[0]);
        }
      }
    }
    conditioning = std::fmax(conditioning, alone.conditioning());
  }
  CHECK(one.conditioning() == conditioning);
  CHECK(three.conditioning() == conditioning);
}

TEST_CASE("only a bias and Erf have columns") {
  const Program program = every_depth();
  CHECK(ntkfast::column_count(program.ops[0]) == 0);  // output
  CHECK(ntkfast::column_count(program.ops[1]) == 2);  // Dense with bias
  CHECK(ntkfast::column_count(program.ops[3]) == 0);  // ABRelu with two outputs around
  CHECK(ntkfast::column_count(program.ops[5]) == 0);  // Dense without bias
  CHECK(ntkfast::column_count(program.ops[7]) == ntkfast::Erf::kColumns);
  CHECK(ntkfast::table_width(program) == 3 * 6 + 2 + 2 + ntkfast::Erf::kColumns);
}

TEST_CASE("the columns of a bias are a unit vector") {
  ProgramBuilder builder;
  builder.output(builder.dense(builder.input(), 3, 0.5, true));
  const Program program = builder.build();
  const double p[] = {0, 1e-200, 0.25, 1, 1e30};
  const RowTables<double> tables(program, p, 5, 0, "X");
  for (int i = 0; i < 5; ++i) {
    const double next = std::hypot(3 * p[i], 0.5);
    CHECK(tables.column(0, 0)[i] == doctest::Approx(3 * p[i] / next).epsilon(1e-15));
    CHECK(tables.column(0, 1)[i] == doctest::Approx(0.5 / next).epsilon(1e-15));
  }
}

TEST_CASE_TEMPLATE("zero rows give zero without a bias and the bias with one", T, float, double) {
  const double zero = 0;
  for (const double b : {0.0, 0.5}) {
    for (const char* name : {"ABRelu", "Erf"}) {
      const bool relu = std::string(name) == "ABRelu";
      const Program program =
          chain(3, 1, b, name, relu ? std::vector<double>{0, 1} : std::vector<double>{1, 1, 0});
      const RowTables<T> tables(program, &zero, 1, 0, "X");
      check_diagonals(program, tables, {0});
      CHECK((tables.ntk_diagonal(0)[0] > 0) == (b > 0));
      CHECK(std::isfinite(tables.conditioning()));
    }
  }
}

TEST_CASE("conditioning is 1 for relu networks and grows like chi^L for erf") {
  const double p[] = {0.0, 0.5, 1.0, 2.0};
  CHECK(RowTables<double>(chain(8, 2, 0, "ABRelu", {0, 1}), p, 4, 0, "X").conditioning() ==
        doctest::Approx(1).epsilon(1e-14));
  CHECK(RowTables<double>(chain(8, 2, 0.3, "ABRelu", {0, 1}), p, 4, 0, "X").conditioning() ==
        doctest::Approx(1).epsilon(1e-14));
  // One row: chi = |d rho' / d rho| of every layer at rho = 1, from the dual's own formula.
  for (const double w : {0.5, 3.0}) {
    constexpr int kDepth = 4;
    const RowTables<double> tables(chain(kDepth, w, 0, "Erf", {1, 1, 0}), &p[2], 1, 0, "X");
    long double q = 1, growth = 1;
    for (int k = 0; k < kDepth; ++k) {
      q *= static_cast<long double>(w) * w;
      const long double e2 = 2 * q / (1 + 2 * q), next = 2 / reference::kPi * std::asin(e2);
      const long double derivative = 4 / reference::kPi / std::sqrt(1 + 4 * q);
      growth *= std::fmax(1.0L, q * derivative / next);
      q = next;
    }
    CHECK(tables.conditioning() == doctest::Approx(static_cast<double>(growth)).epsilon(1e-13));
    CHECK((growth > 1.5L) == (w > 1));
  }
}

TEST_CASE("an overflow names the row, the argument and a way out") {
  const Program program = chain(1, 1, 0, "ABRelu", {0, 1});
  const double p[] = {1, 2, 1e20, 3};
  CHECK_NOTHROW(RowTables<double>(program, p, 4, 0, "X"));
  CHECK_THROWS_WITH_AS(RowTables<float>(program, p, 4, 0, "X"),
                       doctest::Contains("row 2 of X gives a kernel value beyond the largest "
                                         "finite number of its dtype"),
                       KernelOverflow);
  CHECK_THROWS_WITH_AS(RowTables<float>(program, p, 4, 5000, "Z"),
                       doctest::Contains("row 5002 of Z"), KernelOverflow);
  CHECK_THROWS_WITH_AS(RowTables<float>(program, p, 4, 0, "X"), doctest::Contains("use float64"),
                       KernelOverflow);
  // Beyond the first block, and in double.
  std::vector<double> many(700, 1.0);
  many[600] = 1e160;
  CHECK_THROWS_WITH_AS(RowTables<double>(program, many.data(), 700, 0, "X", 2),
                       doctest::Contains("row 600 of X"), KernelOverflow);
}

TEST_CASE("the last finite values pass") {
  ProgramBuilder builder;
  builder.output(builder.dense(builder.input(), 1, 0, true));
  const Program program = builder.build();
  constexpr float kLargest = std::numeric_limits<float>::max();
  const double fits = std::sqrt(0.9999999 * double(kLargest)), beyond = 1.0001 * fits;
  const RowTables<float> tables(program, &fits, 1, 0, "X");
  CHECK(std::isfinite(tables.nngp_diagonal(0)[0]));
  CHECK(std::isfinite(tables.ntk_diagonal(0)[0]));
  CHECK_THROWS_AS(RowTables<float>(program, &beyond, 1, 0, "X"), KernelOverflow);
}

TEST_CASE("T alone may overflow") {
  // K stays at 2/pi at most; T grows by W^2 E[phi' phi'] in each chaotic layer.
  ProgramBuilder builder;
  int value = builder.input();
  for (int k = 0; k < 6; ++k) {
    value = builder.activation(builder.dense(value, 1e9, 0, true), "Erf", {1, 1, 0});
  }
  builder.output(value);
  const Program bounded = builder.build();
  const double p = 1;
  CHECK_NOTHROW(RowTables<double>(bounded, &p, 1, 0, "X"));
  CHECK_THROWS_AS(RowTables<float>(bounded, &p, 1, 0, "X"), KernelOverflow);
}

TEST_CASE("T that overflows on the way is an overflow, even if the end would be finite") {
  ProgramBuilder builder;
  int value = builder.input();
  for (int k = 0; k < 6; ++k) {
    value = builder.activation(builder.dense(value, 1e9, 0, true), "Erf", {1, 1, 0});
  }
  builder.output(builder.dense(value, 1e-15, 1, true));
  const Program program = builder.build();
  const double p = 1;
  CHECK_NOTHROW(RowTables<double>(program, &p, 1, 0, "X"));
  CHECK_THROWS_AS(RowTables<float>(program, &p, 1, 0, "X"), KernelOverflow);
}

TEST_CASE("no rows at all") {
  const RowTables<double> tables(every_depth(), nullptr, 0, 0, "X");
  CHECK(tables.conditioning() == 1);
}
