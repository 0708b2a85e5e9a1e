// Gelu: reference values of 150 digits, limits, symmetries and its two asymptotes.
#include "math/duals/gelu.hpp"

#include <cmath>
#include <initializer_list>
#include <limits>

#include "doctest.h"
#include "dual_probe.hpp"
#include "math/duals/abrelu.hpp"

namespace {

using probe::distance;
using probe::kUnit;

using ntkfast::Gelu;
using ntkfast::PairStep;
using ntkfast::RowStep;

template <class T>
struct Row {
  explicit Row(double p) {
    double columns[Gelu::kColumns];
    step = Gelu::row(nullptr, p, columns);
    for (int k = 0; k < Gelu::kColumns; ++k) table[k] = static_cast<T>(columns[k]);
  }
  RowStep step;
  T table[Gelu::kColumns];
};

template <class T>
PairStep<T> pair(double pi, double pj, double s) {
  const Row<T> left(pi), right(pj);
  return Gelu::pair<T, true>(nullptr, static_cast<T>(s), left.table, right.table);
}

// The documented bound.
template <class T>
double deficit_bound(double expected) {
  return 9 * kUnit<T> * std::sqrt(2 * std::fabs(expected)) + 4 * kUnit<T> * kUnit<T>;
}

struct Reference {
  struct Input {
    double pi, pj, s;
  } in;
  struct Output {
    double s, gain, p, row_gain;  // of the pair, of row i
  } out;
};

// mpmath, 150 digits, straight from K' and E[phi' phi'].
constexpr Reference kReference[] = {
    {{1.0, 1.0, 0.0}, {0.0, 1.0720315984362919, 0.65209008777184972, 1.0720315984362919}},
    {{1.0, 1.5, 0.0},
     {0.0030163056375208489, 1.0582162012085581, 0.65209008777184972, 1.0720315984362919}},
    {{1.0, 1.000001, 0.0},
     {2.5638652802367143e-14, 1.0720315880591272, 0.65209008777184972, 1.0720315984362919}},
    {{9.313225746154785e-10, 1073741824.0, -0.0},
     {-0.29289321965193739, 0.70710678034806261, 4.6566128730773926e-10, 1.0}},
    {{7.450580596923828e-09, 0.0001220703125, -0.375},
     {-0.37500000889450645, 0.99999998576899233, 3.7252902984619143e-9, 1.0}},
    {{10000.0, 10000.1, -9.5367431640625e-07},
     {0.99999999972491259, 0.00043730889859995414, 7071.067811864149, 1.0000112539538676}},
    {{1000000000.0, 300000000.0, 0.0},
     {7.9332672080560245e-28, 1.0000000000839135, 707106781.18654752, 1.0000000001125395}},
    {{1000000000.0, 1e-09, 1.0},
     {0.99999999954984184, 0.70710678118654752, 707106781.18654752, 1.0000000001125395}},
    {{10000.0, 10000.0, 7.62939453125e-06},
     {7.6230823425083489e-6, 0.99875741581837893, 7071.067811864149, 1.0000112539538676}},
    {{0.7, 30.0, 0.96875},
     {0.77195039987700959, 0.5862434108460935, 0.4302149229749531, 1.0741043265317885}},
    {{0.3, 0.25, 9.094947017729282e-13},
     {0.0013192326770679186, 1.0328753547456172, 0.16081544266045605, 1.0388889877138926}},
    {{3.0, 4.0, -0.0009765625},
     {-0.99098107170057366, -0.018077296785431228, 2.1084251420506746, 1.035015342312513}},
    {{0.125, 0.25, -0.0},
     {-0.11603229670960203, 0.86732534065260569, 0.063402353621102904, 1.0092300378345129}},
    {{300.0, 2.0, -0.25},
     {0.98810420709102201, 0.21210776808985922, 212.13203288232849, 1.0003751286775341}},
    {{0.0009765625, 0.001953125, -0.0},
     {-8.1961468689355713e-6, 0.99999058961149257, 0.00048828169467286482, 1.0000006071250834}},
    {{50.0, 0.5, -0.5},
     {-0.90777171322369711, 0.4524038582653631, 35.355286035002499, 1.0022501224711826}},
    {{100000000.0, 100000000.0, 8.881784197001252e-16},
     {8.8817841276118212e-16, 0.9999999873173841, 70710678.118654752, 1.0000000011253954}},
};

template <class T>
void check_reference() {
  for (const auto& [in, out] : kReference) {
    CAPTURE(in.pi);
    CAPTURE(in.pj);
    CAPTURE(in.s);
    const PairStep<T> step = pair<T>(in.pi, in.pj, in.s);
    CHECK(distance(step.s, out.s) <= deficit_bound<T>(out.s));
    CHECK(std::fabs(step.gain - out.gain) <= 7 * kUnit<T> * 1.1);
    const RowStep row = Row<T>(in.pi).step;
    CHECK(std::fabs(row.p - out.p) <= 6 * kUnit<double> * out.p);
    CHECK(std::fabs(row.gain - out.row_gain) <= 6 * kUnit<double> * out.row_gain);
  }
}

}  // namespace

TEST_CASE("gelu agrees with 150-digit references") {
  check_reference<float>();
  check_reference<double>();
}

TEST_CASE_TEMPLATE("gelu is symmetric in its rows and needs no sign above zero", T, float, double) {
  for (const double p : {1e-6, 0.4, 3.0, 2e5}) {
    for (const double s : {0.0, 1e-5, 0.5, 0.9, -0.3}) {
      const PairStep<T> step = pair<T>(p, 1.25, s), swapped = pair<T>(1.25, p, s);
      CHECK(distance(swapped.s, step.s) <= deficit_bound<T>(step.s));
      CHECK(std::fabs(swapped.gain - step.gain) <= 8 * kUnit<T>);
      if (s < 0) continue;
      const Row<T> left(p), right(1.25);
      const PairStep<T> unsigned_step =
          Gelu::pair<T, false>(nullptr, static_cast<T>(s), left.table, right.table);
      CHECK(unsigned_step.s == step.s);
      CHECK(unsigned_step.gain == step.gain);
    }
  }
}

TEST_CASE_TEMPLATE("gelu keeps parallel rows of one norm parallel", T, float, double) {
  for (const double p : {0.0, 1e-9, 0.3, 1.0, 77.0, 1e9, 1e18}) {
    CHECK(pair<T>(p, p, 0.0).s == T(0));
    CHECK(pair<T>(p, p, 0.0).gain == doctest::Approx(Row<T>(p).step.gain).epsilon(1e-6));
  }
}

TEST_CASE_TEMPLATE("gelu never rounds below zero between neighbouring norms", T, float, double) {
  for (double p = 1e-4; p < 1e6; p *= 1.7) {
    for (double step = 1e-17; step < 1e-3; step *= 9.7) {
      CHECK_FALSE(std::signbit(pair<T>(p, p * (1 + step), 0.0).s));
    }
  }
}

TEST_CASE_TEMPLATE("gelu is linear for small signals and Relu for large ones", T, float, double) {
  constexpr double kRelu[] = {0, 1};
  double constants[ntkfast::AbRelu::kConstants];
  ntkfast::AbRelu::constants(kRelu, constants);
  T relu[ntkfast::AbRelu::kConstants];
  for (int k = 0; k < ntkfast::AbRelu::kConstants; ++k) relu[k] = static_cast<T>(constants[k]);
  for (const double s : {0.0, -0.0, 1e-9, 0.2, -0.7, 1.0, -1e-6}) {
    for (const double p : {0.0, 1e-150, 1e-18}) {
      const PairStep<T> small = pair<T>(p, 1e-17, s);
      CHECK(distance(small.s, T(s)) <= 1e-33);
      CHECK(small.gain == T(1));
    }
    const PairStep<T> large = pair<T>(1e18, 3e18, s);
    const auto limit = ntkfast::AbRelu::pair<T, true>(relu, static_cast<T>(s), nullptr, nullptr);
    CHECK(distance(large.s, limit.s) <= deficit_bound<T>(limit.s));
    CHECK(std::fabs(large.gain - limit.gain) <= 10 * kUnit<T>);
  }
}

TEST_CASE_TEMPLATE("gelu is finite at zero, tiny and huge norms", T, float, double) {
  for (const double p : {0.0, 1e-150, 1e-18, 1.0, 1e18}) {
    for (const double s : {0.0, -0.0, 1e-12, -0.5, 1.0}) {
      for (const double other : {0.0, p, 1.0}) {
        const PairStep<T> step = pair<T>(p, other, s);
        CHECK(std::isfinite(step.s));
        CHECK(std::isfinite(step.gain));
        CHECK(std::fabs(step.s) <= 1 + T(8 * kUnit<T>));
      }
    }
  }
  CHECK(Row<T>(0).step.p == 0);
  CHECK(Row<T>(1e153).step.gain == 1.0);
}
