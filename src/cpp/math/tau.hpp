// What layers do to tau = T / (p p').
#pragma once

#include <cstdint>

#include "math/hostdev.hpp"

namespace ntkfast {

// What happens to tau in a step.
enum class TauMode : std::uint8_t {
  None,   // no trainable layer so far, or the NTK is not asked for
  Start,  // tau' = rho'                (first trainable layer)
  Add,    // tau' = gain tau + rho'     (trainable layer)
  Scale,  // tau' = gain tau            (activation, or a layer that is not trainable)
  // A join adds what both values contribute (Add), or has the first alone to scale.
};

inline namespace NTKFAST_ISA {

// A dense layer. Standard parameterization has an own part instead of rho.
template <class T>
NTKFAST_INLINE T dense_tau(TauMode mode, T gain, T own, T tau) {
  if (mode == TauMode::Start) return own;
  return mode == TauMode::Add ? gain * tau + own : gain * tau;
}

// The own part of a trainable dense layer in standard parameterization, (g^2 K + e^2) / (P P').
template <class T>
NTKFAST_INLINE T standard_own_part(T gi, T gj, T rho, T ei, T ej) {
  return (gi * gj) * rho + ei * ej;
}

// A sum of two values of which both have T, with the unit vectors (a_1, a_2) and (b_1, b_2).
template <class T>
NTKFAST_INLINE T sum_tau(T a1, T b1, T tau1, T a2, T b2, T tau2) {
  return a1 * b1 * tau1 + a2 * b2 * tau2;
}

// A product of two values of which both have T.
template <class T>
NTKFAST_INLINE T product_tau(T rho1, T tau1, T rho2, T tau2) {
  return tau1 * rho2 + rho1 * tau2;
}

}  // namespace NTKFAST_ISA
}  // namespace ntkfast
