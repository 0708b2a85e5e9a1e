// The loop of a finite Hermite series. Built once per instruction set.
#include <cstring>

#include "cpu/isa/loops.hpp"
#include "cpu/isa/steps.hpp"
#include "math/duals/hermite_series.hpp"

namespace ntkfast::cpu::NTKFAST_ISA {
namespace {

// The number of terms is known at run time only, which keeps the loop over pairs from being
// vectorised: it takes a block of pairs at a time, as vectors that stay in registers.
template <class T>
constexpr int kBlock = NTKFAST_VECTOR_BYTES / static_cast<int>(sizeof(T));
template <class T>
struct Vector;
template <>
struct Vector<float> {
  typedef float Type __attribute__((vector_size(NTKFAST_VECTOR_BYTES)));
};
template <>
struct Vector<double> {
  typedef double Type __attribute__((vector_size(NTKFAST_VECTOR_BYTES)));
};

template <class V>
NTKFAST_INLINE V load(const void* from) {
  V value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class V, bool kMap, class T>
NTKFAST_INLINE HermiteSum<V> sum_orders(const Columns<T>& left, const Columns<T>& right, int first,
                                        int count, const TileRow<T>& row, int j, V x) {
  HermiteSum<V> sum;
  for (int k = first + count - 1; k >= first; --k) {
    const V own = kMap ? load<V>(left[k] + row.j0 + j) : V{} + left[k][row.i];
    sum.add(own, load<V>(right[k] + row.j0 + j), x);
  }
  return sum;
}

// One parity of a block, number by number.
template <class T>
struct Unpacked {
  T value[kBlock<T>], slope[kBlock<T>], quotient[kBlock<T>], gap[kBlock<T>];

  template <class V>
  explicit NTKFAST_INLINE Unpacked(const HermiteSum<V>& sum) {
    std::memcpy(value, &sum.value, sizeof sum.value);
    std::memcpy(slope, &sum.slope, sizeof sum.slope);
    std::memcpy(quotient, &sum.quotient, sizeof sum.quotient);
    std::memcpy(gap, &sum.gap, sizeof sum.gap);
  }
  NTKFAST_INLINE HermiteSum<T> operator[](int l) const {
    return {value[l], slope[l], quotient[l], gap[l]};
  }
};

// Pairs j to j + lanes, where V holds so many numbers.
template <class V, int kLanes, class T, bool kSigned, bool kTau, bool kMap>
NTKFAST_INLINE void series_block(const Step<T>& step, const TileRow<T>& row, int j) {
  const T* s_in = row.s[step.in] + j;
  const T* tau_in = row.tau[step.in] + j;
  T* s_out = row.s[step.out] + j;
  T* tau_out = row.tau[step.out] + j;
  T square[kLanes];
  for (int l = 0; l < kLanes; ++l) {
    const T rho = correlation<T, kSigned>(s_in[l]);
    square[l] = rho * rho;
  }
  const V x = load<V>(square);
  const Unpacked<T> even(sum_orders<V, kMap>(step.left, step.right, 0, step.even, row, j, x));
  const Unpacked<T> odd(sum_orders<V, kMap>(step.left, step.right, step.even, step.odd, row, j, x));
  NTKFAST_INDEPENDENT
  for (int l = 0; l < kLanes; ++l) {
    const auto next = hermite_pair<T, kSigned>(s_in[l], even[l], odd[l]);
    s_out[l] = next.s;
    if constexpr (kTau) tau_out[l] = next.gain * tau_in[l];
  }
}

template <class T, bool kSigned, bool kTau, bool kMap>
void series_step(const Step<T>& step, const TileRow<T>& row) {
  constexpr int lanes = kBlock<T>;
  int j = 0;
  for (; j + lanes <= row.n; j += lanes) {
    series_block<typename Vector<T>::Type, lanes, T, kSigned, kTau, kMap>(step, row, j);
  }
  for (; j < row.n; ++j) series_block<T, 1, T, kSigned, kTau, kMap>(step, row, j);
}

template <class T, bool kMap>
StepFunction<T> choose(bool signed_rho, bool tau) {
  if (signed_rho) return tau ? series_step<T, true, true, kMap> : series_step<T, true, false, kMap>;
  return tau ? series_step<T, false, true, kMap> : series_step<T, false, false, kMap>;
}

}  // namespace

template <class T>
StepFunction<T> series_function(bool signed_rho, bool tau, bool map) {
  return map ? choose<T, true>(signed_rho, tau) : choose<T, false>(signed_rho, tau);
}

template StepFunction<float> series_function<float>(bool, bool, bool);
template StepFunction<double> series_function<double>(bool, bool, bool);

}  // namespace ntkfast::cpu::NTKFAST_ISA
