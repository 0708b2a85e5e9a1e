// Clip: reference values of 34 digits, limits, symmetries, and its two asymptotes.
#include "math/duals/clip.hpp"

#include <cmath>
#include <initializer_list>
#include <limits>

#include "doctest.h"
#include "dual_probe.hpp"
#include "math/duals/abrelu.hpp"

namespace {

using probe::distance;
using probe::kUnit;

using ntkfast::Clip;
using ntkfast::PairStep;
using ntkfast::RowStep;

template <class T>
using Row = probe::Row<Clip, T>;

template <class T, bool kSigned = true>
PairStep<T> pair(const double* params, double pi, double pj, double s) {
  return probe::pair<Clip, T, kSigned>(params, pi, pj, s);
}

// The documented bound; chi is at least 1.
template <class T>
double deficit_bound(double expected, double chi) {
  return 5 * kUnit<T> * chi * std::sqrt(2 * std::fabs(expected)) + 4 * kUnit<T> * kUnit<T>;
}

struct Reference {
  double params[2];
  struct Input {
    double pi, pj, s;
  } in;
  struct Output {
    double s, gain, row_gain;  // of the pair, of row i
  } out;
};

// mpmath, 34 digits: one-dimensional integrals at rho = +-1, Price's theorem from there.
constexpr Reference kReference[] = {
    {{-1.0, 1.0},
     {1.0, 1.0, 0.0009765625},
     {0.0012811221716392627, 1.306357884854208, 1.3228915417927743}},
    {{-1.0, 1.0}, {1.0, 1.5, 0.25}, {0.30514740150193401, 1.0628305839857075, 1.3228915417927743}},
    {{-1.0, 1.0},
     {0.0625, 0.125, 9.5367431640625e-07},
     {9.5367431642432505e-7, 0.99999999999999998, 1.0}},
    {{-1.0, 1.0},
     {100.0, 130.0, -0.000244140625},
     {-0.010158258018218875, 27.470501359349144, 80.213797697562737}},
    {{-1.0, 1.0},
     {1000.0, 1000.0, 9.313225746154785e-10},
     {7.3494921063116402e-7, 784.56402557240158, 798.30906676574216}},
    {{-1.0, 1.0},
     {3.0, 3.0001, -0.0},
     {-5.1762168279669293e-11, 2.8497925092292998, 2.849798921231293}},
    {{0.0, 6.0}, {2.0, 5.0, -0.25}, {0.95289790389278707, 0.27811231032046523, 1.002304431286991}},
    {{0.0, 6.0}, {2.0, 5.0, 0.25}, {0.22777375518940116, 0.69014069869115421, 1.002304431286991}},
    {{0.0, 6.0}, {0.5, 0.25, 0.75}, {0.54669012215545854, 0.58043062325516624, 1.0}},
    {{0.0, 6.0},
     {30.0, 4.0, 1.52587890625e-05},
     {0.12020531818849595, 0.93952886233015601, 4.4326757217903923}},
    {{-0.25, 3.0},
     {1.0, 0.75, -0.125},
     {-0.62627931800734356, 0.45131316193373321, 1.1386377035761931}},
    {{-0.25, 3.0},
     {8.0, 20.0, -0.5},
     {0.83807747688993045, 0.47781660292302152, 2.7849384292351752}},
};

template <class T>
void check_reference() {
  for (const auto& [params, in, out] : kReference) {
    CAPTURE(params[0]);
    CAPTURE(in.pi);
    CAPTURE(in.pj);
    CAPTURE(in.s);
    const Row<T> left(params, in.pi), right(params, in.pj);
    const double chi = std::fmax(1, std::sqrt(left.step.gain * right.step.gain));
    const PairStep<T> step = pair<T>(params, in.pi, in.pj, in.s);
    CHECK(distance(step.s, out.s) <= deficit_bound<T>(out.s, chi));
    CHECK(std::fabs(step.gain - out.gain) <= 8 * kUnit<T> * chi);
    CHECK(std::fabs(left.step.gain - out.row_gain) <= 8 * kUnit<double> * out.row_gain);
  }
}

constexpr double kHardtanh[] = {-1, 1}, kRelu6[] = {0, 6}, kSkew[] = {-0.25, 3};

}  // namespace

TEST_CASE_TEMPLATE("the quadrature rules integrate polynomials", T, float, double) {
  using ntkfast::clip_detail::kShort;
  const auto check = [](auto rule) {
    using Rule = decltype(rule);
    for (int power = 0; power < 2 * Rule::kNodes; ++power) {
      double sum = 0;
      for (int i = 0; i < Rule::kNodes; ++i) {
        sum += static_cast<double>(Rule::weight(i)) *
               std::pow(static_cast<double>(Rule::node(i)), power);
      }
      CHECK(std::fabs(sum * (power + 1) - 1) <= 8 * kUnit<T> * (power + 1));
    }
  };
  check(ntkfast::GaussLegendre<T, kShort<T>>{});
  check(ntkfast::GaussLegendre<T, ntkfast::clip_detail::kLong<T>>{});
}

TEST_CASE_TEMPLATE("the normal distribution near its middle", T, float, double) {
  for (double y = 0.01; y <= 0.8; y += 0.01) {
    const T rounded = static_cast<T>(y);
    const double exact = static_cast<double>(rounded);
    const double want = std::sqrt(M_PI / 2) * std::erf(exact * M_SQRT1_2) / exact;
    const T got = ntkfast::clip_detail::normal_over_argument(rounded * rounded);
    CHECK(std::fabs(static_cast<double>(got) / want - 1) <= 4 * kUnit<T> + 2 * kUnit<double>);
  }
}

TEST_CASE_TEMPLATE("both ways from one end of rho to the other agree where they meet", T, float,
                   double) {
  const double meet = ntkfast::clip_detail::kSwitch;
  for (const double* params : {kHardtanh, kRelu6, kSkew}) {
    for (const double p : {0.3, 1.0, 4.0, 40.0}) {
      for (const double ratio : {1.0, 1.2, 7.0}) {
        for (const double sign : {1.0, -1.0}) {
          const double step = 4 * kUnit<T>;
          const auto below = pair<T>(params, p, ratio * p, sign * meet * (1 - step));
          const auto above = pair<T>(params, p, ratio * p, sign * meet * (1 + step));
          // Each within its bound, and what 8 u of s move.
          const double chi = std::fmax(1, 10 * p);
          CHECK(distance(below.s, above.s) <= 2 * deficit_bound<T>(above.s, chi));
          CHECK(std::fabs(below.gain - above.gain) <= 16 * kUnit<T> * chi);
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("the scaled complementary error function", T, float, double) {
  for (double z = 0; z < ntkfast::clip_detail::Complement<T>::kFar; z += 0.01) {
    const T rounded = static_cast<T>(z);
    const double zd = static_cast<double>(rounded), want = std::exp(zd * zd) * std::erfc(zd);
    const double slack = kUnit<double> * zd * zd;  // of the right-hand side
    CHECK(std::fabs(ntkfast::clip_detail::scaled_erfc(rounded) / want - 1) <= 6 * kUnit<T> + slack);
  }
}

TEST_CASE("clip agrees with 34-digit references") {
  check_reference<float>();
  check_reference<double>();
}

TEST_CASE_TEMPLATE("clip is symmetric in its rows, and hardtanh is odd", T, float, double) {
  for (const double* params : {kHardtanh, kRelu6, kSkew}) {
    for (const double p : {1e-6, 0.4, 3.0, 200.0}) {
      for (const double s : {0.0, 1e-5, 0.5, 0.9, -0.3}) {
        const PairStep<T> step = pair<T>(params, p, 1.25, s);
        const PairStep<T> swapped = pair<T>(params, 1.25, p, s);
        const double chi = std::fmax(1, p);
        CHECK(distance(swapped.s, step.s) <= deficit_bound<T>(step.s, chi));
        CHECK(std::fabs(swapped.gain - step.gain) <= 8 * kUnit<T> * chi);
        if (s < 0) continue;
        const PairStep<T> unsigned_step = pair<T, false>(params, p, 1.25, s);
        CHECK(unsigned_step.s == step.s);
        CHECK(unsigned_step.gain == step.gain);
      }
    }
  }
  for (const double s : {0.0, 1e-7, 0.3, 0.99}) {
    const PairStep<T> plus = pair<T>(kHardtanh, 2, 3, s), minus = pair<T>(kHardtanh, 2, 3, -s);
    CHECK(plus.s == -minus.s);
    CHECK(plus.gain == minus.gain);
  }
}

TEST_CASE_TEMPLATE("clip keeps parallel rows of one norm parallel", T, float, double) {
  for (const double* params : {kHardtanh, kRelu6, kSkew}) {
    for (const double p : {0.0, 1e-9, 0.3, 1.0, 77.0, 1e9, 1e18}) {
      const PairStep<T> step = pair<T>(params, p, p, 0.0);
      CHECK(step.s == T(0));
      CHECK(step.gain == doctest::Approx(Row<T>(params, p).step.gain).epsilon(1e-6));
    }
  }
}

TEST_CASE_TEMPLATE("small signals see no knot but the one at zero", T, float, double) {
  constexpr double kRelu[] = {0, 1};
  double constants[ntkfast::AbRelu::kConstants];
  ntkfast::AbRelu::constants(kRelu, constants);
  T relu[ntkfast::AbRelu::kConstants];
  for (int k = 0; k < ntkfast::AbRelu::kConstants; ++k) relu[k] = static_cast<T>(constants[k]);
  for (const double s : {0.0, -0.0, 1e-9, 0.2, -0.7, 1.0, -1e-6}) {
    const PairStep<T> linear = pair<T>(kHardtanh, 1e-3, 1e-9, s);
    CHECK(distance(linear.s, T(s)) <= deficit_bound<T>(T(s), 1));
    CHECK(std::fabs(linear.gain - 1) <= 8 * kUnit<T>);
    const PairStep<T> kinked = pair<T>(kRelu6, 1e-3, 1e-9, s);
    const auto limit = ntkfast::AbRelu::pair<T, true>(relu, static_cast<T>(s), nullptr, nullptr);
    CHECK(distance(kinked.s, limit.s) <= deficit_bound<T>(limit.s, 1));
    CHECK(std::fabs(kinked.gain - limit.gain) <= 8 * kUnit<T>);
  }
}

TEST_CASE_TEMPLATE("clip is finite at zero, tiny and huge norms", T, float, double) {
  for (const double* params : {kHardtanh, kRelu6, kSkew}) {
    for (const double p : {0.0, 1e-150, 1e-18, 1.0, 1e18}) {
      for (const double s : {0.0, -0.0, 1e-12, -0.5, 1.0}) {
        for (const double other : {0.0, p, 1.0}) {
          const PairStep<T> step = pair<T>(params, p, other, s);
          CHECK(std::isfinite(step.s));
          CHECK(std::isfinite(step.gain));
          if (p < 1e18) CHECK(std::fabs(step.s) <= 1 + T(8 * kUnit<T>));
        }
      }
    }
    CHECK(Row<T>(params, 0).step.p == 0);
  }
  CHECK(Row<T>(kHardtanh, 0).step.gain == 1.0);
  CHECK(Row<T>(kHardtanh, 1e150).step.p == doctest::Approx(1.0).epsilon(1e-15));
}

TEST_CASE("a clip of one sign makes every covariance positive") {
  CHECK(Clip::nonnegative(kRelu6));
  CHECK_FALSE(Clip::nonnegative(kHardtanh));
  CHECK_FALSE(Clip::nonnegative(kSkew));
  for (const double p : {0.1, 1.0, 1e6}) {
    for (const double s : {-0.0, -1e-9, -0.4, -1.0}) {
      CHECK_FALSE(std::signbit(pair<float>(kRelu6, p, 3.0, s).s));
    }
  }
}
