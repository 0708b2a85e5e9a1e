// The loops of pools. Built once per instruction set.
#include "cpu/isa/loops.hpp"
#include "cpu/isa/pool_steps.hpp"
#include "math/deficit.hpp"

namespace ntkfast::cpu::NTKFAST_ISA {
namespace {

template <class T, bool kSigned, bool kTau>
void products_of(const T* left, const T* right, const T* s, const T* tau, std::int64_t n,
                 double* deficit, double* ntk) {
  NTKFAST_INDEPENDENT
  for (std::int64_t j = 0; j < n; ++j) {
    const double scale = static_cast<double>(left[j]) * static_cast<double>(right[j]);
    const auto value = static_cast<double>(s[j]);
    if constexpr (kSigned) {
      const double m = std::fabs(value);
      deficit[j] = scale * (std::copysign(1.0, value) > 0.0 ? m : 2.0 - m);
    } else {
      deficit[j] = scale * value;
    }
    if constexpr (kTau) ntk[j] = scale * static_cast<double>(tau[j]);
  }
}

template <class T>
void products(const T* left, const T* right, const T* s, bool signed_rho, const T* tau,
              std::int64_t n, double* deficit, double* ntk) {
  if (signed_rho) {
    tau ? products_of<T, true, true>(left, right, s, tau, n, deficit, ntk)
        : products_of<T, true, false>(left, right, s, tau, n, deficit, ntk);
  } else {
    tau ? products_of<T, false, true>(left, right, s, tau, n, deficit, ntk)
        : products_of<T, false, false>(left, right, s, tau, n, deficit, ntk);
  }
}

void add_rows(const double* from, std::int64_t pitch, int rows, int n, double* sum) {
  NTKFAST_INDEPENDENT
  for (int x = 0; x < n; ++x) sum[x] = from[x];
  for (int r = 1; r < rows; ++r) {
    const double* row = from + r * pitch;
    NTKFAST_INDEPENDENT
    for (int x = 0; x < n; ++x) sum[x] += row[x];
  }
}

template <int kStride>
void add_strided(const double* from, int count, int taps, double* out) {
  for (int t = 0; t < taps; ++t) {
    NTKFAST_INDEPENDENT
    for (int i = 0; i < count; ++i) out[i] += from[kStride * i + t];
  }
}

void add_windows(const double* from, int stride, int count, int taps, double* out) {
  if (stride == 1) return add_strided<1>(from, count, taps, out);
  if (stride == 2) return add_strided<2>(from, count, taps, out);
  for (int i = 0; i < count; ++i) {
    double sum = out[i];
    for (int t = 0; t < taps; ++t) sum += from[stride * i + t];
    out[i] = sum;
  }
}

void scale(const double* left, const double* right, std::int64_t n, double* values) {
  NTKFAST_INDEPENDENT
  for (std::int64_t i = 0; i < n; ++i) values[i] = (values[i] * left[i]) * right[i];
}

template <class T, bool kSigned>
void enter_positions(PoolSide left, PoolSide right, const double* deficit, const double* ntk,
                     std::int64_t n, T* s, T* tau) {
  NTKFAST_INDEPENDENT
  for (std::int64_t i = 0; i < n; ++i) {
    const double minus = left.total[i] - right.total[i], plus = left.total[i] + right.total[i];
    const double to_one = 0.5 * minus * minus + ((deficit[i] - left.half[i]) - right.half[i]);
    const double near = to_one > 0.0 ? (to_one < 1.0 ? to_one : 1.0) : 0.0;
    if constexpr (kSigned) {
      const double other = 0.5 * plus * plus - ((deficit[i] + left.half[i]) + right.half[i]);
      const double far = other > 0.0 ? (other < 1.0 ? other : 1.0) : 0.0;
      s[i] = static_cast<T>(to_one <= other ? near : -far);
    } else {
      s[i] = static_cast<T>(near);
    }
    tau[i] = static_cast<T>(ntk[i]);
  }
}

template <class T>
void enter(PoolSide left, PoolSide right, const double* deficit, const double* ntk, bool signed_rho,
           std::int64_t n, T* s, T* tau) {
  signed_rho ? enter_positions<T, true>(left, right, deficit, ntk, n, s, tau)
             : enter_positions<T, false>(left, right, deficit, ntk, n, s, tau);
}

template <class T>
constexpr PoolKernels<T> kPoolKernels = {products<T>, add_rows, add_windows, scale, enter<T>};

}  // namespace

const PoolKernels<float> kFloatPools = kPoolKernels<float>;
const PoolKernels<double> kDoublePools = kPoolKernels<double>;

}  // namespace ntkfast::cpu::NTKFAST_ISA
