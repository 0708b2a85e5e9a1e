// The loop of an activation that is given by a table. Built once per instruction set.
//
// Per row of x the table is contracted with T_a(t_i) once; what is left for a pair is a small
// matrix product, (functions x T_b) times T_k(x), for a few vectors of pairs at a time.
#include "cpu/isa/loops.hpp"
#include "cpu/isa/steps.hpp"
#include "math/deficit.hpp"
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
namespace {

constexpr int kVectors = NTKFAST_TABLE_VECTORS;
constexpr int kGroup = 4;  // rows of the product at a time: with kVectors each, they fit registers

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

// sum += T_b(t) * (sum_k c[b][k] T_k(x)) for kRows rows of one series.
template <class T, int kRows>
NTKFAST_INLINE void add_rows(const T* c, int terms, const Chunk<T>& chunk,
                             const typename Chunk<T>::Line* weight, T* sum) {
  using Vector = typename Chunk<T>::Vector;
  Vector acc[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) acc[r][v] = Vector{} + c[r * terms];
  }
  for (int k = 1; k < terms; ++k) {
    const auto* power = reinterpret_cast<const Vector*>(chunk.power_x[k]);
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) acc[r][v] += c[r * terms + k] * power[v];
    }
  }
  auto* total = reinterpret_cast<Vector*>(sum);
  for (int r = 0; r < kRows; ++r) {
    const auto* scale = reinterpret_cast<const Vector*>(weight[r]);
    for (int v = 0; v < kVectors; ++v) total[v] += acc[r][v] * scale[v];
  }
}

template <class T>
NTKFAST_INLINE void add_series(const T* c, const PairTable<T>& table, const Chunk<T>& chunk,
                               T* sum) {
  const int terms = table.degree_x;
  int b = 0;
  for (; b + kGroup <= table.degree_t; b += kGroup) {
    add_rows<T, kGroup>(c + b * terms, terms, chunk, chunk.power_t + b, sum);
  }
  for (; b < table.degree_t; ++b) {
    add_rows<T, 1>(c + b * terms, terms, chunk, chunk.power_t + b, sum);
  }
}

// Both series of one part where all rows share one t: one row each.
template <class T>
NTKFAST_INLINE void add_pair_of_rows(const T* first, const T* second, int terms,
                                     const Chunk<T>& chunk, T* sum_first, T* sum_second) {
  using Vector = typename Chunk<T>::Vector;
  Vector one[kVectors], two[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    one[v] = Vector{} + first[0];
    two[v] = Vector{} + second[0];
  }
  for (int k = 1; k < terms; ++k) {
    const auto* power = reinterpret_cast<const Vector*>(chunk.power_x[k]);
    for (int v = 0; v < kVectors; ++v) {
      one[v] += first[k] * power[v];
      two[v] += second[k] * power[v];
    }
  }
  for (int v = 0; v < kVectors; ++v) {
    reinterpret_cast<Vector*>(sum_first)[v] = one[v];
    reinterpret_cast<Vector*>(sum_second)[v] = two[v];
  }
}

// H, G and E of all parts for the pairs of a chunk. `c`: the table contracted with T_a(t_i).
template <class T, bool kTau>
NTKFAST_INLINE void evaluate(const T* c, const PairTable<T>& table, Chunk<T>& chunk) {
  constexpr int kPairs = Chunk<T>::kPairs;
  const int size = table.degree_t * table.degree_x;
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
  if (table.degree_t == 1) {
    for (int part = 0; part < table.parts; ++part) {
      add_pair_of_rows(c + part * size, c + (table.parts + part) * size, table.degree_x, chunk,
                       chunk.sum[part], chunk.sum[2 + part]);
      for (int v = 0; v < kPairs; ++v) {
        chunk.excess[part][v] = c[2 * table.parts * size + part];
      }
    }
    return;
  }
  chebyshev_basis(chunk.t, table.degree_t, chunk.power_t);
  for (int part = 0; part < table.parts; ++part) {
    const T* e = c + 2 * table.parts * size + part * table.degree_t;
    for (int v = 0; v < kPairs; ++v) {
      chunk.sum[part][v] = chunk.sum[2 + part][v] = T(0);
      chunk.excess[part][v] = e[0];
    }
    for (int b = 1; b < table.degree_t; ++b) {
      for (int v = 0; v < kPairs; ++v) chunk.excess[part][v] += e[b] * chunk.power_t[b][v];
    }
    add_series(c + part * size, table, chunk, chunk.sum[part]);
    if constexpr (kTau) {
      add_series(c + (table.parts + part) * size, table, chunk, chunk.sum[2 + part]);
    }
  }
}

// c = sum_a T_a(t) table[a].
template <class T>
void contract(const PairTable<T>& table, T t, T* c) {
  for (int k = 0; k < table.stride; ++k) c[k] = table.coefficients[k];
  T before = T(1), here = t;
  for (int a = 1; a < table.degree_t; ++a) {
    const T* row = table.coefficients + a * table.stride;
    for (int k = 0; k < table.stride; ++k) c[k] += here * row[k];
    const T next = (t + t) * here - before;
    before = here;
    here = next;
  }
}

template <class T, bool kSigned, bool kTau>
void table_step(const Step<T>& step, const TileRow<T>& row) {
  constexpr int kPairs = Chunk<T>::kPairs;
  const PairTable<T>& table = *step.table;
  T left[kTableColumns];
  for (int k = 0; k < kTableColumns; ++k) left[k] = step.left[k][row.i];
  alignas(64) T c[PairTable<T>::kMaxTerms];
  contract(table, left[kTablePosition], c);
  const TableRow<T> ours{left[kTableConstant], left[kTableOddScale], left[kTableOddShare],
                         left[kTableEvenScale], left[kTableEvenShare]};
  Chunk<T> chunk;
  const int odd = 0, even = table.odd ? 1 : 0;
  for (int j0 = 0; j0 < row.n; j0 += kPairs) {
    const int count = row.n - j0 < kPairs ? row.n - j0 : kPairs;
    const T* s_in = row.s[step.in] + j0;
    const T* tau_in = row.tau[step.in] + j0;
    T* s_out = row.s[step.out] + j0;
    T* tau_out = row.tau[step.out] + j0;
    const T* right[kTableColumns];
    for (int k = 0; k < kTableColumns; ++k) right[k] = step.right[k] + row.j0 + j0;
    for (int v = 0; v < count; ++v) {
      chunk.m[v] = std::fabs(s_in[v]);
      chunk.t[v] = right[kTablePosition][v];
    }
    for (int v = count; v < kPairs; ++v) {
      chunk.m[v] = T(1);
      chunk.t[v] = T(0);
    }
    evaluate<T, kTau>(c, table, chunk);
    if (table.pure) {
      NTKFAST_INDEPENDENT
      for (int v = 0; v < count; ++v) {
        const T dt = left[kTablePosition] - chunk.t[v];
        const T loss = dt * dt * chunk.excess[odd][v] + chunk.mu[v] * chunk.sum[odd][v];
        const T next = chunk.m[v] + chunk.n[v] * loss;
        s_out[v] = kSigned ? std::copysign(next, s_in[v]) : next;
        if constexpr (kTau) {
          const T scale = left[kTableOddGain] * right[kTableOddGain][v];
          tau_out[v] = scale * chunk.sum[2 + odd][v] * tau_in[v];
        }
      }
      continue;
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
      const T dt = left[kTablePosition] - chunk.t[v], dt2 = dt * dt;
      const T n = chunk.n[v];
      const TableRow<T> theirs{right[kTableConstant][v], right[kTableOddScale][v],
                               right[kTableOddShare][v], right[kTableEvenScale][v],
                               right[kTableEvenShare][v]};
      s_out[v] =
          table_deficit<T, kSigned>(ours, theirs, chunk.m[v], positive,
                                    dt2 * chunk.excess[o][v] + chunk.mu[v] * chunk.sum[o][v],
                                    dt2 * chunk.excess[e][v] + chunk.mu[v] * chunk.sum[e][v]);
      if constexpr (kTau) {
        const T odd_gain = left[kTableOddGain] * right[kTableOddGain][v] * chunk.sum[2 + o][v];
        const T even_gain =
            left[kTableEvenGain] * right[kTableEvenGain][v] * (n * chunk.sum[2 + e][v]);
        tau_out[v] = (odd_gain + (positive ? even_gain : -even_gain)) * tau_in[v];
      }
    }
  }
}

}  // namespace

template <class T>
StepFunction<T> table_function(bool signed_rho, bool tau) {
  if (signed_rho) {
    return tau ? table_step<T, true, true> : table_step<T, true, false>;
  }
  return tau ? table_step<T, false, true> : table_step<T, false, false>;
}

template StepFunction<float> table_function(bool, bool);
template StepFunction<double> table_function(bool, bool);

}  // namespace ntkfast::cpu::NTKFAST_ISA
