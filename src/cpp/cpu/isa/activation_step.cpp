// The loop of one activation, which NTKFAST_ACTIVATION names: built once per activation of the list
// and instruction set (cmake/cpu_targets.cmake).
#include "cpu/isa/loops.hpp"
#include "cpu/isa/steps.hpp"
#include "math/activation_list.hpp"
#include "math/unrolled.hpp"

namespace ntkfast::cpu::NTKFAST_ISA {
namespace {

template <Activation>
struct DualOf;
#define NTKFAST_DUAL(name, dual, params) \
  template <>                            \
  struct DualOf<Activation::name> {      \
    using type = dual;                   \
  };
NTKFAST_ACTIVATIONS(NTKFAST_DUAL)
#undef NTKFAST_DUAL

template <class T, class Dual, bool kSigned, bool kTau>
void activation_step(const Step<T>& step, const TileRow<T>& row) {
  constexpr int kColumns = Dual::kColumns > 0 ? Dual::kColumns : 1;
  const T* s_in = row.s[step.in];
  const T* tau_in = row.tau[step.in];
  T* s_out = row.s[step.out];
  T* tau_out = row.tau[step.out];
  T constants[Dual::kConstants > 0 ? Dual::kConstants : 1] = {};
  for (int k = 0; k < Dual::kConstants; ++k) constants[k] = step.constants[k];
  T left[kColumns];
  const T* table[kColumns];
  for (int k = 0; k < Dual::kColumns; ++k) {
    left[k] = step.left[k][row.i];
    table[k] = step.right[k] + row.j0;
  }
  NTKFAST_INDEPENDENT
  for (int j = 0; j < row.n; ++j) {
    T right[kColumns];
    unrolled<Dual::kColumns>([&](auto k) NTKFAST_INLINE_LAMBDA { right[k] = table[k][j]; });
    const auto next = Dual::template pair<T, kSigned>(constants, s_in[j], left, right);
    s_out[j] = next.s;
    if constexpr (kTau) tau_out[j] = next.gain * tau_in[j];
  }
}

}  // namespace

template <class T, Activation kActivation>
StepFunction<T> activation_function(bool signed_rho, bool tau) {
  using Dual = typename DualOf<kActivation>::type;
  if (signed_rho) {
    return tau ? activation_step<T, Dual, true, true> : activation_step<T, Dual, true, false>;
  }
  return tau ? activation_step<T, Dual, false, true> : activation_step<T, Dual, false, false>;
}

template StepFunction<float> activation_function<float, Activation::NTKFAST_ACTIVATION>(bool, bool);
template StepFunction<double> activation_function<double, Activation::NTKFAST_ACTIVATION>(bool,
                                                                                          bool);

}  // namespace ntkfast::cpu::NTKFAST_ISA
