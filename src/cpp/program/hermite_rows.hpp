// The Hermite coefficients of a polynomial activation, one row at a time.
//
// phi = sum_n c_n B_n in one of two bases, Op::params[0] = s and Op::numbers = c:
//   s = 0: B_n(x) = x^n;   s = 1: B_n(x) = He_n(x) / sqrt(n!), orthonormal under N(0, 1).
// Both are Hermite polynomials of variance s, which a change of scale p maps to those of variance 1
// without cancellation (Appell):
//   He_n(p z; s) = sum_j n! / (2^j j! (n - 2j)!) p^(n - 2j) (p^2 - s)^j He_(n - 2j)(z).
// So phi(p z) = sum_k a_k(p) h_k(z), h_k orthonormal, K' = sum_k a_k(p) a_k(p') rho^k. The columns
// of a row are the unit vector a / |a|: even orders 0, 2, ..., then odd orders 1, 3, ..., a parity
// that phi lacks left out.
#pragma once

#include <cstddef>

#include "math/duals/dual.hpp"
#include "program/op.hpp"

namespace ntkfast {

// Largest degree: its error bound is 32 times that of a first-order kernel (chi = degree).
inline constexpr std::size_t kMaxHermiteDegree = 32;

// Number of columns per parity.
struct HermiteOrders {
  int even, odd;
  int count() const { return even + odd; }
};
HermiteOrders hermite_orders(const Op& op);

// The columns of a row with root mean square p, and its next p and chi. Where phi is zero, the unit
// vector (1, 0, ...). The limit of the unit vector at p = 0.
RowStep hermite_row(const Op& op, double p, double* columns);

// Whether some pair may have a negative correlation behind the series.
bool hermite_signed(const Op& op, bool signed_input);

}  // namespace ntkfast
