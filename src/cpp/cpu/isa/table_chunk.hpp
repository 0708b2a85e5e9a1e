// What the loops of an activation given by a table share: a few vectors of pairs at a time.
#pragma once

#include <cmath>

#include "cpu/isa/loops.hpp"
#include "cpu/isa/steps.hpp"
#include "math/table_deficit.hpp"
#include "program/pair_table.hpp"

#if defined(__AVX512F__)
#define NTKFAST_TABLE_BYTES 64
#define NTKFAST_TABLE_VECTORS 4
#elif defined(__AVX__)
#define NTKFAST_TABLE_BYTES 32
#define NTKFAST_TABLE_VECTORS 2
#else
#define NTKFAST_TABLE_BYTES 16
#define NTKFAST_TABLE_VECTORS 2
#endif

namespace ntkfast::cpu::NTKFAST_ISA {

inline constexpr int kVectors = NTKFAST_TABLE_VECTORS;

template <class T>
struct Chunk {
  typedef T Vector __attribute__((vector_size(NTKFAST_TABLE_BYTES)));
  static constexpr int kLanes = NTKFAST_TABLE_BYTES / static_cast<int>(sizeof(T));
  static constexpr int kPairs = kVectors * kLanes;
  static constexpr int kMaxSeries = 4;
  using Line = T[kPairs];

  alignas(64) Line m, n, mu, x, t;
  alignas(64) Line sum[kMaxSeries];
  alignas(64) Line excess[2];
  alignas(64) Line power_x[PairTable<T>::kMaxDegreeX];
  alignas(64) Line power_t[PairTable<T>::kMaxDegreeT];
};

// T_0(x), ..., T_{terms-1}(x).
template <class T>
NTKFAST_INLINE void chebyshev_basis(const T* x, int terms, typename Chunk<T>::Line* out) {
  constexpr int kPairs = Chunk<T>::kPairs;
  for (int v = 0; v < kPairs; ++v) out[0][v] = T(1);
  if (terms > 1) {
    for (int v = 0; v < kPairs; ++v) out[1][v] = x[v];
  }
  for (int k = 2; k < terms; ++k) {
    for (int v = 0; v < kPairs; ++v) {
      out[k][v] = (x[v] + x[v]) * out[k - 1][v] - out[k - 2][v];
    }
  }
}

template <class T>
NTKFAST_INLINE void load_pairs(const Step<T>& step, const TileRow<T>& row, int j0, int count,
                               Chunk<T>& chunk) {
  const T* s = row.s[step.in] + j0;
  const T* t = step.right[kTablePosition] + row.j0 + j0;
  for (int v = 0; v < count; ++v) {
    chunk.m[v] = std::fabs(s[v]);
    chunk.t[v] = t[v];
  }
  for (int v = count; v < Chunk<T>::kPairs; ++v) {
    chunk.m[v] = T(1);
    chunk.t[v] = T(0);
  }
}

// The variable x of the pairs of a chunk, and its polynomials.
template <class T>
NTKFAST_INLINE void find_variable(const PairTable<T>& table, Chunk<T>& chunk) {
  constexpr int kPairs = Chunk<T>::kPairs;
  for (int v = 0; v < kPairs; ++v) {
    const T m = chunk.m[v];
    chunk.n[v] = T(1) - m;
    chunk.mu[v] = m * (T(2) - m);
    chunk.x[v] = chunk.mu[v] > T(0) ? chunk.mu[v] : T(0);
  }
  if (table.kinked) {
    for (int v = 0; v < kPairs; ++v) chunk.x[v] = std::sqrt(chunk.x[v]);
  }
  for (int v = 0; v < kPairs; ++v) chunk.x[v] += table.kappa;
  for (int k = 0; k < table.roots; ++k) {
    for (int v = 0; v < kPairs; ++v) chunk.x[v] = std::sqrt(chunk.x[v]);
  }
  for (int v = 0; v < kPairs; ++v) chunk.x[v] = table.x_scale * chunk.x[v] + table.x_offset;
  chebyshev_basis(chunk.x, table.degree_x, chunk.power_x);
}

// What the step makes of the pairs j0 to j0 + count, from the sums of their series.
template <class T, bool kSigned, bool kTau, bool kMap>
NTKFAST_INLINE void store_pairs(const Step<T>& step, const TileRow<T>& row, int j0, int count,
                                Chunk<T>& chunk) {
  constexpr int kPairs = Chunk<T>::kPairs;
  const PairTable<T>& table = *step.table;
  const int odd = 0, even = table.odd ? 1 : 0;
  const T* s_in = row.s[step.in] + j0;
  const T* tau_in = row.tau[step.in] + j0;
  T* s_out = row.s[step.out] + j0;
  T* tau_out = row.tau[step.out] + j0;
  LeftColumn<T, kMap> left[kTableColumns];
  const T* right[kTableColumns];
  for (int k = 0; k < kTableColumns; ++k) {
    left[k] = LeftColumn<T, kMap>(step.left, k, row);
    right[k] = step.right[k] + row.j0 + j0;
  }
  if (table.pure) {
    NTKFAST_INDEPENDENT
    for (int v = 0; v < count; ++v) {
      const T dt = left[kTablePosition][j0 + v] - chunk.t[v];
      const T loss = dt * dt * chunk.excess[odd][v] + chunk.mu[v] * chunk.sum[odd][v];
      const T next = chunk.m[v] + chunk.n[v] * loss;
      s_out[v] = kSigned ? std::copysign(next, s_in[v]) : next;
      if constexpr (kTau) {
        const T scale = left[kTableOddGain][j0 + v] * right[kTableOddGain][v];
        tau_out[v] = scale * chunk.sum[2 + odd][v] * tau_in[v];
      }
    }
    return;
  }
  for (int part = 0; part < 2; ++part) {  // a part that is not there is multiplied by zero
    if (part == 0 ? table.odd : table.even) continue;
    for (int v = 0; v < kPairs; ++v) {
      chunk.excess[1][v] = chunk.sum[1][v] = chunk.sum[3][v] = T(0);
    }
  }
  const int o = table.odd ? odd : 1, e = table.even ? even : 1;
  NTKFAST_INDEPENDENT
  for (int v = 0; v < count; ++v) {
    const bool positive = !kSigned || std::copysign(T(1), s_in[v]) > T(0);
    const T dt = left[kTablePosition][j0 + v] - chunk.t[v], dt2 = dt * dt;
    const T n = chunk.n[v];
    const TableRow<T> ours{left[kTableConstant][j0 + v], left[kTableOddScale][j0 + v],
                           left[kTableOddShare][j0 + v], left[kTableEvenScale][j0 + v],
                           left[kTableEvenShare][j0 + v]};
    const TableRow<T> theirs{right[kTableConstant][v], right[kTableOddScale][v],
                             right[kTableOddShare][v], right[kTableEvenScale][v],
                             right[kTableEvenShare][v]};
    s_out[v] = table_deficit<T, kSigned>(ours, theirs, chunk.m[v], positive,
                                         dt2 * chunk.excess[o][v] + chunk.mu[v] * chunk.sum[o][v],
                                         dt2 * chunk.excess[e][v] + chunk.mu[v] * chunk.sum[e][v]);
    if constexpr (kTau) {
      const T odd_gain =
          left[kTableOddGain][j0 + v] * right[kTableOddGain][v] * chunk.sum[2 + o][v];
      const T even_gain =
          left[kTableEvenGain][j0 + v] * right[kTableEvenGain][v] * (n * chunk.sum[2 + e][v]);
      tau_out[v] = (odd_gain + (positive ? even_gain : -even_gain)) * tau_in[v];
    }
  }
}

}  // namespace ntkfast::cpu::NTKFAST_ISA
