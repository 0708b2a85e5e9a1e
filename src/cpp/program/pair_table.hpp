// The dual of an activation without closed form, fitted over the range of rows that meet it.
//
// phi is split into its constant, odd and even parts, whose shares of P = sqrt(E[phi(p z)^2]) are
// the unit vector (c, o, e) of a row. o^2 = s f with a scale s that goes to zero with o for small
// rows, e^2 likewise, and n = |rho|, mu = 1 - rho^2. With the loss of each part,
//   V = s s' ((t - t')^2 E(t, t') + mu H(t, t', x)) + (s - s') (f - f') / 2 >= 0,
// the products of the parts are
//   even:  (e^2 + e'^2) / 2 - V,
//   odd:   sign(rho) n ((o^2 + o'^2) / 2 - V),
// rho' is their sum with c c', and
//   gain = g_o g_o' G_o(t, t', x) + rho g_e g_e' G_e(t, t', x).
// All parity is exact, and a deficit is a sum of terms that are not negative: V and n V, with
// (1 - n) (o^2 + o'^2) / 2 and (c - c')^2 / 2. E, H and G are polynomials in Chebyshev's basis. No
// part is divided by its own norm: E[phi^2] has no zeros near the rows, but the norm of one part
// may nearly vanish on the way. t is asinh(stretch p), mapped from its range to [-1, 1]; x is
// (mu + kappa)^(1 / 2^roots), mapped likewise, with sqrt(mu) for mu where phi has a kink: steep
// functions change within mu of about 1 / q, and those with a kink like a root of mu.
#pragma once

namespace ntkfast {

// What the loops read; pointers alone, for files that are built per instruction set.
template <class T>
struct PairTable {
  int parts;               // 1 or 2: odd first
  bool odd, even;          // which of them there are
  bool pure;               // nothing but odd: rho' = rho (1 - V), and s = f = 1
  bool mixed;              // c changes its sign over the rows: a rho >= 0 may lead to a rho' < 0
  int degree_t, degree_x;  // terms
  bool kinked;             // base: the root of mu instead of mu
  int roots;
  T kappa, x_scale, x_offset;  // x = x_scale (base + kappa)^(1 / 2^roots) + x_offset
  // [a][H or G][part][b][k], then [part][b] of E: the coefficient of T_a(t) T_b(t') T_k(x).
  const T* coefficients;
  int stride;  // numbers per a

  static constexpr int kMaxTerms = 16384;
  static constexpr int kMaxDegreeT = 64;
  static constexpr int kMaxDegreeX = 96;
};

// Columns of a row.
enum DualTableColumn : int {
  kTableConstant,
  kTableOddScale,  // s
  kTableOddShare,  // f = o^2 / s
  kTableEvenScale,
  kTableEvenShare,
  kTableOddGain,
  kTableEvenGain,
  kTablePosition,
  kTableColumns
};

}  // namespace ntkfast
