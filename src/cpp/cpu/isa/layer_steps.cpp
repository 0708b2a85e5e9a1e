// The loops of the dense layers. Built once per instruction set.
#include "cpu/isa/loops.hpp"
#include "cpu/isa/steps.hpp"
#include "math/deficit.hpp"

namespace ntkfast::cpu::NTKFAST_ISA {
namespace {

template <class T, TauMode kMode>
NTKFAST_INLINE void update_tau(T gain, T rho, const T* in, T* out, int j) {
  if constexpr (kMode == TauMode::Start) out[j] = rho;
  if constexpr (kMode == TauMode::Add || kMode == TauMode::Scale) {
    out[j] = dense_tau(kMode, gain, rho, in[j]);
  }
}

template <class T, bool kSigned, bool kBias, TauMode kMode>
void dense_step(const Step<T>& step, const TileRow<T>& row) {
  const T* s_in = row.s[step.in];
  const T* tau_in = row.tau[step.in];
  T* s_out = row.s[step.out];
  T* tau_out = row.tau[step.out];
  if constexpr (kBias) {
    const T ri = step.left[0][row.i], ti = step.left[1][row.i];
    const T* r = step.right[0] + row.j0;
    const T* t = step.right[1] + row.j0;
    NTKFAST_INDEPENDENT
    for (int j = 0; j < row.n; ++j) {
      const T s = affine_deficit<T, kSigned>(s_in[j], ri, ti, r[j], t[j]);
      s_out[j] = s;
      update_tau<T, kMode>(ri * r[j], correlation<T, kSigned>(s), tau_in, tau_out, j);
    }
  } else {
    NTKFAST_INDEPENDENT
    for (int j = 0; j < row.n; ++j) {
      const T s = s_in[j];
      s_out[j] = s;
      update_tau<T, kMode>(T(1), correlation<T, kSigned>(s), tau_in, tau_out, j);
    }
  }
}

// Standard parameterization, trainable: the layer's own part of T is g^2 K_in + e^2, not K. It is
// formed before s is written: the step may run in place.
template <class T, bool kSigned, bool kBias, bool kTau>
void standard_dense_step(const Step<T>& step, const TileRow<T>& row) {
  const T* s_in = row.s[step.in];
  const T* tau_in = row.tau[step.in];
  T* s_out = row.s[step.out];
  T* tau_out = row.tau[step.out];
  if constexpr (kBias) {
    const T ri = step.left[0][row.i], ti = step.left[1][row.i];
    const T gi = step.left[2][row.i], ei = step.left[3][row.i];
    const T *r = step.right[0] + row.j0, *t = step.right[1] + row.j0;
    const T *g = step.right[2] + row.j0, *e = step.right[3] + row.j0;
    NTKFAST_INDEPENDENT
    for (int j = 0; j < row.n; ++j) {
      const T s = s_in[j];
      const T own = standard_own_part(gi, g[j], correlation<T, kSigned>(s), ei, e[j]);
      s_out[j] = affine_deficit<T, kSigned>(s, ri, ti, r[j], t[j]);
      tau_out[j] = kTau ? dense_tau(TauMode::Add, ri * r[j], own, tau_in[j]) : own;
    }
  } else {
    const T share = step.constants[0];
    NTKFAST_INDEPENDENT
    for (int j = 0; j < row.n; ++j) {
      const T s = s_in[j];
      const T own = share * correlation<T, kSigned>(s);
      s_out[j] = s;
      tau_out[j] = kTau ? dense_tau(TauMode::Add, T(1), own, tau_in[j]) : own;
    }
  }
}

template <class T, bool kSigned, bool kBias>
StepFunction<T> standard_dense_function(TauMode mode) {
  return mode == TauMode::Add ? standard_dense_step<T, kSigned, kBias, true>
                              : standard_dense_step<T, kSigned, kBias, false>;
}

template <class T, bool kSigned, bool kBias>
StepFunction<T> dense_function(TauMode mode) {
  switch (mode) {
    case TauMode::None:
      return dense_step<T, kSigned, kBias, TauMode::None>;
    case TauMode::Start:
      return dense_step<T, kSigned, kBias, TauMode::Start>;
    case TauMode::Add:
      return dense_step<T, kSigned, kBias, TauMode::Add>;
    case TauMode::Scale:
      break;
  }
  return dense_step<T, kSigned, kBias, TauMode::Scale>;
}

}  // namespace

template <class T>
StepFunction<T> layer_function(const Op& op, bool signed_rho, TauMode mode) {
  const bool bias = op.params[1] != 0;
  if (op.kind == OpKind::StandardDense && mode != TauMode::None) {
    if (signed_rho) {
      return bias ? standard_dense_function<T, true, true>(mode)
                  : standard_dense_function<T, true, false>(mode);
    }
    return bias ? standard_dense_function<T, false, true>(mode)
                : standard_dense_function<T, false, false>(mode);
  }
  if (signed_rho) {
    return bias ? dense_function<T, true, true>(mode) : dense_function<T, true, false>(mode);
  }
  return bias ? dense_function<T, false, true>(mode) : dense_function<T, false, false>(mode);
}

template StepFunction<float> layer_function(const Op&, bool, TauMode);
template StepFunction<double> layer_function(const Op&, bool, TauMode);

}  // namespace ntkfast::cpu::NTKFAST_ISA
