// The loops over maps. Built once per instruction set.
#include "cpu/map_kernels.hpp"

#include "cpu/isa/loops.hpp"
#include "cpu/isa/pool_steps.hpp"
#include "cpu/isa/steps.hpp"
#include "math/conv_map.hpp"
#include "math/deficit.hpp"
#include "math/unrolled.hpp"

namespace ntkfast::cpu::NTKFAST_ISA {
namespace {

// Lanes of a convolution that are treated alike.
constexpr int kConvBlock = 4 * kLaneMultiple;

template <class T>
StepFunction<T> map_step(const Op& op, bool signed_rho, TauMode mode) {
  return step_function<T>(op, signed_rho, mode, true);
}

template <class T>
StepFunction<T> map_join(const Op& op, bool signed1, bool signed2, TauMode mode) {
  return join_function<T>(op, signed1, signed2, mode, true);
}

// K and T of the input, lane by lane.
template <class T, bool kSigned, bool kTau>
void covariances(const ConvMap<T> map) {
  NTKFAST_INDEPENDENT
  for (std::int64_t j = 0; j < map.lanes_in; ++j) {
    const T scale = map.left[j] * map.right[j];
    map.K[j] = scale * correlation<T, kSigned>(map.s[j]);
    if constexpr (kTau) map.T_sum[j] = scale * map.tau[j];
  }
  // What lanes beside the results read decides how their neighbours are computed.
  for (int l = 0; l < kConvMargin; ++l) {
    map.K[l - kConvMargin] = map.K[map.lanes_in + l] = T(0);
    map.T_sum[l - kConvMargin] = map.T_sum[map.lanes_in + l] = T(0);
  }
}

// sum_t from[t step]; kTaps: their number.
template <int kTaps, class T>
NTKFAST_INLINE T sum_taps(const T* from, std::int64_t step) {
  T sum = from[0];
  unrolled<kTaps, 1>([&](auto t) NTKFAST_INLINE_LAMBDA { sum += from[t * step]; });
  return sum;
}

// The same for n lanes, and any number of taps: taps outside, lanes inside.
template <class T>
void sum_any_taps(const T* from, int taps, std::int64_t tap_step, std::int64_t lane_step, int n,
                  T* sum) {
  for (int l = 0; l < n; ++l) sum[l] = from[l * lane_step];
  for (int t = 1; t < taps; ++t) {
    NTKFAST_INDEPENDENT
    for (int l = 0; l < n; ++l) sum[l] += from[l * lane_step + t * tap_step];
  }
}

// In place: sums along columns. Rows below are read before they are written.
template <int kTaps, class T>
void sum_columns(T* values, int taps, std::int64_t pitch, std::int64_t n) {
  if constexpr (kTaps == 1) return;
  if constexpr (kTaps > 0) {
    NTKFAST_INDEPENDENT
    for (std::int64_t j = 0; j < n; ++j) values[j] = sum_taps<kTaps>(values + j, pitch);
    return;
  }
  for (std::int64_t j = 0; j < n; j += kConvBlock) {
    T sum[kConvBlock];
    const int lanes = static_cast<int>(n - j < kConvBlock ? n - j : kConvBlock);
    sum_any_taps(values + j, taps, pitch, 1, lanes, sum);
    for (int l = 0; l < lanes; ++l) values[j + l] = sum[l];
  }
}

// Results of n lanes, at most a block, from the sums along columns; returns whether any deficit is
// small.
template <int kTaps, class T, bool kSigned, bool kTau>
bool finish_lanes(const ConvMap<T>& map, std::int64_t in, std::int64_t out, int n) {
  const T *K_columns = map.K + in, *T_columns = map.T_sum + in;
  T K_sum[kConvBlock], T_sum[kConvBlock];
  if constexpr (kTaps == 0) {
    sum_any_taps(K_columns, map.taps_x, 1, map.stride_x, n, K_sum);
    if constexpr (kTau) sum_any_taps(T_columns, map.taps_x, 1, map.stride_x, n, T_sum);
  }
  const T *inverse_left = map.inverse_left + out, *inverse_right = map.inverse_right + out;
  T *s_out = map.s_out + out, *tau_out = map.tau_out + out;
  const T bias = map.bias_left * map.bias_right;
  const T own_ratio = map.own_ratio, own_bias = map.own_bias * bias;
  int small = 0;
  NTKFAST_INDEPENDENT
  for (int l = 0; l < n; ++l) {
    T K, tau = T(0);
    if constexpr (kTaps > 0) {
      K = sum_taps<kTaps>(K_columns + l, 1);
      if constexpr (kTau) tau = sum_taps<kTaps>(T_columns + l, 1);
    } else {
      K = K_sum[l];
      if constexpr (kTau) tau = T_sum[l];
    }
    const T inverse = inverse_left[l] * inverse_right[l];
    const T rho = inverse * (K + bias);
    const T s = summed_deficit<T, kSigned>(rho);
    s_out[l] = s;
    tau_out[l] = inverse * (tau + (own_ratio * K + own_bias));
    small |= (kSigned ? std::fabs(s) : s) < kSmallDeficit<T> ? 1 : 0;
  }
  return small != 0;
}

template <class T, bool kSigned>
NTKFAST_INLINE void add_lane(const ConvMap<T>& map, std::int64_t in, T gain_left, T gain_right,
                             TapSums<T>& sums) {
  add_tap<T, kSigned>(map.left[in] * gain_left, map.right[in] * gain_right, map.s[in], sums);
}

template <class T, bool kSigned>
NTKFAST_INLINE T exact_lane(const ConvMap<T>& map, T inverse_left, T inverse_right,
                            const TapSums<T>& sums) {
  return exact_deficit<T, kSigned>(map.bias_left * inverse_left, map.bias_right * inverse_right,
                                   sums);
}

// Lanes of one row; `map` by value: nothing that is stored can then change its members.
template <class T, bool kSigned, int kTaps>
void exact_unrolled(const ConvMap<T> map, std::int64_t in, std::int64_t out, int n) {
  NTKFAST_INDEPENDENT
  for (int x = 0; x < n; ++x) {
    const T gain_left = map.inverse_left[out + x], gain_right = map.inverse_right[out + x];
    TapSums<T> sums{};
    unrolled<kTaps>([&](auto ty) NTKFAST_INLINE_LAMBDA {
      unrolled<kTaps>([&](auto tx) NTKFAST_INLINE_LAMBDA {
        add_lane<T, kSigned>(map, in + ty * map.pitch_in + tx + x, gain_left, gain_right, sums);
      });
    });
    map.s_out[out + x] = exact_lane<T, kSigned>(map, gain_left, gain_right, sums);
  }
}

// Any filter and stride: taps outside, lanes inside.
template <class T, bool kSigned>
void exact_any(const ConvMap<T> map, std::int64_t in, std::int64_t out, int n) {
  T gap[kConvBlock] = {}, near[kConvBlock] = {}, far[kConvBlock] = {};
  for (int tap = 0; tap < map.taps_y * map.taps_x; ++tap) {
    const std::int64_t from = in + tap / map.taps_x * map.pitch_in + tap % map.taps_x;
    NTKFAST_INDEPENDENT
    for (int x = 0; x < n; ++x) {
      TapSums<T> sums{gap[x], near[x], far[x]};
      add_lane<T, kSigned>(map, from + std::int64_t{x} * map.stride_x, map.inverse_left[out + x],
                           map.inverse_right[out + x], sums);
      gap[x] = sums.gap;
      near[x] = sums.near;
      if constexpr (kSigned) far[x] = sums.far;
    }
  }
  NTKFAST_INDEPENDENT
  for (int x = 0; x < n; ++x) {
    map.s_out[out + x] = exact_lane<T, kSigned>(
        map, map.inverse_left[out + x], map.inverse_right[out + x], {gap[x], near[x], far[x]});
  }
}

NTKFAST_INLINE int at_most(int a, int b) { return a < b ? a : b; }

// Lanes [begin, end) of a row, but for those beside it, where there may be nothing to read.
template <int kTaps, class T, bool kSigned>
void exact_lanes(const ConvMap<T>& map, std::int64_t in, std::int64_t out, int begin, int end) {
  begin = begin > map.lead ? begin : map.lead;
  end = at_most(end, map.lead + map.cols);
  if constexpr (kTaps > 0) {
    exact_unrolled<T, kSigned, kTaps>(map, in + begin, out + begin, end - begin);
    return;
  }
  for (int x = begin; x < end; x += kConvBlock) {
    exact_any<T, kSigned>(map, in + std::int64_t{x} * map.stride_x, out + x,
                          at_most(end - x, kConvBlock));
  }
}

// One row of results; kTaps: of a square filter with stride 1, else 0.
template <int kTaps, class T, bool kSigned, bool kTau>
void conv_row(const ConvMap<T>& map, std::int64_t in, std::int64_t out) {
  const std::int64_t read = std::int64_t{map.padded - 1} * map.stride_x + map.taps_x;
  sum_columns<kTaps>(map.K + in, map.taps_y, map.pitch_in, read);
  if constexpr (kTau) sum_columns<kTaps>(map.T_sum + in, map.taps_y, map.pitch_in, read);
  int begin = 0;  // of the blocks with small deficits that end at x
  for (int x = 0; x < map.padded; x += kConvBlock) {
    const bool small = finish_lanes<kTaps, T, kSigned, kTau>(
        map, in + std::int64_t{x} * map.stride_x, out + x, at_most(map.padded - x, kConvBlock));
    if (small) continue;
    if (begin < x) exact_lanes<kTaps, T, kSigned>(map, in, out, begin, x);
    begin = x + kConvBlock;
  }
  if (begin < map.padded) exact_lanes<kTaps, T, kSigned>(map, in, out, begin, map.padded);
}

template <int kTaps, class T, bool kSigned, bool kTau>
void conv_rows(const ConvMap<T>& map) {
  for (int y = 0; y < map.rows; ++y) {
    // With a lead the stride is 1.
    conv_row<kTaps, T, kSigned, kTau>(map,
                                      map.first_in + y * map.stride_y * map.pitch_in - map.lead,
                                      map.first_out + y * map.pitch_out - map.lead);
  }
}

template <class T, bool kSigned, bool kTau>
void conv(const ConvMap<T>& map) {
  covariances<T, kSigned, kTau>(map);
  const bool three = map.taps_y == 3 && map.taps_x == 3 && map.stride_x == 1;
  const bool one = map.taps_y == 1 && map.taps_x == 1 && map.stride_x == 1;
  three ? conv_rows<3, T, kSigned, kTau>(map)
  : one ? conv_rows<1, T, kSigned, kTau>(map)
        : conv_rows<0, T, kSigned, kTau>(map);
}

template <class T>
void (*conv_function(bool signed_rho, bool tau))(const ConvMap<T>&) {
  if (signed_rho) return tau ? conv<T, true, true> : conv<T, true, false>;
  return tau ? conv<T, false, true> : conv<T, false, false>;
}

template <class T, int kChannels>
void pixels_of(const T* u, const T* v, std::int64_t stride, std::int64_t n, T* s) {
  NTKFAST_INDEPENDENT
  for (std::int64_t j = 0; j < n; ++j) {
    T near = T(0), far = T(0);
    unrolled<kChannels>([&](auto c) NTKFAST_INLINE_LAMBDA {
      const T a = u[c * stride + j], b = v[c * stride + j];
      near += (a - b) * (a - b);
      far += (a + b) * (a + b);
    });
    s[j] = distance_deficit(near, far);
  }
}

template <class T>
void pixels(const T* u, const T* v, int channels, std::int64_t stride, std::int64_t n, T* s) {
  if (channels == 1) return pixels_of<T, 1>(u, v, stride, n, s);
  if (channels == 3) return pixels_of<T, 3>(u, v, stride, n, s);
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
    for (int j = 0; j < lanes; ++j) s[j0 + j] = distance_deficit(near[j], far[j]);
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
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) {
      k_sum[l] += k_sum[l + width];
      t_sum[l] += t_sum[l + width];
    }
  }
  *K += static_cast<double>(k_sum[0]);
  *T_sum += static_cast<double>(t_sum[0]);
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
