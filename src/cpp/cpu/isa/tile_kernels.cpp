// Built once per instruction set; NTKFAST_ISA names the namespace.
#include "cpu/tile_kernels.hpp"

#include "cpu/isa/loops.hpp"
#include "cpu/isa/map_table_step.hpp"
#include "cpu/isa/steps.hpp"
#include "math/activation_list.hpp"
#include "math/input_deficit.hpp"

#if defined(__AVX512F__)
#include <immintrin.h>
#define NTKFAST_STREAM(to, value) \
  _mm512_stream_si512(reinterpret_cast<__m512i*>(to), reinterpret_cast<__m512i>(value))
#elif defined(__AVX__)
#include <immintrin.h>
#define NTKFAST_STREAM(to, value) \
  _mm256_stream_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(value))
#endif

namespace ntkfast::cpu::NTKFAST_ISA {

template <class T>
StepFunction<T> step_function(const Op& op, bool signed_rho, TauMode mode, bool map) {
  const bool tau = mode != TauMode::None;
  if (op.kind == OpKind::Table) {
    return map ? map_table_function<T>(signed_rho, tau) : table_function<T>(signed_rho, tau);
  }
  if (op.kind == OpKind::Dropout) return dropout_function<T>(signed_rho, tau);
  if (op.kind == OpKind::HermiteSeries) return series_function<T>(signed_rho, tau, map);
  if (op.kind != OpKind::Activation) return layer_function<T>(op, signed_rho, mode);
  switch (op.activation) {
#define NTKFAST_CASE(name, dual, params) \
  case Activation::name:                 \
    return activation_function<T, Activation::name>(signed_rho, tau, map);
    NTKFAST_ACTIVATIONS(NTKFAST_CASE)
#undef NTKFAST_CASE
  }
  return nullptr;
}

template StepFunction<float> step_function(const Op&, bool, TauMode, bool);
template StepFunction<double> step_function(const Op&, bool, TauMode, bool);

namespace {

template <class T>
StepFunction<T> row_step(const Op& op, bool signed_rho, TauMode mode) {
  return step_function<T>(op, signed_rho, mode, false);
}

template <class T>
StepFunction<T> row_join(const Op& op, bool signed1, bool signed2, TauMode mode) {
  return join_function<T>(op, signed1, signed2, mode, false);
}

template <class T>
bool load(const T* product, RowScalars<T> i, RowArrays<T> j, int n, T* s, unsigned char* flag) {
  int any = 0;
  NTKFAST_INDEPENDENT
  for (int k = 0; k < n; ++k) {
    s[k] = input_deficit(product[k], i.factor, j.factor[k], i.half_norm, j.half_norm[k]);
    any |= needs_repair(s[k], i.threshold, j.threshold[k]) ? 1 : 0;
  }
  if (any == 0) return false;
  NTKFAST_INDEPENDENT
  for (int k = 0; k < n; ++k) {
    flag[k] = needs_repair(s[k], i.threshold, j.threshold[k]) ? 1 : 0;
  }
  return true;
}

template <class T>
void write_nngp(const T* s, bool signed_rho, T root_i, const T* root_j, int n, T* out) {
  if (signed_rho) {
    NTKFAST_INDEPENDENT
    for (int j = 0; j < n; ++j) out[j] = (root_i * root_j[j]) * correlation<T, true>(s[j]);
  } else {
    NTKFAST_INDEPENDENT
    for (int j = 0; j < n; ++j) out[j] = (root_i * root_j[j]) * correlation<T, false>(s[j]);
  }
}

template <class T>
void write_ntk(const T* tau, T root_i, const T* root_j, int n, T* out) {
  NTKFAST_INDEPENDENT
  for (int j = 0; j < n; ++j) out[j] = (root_i * root_j[j]) * tau[j];
}

// Vectors of one instruction set, loaded and stored without asking for alignment.
template <class T>
struct Lanes {
  static constexpr int kCount = NTKFAST_VECTOR_BYTES / static_cast<int>(sizeof(T));
  typedef T Vector __attribute__((vector_size(NTKFAST_VECTOR_BYTES)));
  typedef T Unaligned
      __attribute__((vector_size(NTKFAST_VECTOR_BYTES), aligned(alignof(T)), may_alias));

  static NTKFAST_INLINE Vector load(const T* from) {
    return *reinterpret_cast<const Unaligned*>(from);
  }

  // kStream: past the caches, to an aligned address. A result is written once and not read again,
  // so fetching its lines first, as an ordinary store does, would double the traffic; worse, the
  // lines of a mirrored strip lie one matrix row apart and evict each other.
  template <bool kStream>
  static NTKFAST_INLINE void store(T* to, Vector value) {
#if defined(NTKFAST_STREAM)
    if constexpr (kStream) {
      NTKFAST_STREAM(to, value);
      return;
    }
#endif
    *reinterpret_cast<Unaligned*>(to) = value;
  }
};

// Whether every row of `out` starts where a stream may.
template <class T>
bool can_stream([[maybe_unused]] const T* out, [[maybe_unused]] std::int64_t ld) {
#if defined(NTKFAST_STREAM)
  return (reinterpret_cast<std::uintptr_t>(out) | static_cast<std::uintptr_t>(ld) * sizeof(T)) %
             NTKFAST_VECTOR_BYTES ==
         0;
#else
  return false;  // 16-byte streams would flush quarter lines
#endif
}

// A square block of as many rows as a vector has lanes, transposed by log2(lanes) rounds of
// interleaving row k with row k + lanes/2.
template <class T>
struct Transposer {
  static constexpr int kLanes = Lanes<T>::kCount;
  using Vector = typename Lanes<T>::Vector;

  template <int... k>
  struct Index {};
  template <int n, int... k>
  struct Count : Count<n - 1, n - 1, k...> {};
  template <int... k>
  struct Count<0, k...> {
    using type = Index<k...>;
  };

  template <int... k>
  static NTKFAST_INLINE Vector low(Vector a, Vector b, Index<k...>) {
    return __builtin_shufflevector(a, b, (k / 2 + (k % 2) * kLanes)...);
  }
  template <int... k>
  static NTKFAST_INLINE Vector high(Vector a, Vector b, Index<k...>) {
    return __builtin_shufflevector(a, b, (kLanes / 2 + k / 2 + (k % 2) * kLanes)...);
  }

  template <bool kStream>
  static NTKFAST_INLINE void block(const T* in, int in_ld, T* out, std::int64_t out_ld) {
    using All = typename Count<kLanes>::type;
    Vector row[kLanes], next[kLanes];
    NTKFAST_UNROLL
    for (int k = 0; k < kLanes; ++k) row[k] = Lanes<T>::load(in + k * in_ld);
    NTKFAST_UNROLL
    for (int round = kLanes; round > 1; round /= 2) {
      NTKFAST_UNROLL
      for (int k = 0; k < kLanes / 2; ++k) {
        next[2 * k] = low(row[k], row[k + kLanes / 2], All{});
        next[2 * k + 1] = high(row[k], row[k + kLanes / 2], All{});
      }
      NTKFAST_UNROLL
      for (int k = 0; k < kLanes; ++k) row[k] = next[k];
    }
    NTKFAST_UNROLL
    for (int k = 0; k < kLanes; ++k) Lanes<T>::template store<kStream>(out + k * out_ld, row[k]);
  }
};

template <class T, bool kStream>
void transpose_blocks(const T* strip, int strip_ld, int n, T* out, std::int64_t ld) {
  constexpr int kLanes = Lanes<T>::kCount;
  static_assert(kStripRows % kLanes == 0);
  for (int j = 0; j + kLanes <= n; j += kLanes) {
    for (int r = 0; r < kStripRows; r += kLanes) {
      Transposer<T>::template block<kStream>(strip + r * strip_ld + j, strip_ld, out + j * ld + r,
                                             ld);
    }
  }
}

template <class T>
void transpose(const T* strip, int strip_ld, int n, T* out, std::int64_t ld) {
  if (can_stream(out, ld)) {
    transpose_blocks<T, true>(strip, strip_ld, n, out, ld);
  } else {
    transpose_blocks<T, false>(strip, strip_ld, n, out, ld);
  }
  for (int j = n / Lanes<T>::kCount * Lanes<T>::kCount; j < n; ++j) {
    for (int r = 0; r < kStripRows; ++r) out[j * ld + r] = strip[r * strip_ld + j];
  }
}

template <class T, bool kStream>
NTKFAST_INLINE void copy_vectors(const T* values, int n, T* out) {
  constexpr int kLanes = Lanes<T>::kCount;
  int j = 0;
  for (; j + kLanes <= n; j += kLanes) {
    Lanes<T>::template store<kStream>(out + j, Lanes<T>::load(values + j));
  }
  for (; j < n; ++j) out[j] = values[j];
}

template <class T>
void copy(const T* values, int n, T* out) {
  if (can_stream(out, 0)) {
    copy_vectors<T, true>(values, n, out);
  } else {
    copy_vectors<T, false>(values, n, out);
  }
}

// Streamed stores are ordered with nothing else until a fence.
void finish_stores() {
#if defined(NTKFAST_STREAM)
  _mm_sfence();
#endif
}

// Sixteen running sums: independent chains that the compiler keeps in vector registers, and a
// summation order that does not depend on the instruction set.
constexpr int kSums = 16;

NTKFAST_INLINE double total(double (&sum)[kSums]) {
  for (int width = kSums / 2; width > 0; width /= 2) {
    for (int k = 0; k < width; ++k) sum[k] += sum[k + width];
  }
  return sum[0];
}

// Sum over k < d of term(k)^2.
template <class Term>
NTKFAST_INLINE double sum_of_squares(std::int64_t d, Term term) {
  double sum[kSums] = {};
  const auto add = [&](std::int64_t k, int l) {
    const double value = term(k);
    sum[l] += value * value;
  };
  std::int64_t k = 0;
  for (; k + kSums <= d; k += kSums) {
    for (int l = 0; l < kSums; ++l) add(k + l, l);
  }
  for (int l = 0; k + l < d; ++l) add(k + l, l);
  return total(sum);
}

template <class T>
double sum_squares(const T* x, std::int64_t d, double scale) {
  return sum_of_squares(d, [=](std::int64_t k) { return static_cast<double>(x[k]) * scale; });
}

template <class T>
double center(const T* x, std::int64_t d, double a, const double* anchor, T* v) {
  return sum_of_squares(d, [=](std::int64_t k) {
    v[k] = static_cast<T>(static_cast<double>(x[k]) * a - anchor[k]);
    return static_cast<double>(v[k]);
  });
}

template <Scales kScales, class T>
double half_distance_of(const T* x, double a, const T* z, double b, std::int64_t d) {
  return 0.5 * sum_of_squares(d, [=](std::int64_t k) {
           return scaled_difference(kScales, static_cast<double>(x[k]), a,
                                    static_cast<double>(z[k]), b);
         });
}

template <class T>
double half_distance(const T* x, double a, const T* z, double b, std::int64_t d) {
  switch (compare_scales(a, b)) {
    case Scales::Same:
      return half_distance_of<Scales::Same>(x, a, z, b, d);
    case Scales::Opposite:
      return half_distance_of<Scales::Opposite>(x, a, z, b, d);
    case Scales::Different:
      break;
  }
  return half_distance_of<Scales::Different>(x, a, z, b, d);
}

template <class T>
constexpr TileKernels<T> kKernels = {
    row_step<T>, row_join<T>,   load<T>,        write_nngp<T>, write_ntk<T>,     transpose<T>,
    copy<T>,     finish_stores, sum_squares<T>, center<T>,     half_distance<T>,
};

}  // namespace

const TileKernels<float>& float_kernels() { return kKernels<float>; }
const TileKernels<double>& double_kernels() { return kKernels<double>; }

}  // namespace ntkfast::cpu::NTKFAST_ISA
