// An activation that is given by a table, one pair at a time: the formulas of pair_table.hpp.
#pragma once

#include <cmath>

#include "device/device_code.hpp"
#include "math/duals/dual.hpp"
#include "math/table_deficit.hpp"
#include "program/pair_table.hpp"

namespace ntkfast::device {

// Number k of sum_a T_a(t) table[a]: what one row makes of the table.
template <class T>
NTKFAST_HD inline T contracted_number(const PairTable<T>& table, T t, int k) {
  T sum = table.coefficients[k], before = T(1), here = t;
  for (int a = 1; a < table.degree_t; ++a) {
    sum += here * table.coefficients[a * table.stride + k];
    const T next = (t + t) * here - before;
    before = here;
    here = next;
  }
  return sum;
}

// sum_k c[k] T_k(x), Clenshaw's rule.
template <class T>
NTKFAST_HD inline T chebyshev_sum(const T* c, int terms, T x) {
  T next = 0, after = 0;
  for (int k = terms - 1; k > 0; --k) {
    const T here = c[k] + (x + x) * next - after;
    after = next;
    next = here;
  }
  return c[0] + x * next - after;
}

// sum_b T_b(t) sum_k c[b][k] T_k(x).
template <class T>
NTKFAST_HD inline T chebyshev_double_sum(const T* c, int terms_t, int terms_x, T t, T x) {
  T sum = chebyshev_sum(c, terms_x, x), before = T(1), here = t;
  for (int b = 1; b < terms_t; ++b) {
    sum += here * chebyshev_sum(c + b * terms_x, terms_x, x);
    const T next = (t + t) * here - before;
    before = here;
    here = next;
  }
  return sum;
}

// H, G and E of one part of the function.
template <class T>
struct TablePart {
  T loss, gain, excess;
};

template <class T>
NTKFAST_HD inline TableRow<T> table_row(const T* columns) {
  return {columns[kTableConstant], columns[kTableOddScale], columns[kTableOddShare],
          columns[kTableEvenScale], columns[kTableEvenShare]};
}

// c: the table as contracted by the left row. kTableColumns numbers left and right.
template <class T>
NTKFAST_HD inline PairStep<T> table_pair(const PairTable<T>& table, const T* c, T s, bool is_signed,
                                         const T* left, const T* right) {
  const T m = std::fabs(s), n = T(1) - m, mu = m * (T(2) - m);
  T x = mu > T(0) ? mu : T(0);
  if (table.kinked) x = std::sqrt(x);
  x += table.kappa;
  for (int k = 0; k < table.roots; ++k) x = std::sqrt(x);
  x = table.x_scale * x + table.x_offset;
  const T t = right[kTablePosition], dt = left[kTablePosition] - t, dt2 = dt * dt;
  const int size = table.degree_t * table.degree_x;
  TablePart<T> parts[2] = {};
  for (int part = 0; part < table.parts; ++part) {
    // Of two parts the odd one comes first.
    TablePart<T>& to = parts[part == 0 && table.odd ? 0 : 1];
    to.loss = chebyshev_double_sum(c + part * size, table.degree_t, table.degree_x, t, x);
    to.gain =
        chebyshev_double_sum(c + (table.parts + part) * size, table.degree_t, table.degree_x, t, x);
    to.excess =
        chebyshev_sum(c + 2 * table.parts * size + part * table.degree_t, table.degree_t, t);
  }
  const TablePart<T>&odd = parts[0], &even = parts[1];
  const T odd_loss = dt2 * odd.excess + mu * odd.loss;
  const T even_loss = dt2 * even.excess + mu * even.loss;
  const T odd_gain = left[kTableOddGain] * right[kTableOddGain] * odd.gain;
  if (table.pure) {
    const T next = m + n * odd_loss;
    return {is_signed ? std::copysign(next, s) : next, odd_gain};
  }
  const bool positive = !is_signed || std::copysign(T(1), s) > T(0);
  const TableRow<T> a = table_row(left), b = table_row(right);
  const T even_gain = left[kTableEvenGain] * right[kTableEvenGain] * (n * even.gain);
  return {is_signed ? table_deficit<T, true>(a, b, m, positive, odd_loss, even_loss)
                    : table_deficit<T, false>(a, b, m, positive, odd_loss, even_loss),
          odd_gain + (positive ? even_gain : -even_gain)};
}

}  // namespace ntkfast::device
