// Finite Hermite series: rows and pairs against 150-digit references, limits, and what is refused.
#include <cmath>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include "doctest.h"
#include "error.hpp"
#include "math/duals/hermite_series.hpp"
#include "program/hermite_rows.hpp"
#include "program/program.hpp"

namespace {

using ntkfast::ArchitectureError;
using ntkfast::HermiteOrders;
using ntkfast::HermiteSum;
using ntkfast::kMaxHermiteDegree;
using ntkfast::Op;
using ntkfast::OpKind;
using ntkfast::PairStep;
using ntkfast::ProgramBuilder;
using ntkfast::RowStep;

constexpr double kInf = std::numeric_limits<double>::infinity();

template <class T>
constexpr double kUnit = std::numeric_limits<T>::epsilon() / 2;

Op make_op(double variance, const std::vector<double>& coefficients) {
  Op op{OpKind::HermiteSeries, {}, false, 0, 1, {variance}};
  op.numbers = coefficients;
  return op;
}

std::vector<double> power(int degree) {
  std::vector<double> coefficients(static_cast<std::size_t>(degree) + 1);
  coefficients.back() = 1;
  return coefficients;
}

template <class T>
struct Row {
  Row(const Op& op, double p) {
    double columns[kMaxHermiteDegree + 1];
    step = ntkfast::hermite_row(op, p, columns);
    table.assign(columns, columns + ntkfast::hermite_orders(op).count());
  }
  RowStep step;
  std::vector<T> table;
};

template <class T, bool kSigned = true>
PairStep<T> pair(const Op& op, double pi, double pj, double s) {
  const Row<T> left(op, pi), right(op, pj);
  const HermiteOrders orders = ntkfast::hermite_orders(op);
  const T rho = ntkfast::correlation<T, kSigned>(static_cast<T>(s));
  HermiteSum<T> even, odd;
  for (int k = orders.count() - 1; k >= 0; --k) {
    const auto at = static_cast<std::size_t>(k);
    (k < orders.even ? even : odd).add(left.table[at], right.table[at], rho * rho);
  }
  return ntkfast::hermite_pair<T, kSigned>(static_cast<T>(s), even, odd);
}

// |rho - rho'| of two signed deficits, near and far.
double distance(double s, double expected) {
  const double gap = std::fabs(std::fabs(s) - std::fabs(expected));
  return std::signbit(s) == std::signbit(expected) ? gap : 2 - std::fabs(s) - std::fabs(expected);
}

struct Pair {
  double pi, pj, s, next, gain, p, chi;  // p, chi: of row i
};

struct Reference {
  double variance;
  std::vector<double> coefficients;
  std::vector<Pair> pairs;
};

// mpmath, 150 digits, from moments of powers.
const Reference kReference[] = {
    {0,
     {0, 0, 0, 1},
     {{1.0, 1.0, 0x1p-40, 1.6370904631902782e-12, 1.7999999999978172, 3.8729833462074169, 1.8},
      {1.0, 1.25, 0.0, 0.0, 1.8, 3.8729833462074169, 1.8},
      {0.5, 0.5000001, 0x1p-10, 0.0017566684633493423, 1.7976573944091797, 0.48412291827592711,
       1.8},
      {1.5, 1.25, -0.0, -0.0, 1.8, 13.071318793450032, 1.8},
      {1.25, 0.75, -0.375, -0.52734375, 1.06875, 7.5644205980613611, 1.8},
      {0x1p-20, 8.0, 0.5, 0.65, 0.9, 3.3592775663666079e-18, 1.8}}},
    {0,
     {0.125, 0.5, 0.25},
     {{1.0, 1.0, 0x1p-40, 8.8193425626445716e-13, 0.96969696969652873, 0.71807033081725358,
       0.9696969696969697},
      {1.0, 1.25, 0.0, 0.0042633596989656365, 0.99851027996761106, 0.71807033081725358,
       0.9696969696969697},
      {0.5, 0.5000001, 0x1p-10, 0.00072330902136876164, 0.74059609990139807, 0.32475952641916449,
       0.74074074074074074},
      {1.5, 1.25, -0.0, 0.7432341241292837, -0.32384885244955209, 1.291498644985739,
       1.0960187353629977},
      {1.25, 0.75, -0.375, 0.93199382384071169, 0.19763275319765759, 0.98064770528207529,
       1.0408733181010409},
      {0x1p-20, 8.0, 0.5, 0.4255760826960605, 5.4356853800593308e-7, 0.12500000000113687,
       1.4551915228115389e-11}}},
    {0,
     {1, 0, -1},
     {{1.0, 1.0, 0x1p-40, 1.8189894035450293e-12, 1.999999999998181, 1.414213562373095, 2.0},
      {1.0, 1.25, 0.0, 0.030905834747225299, 1.9381883305055494, 1.414213562373095, 2.0},
      {0.5, 0.5000001, 0x1p-10, 0.00035494039593756551, 0.36328140852274112, 0.82915619758884996,
       0.36363636363636364},
      {1.5, 1.25, -0.0, 0.0078088066695469265, -1.803983987873551, 3.4186985827943358,
       1.732620320855615},
      {1.25, 0.75, -0.375, 0.7871828375365278, -1.061432231738016, 2.2801795433693374,
       1.8782870022539444},
      {0x1p-20, 8.0, 0.5, -0.42871094305968941, 1.0556634828571993e-12, 0.99999999999909051,
       3.3087224502181292e-24}}},
    {0,
     power(32),
     {{1.0, 1.0, 0x1p-40, 1.4782898009663594e-11, 16.253968253735363, 1.0596016953816721e+22,
       16.253968253968254},
      {1.0, 1.25, 0.0, 0.0, 16.253968253968254, 1.0596016953816721e+22, 16.253968253968254},
      {0.5, 0.5000001, 0x1p-10, 0.015751517924908229, 16.005756860043912, 2.4670774475244622e+12,
       16.253968253968254},
      {1.5, 1.25, -0.0, 0.0, -16.253968253968254, 4.5715443177238968e+27, 16.253968253968254},
      {1.25, 0.75, -0.375, 0.9988288374437928, -0.02342784234013085, 1.3374053641480075e+25,
       16.253968253968254},
      {0x1p-20, 8.0, 0.5, 0.99991317669099899, 0.0018815107068567207, 2.322444902162703e-171,
       16.253968253968254}}},
    {1,
     {0, 0, 1},
     {{1.0, 1.0, 0x1p-40, 1.8189894035450293e-12, 1.999999999998181, 1.0, 2.0},
      {1.0, 1.25, 0.0, 0.030905834747225299, 1.9381883305055494, 1.0, 2.0},
      {0.5, 0.5000001, 0x1p-10, 0.00035494039593756551, 0.36328140852274112, 0.58630196997792869,
       0.36363636363636364},
      {1.5, 1.25, -0.0, 0.0078088066695469265, -1.803983987873551, 2.4173849507267145,
       1.732620320855615},
      {1.25, 0.75, -0.375, 0.7871828375365278, -1.061432231738016, 1.6123304174393039,
       1.8782870022539444},
      {0x1p-20, 8.0, 0.5, -0.42871094305968941, 1.0556634828571993e-12, 0.70710678118590441,
       3.3087224502181292e-24}}},
    {1,
     {0, 0, 0, 0, 0, 1},
     {{1.0, 1.0, 0x1p-40, 4.5474735088563694e-12, 4.9999999999818101, 1.0, 5.0},
      {1.0, 1.25, 0.0, 0.22836676152218568, 3.8581661923890716, 1.0, 5.0},
      {0.5, 0.5000001, 0x1p-10, 0.0014397775741594627, 1.4736171544962572, 0.43958765301984996,
       1.4750473783954517},
      {1.5, 1.25, -0.0, -0.02949191570285673, 3.7767965208190033, 12.528127533362178,
       3.6035572541525797},
      {1.25, 0.75, -0.375, 0.94505314149164615, -0.25977173147254209, 3.9549330696538455,
       4.1533329586170301},
      {0x1p-20, 8.0, 0.5, 0.75943753279382594, 0.48112493441175542, 1.3058723390201803e-6, 1.0}}},
    {1,
     power(31),
     {{1.0, 1.0, 0x1p-40, 2.8194335754576136e-11, 30.99999999915417, 1.0, 31.0},
      {1.0, 1.25, 0.0, 0.97722463866464851, 0.70603620139589607, 1.0, 31.0},
      {0.5, 0.5000001, 0x1p-10, 0.0076631621417411423, 7.8178884607737461, 0.28667314568993453,
       7.876336211941779},
      {1.5, 1.25, -0.0, -0.14643559737872237, 18.586828766942213, 9.3822110636859627e+7,
       20.257587351113066},
      {1.25, 0.75, -0.375, 0.99999999733215362, -2.7769533550221676e-8, 44334.838153175322,
       23.173916438022144},
      {0x1p-20, 8.0, 0.5, -0.99993604081515513, -0.00012791836968087211, 2.0181870959146927e-6,
       1.0}}},
    {0,
     {0.5, -0.25, 0, 0.125},
     {{1.0, 1.0, 0x1p-40, 7.5132171015959771e-13, 0.82608695652031557, 0.59947894041408994,
       0.82608695652173913},
      {1.0, 1.25, 0.0, 0.085142761012364906, 1.1337974329333939, 0.59947894041408994,
       0.82608695652173913},
      {0.5, 0.5000001, 0x1p-10, 3.9786764367685174e-5, 0.04072499581911811, 0.50751193027849109,
       0.040758293838862559},
      {1.5, 1.25, -0.0, -0.4232490954148453, 1.7318183601052613, 1.4529569795334616,
       1.8932577772637909},
      {1.25, 0.75, -0.375, 0.47851316493419698, 0.17079878017815817, 0.88541642731308039,
       1.5934670163640876},
      {0x1p-20, 8.0, 0.5, 0.99797034936088768, -3.6780220283490903e-7, 0.50000000000005684,
       2.2737367544255998e-13}}},
};

// The documented bounds; the rounding of the columns moves sqrt(2 m') by u.
template <class T>
void check_reference() {
  for (const auto& [variance, coefficients, pairs] : kReference) {
    const Op op = make_op(variance, coefficients);
    const double terms = static_cast<double>(coefficients.size()), u = kUnit<T>;
    CAPTURE(terms);
    for (const auto& in : pairs) {
      CAPTURE(in.pi);
      CAPTURE(in.s);
      const auto step = pair<T>(op, in.pi, in.pj, in.s);
      const double m = std::fabs(in.next);
      CHECK(distance(step.s, in.next) <=
            (terms / 2 + 8) * u * m + 2 * u * std::sqrt(2 * m) + u * u);
      const RowStep left = Row<double>(op, in.pi).step, right = Row<double>(op, in.pj).step;
      CHECK(std::fabs(step.gain - in.gain) <=
            (1.5 * terms + 8) * u * std::sqrt(left.gain * right.gain));
      CHECK(std::fabs(left.p - in.p) <= (terms + 8) * kUnit<double> * in.p);
      CHECK(std::fabs(left.gain - in.chi) <= (2 * terms + 8) * kUnit<double> * in.chi);
    }
  }
}

}  // namespace

TEST_CASE("Hermite series agree with 150-digit references") {
  check_reference<float>();
  check_reference<double>();
}

TEST_CASE("a row is a unit vector at every norm") {
  for (const double variance : {0.0, 1.0}) {
    for (const int degree : {0, 1, 2, 3, 8, 31, 32}) {
      for (const double p : {0.0, 5e-324, 1e-200, 1e-8, 0.5, 1.0, 1.0 + 1e-9, 2.0, 1e3, 1e8}) {
        CAPTURE(variance);
        CAPTURE(degree);
        CAPTURE(p);
        const Row<double> row(make_op(variance, power(degree)), p);
        double square = 0;
        for (const double a : row.table) square += a * a;
        CHECK(square == doctest::Approx(1).epsilon(1e-14));
        CHECK(row.step.gain >= (degree % 2 == 1 ? 1 : 0));
        CHECK(row.step.gain <= degree * (1 + 1e-14));
        if (degree == 0) CHECK(row.step.p == 1);
      }
    }
  }
}

TEST_CASE("Hermite polynomials at unit variance are one term") {
  for (const int degree : {1, 2, 7, 32}) {
    const Row<double> row(make_op(1, power(degree)), 1.0);
    CHECK(row.step.p == 1);
    CHECK(row.step.gain == degree);
    for (std::size_t k = 0; k < row.table.size(); ++k) {
      CHECK(std::fabs(row.table[k]) == (k + 1 == row.table.size() ? 1 : 0));
    }
  }
}

TEST_CASE("a parity that phi lacks has no columns") {
  const auto orders = [](const std::vector<double>& c) {
    const auto found = ntkfast::hermite_orders(make_op(0, c));
    return std::vector<int>{found.even, found.odd};
  };
  CHECK(orders({}) == std::vector<int>{1, 0});
  CHECK(orders({0, 0}) == std::vector<int>{1, 0});
  CHECK(orders({2}) == std::vector<int>{1, 0});
  CHECK(orders({0, 1}) == std::vector<int>{0, 1});
  CHECK(orders({0, 0, 0, 1}) == std::vector<int>{0, 2});
  CHECK(orders({1, 1, 0, 1}) == std::vector<int>{1, 2});
  CHECK(orders(power(32)) == std::vector<int>{17, 0});
}

TEST_CASE("zero, constant and overflowing series are defined") {
  const Row<double> zero(make_op(0, {}), 2.0);
  CHECK(zero.step.p == 0);
  CHECK(zero.step.gain == 0);
  CHECK(zero.table == std::vector<double>{1});
  const Row<double> constant(make_op(0, {-3}), 2.0);
  CHECK(constant.step.p == 3);
  CHECK(constant.step.gain == 0);
  CHECK(pair<double>(make_op(0, {-3}), 2.0, 0.0, -0.25).s == 0);
  CHECK(Row<double>(make_op(0, power(32)), 1e10).step.p == kInf);
  CHECK(Row<double>(make_op(0, power(32)), 1e-30).step.p == 0);
}

TEST_CASE("equal rows stay equal, opposite rows opposite under odd functions") {
  for (const double variance : {0.0, 1.0}) {
    for (int degree = 1; degree <= 32; ++degree) {
      CAPTURE(degree);
      const Op op = make_op(variance, power(degree));
      CHECK(pair<float>(op, 0.75, 0.75, 0.0).s == 0.f);
      CHECK(pair<double, false>(op, 0.75, 0.75, 0.0).s == 0);
      const auto opposite = pair<double>(op, 0.75, 0.75, -0.0);
      CHECK(opposite.s == 0);
      CHECK(std::signbit(opposite.s) == (degree % 2 == 1));
    }
  }
}

TEST_CASE("the builder knows which signs a series makes") {
  const auto is_signed = [](double variance, const std::vector<double>& c, bool positive) {
    ProgramBuilder builder;
    int value = builder.dense(builder.input(), 1, 0, true);
    if (positive) value = builder.dense(builder.activation(value, "ABRelu", {0, 1}), 1, 0, true);
    builder.output(builder.hermite_series(value, "Polynomial", variance, c));
    return builder.build().values.back().signed_rho;
  };
  CHECK_FALSE(is_signed(0, {1, 0, 2}, false));
  CHECK(is_signed(0, {1, 1, 2}, false));
  CHECK_FALSE(is_signed(0, {1, -1, 2, -3}, true));
  CHECK(is_signed(0, {1, 0, -2}, true));  // the mean changes its sign with p
  CHECK(is_signed(0, {0, 1, 0, -2}, true));
  CHECK(is_signed(1, {0, 0, 1}, true));
  CHECK_FALSE(is_signed(1, {0, 1}, true));
}

TEST_CASE("the builder refuses series that it cannot make") {
  ProgramBuilder builder;
  const int x = builder.input();
  CHECK_THROWS_WITH_AS(builder.hermite_series(x, "Monomial", 0, {1}),
                       doctest::Contains("Monomial (layer 1) follows the input"),
                       ArchitectureError);
  const int z = builder.dense(x, 1, 0, true);
  CHECK_THROWS_WITH_AS(builder.hermite_series(z, "Polynomial", 0, {1, kInf}),
                       doctest::Contains("Polynomial (layer 2): coefficients must be finite"),
                       ArchitectureError);
  CHECK_THROWS_WITH_AS(builder.hermite_series(z, "Hermite", 1, power(33)),
                       doctest::Contains("degree must be at most 32"), ArchitectureError);
  CHECK_THROWS_WITH_AS(builder.hermite_series(z, "Hermite", 0.5, power(3)),
                       doctest::Contains("variance of the basis must be 0 or 1"),
                       ArchitectureError);
  std::vector<double> padded = power(3);
  padded.resize(50);  // zeros behind the last coefficient do not count
  CHECK(builder.hermite_series(z, "Polynomial", 0, padded) == z + 1);
  for (const double bad : {-1.0, 0.5, 17.0}) {
    CHECK_THROWS_WITH_AS(builder.activation(z, "RectifiedMonomial", {bad}),
                         doctest::Contains("degree must be an integer from 0 to 16"),
                         ArchitectureError);
  }
}
