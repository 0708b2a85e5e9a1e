// Finite Hermite series: phi(p z) = |a| sum_k a_k(p) h_k(z), h_k the orthonormal Hermite
// polynomials, a(p) a unit vector that each row brings in its columns.
//
// Dual (Mehler 1866): with w_k = a_k a'_k,
//   rho' = sum_k w_k rho^k = f(rho),   gain = E[phi' phi'] p p' / (P P') = f'(rho).
// Split by parity, f = E(x) + rho O(x) with x = rho^2. As both vectors are unit vectors,
//   1 - rho' = sum_k (a_k - a'_k)^2 / 2 + [f(1) - f(rho)],
// and with n = |rho| = 1 - m the second part is, for rho > 0,
//   (1 - x) (E(1) - E(x)) / (1 - x) + (1 - x) (O(1) - O(x)) / (1 - x) + m O(x);
// Horner's rule yields the divided differences on the way: they are the sums of its intermediate
// values. For rho < 0, O changes its sign, and 1 + rho' follows in the same way.
//
// Where no coefficient changes its sign between two rows (monomials; polynomials whose coefficients
// of one parity have one sign) all terms are non-negative and both deficits relatively accurate.
// With K columns of one parity, u the unit roundoff and exact s and columns,
//   |error of m'| <= (K + 8) u m',   |error of the gain| <= (2 K + 8) u gain(1);
// the largest of 400000 random pairs for each of 11 functions was 0.8 of that for K > 2.
// Coefficients of either sign cost 1 - rho' nothing (a negative w_k is smaller than its square
// difference); only 1 + rho' is then absolute: rho' near -1 by a change of sign, not by oddness, is
// accurate to a few u. The columns in T are rounded, which moves sqrt(2 m') by up to u.
#pragma once

#include <cmath>

#include "math/duals/dual.hpp"

namespace ntkfast::inline NTKFAST_ISA {

// The orders of one parity, highest first. V is a number, or a vector of them.
template <class V>
struct HermiteSum {
  V value{};     // g(x) = sum_k w_k x^k
  V slope{};     // g'(x)
  V quotient{};  // (g(1) - g(x)) / (1 - x)
  V gap{};       // sum_k (a_k - a'_k)^2

  NTKFAST_INLINE void add(V left, V right, V x) {
    const V difference = left - right;
    slope = slope * x + value;
    quotient += value;
    value = value * x + left * right;
    gap += difference * difference;
  }
};

// kSigned: rho or rho' may be negative.
template <class T, bool kSigned>
NTKFAST_INLINE PairStep<T> hermite_pair(T s, const HermiteSum<T>& even, const HermiteSum<T>& odd) {
  const T rho = correlation<T, kSigned>(s);
  const T m = kSigned ? std::fabs(s) : s;
  const T near = T(0.5) * (even.gap + odd.gap) +
                 (m * ((T(2) - m) * (even.quotient + odd.quotient)) + m * odd.value);
  const T gain = T(2) * (rho * (even.slope + rho * odd.slope)) + odd.value;
  if constexpr (!kSigned) {
    return {near, gain};
  } else {
    const bool negative = std::copysign(T(1), s) < T(0);
    const T across = T(2) * ((T(1) - m) * odd.value);
    const T to_one = near + (negative ? across : T(0));
    const T to_minus_one = near + (T(2) * even.value + (negative ? T(0) : across));
    const T one = to_one > T(0) ? to_one : T(0);
    const T minus_one = to_minus_one > T(0) ? to_minus_one : T(0);
    return {one <= minus_one ? one : -minus_one, gain};
  }
}

}  // namespace ntkfast::inline NTKFAST_ISA
