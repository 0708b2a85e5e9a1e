// The loop of an activation that is given by a table. Built once per instruction set.
//
// Per row of x the table is contracted with T_a(t_i) once; what is left for a pair is a small
// matrix product, (functions x T_b) times T_k(x), for a few vectors of pairs at a time.
#include "cpu/isa/table_chunk.hpp"

namespace ntkfast::cpu::NTKFAST_ISA {
namespace {

constexpr int kGroup = 4;  // rows of the product at a time: with kVectors each, they fit registers

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
  find_variable(table, chunk);
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
  alignas(64) T c[PairTable<T>::kMaxTerms];
  contract(table, step.left[kTablePosition][row.i], c);
  Chunk<T> chunk;
  for (int j0 = 0; j0 < row.n; j0 += kPairs) {
    const int count = row.n - j0 < kPairs ? row.n - j0 : kPairs;
    load_pairs(step, row, j0, count, chunk);
    evaluate<T, kTau>(c, table, chunk);
    store_pairs<T, kSigned, kTau, false>(step, row, j0, count, chunk);
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
