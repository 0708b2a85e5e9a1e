// The loops over maps. Built once per instruction set.
#include "cpu/map_kernels.hpp"

#include "cpu/isa/loops.hpp"
#include "cpu/isa/pool_steps.hpp"
#include "cpu/isa/steps.hpp"
#include "math/deficit.hpp"
#include "math/unrolled.hpp"

namespace ntkfast::cpu::NTKFAST_ISA {
namespace {

template <class T>
StepFunction<T> map_step(const Op& op, bool signed_rho, TauMode mode) {
  return step_function<T>(op, signed_rho, mode, true);
}

template <class T>
StepFunction<T> map_join(const Op& op, bool signed1, bool signed2, TauMode mode) {
  return join_function<T>(op, signed1, signed2, mode, true);
}

// What the taps of one result add up to. With a = root gain of a tap on the left and b on the
// right, which are entries of unit vectors,
//   1 -+ rho' = sum (a - b)^2 / 2 + (t -+ t')^2 / 2 + sum a b (1 -+ rho),
// terms that are not negative: nearly equal patches keep the digits of their deficit, and equal
// ones have exactly 0. Summing K and subtracting would be separable and cheaper, but rounds
// to 1e-7 in float32 where the deficit may be 1e-12.
template <class T>
struct TapSums {
  T gap, near, far, tau;
};

template <class T, bool kSigned, bool kTau>
NTKFAST_INLINE void add_tap(const ConvMap<T>& map, std::int64_t in, T gain_left, T gain_right,
                            TapSums<T>& sums) {
  const T a = map.left[in] * gain_left, b = map.right[in] * gain_right, s = map.s[in];
  const T difference = a - b, weight = a * b;
  sums.gap += difference * difference;
  if constexpr (kSigned) {
    const T m = std::fabs(s);
    const bool positive = std::copysign(T(1), s) > T(0);
    sums.near += weight * (positive ? m : T(2) - m);
    sums.far += weight * (positive ? T(2) - m : m);
  } else {
    sums.near += weight * s;
  }
  if constexpr (kTau) sums.tau += weight * map.tau[in];
}

template <class T, bool kSigned, bool kTau>
NTKFAST_INLINE void store_sums(const ConvMap<T>& map, std::int64_t out, T inverse_left,
                               T inverse_right, const TapSums<T>& sums) {
  const T t = map.bias * inverse_left, u = map.bias * inverse_right;
  const T minus = t - u;
  const T to_one = sums.near + T(0.5) * (sums.gap + minus * minus);
  // Beyond 1 in lanes of the border alone, where columns belong to no position: whatever stands
  // there is weighted by zero, but has to be a deficit.
  T s = to_one < T(1) ? to_one : T(1);
  if constexpr (kSigned) {
    const T plus = t + u;
    const T to_minus_one = sums.far + T(0.5) * (sums.gap + plus * plus);
    s = to_one <= to_minus_one ? s : to_minus_one < T(1) ? -to_minus_one : T(-1);
  }
  map.s_out[out] = s;
  // Not the product of the inverses, which may overflow where a bias is zero.
  const T bias_part = (map.own_bias * inverse_left) * (map.own_bias * inverse_right);
  const T own = map.own_ratio * (correlation<T, kSigned>(s) - t * u) + bias_part;
  map.tau_out[out] = kTau ? sums.tau + own : own;
}

// `map` by value: nothing that is stored can then change its members.
template <class T, bool kSigned, bool kTau, int kTaps>
void conv_row_unrolled(const ConvMap<T> map, std::int64_t in, std::int64_t out) {
  NTKFAST_INDEPENDENT
  for (int x = 0; x < map.cols; ++x) {
    const T inverse_left = map.inverse_left[out + x], inverse_right = map.inverse_right[out + x];
    const T gain_left = map.weight * inverse_left, gain_right = map.weight * inverse_right;
    TapSums<T> sums{};
    unrolled<kTaps>([&](auto ty) NTKFAST_INLINE_LAMBDA {
      unrolled<kTaps>([&](auto tx) NTKFAST_INLINE_LAMBDA {
        add_tap<T, kSigned, kTau>(map, in + ty * map.pitch_in + tx + x, gain_left, gain_right,
                                  sums);
      });
    });
    store_sums<T, kSigned, kTau>(map, out + x, inverse_left, inverse_right, sums);
  }
}

// Any filter and stride: taps outside, a block of results inside.
template <class T, bool kSigned, bool kTau>
void conv_row(const ConvMap<T> map, std::int64_t in, std::int64_t out) {
  constexpr int kBlock = 2 * NTKFAST_VECTOR_BYTES / static_cast<int>(sizeof(T));
  for (int x0 = 0; x0 < map.cols; x0 += kBlock) {
    T gap[kBlock] = {}, near[kBlock] = {}, far[kBlock] = {}, tau[kBlock] = {};
    const int n = map.cols - x0 < kBlock ? map.cols - x0 : kBlock;
    for (int tap = 0; tap < map.taps_y * map.taps_x; ++tap) {
      const std::int64_t from =
          in + tap / map.taps_x * map.pitch_in + tap % map.taps_x + std::int64_t{x0} * map.stride_x;
      NTKFAST_INDEPENDENT
      for (int x = 0; x < n; ++x) {
        TapSums<T> sums{gap[x], near[x], far[x], tau[x]};
        add_tap<T, kSigned, kTau>(map, from + std::int64_t{x} * map.stride_x,
                                  map.weight * map.inverse_left[out + x0 + x],
                                  map.weight * map.inverse_right[out + x0 + x], sums);
        gap[x] = sums.gap;
        near[x] = sums.near;
        if constexpr (kSigned) far[x] = sums.far;
        if constexpr (kTau) tau[x] = sums.tau;
      }
    }
    NTKFAST_INDEPENDENT
    for (int x = 0; x < n; ++x) {
      const std::int64_t to = out + x0 + x;
      store_sums<T, kSigned, kTau>(map, to, map.inverse_left[to], map.inverse_right[to],
                                   {gap[x], near[x], far[x], tau[x]});
    }
  }
}

template <class T, bool kSigned, bool kTau>
void conv(const ConvMap<T>& map) {
  const bool three = map.taps_y == 3 && map.taps_x == 3 && map.stride_x == 1;
  const bool one = map.taps_y == 1 && map.taps_x == 1 && map.stride_x == 1;
  for (int y = 0; y < map.rows; ++y) {
    const std::int64_t in = map.first_in + y * map.stride_y * map.pitch_in;
    const std::int64_t out = map.first_out + y * map.pitch_out;
    if (three) {
      conv_row_unrolled<T, kSigned, kTau, 3>(map, in, out);
    } else if (one) {
      conv_row_unrolled<T, kSigned, kTau, 1>(map, in, out);
    } else {
      conv_row<T, kSigned, kTau>(map, in, out);
    }
  }
}

template <class T>
void (*conv_function(bool signed_rho, bool tau))(const ConvMap<T>&) {
  if (signed_rho) return tau ? conv<T, true, true> : conv<T, true, false>;
  return tau ? conv<T, false, true> : conv<T, false, false>;
}

// s is the sum so far of |u - v|^2, and then the signed deficit: the sum of |u + v|^2 follows from
// it where it is not small.
template <class T>
void pixels(const T* u, const T* v, int channels, std::int64_t stride, std::int64_t n, T* s) {
  constexpr int kBlock = 4 * NTKFAST_VECTOR_BYTES / static_cast<int>(sizeof(T));
  for (std::int64_t j0 = 0; j0 < n; j0 += kBlock) {
    T near[kBlock] = {}, far[kBlock] = {};
    const int lanes = static_cast<int>(n - j0 < kBlock ? n - j0 : kBlock);
    for (int c = 0; c < channels; ++c) {
      const T *a = u + c * stride + j0, *b = v + c * stride + j0;
      NTKFAST_INDEPENDENT
      for (int j = 0; j < lanes; ++j) {
        const T minus = a[j] - b[j], plus = a[j] + b[j];
        near[j] += minus * minus;
        far[j] += plus * plus;
      }
    }
    NTKFAST_INDEPENDENT
    for (int j = 0; j < lanes; ++j) {
      s[j0 + j] = near[j] <= far[j] ? T(0.5) * near[j] : T(-0.5) * far[j];
    }
  }
}

// Whole vectors: what is written behind a row is overwritten by the next.
template <class T>
void copy_block(const T* from, std::int64_t pitch, int rows, int width, T* to) {
  for (int r = 0; r < rows; ++r) {
    for (int x = 0; x < width; x += kCopySlack) {
      for (int l = 0; l < kCopySlack; ++l) to[x + l] = from[x + l];
    }
    from += pitch;
    to += width;
  }
}

template <class T, bool kSigned, bool kTau>
void total_of(const T* left, const T* right, const T* s, const T* tau, std::int64_t n, double* K,
              double* T_sum) {
  constexpr int kLanes = NTKFAST_VECTOR_BYTES / static_cast<int>(sizeof(T));
  T k_sum[kLanes] = {}, t_sum[kLanes] = {};
  std::int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) {
    NTKFAST_INDEPENDENT
    for (int l = 0; l < kLanes; ++l) {
      const T scale = left[j + l] * right[j + l];
      k_sum[l] += scale * correlation<T, kSigned>(s[j + l]);
      if constexpr (kTau) t_sum[l] += scale * tau[j + l];
    }
  }
  for (int l = 0; l < kLanes; ++l) {
    *K += static_cast<double>(k_sum[l]);
    *T_sum += static_cast<double>(t_sum[l]);
  }
  for (; j < n; ++j) {
    const T scale = left[j] * right[j];
    *K += static_cast<double>(scale * correlation<T, kSigned>(s[j]));
    if constexpr (kTau) *T_sum += static_cast<double>(scale * tau[j]);
  }
}

template <class T>
void total(const T* left, const T* right, const T* s, bool signed_rho, const T* tau, std::int64_t n,
           double* K, double* T_sum) {
  if (signed_rho) {
    tau ? total_of<T, true, true>(left, right, s, tau, n, K, T_sum)
        : total_of<T, true, false>(left, right, s, tau, n, K, T_sum);
  } else {
    tau ? total_of<T, false, true>(left, right, s, tau, n, K, T_sum)
        : total_of<T, false, false>(left, right, s, tau, n, K, T_sum);
  }
}

template <class T>
constexpr MapKernels<T> kMapKernels = {map_step<T>,   map_join<T>, conv_function<T>, pixels<T>,
                                       copy_block<T>, total<T>,    pool_kernels<T>()};

}  // namespace

const MapKernels<float>& float_map_kernels() { return kMapKernels<float>; }
const MapKernels<double>& double_map_kernels() { return kMapKernels<double>; }

}  // namespace ntkfast::cpu::NTKFAST_ISA
