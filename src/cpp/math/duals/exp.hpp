// Kernels of the form rho' = exp(-distance): Exp, Rbf and ExpNormalized. All are positive.
//
// Exp: phi(x) = a exp(b x), phi' = b phi. Domain: every q; a kernel beyond the range of its dtype
// is a KernelOverflow. By the moment generating function of the normal distribution,
//   K' = a^2 exp(b^2 (q + q') / 2 + b^2 K),  E[phi' phi'] = b^2 K'.
// Rbf: phi(x) = sqrt(2) sin(sqrt(2 gamma) x + pi / 4). Domain: gamma >= 0, every q (Rahimi & Recht
// 2007: one random feature of the squared exponential kernel). With b^2 = 2 gamma,
//   K' = exp(-gamma (q + q' - 2 K)),  E[phi' phi'] = b^2 K'.
// Of both the correlation is rho' = exp(-b^2 E[(u - v)^2] / 2): with x = |b| p the exponent is
// (x - x')^2 / 2 + x x' (1 - rho), two non-negative terms, and the gain is x x' rho'.
// ExpNormalized (Shankar et al. 2020), a kernel and not the dual of one function phi:
//   K' = sqrt(q q') exp(gamma (rho + shift)),  T' = T dK'/dK = T gamma exp(gamma (rho + shift)),
// so that rho' = exp(-gamma (1 - rho)) and the gain is gamma rho'. Domain: gamma >= 0, every q.
//
// Error bounds for exact s and x, measured on 12000 random pairs against 120 digits, norms 1e-9 to
// 1e9 (Exp: to 10) in any mix, m from 1e-17 to 1, both signs; u the unit roundoff:
//   |error of m'| <= 5 u sqrt(2 m'); rows of one norm: also <= 5 u m';
//   |error of the gain| <= 4 u sqrt(gain_i gain_j).
// A rounding of p moves (x - x')^2 / 2 by u x |x - x'| and the p_next of Exp by u x^2 of itself:
// within what the conditioning, b^2 q, allows for. Deficits below 4 u^2 count as 0.
#pragma once

#include <cmath>

#include "math/duals/dual.hpp"
#include "math/duals/phase.hpp"
#include "math/exponential.hpp"

namespace ntkfast::inline NTKFAST_ISA {

namespace exp_detail {

// 1 - rho at the signed deficit s.
template <class T, bool kSigned>
NTKFAST_INLINE T delta(T s) {
  const T m = kSigned ? std::fabs(s) : s;
  return kSigned && std::copysign(T(1), s) < T(0) ? T(2) - m : m;
}

template <class T, bool kSigned>
NTKFAST_INLINE PairStep<T> pair(T s, const T* left, const T* right) {
  const T product = Phase::size(left) * Phase::size(right);
  const T difference = Phase::difference(left, right);
  const Decay<T> next = decay(T(0.5) * difference * difference + product * delta<T, kSigned>(s));
  return {next.loss, product * next.value};
}

}  // namespace exp_detail

struct Exp {
  static constexpr int kParams = 2;
  static constexpr int kConstants = 0;
  static constexpr int kColumns = Phase::kColumns;

  static void constants(const double* /*params*/, double* /*constants*/) {}
  static bool nonnegative(const double* /*params*/) { return true; }

  static RowStep row(const double* params, double p, double* columns) {
    const double x = std::fabs(params[1]) * p;
    Phase::write(x, columns);
    return {std::fabs(params[0]) * std::exp(x * x), x * x};
  }

  template <class T, bool kSigned>
  static NTKFAST_INLINE PairStep<T> pair(const T* /*constants*/, T s, const T* left,
                                         const T* right) {
    return exp_detail::pair<T, kSigned>(s, left, right);
  }
};

struct Rbf {
  static constexpr int kParams = 1;
  static constexpr int kConstants = 0;
  static constexpr int kColumns = Phase::kColumns;

  static void constants(const double* /*params*/, double* /*constants*/) {}
  static bool nonnegative(const double* /*params*/) { return true; }

  static RowStep row(const double* params, double p, double* columns) {
    const double x = std::sqrt(2 * params[0]) * p;
    Phase::write(x, columns);
    return {1.0, x * x};
  }

  template <class T, bool kSigned>
  static NTKFAST_INLINE PairStep<T> pair(const T* /*constants*/, T s, const T* left,
                                         const T* right) {
    return exp_detail::pair<T, kSigned>(s, left, right);
  }
};

struct ExpNormalized {
  static constexpr int kParams = 2;
  static constexpr int kConstants = 1;
  static constexpr int kColumns = 0;

  static void constants(const double* params, double* constants) { constants[0] = params[0]; }
  static bool nonnegative(const double* /*params*/) { return true; }

  static RowStep row(const double* params, double p, double* /*columns*/) {
    return {p * std::exp(0.5 * params[0] * (1 + params[1])), params[0]};
  }

  template <class T, bool kSigned>
  static NTKFAST_INLINE PairStep<T> pair(const T* constants, T s, const T* /*left*/,
                                         const T* /*right*/) {
    const Decay<T> next = decay(constants[0] * exp_detail::delta<T, kSigned>(s));
    return {next.loss, constants[0] * next.value};
  }
};

}  // namespace ntkfast::inline NTKFAST_ISA
