// What a dual activation provides. One header per family; activation_list.hpp names them all.
//
//   struct Family {
//     static constexpr int kParams;     numbers that the user gives (activation_list says which)
//     static constexpr int kConstants;  numbers derived from them, the same for every pair
//     static constexpr int kColumns;    numbers that one row contributes to every pair with it
//     static void constants(const double* params, double* constants);
//     static bool nonnegative(const double* params);   rho' >= 0 whatever rho is
//     static RowStep row(const double* params, double p, double* columns);
//     template <class T, bool kSigned>
//     static PairStep<T> pair(const T* constants, T s, const T* left, const T* right);
//   };
//
// With q = K(x, x), p = sqrt(q), P = p p' and tau = T / P, a layer maps
//   row :  p -> p_next = sqrt(E[phi(p z)^2]),  gain = factor of tau at rho = 1
//   pair:  s -> s_next,                        gain = factor of tau at this rho,
//                                              E[phi'(u) phi'(v)] P / P_next.
// s is the signed deficit of deficit.hpp. kSigned is false where no negative rho can occur.
// pair() runs in the innermost loop: plain arithmetic, no branches, no calls into libm but sqrt.
#pragma once

#include "math/deficit.hpp"
#include "math/hostdev.hpp"
#include "math/scalar.hpp"

namespace ntkfast::inline NTKFAST_ISA {

struct RowStep {
  double p;
  double gain;
};

template <class T>
struct PairStep {
  T s;
  T gain;
};

}  // namespace ntkfast::inline NTKFAST_ISA
