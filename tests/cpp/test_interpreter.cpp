// The interpreter that devices run, on the CPU: every op against the loops of the CPU engine.
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "cpu/bound_program.hpp"
#include "cpu/dispatch.hpp"
#include "device/interpreter.hpp"
#include "device/table_pair.hpp"
#include "doctest.h"
#include "error.hpp"
#include "gram_case.hpp"
#include "table_case.hpp"

namespace {

using gram_case::Program;
using gram_case::ProgramBuilder;
using ntkfast::RowTables;
using namespace ntkfast::device;

// Root mean squares of the rows, and all kinds of deficits.
const std::vector<double> kRoots{0, 1e-3, 0.4, 1, 1.7, 6};
const std::vector<double> kDeficits{0,   1e-14, 1e-9,  1e-7,  1e-4,   0.01,  0.2,   0.5,    0.9, 1,
                                    -1., -0.8,  -0.45, -0.05, -0.001, -1e-6, -1e-8, -1e-12, -0.};

template <class T>
struct Results {
  std::vector<T> nngp, ntk;  // [output][deficit]
};

// Row i against row j of the tables, all deficits, with the loops of the CPU.
template <class T>
Results<T> with_loops(const Program& program, const RowTables<T>& table, std::int64_t i,
                      std::int64_t j, bool ntk) {
  const auto& kernels = ntkfast::cpu::tile_kernels<T>("baseline");
  Results<T> results;
  const auto slots = static_cast<std::size_t>(program.slots);
  const auto ops = ntkfast::cpu::bind_program(program, kernels, table, table, ntk);
  const auto outputs = static_cast<std::size_t>(program.outputs);
  results.nngp.resize(outputs * kDeficits.size());
  results.ntk.resize(outputs * kDeficits.size());
  for (std::size_t k = 0; k < kDeficits.size(); ++k) {
    std::vector<T> s(slots), tau(slots);
    std::vector<T*> s_slots, tau_slots;
    for (std::size_t v = 0; v < slots; ++v) {
      s_slots.push_back(&s[v]);
      tau_slots.push_back(&tau[v]);
    }
    s[0] = static_cast<T>(kDeficits[k]);
    const ntkfast::cpu::TileRow<T> row{i, j, 1, s_slots.data(), tau_slots.data()};
    for (const auto& op : ops) {
      if (op.step.run != nullptr) {
        op.step.run(op.step, row);
        continue;
      }
      const auto in = static_cast<std::size_t>(op.step.in);
      const std::size_t at = static_cast<std::size_t>(op.output) * kDeficits.size() + k;
      kernels.write_nngp(&s[in], op.signed_rho, op.root_left[i], op.root_right + j, 1,
                         &results.nngp[at]);
      if (op.has_ntk) {
        kernels.write_ntk(&tau[in], op.root_left[i], op.root_right + j, 1, &results.ntk[at]);
      }
    }
  }
  return results;
}

// The same with the interpreter; `chained`: by its path for chains, where the program is one.
template <class T>
Results<T> interpreted(const Program& program, const RowTables<T>& table, std::int64_t i,
                       std::int64_t j, bool ntk, bool chained = false) {
  const FlatProgram<T> flat = flatten<T>(program, ntk);
  std::vector<FlatTable<T>> tables;
  std::vector<std::vector<T>> contracted;
  for (std::size_t k = 0; k < flat.tables.size(); ++k) {
    // The op of a table is the one that names it.
    for (const FlatOp& op : flat.ops) {
      if (op.kind != ntkfast::OpKind::Table || op.table != static_cast<int>(k)) continue;
      contracted.emplace_back();
      for (std::int64_t row = 0; row < table.rows(); ++row) {
        const T t = table.column(0, 0)[(op.column + ntkfast::kTablePosition) * table.rows() + row];
        for (int c = 0; c < flat.tables[k].stride; ++c) {
          contracted.back().push_back(contracted_number(flat.tables[k], t, c));
        }
      }
    }
  }
  for (std::size_t k = 0; k < flat.tables.size(); ++k) {
    tables.push_back({flat.tables[k], contracted[k].data()});
  }
  const FlatView<T> view{flat.ops.data(),
                         static_cast<int>(flat.ops.size()),
                         flat.constants.data(),
                         tables.data(),
                         table.column(0, 0),
                         table.column(0, 0),
                         table.rows(),
                         table.rows(),
                         0,
                         chained ? flat.chain : Chain::None};
  Results<T> results;
  const auto outputs = static_cast<std::size_t>(program.outputs);
  results.nngp.resize(outputs * kDeficits.size());
  results.ntk.resize(outputs * kDeficits.size());
  for (std::size_t k = 0; k < kDeficits.size(); ++k) {
    run_pair(view, i, j, static_cast<T>(kDeficits[k]), [&](int output, T nngp, T tau) {
      const std::size_t at = static_cast<std::size_t>(output) * kDeficits.size() + k;
      results.nngp[at] = nngp;
      results.ntk[at] = tau;
    });
  }
  return results;
}

// Largest difference in units of the roundoff of sqrt(K_ii K_jj), or of the same of T.
template <class T>
double worst_difference(const Program& program, bool ntk, const std::vector<double>& roots) {
  const auto count = static_cast<std::int64_t>(roots.size());
  const RowTables<T> table(program, roots.data(), count, 0, "the test");
  double worst = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t j = 0; j < count; ++j) {
      const Results<T> expected = with_loops(program, table, i, j, ntk);
      const Results<T> got = interpreted(program, table, i, j, ntk);
      const Results<T> chained = interpreted(program, table, i, j, ntk, true);
      CHECK(chained.nngp == got.nngp);
      CHECK(chained.ntk == got.ntk);
      for (int k = 0; k < program.outputs; ++k) {
        const auto compare = [&](const std::vector<T>& a, const std::vector<T>& b, const T* diag) {
          for (std::size_t v = 0; v < kDeficits.size(); ++v) {
            const std::size_t at = static_cast<std::size_t>(k) * kDeficits.size() + v;
            const double size =
                std::sqrt(static_cast<double>(diag[i])) * std::sqrt(static_cast<double>(diag[j]));
            const double difference =
                std::fabs(static_cast<double>(a[at]) - static_cast<double>(b[at]));
            if (difference == 0) continue;
            const double unit = std::numeric_limits<T>::epsilon() / 2 * size;
            worst = std::isfinite(difference) && unit > 0 ? std::fmax(worst, difference / unit)
                                                          : std::numeric_limits<double>::infinity();
          }
        };
        compare(expected.nngp, got.nngp, table.nngp_diagonal(k));
        if (ntk) compare(expected.ntk, got.ntk, table.ntk_diagonal(k));
      }
    }
  }
  return worst;
}

void require_same(const Program& program, double units, const std::vector<double>& roots = kRoots) {
  for (const bool ntk : {true, false}) {
    CHECK(worst_difference<float>(program, ntk, roots) <= units);
    CHECK(worst_difference<double>(program, ntk, roots) <= units);
  }
}

// Two layers: the second one may meet correlations of one sign alone.
Program twice(const std::string& name, const std::vector<double>& params) {
  ProgramBuilder builder;
  int value = builder.dense(builder.input(), 0.9, 0.1, true);
  value = builder.activation(value, name, params);
  builder.output(value);
  value = builder.activation(builder.dense(value, 0.8, 0, true), name, params);
  builder.output(builder.dense(value, 1.1, 0.2, true));
  return builder.build();
}

Program series(double variance, const std::vector<double>& coefficients) {
  ProgramBuilder builder;
  int value = builder.dense(builder.input(), 0.9, 0.1, true);
  value = builder.hermite_series(value, "Polynomial", variance, coefficients);
  builder.output(builder.dense(value, 1, 0, true));
  return builder.build();
}

}  // namespace

// Both are compiled without fused operations here and for the baseline set, from the same formulas:
// a few roundings are left for compilers that differ.
constexpr double kRoundings = 8;

TEST_CASE("the networks of the Gram tests") {
  for (const char* name : gram_case::kNetworks) {
    CAPTURE(name);
    require_same(gram_case::network(name), kRoundings);
  }
}

TEST_CASE("every activation of the list") {
  const std::vector<std::pair<std::string, std::vector<double>>> cases{
      {"ABRelu", {0, 1}},
      {"ABRelu", {-1, 1}},
      {"ABRelu", {0.2, 1}},
      {"Clip", {0, 6}},
      {"Clip", {-1, 1.5}},
      {"Erf", {1, 0.7, 0.2}},
      {"Gelu", {}},
      {"RectifiedMonomial", {0}},
      {"RectifiedMonomial", {2}},
      {"RectifiedMonomial", {3}},
      {"Sign", {}},
      {"Sinusoid", {1, 0.9, 0.3}},
      {"Rbf", {0.4}},
      {"Exp", {1, 0.5}},
      {"ExpNormalized", {1.2, -1}},
      {"Gaussian", {1, -0.6}},
      {"Gabor", {}},
  };
  for (const std::string& name : ntkfast::activation_names()) {
    CAPTURE(name);
    CHECK(std::any_of(cases.begin(), cases.end(),
                      [&](const auto& each) { return each.first == name; }));
  }
  for (const auto& [name, params] : cases) {
    CAPTURE(name);
    require_same(twice(name, params), kRoundings, {0, 1e-3, 0.4, 1, 1.7});
  }
}

TEST_CASE("Hermite series of one parity, of both, and with negative coefficients") {
  require_same(series(0, {0, 0, 1}), kRoundings);
  require_same(series(0, {0, 1, 0, 0.4}), kRoundings);
  require_same(series(1, {0.3, -1, 0.2, 0.5}), kRoundings);
}

TEST_CASE("activations given by a table") {
  for (const table_case::Parts parts : table_case::kAll) {
    for (const int degree_t : {1, 5}) {
      ProgramBuilder builder;
      int value = builder.dense(builder.input(), 1, 0.1, true);
      value = builder.table(value, table_case::table(parts, degree_t, 7), "Tabulated");
      builder.output(builder.dense(value, 1, 0.2, true));
      // Sums of a table are taken in another order: in a row of the loops, Horner's rule in none.
      require_same(builder.build(), 40, {0, 0.3, 1, 1.6});
    }
  }
}

TEST_CASE("more values alive than a device keeps are refused") {
  ProgramBuilder builder;
  const int trunk = builder.dense(builder.input(), 1, 0.1, true);
  std::vector<int> branches;
  for (int k = 0; k < kMaxSlots; ++k) branches.push_back(builder.dense(trunk, 1, 0.1 * k, true));
  int sum = branches.back();
  for (int k = 0; k + 1 < kMaxSlots; ++k) {
    sum = builder.fan_in_sum(sum, branches[static_cast<std::size_t>(k)]);
  }
  builder.output(builder.fan_in_sum(sum, builder.dense(trunk, 1, 0, true)));
  const Program program = builder.build();
  REQUIRE(program.slots > kMaxSlots);
  CHECK_THROWS_AS(flatten<float>(program, true), ntkfast::ArchitectureError);
}

TEST_CASE("chains are programs of one kind of activation in a row") {
  using ntkfast::device::Chain;
  const auto chain = [](const char* name) {
    return flatten<float>(gram_case::network(name), true).chain;
  };
  for (const char* name : {"relu", "relu with bias", "leaky", "abs", "only the readout"}) {
    CAPTURE(name);
    CHECK(chain(name) == Chain::AbRelu);
  }
  CHECK(chain("erf") == Chain::Erf);
  for (const char* name : {"mixed", "every depth", "branches", "residual", "joins", "standard"}) {
    CAPTURE(name);
    CHECK(chain(name) == Chain::None);
  }
}
