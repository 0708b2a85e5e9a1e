// Evaluates one dual on one pair of rows, and holds it against reference values.
#pragma once

#include <cmath>
#include <initializer_list>
#include <limits>

#include "doctest.h"
#include "math/duals/dual.hpp"

namespace probe {

using ntkfast::PairStep;
using ntkfast::RowStep;

template <class T>
constexpr double kUnit = std::numeric_limits<T>::epsilon() / 2;

constexpr int size(int count) { return count > 0 ? count : 1; }

template <class Dual, class T>
struct Row {
  Row(const double* params, double p) {
    double columns[size(Dual::kColumns)] = {};
    step = Dual::row(params, p, columns);
    for (int k = 0; k < Dual::kColumns; ++k) table[k] = static_cast<T>(columns[k]);
  }
  RowStep step;
  T table[size(Dual::kColumns)];
};

template <class Dual, class T, bool kSigned = true>
PairStep<T> pair(const double* params, double pi, double pj, double s) {
  double numbers[size(Dual::kConstants)] = {};
  Dual::constants(params, numbers);
  T constants[size(Dual::kConstants)];
  for (int k = 0; k < size(Dual::kConstants); ++k) constants[k] = static_cast<T>(numbers[k]);
  const Row<Dual, T> left(params, pi), right(params, pj);
  return Dual::template pair<T, kSigned>(constants, static_cast<T>(s), left.table, right.table);
}

// |1 - rho| between two signed deficits, whatever their signs.
inline double distance(double s, double expected) {
  const double gap = std::fabs(std::fabs(s) - std::fabs(expected));
  return std::signbit(s) == std::signbit(expected) ? gap : 2 - std::fabs(s) - std::fabs(expected);
}

// One line of reference values: parameters, the pair, and what comes out: s and gain of the pair,
// p and gain of row i, gain of row j.
struct Reference {
  double params[3];
  double pi, pj, s;
  double next, gain, p, row_gain, other_gain;
};

// Bounds in units of the roundoff: of the deficit relative to sqrt(2 m'), of the gain relative to
// that at rho = 1, of both numbers of a row relative to themselves.
struct Bounds {
  double deficit, gain, row;
};

template <class Dual, class T, std::size_t n>
void check_reference(const Reference (&references)[n], Bounds bounds) {
  for (const Reference& want : references) {
    CAPTURE(want.params[0]);
    CAPTURE(want.params[1]);
    CAPTURE(want.pi);
    CAPTURE(want.pj);
    CAPTURE(want.s);
    const PairStep<T> got = pair<Dual, T>(want.params, want.pi, want.pj, want.s);
    const double unit = kUnit<T>;
    CHECK(distance(got.s, want.next) <=
          bounds.deficit * unit * std::sqrt(2 * std::fabs(want.next)) + 4 * unit * unit);
    CHECK(std::fabs(got.gain - want.gain) <=
          bounds.gain * unit * std::sqrt(want.row_gain * want.other_gain));
    const RowStep row = Row<Dual, T>(want.params, want.pi).step;
    CHECK(std::fabs(row.p - want.p) <= bounds.row * kUnit<double> * want.p);
    CHECK(std::fabs(row.gain - want.row_gain) <= bounds.row * kUnit<double> * want.row_gain);
  }
}

// Rows of one norm: equal ones stay equal to the bit and have the gain of the row.
template <class Dual, class T>
void check_equal_rows(const double* params, std::initializer_list<double> norms) {
  for (const double p : norms) {
    CAPTURE(p);
    const PairStep<T> step = pair<Dual, T>(params, p, p, 0.0);
    CHECK(step.s == T(0));
    const double gain = Row<Dual, T>(params, p).step.gain;
    CHECK(std::fabs(step.gain - gain) <= 32 * kUnit<T> * gain);
  }
}

// Order of the rows, and whether the sign of rho is read, make no difference where they must not.
template <class Dual, class T>
void check_symmetry(const double* params, double largest) {
  for (const double p : {1e-6, 0.4, 3.0, 2e5}) {
    if (p > largest) continue;
    for (const double s : {0.0, 1e-5, 0.5, 0.9, 1.0, -0.3, -0.0}) {
      const PairStep<T> step = pair<Dual, T>(params, p, 0.75, s);
      const PairStep<T> swapped = pair<Dual, T>(params, 0.75, p, s);
      CHECK(step.s == swapped.s);
      CHECK(step.gain == swapped.gain);
      if (std::signbit(s)) continue;
      const PairStep<T> unsigned_step = pair<Dual, T, false>(params, p, 0.75, s);
      CHECK(std::fabs(unsigned_step.s) == std::fabs(step.s));
      CHECK(unsigned_step.gain == step.gain);
    }
  }
}

// No NaN, no infinity, |rho'| <= 1, at norms from 0 to `largest`.
template <class Dual, class T>
void check_finite(const double* params, double largest) {
  for (const double p : {0.0, 1e-150, 1e-38, 1e-18, 1e-4, 1.0, 1e4, 1e9, 1e18}) {
    for (const double other : {0.0, p, 0.5 * p, 1.0, largest}) {
      if (p > largest || other > largest) continue;
      for (const double s : {0.0, -0.0, 1e-12, -1e-3, -0.5, 1.0}) {
        CAPTURE(p);
        CAPTURE(other);
        CAPTURE(s);
        const PairStep<T> step = pair<Dual, T>(params, p, other, s);
        CHECK(std::isfinite(step.gain));
        CHECK(std::fabs(step.s) <= 1 + T(16 * kUnit<T>));
        if (Dual::nonnegative(params)) CHECK_FALSE(std::signbit(step.s));
      }
    }
  }
}

}  // namespace probe
