// The loop over a map of an activation that is given by a table. Built once per instruction set.
//
// Every pair has a row of its own on both sides, so that there is nothing to contract once for many
// of them: the series are summed term by term, all at once.
#include "cpu/isa/map_table_step.hpp"

#include "cpu/isa/table_chunk.hpp"
#include "program/map_table.hpp"

namespace ntkfast::cpu::NTKFAST_ISA {
namespace {

template <class T>
struct MapChunk : Chunk<T> {
  using Line = typename Chunk<T>::Line;
  alignas(64) Line left_t;
  alignas(64) Line power_left[PairTable<T>::kMaxDegreeT];
};

// T_a(t) T_b(t') + T_b(t) T_a(t').
template <class T>
NTKFAST_INLINE void find_weight(const MapTerm& term, const MapChunk<T>& chunk,
                                typename Chunk<T>::Line& weight) {
  const T *la = chunk.power_left[term.a], *lb = chunk.power_left[term.b];
  const T *ra = chunk.power_t[term.a], *rb = chunk.power_t[term.b];
  const T second = term.a == term.b ? T(0) : T(1);
  for (int v = 0; v < Chunk<T>::kPairs; ++v) weight[v] = la[v] * rb[v] + second * (lb[v] * ra[v]);
}

// H, G and E of all parts. kSeries: those wanted, H of all parts and then perhaps G.
template <class T, int kParts, int kSeries>
NTKFAST_INLINE void sum_terms(const MapTable<T>& table, MapChunk<T>& chunk) {
  using Vector = typename Chunk<T>::Vector;
  Vector sum[kSeries][kVectors] = {}, excess[kParts][kVectors] = {};
  alignas(64) typename Chunk<T>::Line weight;
  const T* c = table.numbers;
  for (int k = 0; k < table.count; ++k) {
    const MapTerm term = table.orders[k];
    const int terms = term.terms;
    find_weight(term, chunk, weight);
    const auto* w = reinterpret_cast<const Vector*>(weight);
    for (int part = 0; part < kParts; ++part) {
      for (int v = 0; v < kVectors; ++v) excess[part][v] += c[part] * w[v];
    }
    c += kParts;
    Vector own[kSeries][kVectors] = {};
    for (int n = 0; n < terms; ++n) {
      const auto* power = reinterpret_cast<const Vector*>(chunk.power_x[n]);
      for (int f = 0; f < kSeries; ++f) {
        for (int v = 0; v < kVectors; ++v) own[f][v] += c[f * terms + n] * power[v];
      }
    }
    for (int f = 0; f < kSeries; ++f) {
      for (int v = 0; v < kVectors; ++v) sum[f][v] += own[f][v] * w[v];
    }
    c += 2 * kParts * terms;
  }
  for (int f = 0; f < kSeries; ++f) {
    auto* to = reinterpret_cast<Vector*>(chunk.sum[f < kParts ? f : 2 + f - kParts]);
    for (int v = 0; v < kVectors; ++v) to[v] = sum[f][v];
  }
  for (int part = 0; part < kParts; ++part) {
    auto* to = reinterpret_cast<Vector*>(chunk.excess[part]);
    for (int v = 0; v < kVectors; ++v) to[v] = excess[part][v];
  }
}

template <class T, bool kSigned, bool kTau>
void map_table_step(const Step<T>& step, const TileRow<T>& row) {
  constexpr int kPairs = Chunk<T>::kPairs, kTimes = kTau ? 2 : 1;
  const auto& table = static_cast<const MapTable<T>&>(*step.table);
  const T* left = step.left[kTablePosition] + row.j0;
  MapChunk<T> chunk;
  for (int j0 = 0; j0 < row.n; j0 += kPairs) {
    const int count = row.n - j0 < kPairs ? row.n - j0 : kPairs;
    load_pairs(step, row, j0, count, chunk);
    for (int v = 0; v < kPairs; ++v) chunk.left_t[v] = v < count ? left[j0 + v] : T(0);
    find_variable(table, chunk);
    chebyshev_basis<T>(chunk.t, table.degree_t, chunk.power_t);
    chebyshev_basis<T>(chunk.left_t, table.degree_t, chunk.power_left);
    if (table.parts == 1) {
      sum_terms<T, 1, kTimes>(table, chunk);
    } else {
      sum_terms<T, 2, 2 * kTimes>(table, chunk);
    }
    store_pairs<T, kSigned, kTau, true>(step, row, j0, count, chunk);
  }
}

}  // namespace

template <class T>
StepFunction<T> map_table_function(bool signed_rho, bool tau) {
  if (signed_rho) return tau ? map_table_step<T, true, true> : map_table_step<T, true, false>;
  return tau ? map_table_step<T, false, true> : map_table_step<T, false, false>;
}

template StepFunction<float> map_table_function(bool, bool);
template StepFunction<double> map_table_function(bool, bool);

}  // namespace ntkfast::cpu::NTKFAST_ISA
