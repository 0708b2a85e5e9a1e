// The dual of an activation without closed form, fitted over the range of rows that meet it.
//
// phi is split into its constant, odd and even parts, whose shares of P = sqrt(E[phi(p z)^2]) are
// the unit vector (c, o, e) of a row. With n = |rho| and mu = 1 - rho^2,
//   rho' = c c' + sign(rho) o o' n (1 - e_o) + e e' (1 - e_e),
//   gain = g_o g_o' G_o + rho g_e g_e' G_e,
//   e_k  = (t - t')^2 E_k(t, t') + mu H_k(t, t', x),  G_k(t, t', x),  H, E >= 0:
// all parity is exact, and a deficit is a sum of terms that are not negative. E, H and G are
// polynomials in Chebyshev's basis. t is asinh(p), mapped from its range to [-1, 1]; x is
// (mu + kappa)^(1 / 2^roots), mapped likewise, with sqrt(mu) for mu where phi has a kink: steep
// functions change within mu of about 1 / q, and those with a kink like a root of mu.
#pragma once

namespace ntkfast {

// What the loops read; pointers alone, for files that are built per instruction set.
template <class T>
struct PairTable {
  int parts;               // 1 or 2: odd first
  bool odd, even;          // which of them there are
  bool pure;               // nothing but odd: rho' = rho (1 - e_o)
  bool mixed;              // c changes its sign over the rows: a rho >= 0 may lead to a rho' < 0
  int degree_t, degree_x;  // terms
  bool kinked;             // base: the root of mu instead of mu
  int roots;
  T kappa, x_scale, x_offset;  // x = x_scale (base + kappa)^(1 / 2^roots) + x_offset
  // [a][H or G][part][b][k], then [part][b] of E: the coefficient of T_a(t) T_b(t') T_k(x).
  const T* coefficients;
  int stride;  // numbers per a

  static constexpr int kMaxTerms = 8192;
  static constexpr int kMaxDegreeT = 48;
  static constexpr int kMaxDegreeX = 96;
};

// Columns of a row.
enum DualTableColumn : int {
  kTableConstant,
  kTableOdd,
  kTableEven,
  kTableOddGain,
  kTableEvenGain,
  kTablePosition,
  kTableColumns
};

}  // namespace ntkfast
