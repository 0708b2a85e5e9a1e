// Erf: reference values of 150 digits, limits, symmetries and a sweep against the closed form.
#include "math/duals/erf.hpp"

#include <cmath>
#include <initializer_list>
#include <limits>

#include "doctest.h"
#include "dual_probe.hpp"

namespace {

using probe::distance;
using probe::kUnit;

using ntkfast::Erf;
using ntkfast::PairStep;
using ntkfast::RowStep;

template <class T>
using Row = probe::Row<Erf, T>;

template <class T>
PairStep<T> pair(const double* params, double pi, double pj, double s) {
  return probe::pair<Erf, T>(params, pi, pj, s);
}

// The documented bound, plus u^2: below it the angle is less than a rounding of 1.
template <class T>
double deficit_bound(double expected) {
  return 7 * kUnit<T> * std::sqrt(2 * std::fabs(expected)) + 4 * kUnit<T> * kUnit<T>;
}

struct Input {
  double pi, pj, s;
};

struct Output {
  double s, gain, p, row_gain;  // of the pair, of row i
};

struct Reference {
  double params[3];
  Input in;
  Output out;
};

// mpmath, 150 digits, straight from K' and E[phi' phi'].
constexpr Reference kReference[] = {
    {{1, 1, 0},
     {1.0, 1.0, 0.0},
     {0.0, 1.2257000037856907, 0.68158569116255659, 1.2257000037856907}},
    {{1, 1, 0},
     {1.0, 1.5, 0.0},
     {0.0063373243980908609, 1.3100042727459286, 0.68158569116255659, 1.2257000037856907}},
    {{1, 1, 0},
     {1.0, 1.000001, 0.0},
     {3.910660493151005e-14, 1.2257002384253755, 0.68158569116255659, 1.2257000037856907}},
    {{1, 1, 0},
     {0x1p-30, 0x1p30, -0.0},
     {-0.20211543896060242, 0.79788456103939758, 1.050884991041862e-9, 1.0}},
    {{1, 1, 0},
     {0x1p-27, 0x1p-13, -0.375},
     {-0.37500000000000005, 0.99999999999999993, 8.4070799283348956e-9, 1.0}},
    {{1, 1, 0},
     {10000.0, 10000.1, -0x1p-20},
     {-0.00081790740497704179, 459.78769253934851, 0.99996816850482589, 6366.6030262541548}},
    {{1, 1, 0},
     {1e9, 3e8, 0.0},
     {1.8725354246160902e-10, 258703990.14546727, 0.99999999968169011, 636619772.77286608}},
    {{1, 1, 0},
     {1e9, 1e-9, 1.0},
     {1.0, 0.7978845610568399, 0.99999999968169011, 636619772.77286608}},
    {{1, 1, 0},
     {10000.0, 10000.0, 0x1p-17},
     {0.002424104648245358, 162.93196753963824, 0.99996816850482589, 6366.6030262541548}},
    {{1, 1, 0},
     {0.7, 30.0, 0.96875},
     {0.97536400236059204, 0.78847891532725481, 0.57413142158617771, 1.1001140497594803}},
    {{-2, 8, 0},
     {0.3, 0.25, 0x1p-40},
     {0.0010206039826883552, 1.8736804188395346, 1.724912518505611, 2.0109034238411191}},
    {{2, 0.125, 0.5},
     {3.0, 4.0, -0x1p-10},
     {-0.53095187713743751, 0.75104233792099304, 0.90198259386555592, 0.70424912956368315}},
    {{1, 1, 1},
     {0.125, 0.25, -0.0},
     {0.078228723185464776, 0.035417153018724773, 1.0096011400324713, 0.018935030573198621}},
    {{0.5, 0.4163, 0.5},
     {300.0, 2.0, -0.25},
     {0.63272734379415092, 0.3545502438304251, 0.70620510904316791, 39.854981007830073}},
    {{1, 1, 0.25},
     {0x1p-10, 0x1p-9, -0.75},
     {5.8280664357081283e-5, 3.8854114873896293e-5, 0.25000242849527771, 1.9427679141055927e-5}},
    {{1, 1, -0.0625},
     {50.0, 0.5, -0.5},
     {-0.60939633729717434, 0.82154279705542967, 0.99557767926402869, 32.112795322199834}},
};

template <class T>
void check_reference() {
  for (const auto& [params, in, out] : kReference) {
    CAPTURE(in.pi);
    CAPTURE(in.pj);
    CAPTURE(in.s);
    const PairStep<T> step = pair<T>(params, in.pi, in.pj, in.s);
    CHECK(distance(step.s, out.s) <= deficit_bound<T>(out.s));
    CHECK(std::fabs(step.gain - out.gain) <= 10 * kUnit<T> * out.gain);
    const RowStep row = Row<T>(params, in.pi).step;
    CHECK(std::fabs(row.p - out.p) <= 6 * kUnit<double> * out.p);
    CHECK(std::fabs(row.gain - out.row_gain) <= 13 * kUnit<double> * out.row_gain);
  }
}

constexpr double kPlain[] = {1, 1, 0};

}  // namespace

TEST_CASE("erf agrees with 150-digit references") {
  check_reference<float>();
  check_reference<double>();
}

TEST_CASE("erf in float agrees with the closed form over a grid") {
  const double norms[] = {1e-3, 0.05, 0.3, 0.9, 1, 2.5, 30, 1e3};
  const float deficits[] = {0.f, 1e-7f, 1e-4f, 0.01f, 0.3f, 0.8f, 0.999f, 1.f};
  for (const double pi : norms) {
    for (const double pj : norms) {
      for (const float m : deficits) {
        for (const float s : {m, -m}) {
          CAPTURE(pi);
          CAPTURE(pj);
          CAPTURE(s);
          const long double qi = 2.0L * pi * pi, qj = 2.0L * pj * pj, n = 1.0L - m;
          const long double ei = qi / (1 + qi), ej = qj / (1 + qj);
          const long double root = std::sqrt(std::asin(ei) * std::asin(ej));
          const long double y = std::sqrt(ei * ej) * n;
          const double next = static_cast<double>(1 - std::asin(y) / root);
          const double gain = static_cast<double>(std::sqrt(ei * ej) / root / std::sqrt(1 - y * y));
          const PairStep<float> step = pair<float>(kPlain, pi, pj, s);
          const double expected = std::copysign(std::fmax(next, 0), s);
          CHECK(distance(step.s, expected) <= deficit_bound<float>(expected) + 1e-18);
          CHECK(std::fabs(step.gain - gain) <= 6 * kUnit<float> * gain);
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("erf is odd in rho and symmetric in its rows", T, float, double) {
  for (const double p : {1e-6, 0.4, 3.0, 2e5}) {
    for (const double s : {0.0, 1e-5, 0.5, 0.9}) {
      const PairStep<T> plus = pair<T>(kPlain, p, 1.25, s), minus = pair<T>(kPlain, p, 1.25, -s);
      CHECK(plus.s == -minus.s);
      CHECK(std::signbit(minus.s));
      CHECK(plus.gain == minus.gain);
      const PairStep<T> swapped = pair<T>(kPlain, 1.25, p, s);
      CHECK(swapped.s == plus.s);
      CHECK(swapped.gain == plus.gain);
      const Row<T> left(kPlain, p), right(kPlain, 1.25);
      const PairStep<T> unsigned_step =
          Erf::pair<T, false>(nullptr, static_cast<T>(s), left.table, right.table);
      CHECK(unsigned_step.s == plus.s);
      CHECK(unsigned_step.gain == plus.gain);
    }
  }
}

TEST_CASE_TEMPLATE("parallel rows of one norm stay parallel", T, float, double) {
  for (const double p : {0.0, 1e-9, 0.3, 1.0, 77.0, 1e9, 1e18}) {
    const double params[] = {1.5, 0.7, 0.2};
    CHECK(pair<T>(kPlain, p, p, 0.0).s == T(0));
    CHECK(pair<T>(params, p, p, 0.0).s == T(0));
    CHECK(pair<T>(kPlain, p, p, 0.0).gain ==
          doctest::Approx(Row<T>(kPlain, p).step.gain).epsilon(1e-6));
  }
}

TEST_CASE_TEMPLATE("erf is finite at zero, tiny and huge norms", T, float, double) {
  const double constant[] = {1, 1, 0.5}, silent[] = {1, 0, 0};
  for (const double p : {0.0, 1e-150, 1e-18, 1.0, 1e18}) {
    for (const double s : {0.0, -0.0, 1e-12, -0.5, 1.0}) {
      for (const double* params : {kPlain, constant, silent}) {
        for (const double other : {0.0, p, 1.0}) {
          const PairStep<T> step = pair<T>(params, p, other, s);
          CHECK(std::isfinite(step.s));
          CHECK(std::isfinite(step.gain));
          CHECK(std::fabs(step.s) <= 1 + T(8 * kUnit<T>));
        }
      }
    }
  }
  CHECK(Row<T>(kPlain, 0).step.p == 0);
  CHECK(Row<T>(constant, 0).step.p == 0.5);
  CHECK(pair<T>(constant, 0, 0, 0).gain == T(0));
}

TEST_CASE("a large offset makes every covariance positive") {
  const double below[] = {1, 1, 0.9}, above[] = {1, 3, -1.1};
  CHECK_FALSE(Erf::nonnegative(kPlain));
  CHECK_FALSE(Erf::nonnegative(below));
  CHECK(Erf::nonnegative(above));
  for (const double p : {0.1, 1.0, 1e6}) {
    CHECK_FALSE(std::signbit(pair<float>(above, p, 1e6, -0.0).s));
  }
}
