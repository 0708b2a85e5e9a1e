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

template <class T, class Dual, bool kSigned, bool kTau, bool kMap>
void activation_step(const Step<T>& step, const TileRow<T>& row) {
  constexpr int kColumns = Dual::kColumns > 0 ? Dual::kColumns : 1;
  const T* s_in = row.s[step.in];
  const T* tau_in = row.tau[step.in];
  T* s_out = row.s[step.out];
  T* tau_out = row.tau[step.out];
  T constants[Dual::kConstants > 0 ? Dual::kConstants : 1] = {};
  for (int k = 0; k < Dual::kConstants; ++k) constants[k] = step.constants[k];
  LeftColumn<T, kMap> left_column[kColumns];
  const T* table[kColumns];
  for (int k = 0; k < Dual::kColumns; ++k) {
    left_column[k] = {step.left, k, row};
    table[k] = step.right[k] + row.j0;
  }
  NTKFAST_INDEPENDENT
  for (int j = 0; j < row.n; ++j) {
    T left[kColumns], right[kColumns];
    unrolled<Dual::kColumns>([&](auto k) NTKFAST_INLINE_LAMBDA {
      left[k] = left_column[k][j];
      right[k] = table[k][j];
    });
    const auto next = Dual::template pair<T, kSigned>(constants, s_in[j], left, right);
    s_out[j] = next.s;
    if constexpr (kTau) tau_out[j] = next.gain * tau_in[j];
  }
}

// Without columns a map is as long a tile row.
template <class T, class Dual, bool kSigned, bool kTau>
StepFunction<T> choose(bool map) {
  if constexpr (Dual::kColumns > 0) {
    if (map) return activation_step<T, Dual, kSigned, kTau, true>;
  }
  return activation_step<T, Dual, kSigned, kTau, false>;
}

}  // namespace

template <class T, Activation kActivation>
StepFunction<T> activation_function(bool signed_rho, bool tau, bool map) {
  using Dual = typename DualOf<kActivation>::type;
  if (signed_rho) {
    return tau ? choose<T, Dual, true, true>(map) : choose<T, Dual, true, false>(map);
  }
  return tau ? choose<T, Dual, false, true>(map) : choose<T, Dual, false, false>(map);
}

template StepFunction<float> activation_function<float, Activation::NTKFAST_ACTIVATION>(bool, bool,
                                                                                        bool);
template StepFunction<double> activation_function<double, Activation::NTKFAST_ACTIVATION>(bool,
                                                                                          bool,
                                                                                          bool);

}  // namespace ntkfast::cpu::NTKFAST_ISA
