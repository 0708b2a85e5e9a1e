// The loops of dropout and of the ops that join two values. Built once per instruction set.
#include "cpu/isa/loops.hpp"
#include "cpu/isa/steps.hpp"
#include "math/branches.hpp"

namespace ntkfast::cpu::NTKFAST_ISA {
namespace {

// TauMode of a join: None, Scale (the first value alone has T) or Add (both have).
template <class T, bool kSigned1, bool kSigned2, TauMode kMode, bool kMap>
void sum_step(const Step<T>& step, const TileRow<T>& row) {
  const T *s1 = row.s[step.in], *s2 = row.s[step.in2];
  const T *tau1 = row.tau[step.in], *tau2 = row.tau[step.in2];
  T *s_out = row.s[step.out], *tau_out = row.tau[step.out];
  const LeftColumn<T, kMap> first(step.left, 0, row), second(step.left, 1, row);
  const T *b1 = step.right[0] + row.j0, *b2 = step.right[1] + row.j0;
  NTKFAST_INDEPENDENT
  for (int j = 0; j < row.n; ++j) {
    const T a1 = first[j], a2 = second[j];
    s_out[j] = sum_deficit<T, kSigned1, kSigned2>(s1[j], s2[j], a1, a2, b1[j], b2[j]);
    if constexpr (kMode == TauMode::Scale) tau_out[j] = a1 * b1[j] * tau1[j];
    if constexpr (kMode == TauMode::Add) {
      tau_out[j] = sum_tau(a1, b1[j], tau1[j], a2, b2[j], tau2[j]);
    }
  }
}

// The correlations are read before s is written: the step may run in place.
template <class T, bool kSigned1, bool kSigned2, TauMode kMode>
void product_step(const Step<T>& step, const TileRow<T>& row) {
  const T *s1 = row.s[step.in], *s2 = row.s[step.in2];
  const T *tau1 = row.tau[step.in], *tau2 = row.tau[step.in2];
  T *s_out = row.s[step.out], *tau_out = row.tau[step.out];
  NTKFAST_INDEPENDENT
  for (int j = 0; j < row.n; ++j) {
    const T first = s1[j], second = s2[j];
    const T rho1 = correlation<T, kSigned1>(first), rho2 = correlation<T, kSigned2>(second);
    s_out[j] = product_deficit<T, kSigned1, kSigned2>(first, second);
    if constexpr (kMode == TauMode::Scale) tau_out[j] = tau1[j] * rho2;
    if constexpr (kMode == TauMode::Add) tau_out[j] = product_tau(rho1, tau1[j], rho2, tau2[j]);
  }
}

template <class T, bool kSigned, bool kTau>
void dropout_step(const Step<T>& step, const TileRow<T>& row) {
  const T* s_in = row.s[step.in];
  const T* tau_in = row.tau[step.in];
  T* s_out = row.s[step.out];
  T* tau_out = row.tau[step.out];
  const T keep = step.constants[0], drop = step.constants[1];
  NTKFAST_INDEPENDENT
  for (int j = 0; j < row.n; ++j) {
    s_out[j] = dropout_deficit<T, kSigned>(s_in[j], keep, drop);
    if constexpr (kTau) tau_out[j] = keep * tau_in[j];
  }
}

template <class T, bool kSigned1, bool kSigned2, TauMode kMode>
StepFunction<T> join_of(const Op& op, bool map) {
  if (op.kind == OpKind::Product) return product_step<T, kSigned1, kSigned2, kMode>;
  return map ? sum_step<T, kSigned1, kSigned2, kMode, true>
             : sum_step<T, kSigned1, kSigned2, kMode, false>;
}

template <class T, bool kSigned1, bool kSigned2>
StepFunction<T> join_in_mode(const Op& op, TauMode mode, bool map) {
  if (mode == TauMode::None) return join_of<T, kSigned1, kSigned2, TauMode::None>(op, map);
  if (mode == TauMode::Add) return join_of<T, kSigned1, kSigned2, TauMode::Add>(op, map);
  return join_of<T, kSigned1, kSigned2, TauMode::Scale>(op, map);
}

}  // namespace

template <class T>
StepFunction<T> join_function(const Op& op, bool signed1, bool signed2, TauMode mode, bool map) {
  if (signed1) {
    return signed2 ? join_in_mode<T, true, true>(op, mode, map)
                   : join_in_mode<T, true, false>(op, mode, map);
  }
  return signed2 ? join_in_mode<T, false, true>(op, mode, map)
                 : join_in_mode<T, false, false>(op, mode, map);
}

template <class T>
StepFunction<T> dropout_function(bool signed_rho, bool tau) {
  if (signed_rho) return tau ? dropout_step<T, true, true> : dropout_step<T, true, false>;
  return tau ? dropout_step<T, false, true> : dropout_step<T, false, false>;
}

template StepFunction<float> join_function(const Op&, bool, bool, TauMode, bool);
template StepFunction<double> join_function(const Op&, bool, bool, TauMode, bool);
template StepFunction<float> dropout_function(bool, bool);
template StepFunction<double> dropout_function(bool, bool);

}  // namespace ntkfast::cpu::NTKFAST_ISA
