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

// kStride 0: any.
template <int kStride>
void add_columns_of(const double* from, std::int64_t pitch, int rows, int any_stride, int count,
                    int taps, double* out, std::int64_t out_pitch) {
  const int stride = kStride == 0 ? any_stride : kStride;
  for (int r = 0; r < rows; ++r) {
    for (int t = 0; t < taps; ++t) {
      NTKFAST_INDEPENDENT
      for (int i = 0; i < count; ++i) out[i] += from[stride * i + t];
    }
    from += pitch;
    out += out_pitch;
  }
}

void add_columns(const double* from, std::int64_t pitch, int rows, int stride, int count, int taps,
                 double* out, std::int64_t out_pitch) {
  const auto run = stride == 1   ? add_columns_of<1>
                   : stride == 2 ? add_columns_of<2>
                                 : add_columns_of<0>;
  run(from, pitch, rows, stride, count, taps, out, out_pitch);
}

void add_rows(const double* from, std::int64_t width, int stride, int count, int taps,
              double* out) {
  for (int i = 0; i < count; ++i) {
    const double* row = from + stride * i * width;
    for (int t = 0; t < taps; ++t) {
      NTKFAST_INDEPENDENT
      for (std::int64_t x = 0; x < width; ++x) out[x] += row[x];
      row += width;
    }
    out += width;
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
constexpr PoolKernels<T> kPoolKernels = {products<T>, add_columns, add_rows, scale, enter<T>};

}  // namespace

const PoolKernels<float> kFloatPools = kPoolKernels<float>;
const PoolKernels<double> kDoublePools = kPoolKernels<double>;

}  // namespace ntkfast::cpu::NTKFAST_ISA
